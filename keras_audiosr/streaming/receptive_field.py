"""The receptive field of a network. It gives the overlap of its windows, and the grid on which they lie."""

import math
from typing import NamedTuple

import keras

from .model import StreamingModel
from .step import OffGridError


class ReceptiveField(NamedTuple):
    """What of the input a sample of the output can depend on.

    Attributes:
        before: samples before it.
        after: samples after it.
        hop_length: the grid, in samples, on which windows may start and end.
    """

    before: int
    after: int
    hop_length: int

    @property
    def context(self) -> int:
        """Samples on each side that windows need beside what is kept of them: the longer side, up to the grid."""
        return -(-max(self.before, self.after) // self.hop_length) * self.hop_length


def receptive_field(model: keras.Model) -> ReceptiveField:
    """The receptive field of a network, from the rules by which its layers run in a stream.

    Args:
        model: functional, `lossy` `(batch, time, 1)` -> `restored` of the same shape.

    Raises:
        ArtifactError: a layer that has no such rule.

    Example:

    >>> receptive_field(model).context  # doctest: +SKIP
    9216
    """
    hop_length = 1
    while True:
        try:
            streaming = StreamingModel(model, hop_length)
        except OffGridError as error:
            hop_length = math.lcm(hop_length, error.period)
        else:
            return ReceptiveField(streaming.before, streaming.after, hop_length)
