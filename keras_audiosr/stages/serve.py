"""After stage 8: turns an exported model into a bundle for TensorFlow Serving.

`serve` writes a folder that an unmodified `tensorflow_model_server` can serve. `restore --server` is the client. The
SavedModel is written in a child process, which also checks that it returns what the exported model returns.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from ..errors import ArtifactError, OutputExistsError, UsageError, how_to_install
from ..presets import is_name
from ..presets.facts import UNDO_ENCODER_GAIN, ModelFacts
from ..processes.child_process import ChildError, call_in_child
from ..processes.partial_files import atomic_folder
from ..runners.artifact import METADATA, VARIABLES, copy_verified, facts_of, read_metadata, require_trust
from ..runners.locate import EXPORTED, locate


def serve(
    out: str | os.PathLike,
    model: str | os.PathLike | None = None,
    version: int | None = None,
    trust: bool = False,
    image: str | None = None,
) -> Path:
    """Writes a model, its warm-up records and all configurations for TensorFlow Serving.

    If `out` is an earlier bundle of the same model, a version is added to it. A running server loads the new version by
    itself, and existing configurations, which an operator may have changed, are not touched.

    Args:
        out: folder of the bundle. It is a new or empty folder, or an earlier bundle.
        model: an exported model (the folder with `metadata.json`), or a preset's name; the default preset that comes
            with the package when `None`.
        version: the version's number, 1 or more. When `None`, 1 or one more than the largest number in the bundle.
        trust: whether a SavedModel that did not come with this package may be run, here and by the server. A SavedModel
            is a program.
        image: Docker image of the model server with its tag or digest, such as `"tensorflow/serving:2.21.0"`. When
            `None`, an image is chosen that should fit the installed TensorFlow. The image is named in configurations
            that only a new bundle writes, so it cannot be given for an earlier bundle.

    Returns:
        Path of the version's folder, `<out>/<model>/<version>`.

    Raises:
        UsageError: the version is below 1, the image has no tag or digest, or an image is given for an earlier bundle.
        ArtifactError: the model is missing or damaged, did not come with this package and is not trusted, or cannot be
            served by TensorFlow.
        OutputExistsError: `out` contains something else, or already contains this version.
        AudioFileError: `out` cannot be written.

    Example:

    >>> serve("serving")  # doctest: +SKIP
    PosixPath('serving/paired_resnet_bands_44k/1')
    """
    from ..serving.bundle import MODELS_CONFIG, is_image, write_checksums, write_configurations
    from ..version import __version__

    if version is not None and version < 1:
        raise UsageError(f"a version must be 1 or more; received {version}; try 1")
    if image is not None and not is_image(image):
        raise UsageError(f"an image needs a tag or a digest; received {image!r}; try tensorflow/serving:2.21.0")
    out = Path(out)
    folder, metadata, part = _exported(model)
    name = metadata["name"]
    facts = facts_of(metadata, f"{part}/{VARIABLES}")
    with tempfile.TemporaryDirectory() as place:
        source = copy_verified(folder, metadata, part, place)
        require_trust(folder, trust)
        if (out / MODELS_CONFIG).is_file():
            if image is not None:
                raise UsageError(
                    f"only a new bundle takes an image; {out} is an earlier one; change the image in its"
                    " docker-compose.yml and kubernetes/"
                )
            if not (out / name).is_dir():
                raise OutputExistsError(f"a bundle serves one model; {out} has no {name}; name another folder")
            target = out / name / str(version or max(_versions(out / name), default=0) + 1)
            if target.exists():
                raise OutputExistsError(
                    f"a version is never replaced; {target} exists; leave --version out to write the next one"
                )
            with atomic_folder(target) as partial:
                _write_model(folder, source, partial, _told(facts, int(target.name)))
            write_checksums(out)
            return target
        version = version or 1
        told = _told(facts, version)
        with atomic_folder(out) as partial:
            (partial / name).mkdir()
            tensorflow = _write_model(folder, source, partial / name / str(version), told)
            write_configurations(partial, told, tensorflow, __version__, image)
            write_checksums(partial)
    return out / name / str(version)


def _exported(model: str | os.PathLike | None) -> tuple[Path, dict, str]:
    """Returns the folder of an exported model, its `metadata.json`, and the name of the SavedModel's folder in it."""
    located = locate(model)
    located.require(EXPORTED, "a bundle is made from", "'keras-audiosr export' makes one of a run; name its folder")
    folder = located.place
    metadata = read_metadata(folder)
    # The name becomes a folder of the bundle.
    if not is_name(metadata["name"]):
        raise ArtifactError(
            f"a served model's name has letters, digits, '_', '-' and '.'; {folder / METADATA} has"
            f" {metadata['name']!r}; rename the preset and export it again"
        )
    saved = [name for name in metadata["files"] if name.endswith("/saved_model.pb")]
    if len(saved) != 1:
        raise ArtifactError(f"an exported model must have one SavedModel; {folder} lists {len(saved)}; export it again")
    return folder, metadata, saved[0].removesuffix("/saved_model.pb")


def _told(facts: ModelFacts, version: int) -> dict:
    """Returns the facts about a model that the signature `describe` returns."""
    numbers = facts.recorded() | {UNDO_ENCODER_GAIN: int(facts.undo_encoder_gain)}
    return numbers | {"overlap": 2 * facts.context, "version": version, "weights": facts.version}


def _write_model(folder: Path, source: Path, target: Path, facts: dict) -> str:
    """Writes the served form of the SavedModel `source` in a child process. Returns the version of TensorFlow."""
    try:
        printed = call_in_child("serving.signatures.write_served_model", source, target.absolute(), json.dumps(facts))
    except ChildError as error:
        raise ArtifactError(
            f"a model must be one that TensorFlow can serve; {folder}: {error}; export it again, and"
            f" {how_to_install('train,serve')}"
        ) from error
    return printed.strip().splitlines()[-1]


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr serve`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    summary = "write a folder that an unmodified tensorflow_model_server can serve"
    action = actions.add_parser("bundle", help=summary, description=summary)
    action.add_argument("out", help="folder of the bundle; a version is added if it is an earlier bundle")
    action.add_argument("--model", help="exported model or preset (default: the bundled preset)")
    version_help = "number of the model's version (default: one more than the largest in the bundle)"
    action.add_argument("--version", type=int, dest="number", metavar="N", help=version_help)
    image_help = (
        "Docker image of the server with its tag or digest, for a new bundle (default: a tensorflow/serving image that"
        " should fit the installed TensorFlow)"
    )
    action.add_argument("--image", help=image_help)
    trust_help = (
        "run a SavedModel that did not come with this package, here and on the server; it is a program, so you must"
        " trust its author"
    )
    action.add_argument("--trust-saved-model", action="store_true", help=trust_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr serve`; returns the exit code."""
    target = serve(args.out, args.model, args.number, args.trust_saved_model, args.image)
    files = [path for path in target.rglob("*") if path.is_file()]
    print(f"{target}  {sum(path.stat().st_size for path in files):,} bytes")
    print(f"{target.parents[1] / 'README.md'} explains how to serve it")
    return 0
