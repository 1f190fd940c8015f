"""The subpixel layer in one dimension, which rearranges feature maps into samples."""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SubPixel(keras.layers.Layer):
    """Rearranges `scale` groups of feature maps into `scale` times as many steps.

    Args:
        scale: factor by which the number of steps grows.

    Input shape:
        `(batch, steps, scale * filters)`.

    Output shape:
        `(batch, scale * steps, filters)`.

    Raises:
        ValueError: the feature maps do not divide into `scale` groups.

    Reference: W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016, equation 4.
    """

    def __init__(self, scale: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] % self.scale:
            raise ValueError(f"feature maps must divide by scale, {self.scale}; received {input_shape[-1]}")

    def call(self, inputs: Tensor) -> Tensor:
        # The batch is the free dimension of the reshape, so that static lengths stay static for TFLite.
        steps, filters = ops.shape(inputs)[1], inputs.shape[-1]
        return ops.reshape(inputs, (-1, steps * self.scale, filters // self.scale))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, steps, filters = input_shape
        return batch, None if steps is None else steps * self.scale, filters // self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
