"""Converts a network that takes whole signals to a step that takes one hop of the signal at a time.

A functional model is evaluated layer by layer. Every tensor becomes a `Stream`: the rows that one step computes of it,
and the number of samples by which they lag behind the input. A convolution that looks ahead delays its result by as
much. If streams with different delays meet, the earlier ones are delayed too. Everything that has to be kept from one
step to the next is state, which the step takes and returns, so the step itself keeps nothing.

The signal is preceded by silence. The response of a network to silence is not zero in every layer, so a stream begins
with `warm_up` samples of silence instead of zero padding in each layer.
"""

from .model import StreamingModel
from .receptive_field import ReceptiveField, receptive_field
from .step import OffGridError, Step, Stream, apply_layer

__all__ = ["OffGridError", "ReceptiveField", "Step", "Stream", "StreamingModel", "apply_layer", "receptive_field"]
