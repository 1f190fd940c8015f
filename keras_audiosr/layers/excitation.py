"""The excitation that fills in missing bands. It is made from the music itself, and so follows its envelope."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Shape, StreamingStep, Tensor
from .subframes import SUBFRAMES

# Far below the quantization noise of 24 bits; keeps the level of digital silence finite.
_TINY = 1e-20
# Of a levelled bin's power, before the logarithm: what lies more than 40 dB under its neighbourhood is a hole.
_HOLE = 1e-4


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Distortion(keras.layers.Layer):
    """High-passed samples, none larger than the one before it: music's highs with overtones of their own.

    `y[n] = clip(h[n], -|h[n-1]|, |h[n-1]|)`, where `h` is the input after `1 - 0.95 z^-1`, twice.

    A codec's loss of highs is made good with harmonics of what is left, as exciters have long done; the high-pass
    keeps the bass from modulating them. Full-wave rectification is the usual choice, but it gives the same for both
    polarities. This one is odd, `f(-x) = -f(x)`, and homogeneous, `f(a x) = a f(x)`: swapped channels and another
    loudness change nothing. docs/model/README.md compares it with eight others.

    Input shape:
        `(batch, time, 1)`.

    Output shape:
        `(batch, time, 1)`.

    Reference: E. Larsen, R. M. Aarts, "Audio Bandwidth Extension", Wiley 2004, chapter 5 (non-linear devices for
    high-frequency extension).
    """

    # Of the two first-order filters in a row.
    coefficient = 0.95
    # Samples before one that it depends on.
    _reach = 3

    def call(self, inputs: Tensor) -> Tensor:
        return self._distort(ops.pad(inputs, ((0, 0), (self._reach, 0), (0, 0))))

    def stream(self, step: StreamingStep, waveform: Any) -> Any:
        """The same for one hop after the other (`keras_audiosr.streaming`)."""
        return step.window(self._distort, waveform, self._reach)

    def _distort(self, samples: Tensor) -> Tensor:
        high = samples[:, 2:] - 2 * self.coefficient * samples[:, 1:-1] + self.coefficient**2 * samples[:, :-2]
        ceiling = ops.abs(high[:, :-1])
        return ops.maximum(ops.minimum(high[:, 1:], ceiling), -ceiling)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def _triangles(num_bins: int, num_bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights that average bins into bands `(bins, bands)`, and that interpolate bands to bins `(bands, bins)`."""
    width = num_bins / num_bands
    centres = (np.arange(num_bands) + 0.5) * width - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(num_bins)[:, None] - centres) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights / weights.sum(axis=0)).astype("float32"), weights.T.astype("float32")


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandPower(keras.layers.Layer):
    """Mean power of the short frames of a row in overlapping bands.

    Args:
        num_bands: bands of equal width.

    Input shape:
        Two tensors, real and imaginary part, `(batch, frames, 2, bins)` each.

    Output shape:
        `(batch, frames, bands)`.
    """

    def __init__(self, num_bands: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_bands = num_bands

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        power = ops.mean(ops.square(real) + ops.square(imag), axis=2)
        average, _ = _triangles(real.shape[-1], self.num_bands)
        # Bin 0 holds DC and Nyquist.
        average[0] = 0.0
        return ops.matmul(power, ops.convert_to_tensor(average, power.dtype))

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        return *real_shape[:2], self.num_bands

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bands": self.num_bands}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Excitation(keras.layers.Layer):
    """Short spectra at an even level, bin by bin, in the bands of a network.

    Each bin is divided by the root of the power around it, so that a network answers with levels alone.
    In digital silence the excitation is zero.

    Input shape:
        Real and imaginary part, `(batch, frames, 2, bins)` each, and the mean power of bands, `(batch, frames, bands)`.

    Output shape:
        Three tensors `(batch, frames, bands, 2 * bins / bands)`: real and imaginary part, and the logarithm of
        their power, from about -1.2 to 0.7. The bins of a band lie together, those of its first short frame first.
    """

    def call(self, real: Tensor, imag: Tensor, band_power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bins, bands = real.shape[-1], band_power.shape[-1]
        _, interpolation = _triangles(bins, bands)
        power = ops.matmul(band_power, ops.convert_to_tensor(interpolation, band_power.dtype))
        not_first = np.ones(bins, "float32")
        not_first[0] = 0.0
        scale = (ops.rsqrt(power + _TINY) * not_first)[:, :, None, :]
        real, imag = split_bands(real * scale, bands), split_bands(imag * scale, bands)
        return real, imag, 0.125 * ops.log(ops.square(real) + ops.square(imag) + _HOLE)

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape, band_power_shape: Shape) -> tuple[Shape, ...]:
        shape = (*real_shape[:2], band_power_shape[-1], SUBFRAMES * real_shape[-1] // band_power_shape[-1])
        return shape, shape, shape


def split_bands(spectra: Tensor, num_bands: int) -> Tensor:
    """`(batch, frames, 2, bins)` to `(batch, frames, bands, 2 * bins / bands)`."""
    batch, frames = ops.shape(spectra)[:2]
    width = spectra.shape[-1] // num_bands
    parts = ops.transpose(ops.reshape(spectra, (batch, frames, SUBFRAMES, num_bands, width)), (0, 1, 3, 2, 4))
    return ops.reshape(parts, (batch, frames, num_bands, SUBFRAMES * width))


def join_bands(values: Tensor) -> Tensor:
    """`(batch, frames, bands, 2 * bins / bands)` to `(batch, frames, 2, bins)`."""
    batch, frames = ops.shape(values)[:2]
    bands, width = values.shape[2], values.shape[3] // SUBFRAMES
    parts = ops.transpose(ops.reshape(values, (batch, frames, bands, SUBFRAMES, width)), (0, 1, 3, 2, 4))
    return ops.reshape(parts, (batch, frames, SUBFRAMES, bands * width))
