"""A scattering transform: fixed wavelets, followed by moduli and means."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Shape, Tensor


def _wavelets(frequencies: np.ndarray, bandwidths: np.ndarray, length: int) -> np.ndarray:
    """Complex Gabor wavelets without a mean, unit gain at their centre: `(length, wavelets)`.

    Args:
        frequencies: centres, in cycles a sample.
        bandwidths: standard deviations of their spectra, in cycles a sample.
        length: samples.
    """
    time = np.arange(length)[:, None] - (length - 1) / 2
    window = np.exp(-0.5 * (2 * np.pi * np.asarray(bandwidths) * time) ** 2)
    window = window / window.sum(axis=0)
    wave = window * np.exp(2j * np.pi * np.asarray(frequencies) * time)
    # Morlet's correction: a constant, or in second order the mean of an envelope, must not come through.
    return wave - window * wave.sum(axis=0)


@keras.saving.register_keras_serializable(package="keras_audiosr")
class Scattering(keras.layers.Layer):
    """First and second order scattering coefficients of a waveform, each a mean over time.

    First order: `mean |x * psi_1|`, how much there is around each of the frequencies. Second order:
    `mean ||x * psi_1| * psi_2|`, how strongly, and how fast, the envelope there moves. No weights are learned.

    Args:
        num_octaves: octaves below the Nyquist frequency.
        num_filters: first-order wavelets an octave.
        kernel_size: samples of a wavelet; the lowest ones are cut at it.
        stride: samples from one point of an envelope to the next.
        num_modulations: second-order wavelets, an octave apart.

    Input shape:
        `(batch, time, 1)`, time at least `stride * 2 ** (num_modulations + 1)` or the slowest modulations see
        only zeros beyond the edges.

    Output shape:
        `(batch, octaves * filters * (1 + modulations))`, each at least zero, in the unit of the waveform.

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
        # Neighbours meet at half their gain.
        widths = centres * (2 ** (0.5 / num_filters) - 2 ** (-0.5 / num_filters)) / 2.35
        carriers = _wavelets(centres, np.maximum(widths, 1.0 / kernel_size), kernel_size)
        self._carriers = np.concatenate([carriers.real, carriers.imag], axis=1)[:, None].astype("float32")
        rates = 0.35 * 2.0 ** -np.arange(num_modulations)
        modulations = _wavelets(rates, rates / 4, 2 ** (num_modulations + 2))
        self._modulations = np.concatenate([modulations.real, modulations.imag], axis=1)[:, None].astype("float32")

    def _modulus(self, signal: Tensor, kernel: np.ndarray, strides: int) -> Tensor:
        real, imag = ops.split(ops.conv(signal, kernel, strides=strides, padding="same"), 2, axis=-1)
        # The gradient of a square root has no bound at zero.
        return ops.sqrt(ops.square(real) + ops.square(imag) + 1e-12)

    def call(self, inputs: Tensor) -> Tensor:
        envelopes = self._modulus(inputs, ops.convert_to_tensor(self._carriers), self.stride)
        steps, wavelets = ops.shape(envelopes)[1], envelopes.shape[-1]
        # Every envelope goes through the same second wavelets: as examples of a batch.
        each = ops.reshape(ops.transpose(envelopes, (0, 2, 1)), (-1, steps, 1))
        moved = self._modulus(each, ops.convert_to_tensor(self._modulations), 1)
        second = ops.reshape(ops.mean(moved, axis=1), (-1, wavelets * self.num_modulations))
        return ops.concatenate([ops.mean(envelopes, axis=1), second], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[0], self.num_octaves * self.num_filters * (1 + self.num_modulations)

    def get_config(self) -> dict[str, Any]:
        names = ("num_octaves", "num_filters", "kernel_size", "stride", "num_modulations")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
