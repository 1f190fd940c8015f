"""Measures the perceived loudness of a recording: the K-weighted level of ITU-R BS.1770."""

import numpy as np

# The two filters of BS.1770-5, annex 1, as analogue prototypes, which suit every sample rate. The shelf of 4 dB stands
# for the head, and the high-pass for the ear's low sensitivity at low frequencies. (Hz, quality, gain in dB)
_SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
_HIGH_PASS = (38.13547087602444, 0.5003270373238773)
# BS.1770's offset, plus the gain that the high-pass coefficients in BS.1770 add. With both, a full-scale sine of 997 Hz
# in one channel measures -3.01 LUFS.
_OFFSET = -0.691 + 0.0433


def _response(frequencies: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the power response of both filters, after the bilinear transform, at `frequencies` in Hz."""

    def prototype(cutoff: float) -> np.ndarray:
        # This is s / cutoff on the warped axis. It is limited because it would be infinite at Nyquist, the last bin.
        angle = np.minimum(np.pi * frequencies / sample_rate, np.pi / 2 - 1e-9)
        return 1j * np.tan(angle) / np.tan(np.pi * cutoff / sample_rate)

    cutoff, quality, gain = _SHELF
    high, band = 10.0 ** (gain / 20.0), 10.0 ** (gain / 20.0 * 0.4996667741545416)
    s = prototype(cutoff)
    shelf = (high * s**2 + band / quality * s + 1.0) / (s**2 + s / quality + 1.0)
    cutoff, quality = _HIGH_PASS
    s = prototype(cutoff)
    high_pass = s**2 / (s**2 + s / quality + 1.0)
    return np.abs(shelf * high_pass) ** 2


def loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Measures loudness without gating, with a weight of 1 for all channels.

    Args:
        audio: array `(time, channels)` in [-1, 1]; mono or stereo.
        sample_rate: Hz, 8000 or more.

    Returns:
        The loudness in LUFS; minus infinity for silence.

    Reference:
        - [ITU-R BS.1770-5](https://www.itu.int/rec/R-REC-BS.1770)
    """
    if not audio.any():
        return -np.inf
    # The mean square follows from Parseval's theorem. Every bin except DC and Nyquist stands for two.
    power = (np.abs(np.fft.rfft(audio, axis=0)) ** 2).sum(axis=1)
    weights = np.full(len(power), 2.0)
    weights[0] = 1.0
    if len(audio) % 2 == 0:
        weights[-1] = 1.0
    response = _response(np.arange(len(power)) * (sample_rate / len(audio)), sample_rate)
    return _OFFSET + 10.0 * float(np.log10((weights * response * power).sum() / len(audio) ** 2))
