"""Levels as tests measure them, by other means than the package's own."""

import numpy as np
import soxr


def true_peak(audio: np.ndarray, sample_rate: int) -> float:
    """The highest level of `(time, channels)` between its samples, linear (ITU-R BS.1770-5, annex 2)."""
    return max(float(np.abs(signal).max()) for signal in (audio, soxr.resample(audio, sample_rate, 4 * sample_rate)))
