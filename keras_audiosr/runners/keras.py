"""A network under Keras, on whatever backend Keras runs: a run's checkpoint, or exported weights."""

import hashlib
from pathlib import Path

import numpy as np

from .artifact import METADATA, UNDO_ENCODER_GAIN, VERSION_LENGTH, read_exported_preset
from .base import Runner
from .checkpoint import CHECKPOINT, read_run_preset
from .pretrained import WEIGHTS, load_model


class KerasRunner(Runner):
    """Runs a checkpoint, or the Keras weights of an exported model.

    Args:
        source: a run folder of `train`, a `.keras` file in one, or an exported model's folder.
        window_length: samples a window; the preset's `export.window_length` when `None`.

    Raises:
        ArtifactError: checkpoint, weights or preset missing or damaged.
    """

    def __init__(self, source, window_length: int | None = None):
        source = Path(source)
        exported = (source / METADATA).is_file()
        if source.is_dir() and not exported:
            source = source / CHECKPOINT
        preset = read_exported_preset(source) if exported else read_run_preset(source)
        super().__init__(
            name=preset["name"],
            sample_rate=preset["sample_rate"],
            window_length=window_length or preset["export"]["window_length"],
            context=preset["context"],
            hop_length=preset["hop_length"],
            undo_encoder_gain=preset["data"].get(UNDO_ENCODER_GAIN) is True,
        )
        self.model = load_model(source)
        weights = source / WEIGHTS if exported else source
        self.version = hashlib.sha256(weights.read_bytes()).hexdigest()[:VERSION_LENGTH]

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        # predict_on_batch: `predict` sets up a whole loop, 70 ms a call.
        restored = self.model.predict_on_batch(windows)
        return np.asarray(restored["restored"] if isinstance(restored, dict) else restored)
