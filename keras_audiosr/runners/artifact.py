"""Reads the `metadata.json` of an exported model, and verifies the files of the model against their hashes."""

import hashlib
import json
import warnings
from pathlib import Path, PurePosixPath

from ..annotations import StrPath
from ..errors import ArtifactError, TrustWarning, cause
from ..presets import check_recorded, is_bundled
from ..presets.facts import NUMBERS, UNDO_ENCODER_GAIN, ModelFacts
from ..presets.reading import require_keys

METADATA = "metadata.json"
# Version of the format of metadata.json. A file without a version has format 1.
FORMAT = 1
# Number of hexadecimal digits of a SHA-256 that identify a set of weights.
VERSION_LENGTH = 12
# The file of a SavedModel that holds its weights.
VARIABLES = "variables/variables.data-00000-of-00001"


def read_metadata(folder: StrPath) -> dict:
    """Reads and checks `metadata.json`.

    Raises:
        ArtifactError: the file is missing, is not JSON, has another format, or lacks an entry that a runner needs.
    """
    path = Path(folder) / METADATA
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ArtifactError(
            f"an exported model has a {METADATA}; {path}: {error.strerror}; make one with 'keras-audiosr export'"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{METADATA} must be JSON; {path}: {cause(error)}; export the model again") from error
    needed: dict[str, type] = {"name": str, **dict.fromkeys(NUMBERS, int), "files": dict}
    require_keys(metadata, needed, str(path), "export the model again")
    if metadata.get("format", 1) != FORMAT:
        raise ArtifactError(
            f"{METADATA} must be of format {FORMAT}; {path} is of format {repr(metadata['format'])[:40]},"
            f" by keras_audiosr {str(metadata.get('version', 'unknown'))[:40]}; install that version, or export the"
            " model again"
        )
    return metadata


def read_exported_preset(folder: StrPath) -> dict:
    """Returns the preset that an exported model was made with, from its `metadata.json`.

    Raises:
        ArtifactError: the file or the preset is missing or malformed.
    """
    return check_recorded(read_metadata(folder).get("preset"), f"'preset' in {Path(folder) / METADATA}")


def facts_of(metadata: dict, name: str) -> ModelFacts:
    """Returns the facts of a model from its `metadata.json`.

    Args:
        metadata: the metadata that `read_metadata` returned.
        name: file whose SHA-256 becomes the version of the model.

    Raises:
        ArtifactError: the lengths in the metadata are inconsistent.
    """
    known = {key: metadata[key] for key in ("name", *NUMBERS)}
    undo_encoder_gain = metadata.get(UNDO_ENCODER_GAIN) is True
    return ModelFacts(**known, undo_encoder_gain=undo_encoder_gain, version=_version_of(metadata, name))


def describe(content: bytes) -> dict:
    """Returns the entry of a file under `files` in `metadata.json`, from the file's content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _version_of(metadata: dict, name: str) -> str:
    """Returns the first digits of the recorded SHA-256 of a file; empty if the file is not listed."""
    entry = metadata["files"].get(name)
    return str(entry.get("sha256", ""))[:VERSION_LENGTH] if isinstance(entry, dict) else ""


def read_verified(folder: StrPath, metadata: dict, name: str) -> bytes:
    """Reads a file of an exported model and checks its hash against the recorded one.

    The function returns the bytes that it hashed, so the file cannot change in between.

    Raises:
        ArtifactError: the file is not listed or is missing, or its hash differs from the recorded one.
    """
    path = Path(folder) / name
    entry = metadata["files"].get(name)
    place = PurePosixPath(name)
    if not isinstance(entry, dict) or ".." in place.parts or place.is_absolute():
        raise ArtifactError(f"{METADATA} must list {name}; {folder} does not; export the model again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"an exported model must be complete; {path}: {error.strerror}; export or fetch it again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != entry.get("sha256"):
        raise ArtifactError(
            f"the model's SHA-256 must be the one in {METADATA}; {path} ({len(content)} bytes) has {found[:12]}...;"
            " it is damaged or changed: export or fetch it again"
        )
    return content


def copy_verified(folder: StrPath, metadata: dict, part: str, target: StrPath) -> Path:
    """Copies a subfolder of an exported model. It copies only listed files, and checks the hash of each.

    TensorFlow reads a SavedModel by its path. If it reads the copy, it reads exactly the files that were checked.

    Args:
        folder: the exported model.
        metadata: the metadata that `read_metadata` returned.
        part: name of the subfolder, such as `"1"`.
        target: an existing, empty folder.

    Returns:
        `target / part`.

    Raises:
        ArtifactError: no file of the subfolder is listed, or a listed file is missing or changed.
    """
    copy = Path(target) / part
    names = [name for name in metadata["files"] if name.startswith(f"{part}/")]
    if not names:
        raise ArtifactError(f"{METADATA} must list {part}/; {folder} does not; export the model again")
    for name in names:
        content = read_verified(folder, metadata, name)
        (Path(target) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(target) / name).write_bytes(content)
    return copy


def require_trust(folder: StrPath, trust: bool) -> None:
    """Refuses a SavedModel that did not come with this package, or warns about it if the user trusts it.

    A SavedModel is a program: TensorFlow executes its graph, and a graph can read and write files. The hashes in
    `metadata.json` do not protect against this, because they come from the author of the model. TFLite and Keras files
    cannot contain such operations.

    Raises:
        ArtifactError: the SavedModel did not come with this package and is not trusted.
    """
    if is_bundled(folder):
        return
    if not trust:
        raise ArtifactError(
            f"a SavedModel is a program, which can read and write your files; {folder} did not come with this package;"
            " use its model.tflite, or, if you trust who made it, --trust-saved-model (trust=True)"
        )
    warnings.warn(
        f"a SavedModel is a program, which can read and write your files; {folder} is run because you trust it",
        TrustWarning,
        stacklevel=3,
    )
