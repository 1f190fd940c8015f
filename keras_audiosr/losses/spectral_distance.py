"""A loss that compares a restored spectrum with the lossless one, up to the frequency to which the latter is known."""

from typing import Any

import keras
import numpy as np
from keras import ops

from ..annotations import Tensor

# Added to powers before the square root, so that its gradient stays finite.
_TINY = 1e-14
# Power of a spectrum, summed over bins and frames, below which a window counts as silent. A full-scale sine peaks at 1
# in every frame.
_SILENCE = 1e-8
# The spectra are compared up to this many Hz below the cutoff, because a codec's low-pass has a slope.
_MARGIN = 200.0
# Frequencies in Hz above which the levels of bands are compared, in the longest and in the shortest frames. A frame of
# 12 ms has too few bins for the bands below 4 kHz.
_LOWEST_BAND = (1000.0, 4000.0)


def _bands(frame_length: int, sample_rate: int, lowest: float, bands_per_decade: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns weights `(bins, bands)` that average the bins of logarithmically spaced bands, and the bands' ends in Hz.

    Bands without a bin are left out.
    """
    count = int(bands_per_decade * np.log10(sample_rate / 2 / lowest))
    edges = lowest * 10.0 ** (np.arange(count + 1) / bands_per_decade)
    frequencies = np.arange(frame_length // 2 + 1)[:, None] * sample_rate / frame_length
    members = (frequencies >= edges[:-1]) & (frequencies < edges[1:])
    used = members.any(axis=0)
    members = members[:, used] / members[:, used].sum(axis=0)
    return members.astype("float32"), edges[1:][used].astype("float32")


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SpectralDistance(keras.losses.Loss):
    """Compares spectra, band levels and the signal-to-noise ratio, up to the cutoff of the lossless side.

    Nearly lossless music, such as Vorbis at 160 kbit/s, is a valid target below its own cutoff, except in the holes
    that its codec left. Every term is masked above the cutoff. The log, band and bias terms are also masked in holes:

    - **log**: the package's LSD, averaged over several STFTs. It is the root mean square over the bins of the
      difference of `log10(power + floor)`, averaged over the frames.
    - **convergence**: `||M - M_hat|| / ||M||` of the magnitudes, averaged over the same STFTs.
    - **band**: the same as log, but for the mean power of bands, in the longest and the shortest frames. It does not
      depend on fine structure, which cannot be predicted, but on the right level at the right time.
    - **bias**: the absolute value of each band's mean difference over the frames, averaged over the bands. It compares
      the levels of a whole window.
    - **snr**: minus the signal-to-noise ratio in dB, of the complex spectra of the longest frames.

    Args:
        frame_lengths: samples per frame of each STFT. The hop is a quarter of a frame.
        log_weight, convergence_weight, band_weight, bias_weight, snr_weight: weights of the terms.
        floor: power added before the logarithms; 1e-10 is 100 dB below a full-scale sine.
        bands_per_decade: number of bands per decade of frequency.
        ceiling: signal-to-noise ratio in dB above which the snr term hardly decreases any further.
        sample_rate: Hz.

    Reference: R. Yamamoto et al. (Parallel WaveGAN), ICASSP 2020, equations 5 to 7, for the first two terms.
    """

    def __init__(
        self,
        frame_lengths: tuple[int, ...] = (512, 1024, 2048),
        log_weight: float = 1.0,
        convergence_weight: float = 0.5,
        band_weight: float = 0.5,
        bias_weight: float = 0.2,
        snr_weight: float = 0.05,
        floor: float = 1e-10,
        bands_per_decade: int = 24,
        ceiling: float = 50.0,
        sample_rate: int = 44100,
        name: str = "spectral_distance",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.frame_lengths = tuple(frame_lengths)
        self.log_weight = log_weight
        self.convergence_weight = convergence_weight
        self.band_weight = band_weight
        self.bias_weight = bias_weight
        self.snr_weight = snr_weight
        self.floor = floor
        self.bands_per_decade = bands_per_decade
        self.ceiling = ceiling
        self.sample_rate = sample_rate
        longest, shortest = max(self.frame_lengths), min(self.frame_lengths)
        lowest = dict(zip((shortest, longest), reversed(_LOWEST_BAND), strict=True))
        self._bands = {
            length: _bands(length, sample_rate, frequency, bands_per_decade) for length, frequency in lowest.items()
        }

    def call(self, y_true: Tensor, y_pred: Tensor, cutoff: Tensor | None = None) -> Tensor:
        """Computes one value for each example.

        Args:
            y_true: lossless tensor `(batch, time, 1)`.
            y_pred: restored tensor of the same shape.
            cutoff: frequency in Hz up to which the lossless side of each example is known, `(batch,)`. `None` means
                half the sample rate.
        """
        y_true = ops.cast(y_true, y_pred.dtype)
        if cutoff is None:
            cutoff = ops.full((ops.shape(y_true)[0],), self.sample_rate, dtype=y_pred.dtype)
        lossless = cutoff >= self.sample_rate / 2
        # A lossless spectrum is known up to half the sample rate, so no margin is needed.
        cutoff = ops.where(lossless, 2.0 * self.sample_rate, cutoff) - _MARGIN
        # In nearly lossless music a level below the floor is a hole of the codec. In lossless music it is a valid
        # target, so nothing is masked.
        hole = ops.cast(ops.where(lossless, -1.0, self.floor), y_pred.dtype)[:, None, None]
        total = 0.0
        for length in self.frame_lengths:
            total = total + self._of_frames(y_true, y_pred, cutoff, hole, length)
        return total

    def _of_frames(self, y_true: Tensor, y_pred: Tensor, cutoff: Tensor, hole: Tensor, length: int) -> Tensor:
        frequencies = np.arange(length // 2 + 1, dtype="float32") * (self.sample_rate / length)
        known = ops.cast(frequencies[None, :] < cutoff[:, None], y_pred.dtype)[:, None, :]
        true, pred = self._spectrum(y_true, length, known), self._spectrum(y_pred, length, known)
        true_power, pred_power = (ops.square(real) + ops.square(imag) for real, imag in (true, pred))

        judged = known * ops.cast(true_power > hole, y_pred.dtype)
        difference = (ops.log10(pred_power + self.floor) - ops.log10(true_power + self.floor)) * judged
        share = len(self.frame_lengths)
        loss = self.log_weight / share * self._root_mean_square(difference, ops.sum(judged, axis=-1))

        error = ops.sum(ops.square(ops.sqrt(true_power + _TINY) - ops.sqrt(pred_power + _TINY)), axis=(1, 2))
        convergence = ops.sqrt(error + 1e-10) / ops.sqrt(ops.sum(true_power, axis=(1, 2)) + 1e-4)
        loss = loss + self.convergence_weight / share * convergence

        if length in self._bands:
            members, ends = self._bands[length]
            true_level, pred_level = (ops.matmul(power, members) for power in (true_power, pred_power))
            judged = ops.cast(ends[None, :] < cutoff[:, None], y_pred.dtype)[:, None, :]
            judged = judged * ops.cast(true_level > hole, y_pred.dtype)
            difference = (ops.log10(pred_level + self.floor) - ops.log10(true_level + self.floor)) * judged
            distance = self._root_mean_square(difference, ops.sum(judged, axis=-1))
            count = ops.sum(judged, axis=1)
            bias = ops.abs(ops.sum(difference, axis=1)) / (count + 1e-6)
            bias = ops.sum(bias, axis=-1) / (ops.sum(ops.cast(count > 0, bias.dtype), axis=-1) + 1e-6)
            loss = loss + (self.band_weight * distance + self.bias_weight * bias) / len(self._bands)

        if length == max(self.frame_lengths):
            noise = ops.square(true[0] - pred[0]) + ops.square(true[1] - pred[1])
            ratio = (ops.sum(noise, axis=(1, 2)) + _SILENCE) / (ops.sum(true_power, axis=(1, 2)) + _SILENCE)
            loss = loss + self.snr_weight * 10.0 * ops.log10(ratio + 10.0 ** (-self.ceiling / 10.0))
        return loss

    def _spectrum(self, signal: Tensor, length: int, known: Tensor) -> tuple[Tensor, Tensor]:
        """Returns real and imaginary part `(batch, frames, bins)`, which are 0 at unknown frequencies.

        A full-scale sine peaks at 1.
        """
        real, imag = ops.stft(signal[..., 0], length, length // 4, length, window="hann", center=False)
        # A Hann window adds up to half its length, and the peak of a full-scale sine is half of that sum.
        scale = known * (4.0 / length)
        return real * scale, imag * scale

    @staticmethod
    def _root_mean_square(difference: Tensor, count: Tensor) -> Tensor:
        """Returns the root mean square of the `count` unmasked values of each frame, averaged over the frames."""
        square = ops.sum(ops.square(difference), axis=-1) / (count + 1e-6)
        return ops.mean(ops.sqrt(square + 1e-7), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "frame_lengths": self.frame_lengths,
            "log_weight": self.log_weight,
            "convergence_weight": self.convergence_weight,
            "band_weight": self.band_weight,
            "bias_weight": self.bias_weight,
            "snr_weight": self.snr_weight,
            "floor": self.floor,
            "bands_per_decade": self.bands_per_decade,
            "ceiling": self.ceiling,
            "sample_rate": self.sample_rate,
        }
