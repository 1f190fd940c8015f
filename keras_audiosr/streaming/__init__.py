"""A network that takes whole signals becomes a step that takes one hop after the other.

A functional model is walked layer by layer. Every tensor on the way is a `Stream`:
the rows that this step makes of it, and by how many samples they lag behind the
input. A convolution that looks ahead makes its result late by as much; where
streams of different lateness meet, the earlier ones wait. What has to be kept from
one step to the next is state, handed in and out, so that the step itself has none.

Zeros before the signal are part of it: a network's answer to silence is not zero in
every layer, so a stream begins with `warm_up` samples of silence instead of zero padding.
"""

from .model import StreamingModel
from .receptive_field import ReceptiveField, receptive_field
from .step import OffGridError, Step, Stream, apply_layer

__all__ = ["OffGridError", "ReceptiveField", "Step", "Stream", "StreamingModel", "apply_layer", "receptive_field"]
