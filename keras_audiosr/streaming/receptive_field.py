"""The receptive field of a network, from which the overlap and the grid of its windows follow."""

import math
from typing import NamedTuple

import keras

from .model import StreamingModel
from .step import OffGridError


class ReceptiveField(NamedTuple):
    """The part of the input that can influence an output sample.

    Attributes:
        before: number of samples before the output sample.
        after: number of samples after the output sample.
        hop_length: grid in samples on which windows may start and end.
    """

    before: int
    after: int
    hop_length: int

    @property
    def context(self) -> int:
        """The samples that windows need on each side of their centre: the longer side, rounded up to the grid."""
        return -(-max(self.before, self.after) // self.hop_length) * self.hop_length


def receptive_field(model: keras.Model) -> ReceptiveField:
    """Computes the receptive field of a network, from the rules by which its layers run in a stream.

    Args:
        model: a functional model that maps `lossy`, `(batch, time, 1)`, to `restored` of the same shape.

    Raises:
        ArtifactError: the model has a layer without such a rule.

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
