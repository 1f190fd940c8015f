"""A running mean over frames, whose cost grows only with the logarithm of its length."""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, StreamingStep, Tensor


@keras.saving.register_keras_serializable(package="keras_audiosr")
class RunningMean(keras.layers.Layer):
    """Computes the mean over `size` frames around each frame.

    Each pass doubles the number of frames in the sums, so a mean over 128 frames needs seven additions per value. Near
    the ends of a signal the mean is taken over the frames that exist. Short training windows and long signals
    therefore give means of the same scale.

    Args:
        size: number of frames, a power of two.
        ahead: how many of these frames follow the current one, from 0 to `size - 1`.

    Input shape:
        `(batch, frames, ...)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: `size` is not a power of two, or `ahead` is out of range.
    """

    def __init__(self, size: int, ahead: int, **kwargs: Any):
        super().__init__(**kwargs)
        if size < 1 or size & (size - 1):
            raise ValueError(f"size must be a power of two; received {size}; try {1 << max(size, 1).bit_length()}")
        if not 0 <= ahead < size:
            raise ValueError(f"ahead must lie in 0 to size - 1 = {size - 1}; received {ahead}; try {size // 2}")
        self.size = size
        self.ahead = ahead

    def call(self, inputs: Tensor) -> Tensor:
        frames, others = ops.shape(inputs)[1], [1] * (len(inputs.shape) - 2)
        counts = self._sums(self._pad(ops.ones((1, frames, *others), inputs.dtype)))
        return self._sums(self._pad(inputs)) * (1.0 / counts)

    def stream(self, step: StreamingStep, inputs: Any) -> Any:
        """Applies the layer to a stream, one hop at a time. The silence before the signal counts as frames."""
        return step.window(lambda frames: self._sums(frames) * (1.0 / self.size), inputs, self.size - 1, self.ahead)

    def _pad(self, frames: Tensor) -> Tensor:
        more = self.size - 1 - self.ahead, self.ahead
        return ops.pad(frames, ((0, 0), more, *[(0, 0)] * (len(frames.shape) - 2)))

    def _sums(self, frames: Tensor) -> Tensor:
        width = 1
        while width < self.size:
            frames = frames[:, width:] + frames[:, :-width]
            width *= 2
        return frames

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "ahead": self.ahead}
