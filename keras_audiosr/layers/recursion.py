"""The layers of DRCN's recursion: weighting and supervision of its outputs, and its convolution's initializer."""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SelfConnection(keras.initializers.Initializer):
    """A convolution that begins as the identity: each feature map is connected to itself, at the middle tap.

    Reference: J. Kim, J. K. Lee, K. M. Lee, "Deeply-Recursive Convolutional Network for Image Super-Resolution",
    CVPR 2016, section 4.2.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        kernel_size, filters_in, filters_out = shape
        tap = ops.one_hot(kernel_size // 2, kernel_size, dtype=dtype or "float32")
        return tap[:, None, None] * ops.eye(filters_in, filters_out, dtype=dtype or "float32")


@keras.saving.register_keras_serializable(package="keras_audiosr")
class RecursiveSupervision(keras.layers.Layer):
    """The weighted mean of several predictions, and a loss that asks each of them to be right.

    The weights are learned and positive and sum to one (a softmax). DRCN minimizes the error of every
    prediction beside that of their mean. With the output's weights as those of the sum,

        sum_d w_d (y - y_d)^2 = (y - y_mean)^2 + sum_d w_d (y_d - y_mean)^2

    (the ambiguity decomposition): all that supervision adds to the L2 loss of the mean is the last term, which
    needs no target. So it is a loss of this layer, and the model trains with `fit` and one output.

    Args:
        supervision: weight of that term; 0 trains on the mean alone.

    Input shape:
        `(batch, time, predictions)`: one feature map a prediction.

    Output shape:
        `(batch, time, 1)`.

    Reference: DRCN (above), equations 6 to 8; A. Krogh, J. Vedelsby, "Neural Network Ensembles, Cross Validation,
    and Active Learning", NeurIPS 1994, equation 6.
    """

    def __init__(self, supervision: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.supervision = supervision

    def build(self, input_shape: Shape) -> None:
        self.logits = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="logits")

    def call(self, predictions: Tensor, training: bool | None = None) -> Tensor:
        weights = ops.softmax(self.logits[None])[0]
        mean = ops.sum(predictions * weights, axis=-1, keepdims=True)
        if training and self.supervision:
            disagreement = ops.sum(weights * ops.square(predictions - mean), axis=-1)
            self.add_loss(self.supervision * ops.mean(disagreement))
        return mean

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "supervision": self.supervision}
