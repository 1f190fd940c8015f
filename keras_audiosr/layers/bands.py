"""Layers for tensors `(batch, frames, bands, maps)`. The bands share weights, and an embedding identifies each band."""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, StreamingStep, Tensor
from .excitation import join_bands
from .spectral import FLOOR, TINY
from .subframes import SUBFRAMES


@keras.saving.register_keras_serializable(package="keras_audiosr")
class FramePower(keras.layers.Layer):
    """Computes the mean power over the bins of each frame.

    Input shape:
        Real and imaginary part, `(batch, frames, bins)` each.

    Output shape:
        `(batch, frames, 1)`.
    """

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        return ops.mean(ops.square(real) + ops.square(imag), axis=-1, keepdims=True)

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        return *real_shape[:-1], 1


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandMean(keras.layers.Layer):
    """Computes the mean over the bands.

    Input shape:
        `(batch, frames, bands, maps)`.

    Output shape:
        `(batch, frames, maps)`.
    """

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(inputs, axis=2)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:2], input_shape[3]


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandFeatures(keras.layers.Layer):
    """Computes log magnitudes relative to the frame's level, and the frame's level relative to neighbouring frames.

    The features depend neither on loudness nor on polarity, so the network's output does not depend on them either.

    Args:
        num_bands: number of bands, all of equal width.

    Input shape:
        Real and imaginary part, `(batch, frames, bins)` each; the mean power of each frame, and its mean over the
        neighbouring frames, `(batch, frames, 1)` each.

    Output shape:
        `(batch, frames, bands, bins / bands + 1)`: for each band the scaled log magnitudes of its bins, from about -2
        to 2, and the scaled log level of the frame, which is 0 at the mean and -3.5 or more.
    """

    def __init__(self, num_bands: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_bands = num_bands

    def call(self, real: Tensor, imag: Tensor, power: Tensor, mean_power: Tensor) -> Tensor:
        batch, frames = ops.shape(real)[:2]
        bins = (ops.square(real) + ops.square(imag)) / (power + TINY)
        # The natural logarithm of the power lies between -23 and about 6. Scale and centre it.
        magnitude = 0.125 * ops.log(bins + FLOOR) + 1.0
        magnitude = ops.reshape(magnitude, (batch, frames, self.num_bands, real.shape[-1] // self.num_bands))
        louder = 0.25 * ops.log((power + TINY) / (mean_power + TINY) + 1e-6)
        louder = louder[:, :, None, :] * ops.ones((1, 1, self.num_bands, 1), louder.dtype)
        return ops.concatenate([magnitude, louder], axis=-1)

    def compute_output_shape(
        self, real_shape: Shape, imag_shape: Shape, power_shape: Shape, mean_power_shape: Shape
    ) -> Shape:
        return *real_shape[:2], self.num_bands, real_shape[-1] // self.num_bands + 1

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bands": self.num_bands}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandEmbedding(keras.layers.Layer):
    """Adds a learned embedding of each band, so that layers that share weights can tell the bands apart.

    Input shape:
        `(batch, frames, bands, maps)`.

    Output shape:
        The shape of the input.
    """

    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight(shape=input_shape[2:], initializer="zeros", name="bias")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandMix(keras.layers.Layer):
    """Adds a learned mixture of all bands to each band.

    The weights are the same for all maps, and start at zero.

    Input shape:
        `(batch, frames, bands, maps)`.

    Output shape:
        The shape of the input.
    """

    def build(self, input_shape: Shape) -> None:
        bands = input_shape[2]
        self.kernel = self.add_weight(shape=(bands, bands), initializer="zeros", name="kernel")

    def call(self, inputs: Tensor) -> Tensor:
        mixed = ops.matmul(ops.transpose(inputs, (0, 1, 3, 2)), self.kernel)
        return inputs + ops.transpose(mixed, (0, 1, 3, 2))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@keras.saving.register_keras_serializable(package="keras_audiosr")
class FrameConv2D(keras.layers.Conv2D):
    """Convolves over the frames, with the same kernel for all bands.

    Args:
        filters: number of feature maps of the result.
        kernel_size: number of taps, in frames.
        dilation_rate: frames from one tap to the next.
        padding: padding of the frames: `"same"` (centred) or `"causal"` (no future frames).
        **kwargs: as for `keras.layers.Conv2D`.

    Input shape:
        `(batch, frames, bands, maps)`.

    Output shape:
        `(batch, frames, bands, filters)`.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, dilation_rate: int = 1, padding: str = "same", **kwargs: Any
    ):
        super().__init__(
            filters,
            (kernel_size, 1),
            dilation_rate=(dilation_rate, 1),
            padding="valid" if padding == "causal" else "same",
            **kwargs,
        )
        self.frame_padding = padding
        self.reach = (kernel_size - 1) * dilation_rate

    def call(self, inputs: Tensor) -> Tensor:
        if self.frame_padding == "causal":
            inputs = ops.pad(inputs, ((0, 0), (self.reach, 0), (0, 0), (0, 0)))
        return super().call(inputs)

    def stream(self, step: StreamingStep, inputs: Any) -> Any:
        """Applies the layer to a stream, one hop at a time (`keras_audiosr.streaming`)."""

        def convolve(rows: Tensor) -> Tensor:
            result = ops.conv(rows, self.kernel, 1, "valid", dilation_rate=self.dilation_rate)
            return self.activation(result + self.bias if self.use_bias else result)

        ahead = 0 if self.frame_padding == "causal" else self.reach - self.reach // 2
        return step.window(convolve, inputs, self.reach, ahead)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:-1], self.filters

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["kernel_size"], config["dilation_rate"] = self.kernel_size[0], self.dilation_rate[0]
        return {**config, "padding": self.frame_padding}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandResidualUnit(keras.layers.Layer):
    """Applies DRRN's residual unit to bands, with one convolution over frames and one over neighbouring bands.

    `output = inputs + conv_bands(relu(mix(conv_frames(relu(inputs)))))`

    `mix` is `BandMix`. In this unit only `mix` connects distant bands.

    Args:
        filters: number of feature maps, the same as that of the input.
        kernel_size: number of taps of each convolution, in frames and in bands.
        dilation_rate: frames from one tap of the first convolution to the next.
        padding: padding of the frames: `"same"` (centred) or `"causal"` (no future frames).

    Input shape:
        `(batch, frames, bands, filters)`.

    Output shape:
        The shape of the input.

    Reference: Y. Tai, J. Yang, X. Liu, "Image Super-Resolution via Deep Recursive Residual Network",
    CVPR 2017, equation 4 and figure 2d, without batch normalization.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, dilation_rate: int = 1, padding: str = "same", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.padding = padding
        self.steps = [
            keras.layers.ReLU(),
            FrameConv2D(filters, kernel_size, dilation_rate, padding, kernel_initializer="he_normal"),
            BandMix(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(filters, (1, kernel_size), padding="same", kernel_initializer="he_normal"),
        ]

    def build(self, input_shape: Shape) -> None:
        for step in self.steps:
            step.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        outputs = inputs
        for step in self.steps:
            outputs = step(outputs)
        return outputs + inputs

    def stream(self, step: StreamingStep, inputs: Any) -> Any:
        """Applies the layer to a stream, one hop at a time (`keras_audiosr.streaming`)."""
        outputs = inputs
        for layer in self.steps:
            outputs = step.layer(layer, outputs)
        return step.by_rows(keras.ops.add, outputs, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandGainAndFill(keras.layers.Layer):
    """Applies a gain to each bin of the lossy spectrum, and scales an excitation that replaces the lost content.

    `restored = lossy * (1 + opening * tanh(gain)) + opening * level * exp(fill + offset) * excitation`

    `level` is the root mean square of the frame's bins. The second term is in short frames (`SubframeSTFT`). It takes
    its phase from the excitation, because the lost phase cannot be predicted. The network therefore returns only
    levels.

    Input shape:
        Real and imaginary part of the lossy frames, `(batch, frames, bins)` each; real and imaginary part of the
        excitation, `(batch, frames, bands, width)` each; the mean power of the frames, `(batch, frames, 1)`; the
        network's output, gain and fill, `(batch, frames, bands, bins / bands + width)`; the opening of the gate, from
        0 to 1, `(batch, frames, 1)`.

    Output shape:
        Four tensors: real and imaginary part of the long frames, `(batch, frames, bins)` each, and of the short ones,
        `(batch, frames, 2, width * bands / 2)` each.
    """

    # Natural logarithm of the added level if the network returns zero. This is -70 dB relative to the frame's level,
    # about the level of music's highest octave.
    offset = -8.0
    # Largest exponent. No music reaches e^2 times the level of its frame, and the limit keeps float16 finite.
    _ceiling = 2.0

    def call(
        self,
        real: Tensor,
        imag: Tensor,
        excitation_real: Tensor,
        excitation_imag: Tensor,
        power: Tensor,
        answer: Tensor,
        opening: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        width = real.shape[-1] // answer.shape[2]
        gain, fill = answer[..., :width], answer[..., width:]
        gain = 1.0 + opening * ops.tanh(ops.reshape(gain, ops.shape(real)))
        level = (opening * ops.sqrt(power + TINY))[:, :, None, :]
        level = level * ops.exp(ops.minimum(fill + self.offset, self._ceiling))
        added = join_bands(excitation_real * level), join_bands(excitation_imag * level)
        return real * gain, imag * gain, *added

    def compute_output_shape(
        self,
        real_shape: Shape,
        imag_shape: Shape,
        excitation_real_shape: Shape,
        excitation_imag_shape: Shape,
        power_shape: Shape,
        answer_shape: Shape,
        opening_shape: Shape,
    ) -> tuple[Shape, ...]:
        bands, width = excitation_real_shape[2:]
        short = (*real_shape[:2], SUBFRAMES, bands * width // SUBFRAMES)
        return real_shape, imag_shape, short, short
