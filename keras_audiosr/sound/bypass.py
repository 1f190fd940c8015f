"""Switches between restored and original music without a jump in time and without a click."""

import numpy as np

from .framing import BlockProcessor, SampleQueue

# Seconds of the cross-fade. It is linear because the two signals are nearly identical, so their sum keeps its level.
FADE = 0.01


class Bypass:
    """A `BlockProcessor` that wraps another and returns either its result or the time-aligned input.

    The wrapped processor keeps running while it is bypassed, so a switch takes effect at once.

    Args:
        processor: the `BlockProcessor` that restores.
        sample_rate: Hz.
        channels: number of audio channels.
        active: whether the bypass is on at the start.

    Attributes:
        active: whether the input is passed through unchanged. It may be set at any time, also from a signal handler or
            another thread, and takes effect with the next block.
    """

    def __init__(self, processor: BlockProcessor, sample_rate: int, channels: int, active: bool = False):
        self._processor = processor
        self._untouched = SampleQueue(channels)
        self._slope = 1.0 / max(1, round(FADE * sample_rate))
        self._share = 0.0 if active else 1.0  # share of the restored signal at the last sample
        self.active = active

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns those that are ready."""
        self._untouched.put(block)
        return self._mixed(self._processor.push(block))

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        return self._mixed(self._processor.finish())

    def _mixed(self, restored: np.ndarray) -> np.ndarray:
        untouched = self._untouched.take(len(restored))
        aim = 0.0 if self.active else 1.0
        if self._share == aim or not len(restored):
            return untouched if self.active else restored
        way = self._slope * np.arange(1, len(restored) + 1)
        share = np.clip(self._share + np.copysign(way, aim - self._share), 0.0, 1.0)
        self._share = float(share[-1])
        return (untouched + share[:, None] * (restored - untouched)).astype(np.float32)
