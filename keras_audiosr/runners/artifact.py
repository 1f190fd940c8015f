"""An exported model's `metadata.json`: reading it, and holding the files beside it to their hashes."""

import hashlib
import json
import warnings
from pathlib import Path, PurePosixPath

from ..errors import ArtifactError, TrustWarning
from ..presets import check_preset, is_bundled

METADATA = "metadata.json"
# Of metadata.json. A file that says nothing is of the first one.
FORMAT = 1
# Digits of a SHA-256 that tell one set of weights from another.
VERSION_LENGTH = 12
# Of metadata.json, and of a preset's `data`: false where it is not said.
UNDO_ENCODER_GAIN = "undo_encoder_gain"
_NUMBERS = ("sample_rate", "window_length", "context", "hop_length")


def read_metadata(folder) -> dict:
    """Reads and checks `metadata.json`.

    Raises:
        ArtifactError: missing, not JSON, or without what a runner needs.
    """
    path = Path(folder) / METADATA
    try:
        metadata = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ArtifactError(
            f"an exported model has a {METADATA}; {path}: {error.strerror}; make one with 'keras-audiosr export'"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{METADATA} must be JSON; {path}: {error}; export the model again") from error
    sound = (
        isinstance(metadata, dict)
        and all(isinstance(metadata.get(key), int) for key in _NUMBERS)
        and isinstance(metadata.get("name"), str)
        and isinstance(metadata.get("files"), dict)
    )
    if not sound:
        wanted = ", ".join(("name", *_NUMBERS, "files"))
        raise ArtifactError(f"{METADATA} must have {wanted}; {path} lacks some; export the model again")
    if metadata.get("format", 1) != FORMAT:
        raise ArtifactError(
            f"{METADATA} must be of format {FORMAT}; {path} is of format {repr(metadata['format'])[:40]},"
            f" by keras_audiosr {str(metadata.get('version', 'unknown'))[:40]}; install that version, or export the"
            " model again"
        )
    return metadata


def read_exported_preset(folder) -> dict:
    """The preset that an exported model was made with, of its `metadata.json`.

    Raises:
        ArtifactError: missing or malformed.
    """
    return check_preset(read_metadata(folder).get("preset"), f"'preset' in {Path(folder) / METADATA}")


def runner_arguments(metadata: dict) -> dict:
    """The arguments of `Runner` that a `metadata.json` holds."""
    known = {key: metadata[key] for key in ("name", *_NUMBERS)}
    return {**known, UNDO_ENCODER_GAIN: metadata.get(UNDO_ENCODER_GAIN) is True}


def describe(content: bytes) -> dict:
    """What `metadata.json` says of a file under `files`."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def version_of(metadata: dict, name: str) -> str:
    """The beginning of the recorded SHA-256 of a file of the artefact; empty when it is not listed."""
    entry = metadata["files"].get(name)
    return str(entry.get("sha256", ""))[:VERSION_LENGTH] if isinstance(entry, dict) else ""


def read_verified(folder, metadata: dict, name: str) -> bytes:
    """The bytes of a file of the artefact, once their hash is the recorded one.

    What was hashed is what is returned: the file cannot change in between.

    Raises:
        ArtifactError: not listed, missing, or its hash differs.
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
            f"an exported model is needed whole; {path}: {error.strerror}; export or fetch it again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != entry.get("sha256"):
        raise ArtifactError(
            f"the model's SHA-256 must be the one in {METADATA}; {path} ({len(content)} bytes) has {found[:12]}...;"
            " it is damaged or changed: export or fetch it again"
        )
    return content


def copy_verified(folder, metadata: dict, part: str, target) -> Path:
    """Copies a folder of the artefact, the files that `metadata.json` lists and no other, each once its hash is right.

    TensorFlow reads a SavedModel by its path: from the copy it reads what was hashed.

    Args:
        folder: the exported model.
        metadata: what `read_metadata` returned.
        part: name of the folder in it, such as `"1"`.
        target: an existing folder, empty.

    Returns:
        `target / part`.

    Raises:
        ArtifactError: nothing of it is listed, or a file is missing or changed.
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


def require_trust(folder, trust: bool) -> None:
    """Refuses a SavedModel from elsewhere than this package, unless it is trusted; warns of one that is.

    A SavedModel is a program: TensorFlow runs what its graph says, and graphs can read and write files. The hashes
    beside it do not help here, since they come from whoever made it. TFLite and Keras' files hold no such operations.

    Raises:
        ArtifactError: from elsewhere, and not trusted.
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
