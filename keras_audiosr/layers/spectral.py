"""Layers that turn a spectrum into features for a network, and the network's output into a new spectrum."""

import keras
from keras import ops

from ..annotations import Shape, Tensor

# Power relative to the frame's mean below which a bin counts as empty (-100 dB).
FLOOR = 1e-10
# Keeps digital silence finite; far below the quantization noise of 24 bits.
TINY = 1e-16


def _level(real: Tensor, imag: Tensor) -> Tensor:
    """Root mean square over the bins of each frame: `(batch, frames, 1)`."""
    return ops.sqrt(ops.mean(ops.square(real) + ops.square(imag), axis=-1, keepdims=True) + TINY)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralFeatures(keras.layers.Layer):
    """Log magnitude and unit phase of each bin, relative to the level of its frame.

    Relative levels make the network indifferent to loudness: a quieter copy of a
    file gets the same correction, quieter.

    Input shape:
        Two tensors, real and imaginary part, `(batch, frames, bins)` each.

    Output shape:
        `(batch, frames, 3 * bins)`: log magnitude (about -3 to 3), cosine, sine.
    """

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        level = _level(real, imag)
        real, imag = real / level, imag / level
        power = ops.square(real) + ops.square(imag) + FLOOR
        # Natural log of the magnitude runs from -11.5 to about 3; centre and scale it.
        magnitude = 0.25 * ops.log(power) * 0.5 + 1.0
        inverse = ops.rsqrt(power)
        return ops.concatenate([magnitude, real * inverse, imag * inverse], axis=-1)

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        return (*real_shape[:-1], 3 * real_shape[-1])


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralGainAndFill(keras.layers.Layer):
    """Gives each bin a gain on what the codec left, and an added term that replaces what it removed.

    `restored = lossy * (1 + opening * tanh(gain)) + opening * level * exp(fill) * direction / |direction|`

    where `level` is the RMS of the frame's bins and `opening` the gate's, 1 without one. The exponential lets the added
    term follow music over 100 dB; its offset makes it start at -61 dB, so the
    layer is the identity when its `answer` is zero. In digital silence `level`
    is zero, and so is the output.

    Input shape:
        Real part, imaginary part, `(batch, frames, bins)` each, and the network's answer
        `(batch, frames, 4 * bins)`: gain, fill, and the real and imaginary part of direction. Optionally a
        gate, `(batch, frames, 1)` from 0 to 1.

    Output shape:
        Two tensors, real and imaginary part, `(batch, frames, bins)` each.
    """

    # Natural log of the added term's level where the network says zero: -61 dB, about
    # where music's upper octave lies. Much lower, and the log loss does not see it.
    offset = -7.0

    def call(self, real: Tensor, imag: Tensor, answer: Tensor, opening: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gain, fill, direction_real, direction_imag = ops.split(answer, 4, axis=-1)
        gain = 1.0 + (ops.tanh(gain) if opening is None else opening * ops.tanh(gain))
        length = ops.rsqrt(ops.square(direction_real) + ops.square(direction_imag) + 1e-6)
        # The ceiling, e^3 times the frame's level, is out of reach of any music and keeps float16 finite.
        level = _level(real, imag) if opening is None else opening * _level(real, imag)
        added = level * ops.exp(ops.minimum(fill + self.offset, 3.0)) * length
        return real * gain + added * direction_real, imag * gain + added * direction_imag

    def compute_output_shape(
        self, real_shape: Shape, imag_shape: Shape, answer_shape: Shape, opening_shape: Shape | None = None
    ) -> tuple[Shape, ...]:
        return real_shape, imag_shape
