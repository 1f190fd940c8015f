"""A Keras checkpoint of a training run, on whatever backend Keras runs."""

import hashlib
from pathlib import Path

import numpy as np

from ..errors import ArtifactError, UsageError
from ..presets import load_preset
from .artifact import VERSION_LENGTH
from .base import Runner

CHECKPOINT = "best.keras"
PRESET = "preset.json"


def read_run_preset(checkpoint) -> dict:
    """The `preset.json` that `train` leaves beside its checkpoints.

    Raises:
        ArtifactError: missing or malformed.
    """
    path = Path(checkpoint).parent / PRESET
    try:
        preset = load_preset(path)
    except UsageError as error:
        raise ArtifactError(
            f"a checkpoint needs its run's {PRESET} beside it; {path} is no file;"
            " point to the run folder that 'keras-audiosr train' made"
        ) from error
    if not isinstance(preset["export"].get("window_length"), int):
        raise ArtifactError(f"a preset needs export.window_length, in samples; {path} has none; add it")
    return preset


def load_checkpoint(path):
    """Loads a `.keras` file under safe mode; returns the `keras.Model`.

    Raises:
        ArtifactError: missing, damaged, of another version, or holding code (a `Lambda`).
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"a checkpoint is needed; {path} is no file; 'keras-audiosr train' makes one")
    import keras

    # Importing them registers their classes, which is how safe mode knows them.
    from .. import layers, models  # noqa: F401

    try:
        # Nothing is trained here, so neither optimizer nor losses need to be restored.
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras lets everything through that zipfile, h5py, json and the layers raise.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"a checkpoint that Keras can load is needed; {path}: {type(error).__name__} {reason};"
            " train or fetch it again"
        ) from error


class KerasRunner(Runner):
    """Runs a `.keras` checkpoint, with the `preset.json` beside it.

    Args:
        checkpoint: the `.keras` file.
        window_length: samples a window; the preset's `export.window_length` when `None`.

    Raises:
        ArtifactError: checkpoint or preset missing or damaged.
    """

    def __init__(self, checkpoint, window_length: int | None = None):
        preset = read_run_preset(checkpoint)
        super().__init__(
            name=preset["name"],
            sample_rate=preset["sample_rate"],
            window_length=window_length or preset["export"]["window_length"],
            context=preset["context"],
            hop_length=preset["hop_length"],
        )
        self.model = load_checkpoint(checkpoint)
        self.version = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:VERSION_LENGTH]

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        # predict_on_batch: `predict` sets up a whole loop, 70 ms a call.
        restored = self.model.predict_on_batch(windows)
        return np.asarray(restored["restored"] if isinstance(restored, dict) else restored)
