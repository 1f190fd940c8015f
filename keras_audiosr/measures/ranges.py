"""The ranges that measures share: which part of a band can be judged, and how many samples a duration is."""

import math

__all__ = ["FLOOR", "SHARE", "frame_length", "judged_band"]

# dB of a full-scale sine under which a band counts as silent: 10 dB over the noise of a dithered 16-bit file.
FLOOR = -100.0
# A band of which less than this share can be judged is not judged.
SHARE = 0.5


def frame_length(duration: float, sample_rate: int) -> int:
    """The power of two, in samples, that is nearest to a duration in seconds."""
    return 1 << max(0, round(math.log2(duration * sample_rate)))


def judged_band(low: float, high: float, sample_rate: int, limit: float | None = None) -> tuple[float, float] | None:
    """The part of a band that can be judged.

    Args:
        low: Hz, where the band begins.
        high: Hz, where it ends.
        sample_rate: Hz; nothing lies above half of it.
        limit: Hz up to which the reference is lossless; all of it when `None`.

    Returns:
        `(low, high)` in Hz, cut off at the limit; `None` where less than half of the band is left.
    """
    top = min(high, sample_rate / 2, math.inf if limit is None else limit)
    return (low, top) if top - low >= SHARE * (high - low) else None
