"""Parts of DRCN: the layer that weights and supervises its predictions, and the initializer of its convolution."""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SelfConnection(keras.initializers.Initializer):
    """Initializes a `Conv1D` kernel as the identity: each feature map is connected to itself, at the middle tap.

    Reference: J. Kim, J. K. Lee, K. M. Lee, "Deeply-Recursive Convolutional Network for Image Super-Resolution",
    CVPR 2016, section 4.2.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> Tensor:
        kernel_size, filters_in, filters_out = shape
        tap = ops.one_hot(kernel_size // 2, kernel_size, dtype=dtype or "float32")
        return tap[:, None, None] * ops.eye(filters_in, filters_out, dtype=dtype or "float32")


@keras.saving.register_keras_serializable(package="keras_audiosr")
class RecursiveSupervision(keras.layers.Layer):
    """Returns the weighted mean of several predictions, and adds a loss that supervises each of them.

    The weights are learned, positive, and add up to one (a softmax). DRCN minimizes the error of every prediction
    together with that of their mean. If the errors have the same weights as the predictions, then

        sum_d w_d (y - y_d)^2 = (y - y_mean)^2 + sum_d w_d (y_d - y_mean)^2

    (the ambiguity decomposition). The last term needs no target, so this layer can add it as a loss of its own. With
    the weight `supervision` and the L2 loss of the mean, the total is `supervision` times the error of the predictions
    plus `1 - supervision` times that of their mean. The model therefore has one output and can be trained with `fit`.

    Args:
        supervision: weight of the last term, DRCN's alpha. With 0 only the mean is trained.

    Input shape:
        `(batch, time, predictions)`, with one feature map for each prediction.

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
