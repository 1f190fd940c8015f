"""After stage 8: an exported model becomes what the operator of a model server needs.

`bundle` writes a folder that the stock `tensorflow_model_server` serves as it
is. The way back is `restore --server`. The SavedModel is written in a child
process, which also proves that it returns what the export returns.
"""

import argparse
import json
import os
import re
from pathlib import Path

from . import presets
from .audio.files import atomic_folder
from .child import ChildError, call_in_child
from .errors import ArtifactError, OutputExistsError, UsageError
from .runners.artifact import METADATA, read_metadata, read_verified, version_of

_VARIABLES = "variables/variables.data-00000-of-00001"


def bundle(out: str | os.PathLike, model: str | os.PathLike | None = None, version: int | None = None) -> Path:
    """Writes a model, its warm-up records and all configurations for TensorFlow Serving.

    Into an earlier bundle of the same model it adds a version: a server that runs on it loads it by itself, and
    configurations that an operator has changed stay as they are.

    Args:
        out: folder of the bundle: new or empty, or an earlier bundle.
        model: an exported model, the folder with `metadata.json`, or a preset's name; the default preset that
            comes with the package when `None`.
        version: the version's number, 1 or more; 1, or one above the largest there, when `None`.

    Returns:
        Path of the version's folder, `<out>/<model>/<version>`.

    Raises:
        UsageError: a version below 1.
        ArtifactError: the model is missing, damaged, or TensorFlow cannot serve it.
        OutputExistsError: `out` holds something else, or this version.
        AudioFileError: `out` cannot be written.

    Example:

    >>> bundle("serving")  # doctest: +SKIP
    PosixPath('serving/paired_resnet_frame_44k/1')
    """
    from . import __version__
    from .serving.bundle import MODELS_CONFIG, write_checksums, write_configurations

    if version is not None and version < 1:
        raise UsageError(f"a version must be 1 or more; received {version}; try 1")
    out = Path(out)
    metadata, source = _exported(model)
    name = metadata["name"]
    if (out / MODELS_CONFIG).is_file():
        if not (out / name).is_dir():
            raise OutputExistsError(f"a bundle serves one model; {out} has no {name}; name another folder")
        target = out / name / str(version or max(_versions(out / name), default=0) + 1)
        if target.exists():
            raise OutputExistsError(f"a version is never replaced; {target} is there; leave --version out for the next")
        with atomic_folder(target) as folder:
            _write_model(source, folder, _facts(metadata, source, int(target.name)))
        write_checksums(out)
        return target
    version = version or 1
    facts = _facts(metadata, source, version)
    with atomic_folder(out) as folder:
        (folder / name).mkdir()
        tensorflow = _write_model(source, folder / name / str(version), facts)
        write_configurations(folder, facts, tensorflow, __version__)
        write_checksums(folder)
    return out / name / str(version)


def _exported(model: str | os.PathLike | None) -> tuple[dict, Path]:
    """The `metadata.json` of an exported model, and its SavedModel, held to the hashes."""
    if model is None or (not Path(model).exists() and str(model) in presets.list_presets()):
        folder = presets.bundled_folder(str(model or presets.DEFAULT_PRESET))
    else:
        folder = Path(model)
    metadata = read_metadata(folder)
    if not re.fullmatch(r"[\w.-]+", metadata["name"]):
        raise ArtifactError(
            f"a served model's name has letters, digits, '_', '-' and '.'; {folder / METADATA} has"
            f" {metadata['name']!r}; rename the preset and export it again"
        )
    saved = [name for name in metadata["files"] if name.endswith("/saved_model.pb")]
    if len(saved) != 1:
        raise ArtifactError(f"an exported model has one SavedModel; {folder} lists {len(saved)}; export it again")
    for file in metadata["files"]:
        if file.startswith(saved[0].split("/")[0] + "/"):
            read_verified(folder, metadata, file)
    return metadata, (folder / saved[0]).parent.absolute()


def _facts(metadata: dict, source: Path, version: int) -> dict:
    """What the signature `describe` tells."""
    weights = version_of(metadata, f"{source.name}/{_VARIABLES}")
    numbers = {key: metadata[key] for key in ("name", "sample_rate", "window_length", "context", "hop_length")}
    return numbers | {"overlap": 2 * metadata["context"], "version": version, "weights": weights}


def _write_model(source: Path, target: Path, facts: dict) -> str:
    """Writes the SavedModel in a process of its own; returns TensorFlow's version."""
    try:
        printed = call_in_child("serving.signatures.write_served_model", source, target.absolute(), json.dumps(facts))
    except ChildError as error:
        raise ArtifactError(
            f"a model must be one that TensorFlow can serve; {source}: {error}; export it again, and install"
            " 'keras-audiosr[train,serve]'"
        ) from error
    return printed.strip().splitlines()[-1]


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr serve`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    summary = "write what the stock tensorflow_model_server needs"
    action = actions.add_parser("bundle", help=summary, description=summary)
    action.add_argument("out", help="folder of the bundle; into an earlier one it adds a version")
    action.add_argument("--model", help="exported model or preset; else the bundled preset")
    action.add_argument("--version", type=int, dest="number", metavar="N", help="number of the version; else the next")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr serve`; returns the exit code."""
    target = bundle(args.out, args.model, args.number)
    files = [path for path in target.rglob("*") if path.is_file()]
    print(f"{target}  {sum(path.stat().st_size for path in files):,} bytes")
    print(f"{target.parents[1] / 'README.md'} says how to serve it")
    return 0
