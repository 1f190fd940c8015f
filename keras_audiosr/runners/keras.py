"""Runs a network with Keras on any of its backends, from a run's checkpoint or exported weights."""

import hashlib
import os

import numpy as np

from ..errors import ArtifactError
from ..presets.facts import UNDO_ENCODER_GAIN, ModelFacts
from .artifact import VERSION_LENGTH, read_exported_preset
from .base import Runner, RunnerOptions
from .checkpoint import read_run_preset
from .locate import EXPORTED, KERAS, Located, locate
from .pretrained import WEIGHTS, load_model


class KerasRunner(Runner):
    """Runs a checkpoint, or the Keras weights of an exported model.

    `context` and `hop_length` are computed from the network.

    Args:
        source: a run folder of `train`, a `.keras` file in one, an exported model's folder, or a preset's name; or what
            `runners.locate` found.
        window_length: samples a window; the preset's `export.window_length` when `None`.

    Raises:
        ArtifactError: checkpoint, weights or preset missing or damaged; a layer with an unknown receptive field;
            windows that are too short to have a centre.
    """

    def __init__(self, source: str | os.PathLike[str] | Located, window_length: int | None = None):
        located = locate(source)
        located.require(KERAS, "Keras runs", "name the run or the exported folder it comes from")
        exported = located.kind in EXPORTED
        preset = read_exported_preset(located.place) if exported else read_run_preset(located.checkpoint)
        from ..streaming import receptive_field  # here: runners that need no Keras are imported with this one

        self.model = load_model(located)
        field = receptive_field(self.model)
        length = window_length or preset["export"]["window_length"]
        if length <= 2 * field.context or length % field.hop_length:
            raise ArtifactError(
                "windows must be longer than what the network sees on both sides, and a multiple of its hop;"
                f" {preset['name']!r} sees {field.context} samples on each side in hops of {field.hop_length}, and has"
                f" windows of {length}; set export.window_length to {max(4 * field.context, field.hop_length)}"
            )
        weights = located.place / WEIGHTS if exported else located.checkpoint
        facts = ModelFacts(
            name=preset["name"],
            sample_rate=preset["sample_rate"],
            window_length=length,
            context=field.context,
            hop_length=field.hop_length,
            undo_encoder_gain=preset["data"].get(UNDO_ENCODER_GAIN) is True,
            version=hashlib.sha256(weights.read_bytes()).hexdigest()[:VERSION_LENGTH],
        )
        super().__init__(facts)

    @classmethod
    def open(cls, located: Located, options: RunnerOptions) -> "KerasRunner":
        """Opens what `locate` found."""
        return cls(located)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        # `predict` would set up a whole loop, which takes 70 ms a call.
        restored = self.model.predict_on_batch(windows)
        return np.asarray(restored["restored"] if isinstance(restored, dict) else restored)
