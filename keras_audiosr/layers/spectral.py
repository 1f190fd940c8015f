"""Layers that convert a spectrum to features for a network, and the network's output to a restored spectrum."""

import keras
from keras import ops

from ..annotations import Shape, Tensor

# Power relative to the frame's mean below which a bin counts as empty (-100 dB).
FLOOR = 1e-10
# Power, far below the quantization noise of 24 bits, that keeps divisions finite in digital silence.
TINY = 1e-16


def _level(real: Tensor, imag: Tensor) -> Tensor:
    """Returns the root mean square over the bins of each frame, `(batch, frames, 1)`."""
    return ops.sqrt(ops.mean(ops.square(real) + ops.square(imag), axis=-1, keepdims=True) + TINY)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralFeatures(keras.layers.Layer):
    """Computes the log magnitude of each bin, relative to the level of its frame, and the cosine and sine of its phase.

    Because the levels are relative, the network does not depend on loudness: a quieter copy of a file gets the same
    correction at a lower level.

    Input shape:
        Real and imaginary part, `(batch, frames, bins)` each.

    Output shape:
        `(batch, frames, 3 * bins)`: the scaled log magnitudes (about -2 to 2), the cosines and the sines.
    """

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        level = _level(real, imag)
        real, imag = real / level, imag / level
        power = ops.square(real) + ops.square(imag) + FLOOR
        # The natural logarithm of the magnitude lies between -11.5 and about 3. Scale and centre it.
        magnitude = 0.25 * ops.log(power) * 0.5 + 1.0
        inverse = ops.rsqrt(power)
        return ops.concatenate([magnitude, real * inverse, imag * inverse], axis=-1)

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        return (*real_shape[:-1], 3 * real_shape[-1])


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralGainAndFill(keras.layers.Layer):
    """Applies a gain to each bin of the lossy spectrum, and adds a term that replaces the lost content.

    `restored = lossy * (1 + opening * tanh(gain)) + opening * level * exp(fill + offset) * direction / |direction|`

    `level` is the RMS of the frame's bins, and `opening` that of the gate, or 1 without a gate. With the exponential
    the added term can cover the 100 dB range of music. If the network returns zero, `direction` is zero, so the added
    term vanishes and the layer is the identity. In digital silence the added term stays below -130 dB.

    Input shape:
        Real and imaginary part, `(batch, frames, bins)` each; the network's output, `(batch, frames, 4 * bins)`: gain,
        fill, and the real and imaginary part of the direction; optionally the opening of the gate,
        `(batch, frames, 1)`, from 0 to 1.

    Output shape:
        Two tensors, real and imaginary part, `(batch, frames, bins)` each.
    """

    # Natural logarithm of the added term's level if `fill` is zero. This is -61 dB relative to the frame's level, about
    # the level of music's upper octave. A much lower initial level would have no influence on the log loss.
    offset = -7.0

    def call(self, real: Tensor, imag: Tensor, answer: Tensor, opening: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gain, fill, direction_real, direction_imag = ops.split(answer, 4, axis=-1)
        gain = 1.0 + (ops.tanh(gain) if opening is None else opening * ops.tanh(gain))
        length = ops.rsqrt(ops.square(direction_real) + ops.square(direction_imag) + 1e-6)
        # No music reaches e^3 times the level of its frame, and this limit keeps float16 finite.
        level = _level(real, imag) if opening is None else opening * _level(real, imag)
        added = level * ops.exp(ops.minimum(fill + self.offset, 3.0)) * length
        return real * gain + added * direction_real, imag * gain + added * direction_imag

    def compute_output_shape(
        self, real_shape: Shape, imag_shape: Shape, answer_shape: Shape, opening_shape: Shape | None = None
    ) -> tuple[Shape, ...]:
        return real_shape, imag_shape
