"""After stage 8: an exported model becomes what the operator of a model server needs.

`bundle` writes a folder that the stock `tensorflow_model_server` serves as it
is. The way back is `restore --server`. The SavedModel is written in a child
process, which also proves that it returns what the export returns.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from . import presets
from .audio.partials import atomic_folder
from .child import ChildError, call_in_child
from .errors import ArtifactError, OutputExistsError, UsageError
from .runners.artifact import (
    METADATA,
    UNDO_ENCODER_GAIN,
    copy_verified,
    read_metadata,
    require_trust,
    runner_arguments,
    version_of,
)

_VARIABLES = "variables/variables.data-00000-of-00001"


def bundle(
    out: str | os.PathLike,
    model: str | os.PathLike | None = None,
    version: int | None = None,
    trust: bool = False,
) -> Path:
    """Writes a model, its warm-up records and all configurations for TensorFlow Serving.

    Into an earlier bundle of the same model it adds a version: a server that runs on it loads it by itself, and
    configurations that an operator has changed stay as they are.

    Args:
        out: folder of the bundle: new or empty, or an earlier bundle.
        model: an exported model, the folder with `metadata.json`, or a preset's name; the default preset that
            comes with the package when `None`.
        version: the version's number, 1 or more; 1, or one above the largest there, when `None`.
        trust: whether a SavedModel that did not come with this package may be run, here and by the server, as the
            program that it is.

    Returns:
        Path of the version's folder, `<out>/<model>/<version>`.

    Raises:
        UsageError: a version below 1.
        ArtifactError: the model is missing, damaged, from elsewhere and not trusted, or TensorFlow cannot serve it.
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
    folder, metadata, part = _exported(model)
    name = metadata["name"]
    with tempfile.TemporaryDirectory() as place:
        source = copy_verified(folder, metadata, part, place)
        require_trust(folder, trust)
        if (out / MODELS_CONFIG).is_file():
            if not (out / name).is_dir():
                raise OutputExistsError(f"a bundle serves one model; {out} has no {name}; name another folder")
            target = out / name / str(version or max(_versions(out / name), default=0) + 1)
            if target.exists():
                raise OutputExistsError(
                    f"a version is never replaced; {target} is there; leave --version out for the next"
                )
            with atomic_folder(target) as partial:
                _write_model(folder, source, partial, _facts(metadata, part, int(target.name)))
            write_checksums(out)
            return target
        version = version or 1
        facts = _facts(metadata, part, version)
        with atomic_folder(out) as partial:
            (partial / name).mkdir()
            tensorflow = _write_model(folder, source, partial / name / str(version), facts)
            write_configurations(partial, facts, tensorflow, __version__)
            write_checksums(partial)
    return out / name / str(version)


def _exported(model: str | os.PathLike | None) -> tuple[Path, dict, str]:
    """The folder of an exported model, its `metadata.json`, and the name of the SavedModel's folder in it."""
    if model is None or (not Path(model).exists() and str(model) in presets.list_presets()):
        folder = presets.bundled_folder(str(model or presets.DEFAULT_PRESET))
    else:
        folder = Path(model)
    metadata = read_metadata(folder)
    # It names a folder of the bundle.
    if not presets.is_name(metadata["name"]):
        raise ArtifactError(
            f"a served model's name has letters, digits, '_', '-' and '.'; {folder / METADATA} has"
            f" {metadata['name']!r}; rename the preset and export it again"
        )
    saved = [name for name in metadata["files"] if name.endswith("/saved_model.pb")]
    if len(saved) != 1:
        raise ArtifactError(f"an exported model has one SavedModel; {folder} lists {len(saved)}; export it again")
    return folder, metadata, saved[0].removesuffix("/saved_model.pb")


def _facts(metadata: dict, part: str, version: int) -> dict:
    """What the signature `describe` tells."""
    weights = version_of(metadata, f"{part}/{_VARIABLES}")
    numbers = {key: metadata[key] for key in ("name", "sample_rate", "window_length", "context", "hop_length")}
    undo = int(runner_arguments(metadata)[UNDO_ENCODER_GAIN])
    overlap = 2 * metadata["context"]
    return numbers | {"overlap": overlap, "version": version, "weights": weights, UNDO_ENCODER_GAIN: undo}


def _write_model(folder: Path, source: Path, target: Path, facts: dict) -> str:
    """Writes the SavedModel `source` of an exported model in a process of its own; returns TensorFlow's version."""
    try:
        printed = call_in_child("serving.signatures.write_served_model", source, target.absolute(), json.dumps(facts))
    except ChildError as error:
        raise ArtifactError(
            f"a model must be one that TensorFlow can serve; {folder}: {error}; export it again, and install"
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
    trust_help = "run, here and on the server, a SavedModel that did not come with this package: it is a program"
    action.add_argument("--trust-saved-model", action="store_true", help=trust_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr serve`; returns the exit code."""
    target = bundle(args.out, args.model, args.number, args.trust_saved_model)
    files = [path for path in target.rglob("*") if path.is_file()]
    print(f"{target}  {sum(path.stat().st_size for path in files):,} bytes")
    print(f"{target.parents[1] / 'README.md'} says how to serve it")
    return 0
