"""The residual unit of DRRN in one dimension."""

from typing import Any

import keras

from ..annotations import Shape, StreamingStep, Tensor

# Share of the old statistics that batch normalization keeps in each step, here and in the models. With Keras' default
# of 0.99 the initial statistics would still have an influence after a few hundred steps. A batch of windows has enough
# samples for the smaller value.
MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="keras_audiosr")
class ResidualUnit(keras.layers.Layer):
    """Adds the result of two pre-activated convolutions to an identity branch.

    `output = identity + conv(relu(norm(conv(relu(norm(inputs))))))`

    In DRRN all units of a block use the block's first features as the identity branch. If only one tensor is given, it
    is also the identity branch, as in ResNet.

    Args:
        filters: number of feature maps, the same as that of the input.
        kernel_size: number of taps of each convolution, in samples or frames.
        batch_normalization: whether batch normalization precedes each activation, as in the paper. Without it the unit
            does not depend on the batch, but needs inputs of a known scale.
        dilation_rate: samples or frames from one tap of the first convolution to the next.
        padding: `"same"` or `"causal"` (no future steps), either one value for both convolutions or one for each.

    Input shape:
        `(batch, steps, filters)` for the inputs and, optionally, the identity branch.

    Output shape:
        `(batch, steps, filters)`.

    Reference: Y. Tai, J. Yang, X. Liu, "Image Super-Resolution via Deep Recursive Residual Network",
    CVPR 2017, equation 4 and figure 2d.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        batch_normalization: bool = True,
        dilation_rate: int = 1,
        padding: str | tuple[str, str] = "same",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.batch_normalization = batch_normalization
        self.dilation_rate = dilation_rate
        self.padding = padding
        paddings = (padding, padding) if isinstance(padding, str) else tuple(padding)
        self.steps = []
        for dilation, each in zip((dilation_rate, 1), paddings, strict=True):
            convolution = {"padding": each, "kernel_initializer": "he_normal"}
            if batch_normalization:
                self.steps.append(keras.layers.BatchNormalization(momentum=MOMENTUM))
            self.steps.append(keras.layers.ReLU())
            self.steps.append(keras.layers.Conv1D(filters, kernel_size, dilation_rate=dilation, **convolution))

    def build(self, inputs_shape: Shape, identity_shape: Shape | None = None) -> None:
        for step in self.steps:
            step.build(inputs_shape)

    def call(self, inputs: Tensor, identity: Tensor | None = None, training: bool | None = None) -> Tensor:
        outputs = inputs
        for step in self.steps:
            if isinstance(step, keras.layers.BatchNormalization):
                outputs = step(outputs, training=training)
            else:
                outputs = step(outputs)
        return outputs + (inputs if identity is None else identity)

    def stream(self, step: StreamingStep, inputs: Any, identity: Any = None) -> Any:
        """Applies the unit to a stream, one hop at a time (`keras_audiosr.streaming`)."""
        outputs = inputs
        for layer in self.steps:
            outputs = step.layer(layer, outputs)
        return step.by_rows(keras.ops.add, outputs, inputs if identity is None else identity)

    def compute_output_shape(self, inputs_shape: Shape, identity_shape: Shape | None = None) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "batch_normalization": self.batch_normalization,
            "dilation_rate": self.dilation_rate,
            "padding": self.padding,
        }
