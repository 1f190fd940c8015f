"""An exported model's `metadata.json`: reading it, and holding the files beside it to their hashes."""

import hashlib
import json
from pathlib import Path, PurePosixPath

from ..errors import ArtifactError

METADATA = "metadata.json"
# Digits of a SHA-256 that tell one set of weights from another.
VERSION_LENGTH = 12
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
    except ValueError as error:
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
    return metadata


def runner_arguments(metadata: dict) -> dict:
    """The arguments of `Runner` that a `metadata.json` holds."""
    return {key: metadata[key] for key in ("name", *_NUMBERS)}


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
    if not isinstance(entry, dict) or ".." in PurePosixPath(name).parts:
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
