"""Runs a network with Keras on any backend, from the checkpoint of a run or from exported weights."""

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
        source: a run folder of `train`, a `.keras` file in one, the folder of an exported model, the name of a preset,
            or the result of `runners.locate`.
        window_length: length of a window in samples; the preset's `export.window_length` if `None`.

    Raises:
        ArtifactError: the checkpoint, the weights or the preset are missing or damaged, the receptive field of a layer
            is unknown, or the window length is not above `2 * context` or not a multiple of `hop_length`.
    """

    def __init__(self, source: str | os.PathLike[str] | Located, window_length: int | None = None):
        located = locate(source)
        located.require(KERAS, "Keras runs", "name the run or the exported folder it comes from")
        exported = located.kind in EXPORTED
        preset = read_exported_preset(located.place) if exported else read_run_preset(located.checkpoint)
        from ..streaming import receptive_field  # imported here, because it imports Keras

        self.model = load_model(located)
        field = receptive_field(self.model)
        length = window_length or preset["export"]["window_length"]
        if length <= 2 * field.context or length % field.hop_length:
            raise ArtifactError(
                "a window must be longer than twice the context of the network, and a multiple of its hop length;"
                f" {preset['name']!r} has windows of {length} samples, a context of {field.context} and a hop length of"
                f" {field.hop_length}; set export.window_length to {max(4 * field.context, field.hop_length)}"
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
        """Opens a model that `locate` found."""
        return cls(located)

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """Runs the network once, on `(batch, window_length, 1)`."""
        # `Model.predict` would set up a whole prediction loop, which takes 70 ms for each call.
        restored = self.model.predict_on_batch(windows)
        return np.asarray(restored["restored"] if isinstance(restored, dict) else restored)
