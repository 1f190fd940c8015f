"""Ranges that several measures use: the part of a band that can be judged, and the length of a frame in samples."""

import math

__all__ = ["FLOOR", "SHARE", "frame_length", "judged_band"]

# Level, in dB of a full-scale sine, under which a band counts as silent. It is 10 dB above the noise of a dithered
# 16-bit file.
FLOOR = -100.0
# A band is judged if at least this share of it can be judged.
SHARE = 0.5


def frame_length(duration: float, sample_rate: int) -> int:
    """Returns the power of two, in samples, that is nearest to a duration in seconds."""
    return 1 << max(0, round(math.log2(duration * sample_rate)))


def judged_band(low: float, high: float, sample_rate: int, limit: float | None = None) -> tuple[float, float] | None:
    """Returns the part of a band that can be judged.

    Args:
        low: lower edge of the band in Hz.
        high: upper edge of the band in Hz.
        sample_rate: Hz.
        limit: Hz up to which the reference is lossless; half the sample rate when `None`.

    Returns:
        `(low, high)` in Hz, cut off at the limit and at half the sample rate; `None` if less than half of the band is
        left.
    """
    top = min(high, sample_rate / 2, math.inf if limit is None else limit)
    return (low, top) if top - low >= SHARE * (high - low) else None
