"""A checkpoint of a training run, and what lies beside it."""

import hashlib
from pathlib import Path

import numpy as np

from ..audio.files import atomic_output
from ..errors import ArtifactError, UsageError
from ..presets import load_preset

CHECKPOINT = "best.keras"
PRESET = "preset.json"
# Beside a checkpoint, once its run has ended: its hash, as sha256sum -c reads it.
CHECKSUM = ".sha256"


def read_run_preset(checkpoint) -> dict:
    """The `preset.json` that `train` leaves beside its checkpoints.

    Raises:
        ArtifactError: missing or malformed.
    """
    path = Path(checkpoint).parent / PRESET
    try:
        return load_preset(path)
    except UsageError as error:
        raise ArtifactError(
            f"a checkpoint needs its run's {PRESET} beside it; {path} is no file;"
            " point to the run folder that 'keras-audiosr train' made"
        ) from error


def load_checkpoint(path):
    """Loads a `.keras` file under safe mode; returns the `keras.Model`.

    Raises:
        ArtifactError: missing, damaged, of another version, holding code (a `Lambda`), or with weights that are not
            finite; or its SHA-256 is not the one that its run noted when it ended.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"a checkpoint is needed; {path} is no file; 'keras-audiosr train' makes one")
    _require_noted_hash(path)
    import keras

    # Importing them registers their classes, which is how safe mode knows them.
    from .. import layers, models  # noqa: F401

    try:
        # Nothing is trained here, so neither optimizer nor losses need to be restored.
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras lets everything through that zipfile, h5py, json and the layers raise.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"a checkpoint that Keras can load is needed; {path}: {type(error).__name__} {reason};"
            " train or fetch it again"
        ) from error
    require_finite_weights(model, path)
    return model


def write_checksum(checkpoint: Path) -> None:
    """Notes the SHA-256 of a checkpoint beside it: `load_checkpoint` holds it to that from now on."""
    with atomic_output(checkpoint.with_name(checkpoint.name + CHECKSUM)) as partial:
        partial.write_text(f"{hashlib.sha256(checkpoint.read_bytes()).hexdigest()}  {checkpoint.name}\n", "utf-8")


def _require_noted_hash(path: Path) -> None:
    note = path.with_name(path.name + CHECKSUM)
    if not note.is_file():
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if note.read_bytes().split()[:1] != [found.encode()]:
        raise ArtifactError(
            f"a checkpoint's SHA-256 must be the one in {note.name}; {path} has {found[:12]}...; it is damaged or"
            f" changed: fetch it again, or remove {note.name} if it was you"
        )


def require_finite_weights(model, path) -> None:
    """Refuses a model with NaN or infinity among its weights.

    Raises:
        ArtifactError: names the first such weight.
    """
    import keras

    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ArtifactError(
                f"weights must be finite; {path} has NaN or infinity in {weight.path}; train or fetch it again"
            )
