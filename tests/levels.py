"""Measures levels for the tests, independently of the package's own code."""

import numpy as np
import soxr


def true_peak(audio: np.ndarray, sample_rate: int) -> float:
    """Returns the highest absolute value at or between the samples of `(time, channels)` (ITU-R BS.1770-5, annex 2)."""
    return max(float(np.abs(signal).max()) for signal in (audio, soxr.resample(audio, sample_rate, 4 * sample_rate)))
