"""The facts that are needed to run a model, in one record that passes from `metadata.json` to the runner."""

import dataclasses
from typing import Any

from ..errors import ArtifactError


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """The facts of one trained model.

    Attributes:
        name: the preset's name.
        sample_rate: Hz of the audio the model was trained on.
        window_length: samples the network takes at once, a multiple of `hop_length`.
        context: samples on each side that can influence an output sample, a multiple of `hop_length`.
        hop_length: the grid, in samples, on which windows may start.
        undo_encoder_gain: whether the model learnt from music whose encoder's gain (`files.encoder_gain`) was undone.
        version: what tells these weights from others of the same name, such as the beginning of their SHA-256;
            empty when unknown.

    Raises:
        ArtifactError: no sample rate, or lengths that do not fit each other.
    """

    name: str
    sample_rate: int
    window_length: int
    context: int
    hop_length: int
    undo_encoder_gain: bool = False
    version: str = ""

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ArtifactError(f"a model has a sample rate; {self.name!r} has {self.sample_rate} Hz; export it again")
        on_grid = self.hop_length > 0 and self.window_length % self.hop_length == self.context % self.hop_length == 0
        if not on_grid or self.context < 0 or self.window_length <= 2 * self.context:
            raise ArtifactError(
                "window_length and context must be multiples of hop_length, with window_length above 2 * context;"
                f" model {self.name!r} has {self.window_length}, {self.context} and {self.hop_length}; export it again"
            )

    def recorded(self) -> dict[str, Any]:
        """The entries of `metadata.json`: all but the version, which is of one file among the exported ones."""
        entries = dataclasses.asdict(self)
        del entries["version"]
        return entries


# Of `metadata.json`, of a preset's `data` (false where it is not said), and of what a served model tells.
UNDO_ENCODER_GAIN = "undo_encoder_gain"
# The facts that are numbers.
NUMBERS = ("sample_rate", "window_length", "context", "hop_length")
