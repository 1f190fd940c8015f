"""Measures the width of the stereo image by the correlation of left and right in a band."""

import numpy as np

from .ranges import FLOOR, judged_band

__all__ = ["STEREO_DEFINITION", "CrossSpectrum", "stereo_error"]

BAND = (12000.0, 18000.0)
# Frames have this many samples and overlap by half. This many frames are transformed at a time.
_FRAME_LENGTH = 2048
_FRAMES_AT_A_TIME = 512

STEREO_DEFINITION = (
    "Stereo error: the absolute difference between the restored and the lossless file in the correlation of left and"
    f" right from {BAND[0] / 1000:g} to {BAND[1] / 1000:g} kHz. The correlation is the real part of the cross-spectrum,"
    f" summed over the band's bins and over Hann-windowed frames of {_FRAME_LENGTH} samples of the whole file, over the"
    " geometric mean of the two power spectra, summed in the same way. Stereo error below cutoff: the same from 0 Hz to"
    " the lossy input's own cutoff. Both are judged only for files with two channels in which the mean power of each"
    f" channel in a bin of the band is above {FLOOR:g} dB of a full-scale sine."
)


class CrossSpectrum:
    """Holds the spectra of a whole song, from which the correlation of left and right in any band follows.

    Args:
        audio: array `(time, 2)` in [-1, 1].
        sample_rate: Hz.
    """

    def __init__(self, audio: np.ndarray, sample_rate: int):
        self._frequencies = np.arange(_FRAME_LENGTH // 2 + 1) * (sample_rate / _FRAME_LENGTH)
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(_FRAME_LENGTH) / _FRAME_LENGTH)
        step = _FRAME_LENGTH // 2
        padded = np.pad(audio, ((0, max(0, _FRAME_LENGTH - len(audio))), (0, 0)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME_LENGTH, axis=0)[::step]
        self._power = np.zeros((len(self._frequencies), 2))
        self._cross = np.zeros(len(self._frequencies))
        for first in range(0, len(frames), _FRAMES_AT_A_TIME):
            spectra = np.fft.rfft(frames[first : first + _FRAMES_AT_A_TIME] * window, axis=-1)
            left, right = spectra[:, 0], spectra[:, 1]
            self._cross += np.sum(left.real * right.real + left.imag * right.imag, axis=0)
            self._power += np.sum(spectra.real**2 + spectra.imag**2, axis=0).T
        # The sum of a periodic Hann window is half its length.
        scale = len(frames) * (_FRAME_LENGTH / 4) ** 2
        self._power /= scale
        self._cross /= scale

    def correlation(self, low: float, high: float) -> float | None:
        """Returns the correlation of left and right from `low` to `high` Hz, in [-1, 1]; `None` if one is silent."""
        bins = (self._frequencies >= low) & (self._frequencies < high)
        if not bins.any():
            return None
        power = self._power[bins]
        if power.mean(axis=0).min() <= 10.0 ** (FLOOR / 10.0):
            return None
        return float(self._cross[bins].sum() / np.sqrt(power.sum(axis=0).prod()))

    def error(self, lossless: "CrossSpectrum", low: float, high: float) -> float | None:
        """Returns the absolute difference between the correlations of this and the lossless signal, or `None`."""
        found, wanted = self.correlation(low, high), lossless.correlation(low, high)
        return None if found is None or wanted is None else abs(found - wanted)


def stereo_error(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    sample_rate: int,
    band: tuple[float, float] = BAND,
    limit: float | None = None,
) -> float | None:
    """Measures the error in the width of the stereo image. `STEREO_DEFINITION` gives the exact definition.

    Args:
        y_true: lossless array `(time, channels)` in [-1, 1].
        y_pred: restored array of the same shape.
        sample_rate: Hz.
        band: lower and upper edge of the band in Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.

    Returns:
        The error, from 0 to 2. `None` if there are not two channels, if a channel is silent in the band, or if less
        than half of the band lies below the limit.
    """
    judged = judged_band(*band, sample_rate, limit)
    if judged is None or y_true.shape[1] != 2:
        return None
    return CrossSpectrum(y_pred, sample_rate).error(CrossSpectrum(y_true, sample_rate), *judged)
