"""The facts that are needed to run a model, in one record that is passed from `metadata.json` to the runner."""

import dataclasses
from typing import Any

from ..errors import ArtifactError


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """The facts about one trained model.

    Attributes:
        name: the preset's name.
        sample_rate: sample rate in Hz of the audio that the model was trained on.
        window_length: samples that the network takes at once, a multiple of `hop_length`.
        context: samples on each side that can influence an output sample, a multiple of `hop_length`.
        hop_length: grid in samples on which windows may start.
        undo_encoder_gain: whether the gain of the encoder (`files.encoder_gain`) was undone in the training music.
        version: distinguishes these weights from others of the same name, for example by the beginning of their
            SHA-256; empty if unknown.

    Raises:
        ArtifactError: the sample rate is not positive, or the lengths do not fit each other.
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
        """Returns the entries of `metadata.json`, without the version, which belongs to one of the exported files."""
        entries = dataclasses.asdict(self)
        del entries["version"]
        return entries


# The key of this fact in `metadata.json`, in a preset's `data` (where its default is false), and in the description
# that a model server returns.
UNDO_ENCODER_GAIN = "undo_encoder_gain"
# The names of the facts that are numbers.
NUMBERS = ("sample_rate", "window_length", "context", "hop_length")
