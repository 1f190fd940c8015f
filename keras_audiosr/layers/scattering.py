"""The scattering transform, which consists of fixed wavelets, moduli and means."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Shape, Tensor


def _wavelets(frequencies: np.ndarray, bandwidths: np.ndarray, length: int) -> np.ndarray:
    """Returns complex Gabor wavelets `(length, wavelets)` with zero mean and unit gain at their centre frequency.

    Args:
        frequencies: centre frequencies, in cycles per sample.
        bandwidths: standard deviations of the spectra, in cycles per sample.
        length: length of the wavelets in samples.
    """
    time = np.arange(length)[:, None] - (length - 1) / 2
    window = np.exp(-0.5 * (2 * np.pi * np.asarray(bandwidths) * time) ** 2)
    window = window / window.sum(axis=0)
    wave = window * np.exp(2j * np.pi * np.asarray(frequencies) * time)
    # Morlet's correction: the wavelets must reject a constant, which in second order is the mean of an envelope.
    return wave - window * wave.sum(axis=0)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Scattering(keras.layers.Layer):
    """Computes first-order and second-order scattering coefficients of a waveform, as means over time.

    The first order, `mean |x * psi_1|`, measures the level around each frequency. The second order,
    `mean ||x * psi_1| * psi_2|`, measures how strongly and how fast the envelope at that frequency fluctuates. The
    layer has no trainable weights.

    Args:
        num_octaves: number of octaves below the Nyquist frequency.
        num_filters: number of first-order wavelets per octave.
        kernel_size: length of a first-order wavelet in samples. The lowest wavelets are made wider in frequency so that
            they fit.
        stride: samples from one point of an envelope to the next.
        num_modulations: number of second-order wavelets, which are one octave apart.

    Input shape:
        `(batch, time, 1)`. `time` should be at least `stride * 2 ** (num_modulations + 1)`, because otherwise the
        slowest second-order wavelets cover mostly zeros beyond the edges.

    Output shape:
        `(batch, num_octaves * num_filters * (1 + num_modulations))`, positive, in the unit of the waveform.

    Reference: J. Bruna, S. Mallat, "Invariant Scattering Convolution Networks", IEEE TPAMI 2013, equations 8 and
    11; J. Anden, S. Mallat, "Deep Scattering Spectrum", IEEE TSP 2014, for audio.
    """

    def __init__(
        self,
        num_octaves: int = 6,
        num_filters: int = 6,
        kernel_size: int = 256,
        stride: int = 8,
        num_modulations: int = 4,
        **kwargs: Any,
    ):
        super().__init__(trainable=False, **kwargs)
        self.num_octaves = num_octaves
        self.num_filters = num_filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.num_modulations = num_modulations
        steps = np.arange(num_octaves * num_filters) + 0.5
        centres = 0.5 * 2.0 ** (-steps / num_filters)
        # Neighbouring wavelets cross at half their gain.
        widths = centres * (2 ** (0.5 / num_filters) - 2 ** (-0.5 / num_filters)) / 2.35
        carriers = _wavelets(centres, np.maximum(widths, 1.0 / kernel_size), kernel_size)
        self._carriers = np.concatenate([carriers.real, carriers.imag], axis=1)[:, None].astype("float32")
        rates = 0.35 * 2.0 ** -np.arange(num_modulations)
        modulations = _wavelets(rates, rates / 4, 2 ** (num_modulations + 2))
        self._modulations = np.concatenate([modulations.real, modulations.imag], axis=1)[:, None].astype("float32")

    def _modulus(self, signal: Tensor, kernel: np.ndarray, strides: int) -> Tensor:
        real, imag = ops.split(ops.conv(signal, kernel, strides=strides, padding="same"), 2, axis=-1)
        # Without the constant the gradient of the square root would be infinite at zero.
        return ops.sqrt(ops.square(real) + ops.square(imag) + 1e-12)

    def call(self, inputs: Tensor) -> Tensor:
        envelopes = self._modulus(inputs, ops.convert_to_tensor(self._carriers), self.stride)
        steps, wavelets = ops.shape(envelopes)[1], envelopes.shape[-1]
        # All envelopes pass through the same second-order wavelets, so they become examples of one batch.
        each = ops.reshape(ops.transpose(envelopes, (0, 2, 1)), (-1, steps, 1))
        moved = self._modulus(each, ops.convert_to_tensor(self._modulations), 1)
        second = ops.reshape(ops.mean(moved, axis=1), (-1, wavelets * self.num_modulations))
        return ops.concatenate([ops.mean(envelopes, axis=1), second], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[0], self.num_octaves * self.num_filters * (1 + self.num_modulations)

    def get_config(self) -> dict[str, Any]:
        names = ("num_octaves", "num_filters", "kernel_size", "stride", "num_modulations")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
