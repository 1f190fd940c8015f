"""The excitation that fills in missing bands. It is made from the music itself, so it follows the music's envelope."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Shape, StreamingStep, Tensor
from .subframes import SUBFRAMES

# Power, far below the quantization noise of 24 bits, that keeps the division finite in digital silence.
_TINY = 1e-20
# Power added to that of a normalized bin before the logarithm. Bins more than 40 dB below their neighbours are holes.
_HOLE = 1e-4


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Distortion(keras.layers.Layer):
    """Generates harmonics by high-passing the input and limiting each sample to the magnitude of the one before it.

    `y[n] = clip(h[n], -|h[n-1]|, |h[n-1]|)`, where `h` is the input after applying `1 - 0.95 z^-1` twice.

    Audio exciters replace lost highs in the same way, with harmonics of the remaining signal. The high-pass prevents
    the bass from modulating the harmonics. Full-wave rectification is the usual nonlinearity, but its result does not
    depend on the polarity. This one is odd, `f(-x) = -f(x)`, and homogeneous, `f(a x) = a f(x)`, so swapped channels
    give the swapped result, and a different level gives the scaled result. docs/model/README.md compares it with eight
    others.

    Input shape:
        `(batch, time, 1)`.

    Output shape:
        `(batch, time, 1)`.

    Reference: E. Larsen, R. M. Aarts, "Audio Bandwidth Extension", Wiley 2004, chapter 5 (non-linear devices for
    high-frequency extension).
    """

    # Coefficient of the two first-order filters.
    coefficient = 0.95
    # Number of preceding samples that an output sample depends on.
    _reach = 3

    def call(self, inputs: Tensor) -> Tensor:
        return self._distort(ops.pad(inputs, ((0, 0), (self._reach, 0), (0, 0))))

    def stream(self, step: StreamingStep, waveform: Any) -> Any:
        """Applies the layer to a stream, one hop at a time (`keras_audiosr.streaming`)."""
        return step.window(self._distort, waveform, self._reach)

    def _distort(self, samples: Tensor) -> Tensor:
        high = samples[:, 2:] - 2 * self.coefficient * samples[:, 1:-1] + self.coefficient**2 * samples[:, :-2]
        ceiling = ops.abs(high[:, :-1])
        return ops.maximum(ops.minimum(high[:, 1:], ceiling), -ceiling)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def _triangles(num_bins: int, num_bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights `(bins, bands)` that average bins, and weights `(bands, bins)` that interpolate between bands."""
    width = num_bins / num_bands
    centres = (np.arange(num_bands) + 0.5) * width - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(num_bins)[:, None] - centres) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights / weights.sum(axis=0)).astype("float32"), weights.T.astype("float32")


@keras.saving.register_keras_serializable(package="keras_audiosr")
class BandPower(keras.layers.Layer):
    """Computes the mean power in overlapping triangular bands, averaged over the short frames of a row.

    Args:
        num_bands: number of bands, all of equal width.

    Input shape:
        Real and imaginary part, `(batch, frames, 2, bins)` each.

    Output shape:
        `(batch, frames, bands)`.
    """

    def __init__(self, num_bands: int = 32, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_bands = num_bands

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        power = ops.mean(ops.square(real) + ops.square(imag), axis=2)
        average, _ = _triangles(real.shape[-1], self.num_bands)
        # Bin 0 contains DC and Nyquist.
        average[0] = 0.0
        return ops.matmul(power, ops.convert_to_tensor(average, power.dtype))

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        return *real_shape[:2], self.num_bands

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bands": self.num_bands}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Excitation(keras.layers.Layer):
    """Normalizes short spectra to the same level in all bins, and arranges them in the bands of a network.

    Each bin is divided by the square root of the mean power around it, so the network has to return only levels. In
    digital silence the excitation is zero.

    Input shape:
        Real and imaginary part, `(batch, frames, 2, bins)` each, and the mean power of bands, `(batch, frames, bands)`.

    Output shape:
        Three tensors `(batch, frames, bands, 2 * bins / bands)`: real part, imaginary part, and the scaled logarithm
        of their power, from about -1.2 to 0.7. Each band contains its bins of the first short frame, then those of the
        second.
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
    """Rearranges `(batch, frames, 2, bins)` to `(batch, frames, bands, 2 * bins / bands)`."""
    batch, frames = ops.shape(spectra)[:2]
    width = spectra.shape[-1] // num_bands
    parts = ops.transpose(ops.reshape(spectra, (batch, frames, SUBFRAMES, num_bands, width)), (0, 1, 3, 2, 4))
    return ops.reshape(parts, (batch, frames, num_bands, SUBFRAMES * width))


def join_bands(values: Tensor) -> Tensor:
    """Rearranges `(batch, frames, bands, 2 * bins / bands)` to `(batch, frames, 2, bins)`."""
    batch, frames = ops.shape(values)[:2]
    bands, width = values.shape[2], values.shape[3] // SUBFRAMES
    parts = ops.transpose(ops.reshape(values, (batch, frames, bands, SUBFRAMES, width)), (0, 1, 3, 2, 4))
    return ops.reshape(parts, (batch, frames, SUBFRAMES, bands * width))
