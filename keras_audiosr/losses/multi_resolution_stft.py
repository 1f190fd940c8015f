"""A loss that compares log spectra, magnitudes and mel bands over several STFTs."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Tensor


def _mel_bands(sample_rate: int, frame_length: int, num_bands: int) -> np.ndarray:
    """Returns triangular weights `(bins, bands)`, float32, that sum a power spectrum in mel bands."""
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=frame_length, n_mels=num_bands, norm=None).T


@keras.saving.register_keras_serializable(package="keras_audiosr")
class MultiResolutionSTFT(keras.losses.Loss):
    """Computes the log-spectral distance plus the spectral convergence, averaged over several STFTs.

    The log term is a smooth version of the package's LSD: the root mean square over the bins of the difference of
    `log10(power + floor)`, averaged over the frames. `floor` hides content that is too quiet to be heard. The
    convergence term is `||M - M_hat|| / (||M|| + silence)`, where the norms of the magnitudes `M` are root mean
    squares, and `silence` keeps the quotient finite for silent windows.

    An optional third term compares the energies of mel bands in the longest frames:
    `|log10(E + f) - log10(E_hat + f)|`. The floor `f` lies `band_range` below the loudest band of the frame, because
    bands that are quieter than that are inaudible. This term corrects a bias of the log term. For noise, the log term
    is smallest at the mean of the levels in dB, which is 2.5 dB below the level of the mean energy.

    Args:
        frame_lengths: samples per frame of each STFT. The hop is a quarter of a frame.
        log_weight: weight of the log term.
        convergence_weight: weight of the spectral convergence.
        floor: power added before the logarithm; 1e-10 is 100 dB below a full-scale sine.
        band_weight: weight of the band term. With 0 there is no such term.
        num_bands: number of mel bands from 0 Hz to half the sample rate.
        band_range: distance in dB from the loudest band of a frame to the floor of the band term.
        sample_rate: Hz, for the mel scale.

    Reference: R. Yamamoto et al. (Parallel WaveGAN), ICASSP 2020, equations 5 to 7, with the root mean square
    of LSD in place of the mean absolute difference.
    """

    def __init__(
        self,
        frame_lengths: tuple[int, ...] = (512, 1024, 2048),
        log_weight: float = 1.0,
        convergence_weight: float = 1.0,
        floor: float = 1e-10,
        band_weight: float = 0.0,
        num_bands: int = 40,
        band_range: float = 50.0,
        sample_rate: int = 44100,
        name: str = "multi_resolution_stft",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        self.frame_lengths = tuple(frame_lengths)
        self.log_weight = log_weight
        self.convergence_weight = convergence_weight
        self.floor = floor
        self.band_weight = band_weight
        self.num_bands = num_bands
        self.band_range = band_range
        self.sample_rate = sample_rate
        self._mel = _mel_bands(sample_rate, max(self.frame_lengths), num_bands) if band_weight else None

    def _bands(self, power: Tensor) -> Tensor:
        """Returns log energies of mel bands `(2 * batch, frames, bands)`.

        The floor follows the loudest band of each frame of `y_true`.
        """
        energy = ops.matmul(power, ops.convert_to_tensor(self._mel))
        true = energy[: ops.shape(energy)[0] // 2]
        least = 10.0 ** (-self.band_range / 10.0) * ops.max(true, axis=-1, keepdims=True) + self.floor
        return ops.log10(energy + ops.concatenate([least, least], axis=0))

    def _power(self, signal: Tensor, frame_length: int) -> Tensor:
        """Returns power spectra `(batch * channels, frames, bins)`, in which a full-scale sine peaks at about 1."""
        signal = ops.transpose(signal, (0, 2, 1))
        signal = ops.reshape(signal, (-1, ops.shape(signal)[-1]))
        real, imag = ops.stft(signal, frame_length, frame_length // 4, frame_length, window="hann", center=False)
        # A Hann window adds up to half its length, and the peak of a full-scale sine is half of that sum.
        return (ops.square(real) + ops.square(imag)) * (4.0 / frame_length) ** 2

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        batch = ops.shape(y_true)[0]
        both = ops.concatenate([ops.cast(y_true, y_pred.dtype), y_pred], axis=0)
        total = 0.0
        for frame_length in self.frame_lengths:
            power = self._power(both, frame_length)
            bins = frame_length // 2 + 1
            log = ops.reshape(ops.log10(power + self.floor), (2 * batch, -1, bins))
            if self.band_weight and frame_length == max(self.frame_lengths):
                bands = self._bands(ops.reshape(power, (2 * batch, -1, bins)))
                difference = ops.mean(ops.abs(bands[:batch] - bands[batch:]), axis=(1, 2))
                # Only the longest STFT has this term, so the factor undoes the division by the number of STFTs.
                total = total + len(self.frame_lengths) * self.band_weight * difference
            power = ops.reshape(power, (2 * batch, -1))
            # The constant keeps the gradient of the square root finite in empty bins.
            magnitude = ops.sqrt(power + 1e-14)
            true, pred = magnitude[:batch], magnitude[batch:]
            error = ops.sqrt(ops.mean(ops.square(true - pred), axis=-1) + 1e-14)
            norm = ops.sqrt(ops.mean(ops.square(true), axis=-1))
            convergence = error / (norm + 1e-5)
            distance = ops.mean(ops.square(log[:batch] - log[batch:]), axis=-1)  # over the bins
            distance = ops.mean(ops.sqrt(distance + 1e-8), axis=-1)
            total = total + self.log_weight * distance + self.convergence_weight * convergence
        return total / len(self.frame_lengths)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frame_lengths": self.frame_lengths,
            "log_weight": self.log_weight,
            "convergence_weight": self.convergence_weight,
            "floor": self.floor,
            "band_weight": self.band_weight,
            "num_bands": self.num_bands,
            "band_range": self.band_range,
            "sample_rate": self.sample_rate,
        }
