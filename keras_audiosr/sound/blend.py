"""Scales the correction of a restoration: in full, in part, or not at all for channels with nothing to restore."""

import numpy as np

from .framing import BlockProcessor, SampleQueue
from .layouts import LOW_FREQUENCY, speakers


def channel_strengths(channels: int, strength: float, channel_layout: str = "") -> np.ndarray:
    """Returns the strength for each channel, which is `strength`, or 0 for a low-frequency channel.

    Args:
        channels: number of audio channels.
        strength: 0 to 1.
        channel_layout: FFmpeg's name of the layout, such as `"stereo"` or `"5.1(side)"`; empty when unknown.

    Returns:
        Array `(channels,)` float32.
    """
    strengths = np.full(channels, strength, np.float32)
    # A low-frequency channel ends at 120 Hz by design, so high frequencies added to it would be wrong.
    strengths[[index for index, name in enumerate(speakers(channel_layout)) if name in LOW_FREQUENCY]] = 0.0
    return strengths


class Blend:
    """A `BlockProcessor` that applies a share of another one's changes: `x + strength * (restored - x)`.

    Args:
        processor: the `BlockProcessor` that restores.
        strengths: array `(channels,)` of shares in [0, 1]. At 0 the output equals the input bit for bit, and at 1 it
            equals the processor's output.
    """

    def __init__(self, processor: BlockProcessor, strengths: np.ndarray):
        self._processor = processor
        self._strengths = np.asarray(strengths, np.float32)
        self._original = SampleQueue(len(self._strengths))

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns the blended ones that are ready."""
        self._original.put(block)
        return self._mix(self._processor.push(block))

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        return self._mix(self._processor.finish())

    def _mix(self, restored: np.ndarray) -> np.ndarray:
        original = self._original.take(len(restored))
        mixed = original + self._strengths * (restored - original)
        # x + (y - x) is not y in floating point.
        return np.where(self._strengths == 1.0, restored, mixed).astype(np.float32, copy=False)
