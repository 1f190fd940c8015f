"""A limiter that lowers true peaks to full scale and leaves everything else unchanged.

Between two samples a signal can be higher than both of them, and a converter would clip there. ITU-R BS.1770-5,
annex 2, measures such true peaks at four times the sample rate.
"""

import numpy as np

from .framing import BlockProcessor, SampleQueue
from .oversampling import OVERSAMPLING
from .resample import RateConverter

# Seconds in which the gain falls before a peak and rises after it. This is short enough to be inaudible and long enough
# not to distort bass.
_RAMP = 0.005


class Limiter:
    """A `BlockProcessor` that lowers the gain around true peaks over full scale, equally in all channels.

    The gain is exactly 1 wherever no such peak is within 10 ms, so these samples are unchanged bit for bit. All
    channels have the same gain, so the stereo image does not move. The delay is compensated, and the output is as long
    as the input.

    Args:
        sample_rate: Hz.
        channels: number of audio channels.
        oversampler: a `BlockProcessor` that returns four samples for each one. `None` uses libsoxr, which must be
            installed.

    Attributes:
        limited: number of samples per channel whose level was lowered.
        reduction: largest gain reduction in dB.
    """

    def __init__(self, sample_rate: int, channels: int, oversampler: BlockProcessor | None = None):
        self.limited = 0
        self.reduction = 0.0
        self._up = oversampler or RateConverter(sample_rate, OVERSAMPLING * sample_rate, channels)
        self._samples = SampleQueue(channels)
        self._levels = SampleQueue(channels)
        self._oversampled = SampleQueue(channels)
        # Half the length of the ramp; the gain at a sample depends on the peaks within 2 * half of it.
        self._half = max(1, round(_RAMP * sample_rate))
        window = np.hanning(2 * self._half + 3)[1:-1]
        self._window = window / window.sum()
        # The gain reductions, 1 - gain, starting 2 * half samples before the next output sample.
        self._cuts = np.zeros(2 * self._half)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns the limited ones that are ready."""
        self._samples.put(block)
        self._levels.put(block)
        self._oversampled.put(self._up.push(block))
        return self._advance()

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        self._oversampled.put(self._up.finish())
        ready = self._advance()
        self._cuts = np.concatenate([self._cuts, np.zeros(2 * self._half)])
        return np.concatenate([ready, self._release()])

    def _advance(self) -> np.ndarray:
        length = min(len(self._levels), len(self._oversampled) // OVERSAMPLING)
        block = np.abs(self._levels.take(length)).max(axis=1, initial=0.0)
        between = np.abs(self._oversampled.take(OVERSAMPLING * length)).max(axis=1, initial=0.0)
        peaks = np.maximum(block, between.reshape(length, OVERSAMPLING).max(axis=1, initial=0.0))
        # A peak lies at its sample or between it and the next one, which the ramp lowers too.
        self._cuts = np.concatenate([self._cuts, 1.0 - 1.0 / np.maximum(peaks.astype(np.float64), 1.0)])
        return self._release()

    def _release(self) -> np.ndarray:
        reach = 2 * self._half
        length = len(self._cuts) - 2 * reach
        if length <= 0:
            return self._samples.take(0)
        cuts, self._cuts = self._cuts, self._cuts[length:]
        block = self._samples.take(length)
        if not cuts.any():
            return block
        # The largest reduction within half a ramp, smoothed over a ramp, is never less than the sample itself needs.
        held = _sliding_max(cuts, 2 * self._half + 1)
        smooth = np.convolve(held, self._window, "valid")
        # Rounding errors must not lower samples that are not near a peak.
        smooth[_sliding_max(held, len(self._window)) == 0.0] = 0.0
        self.limited += int(np.count_nonzero(smooth))
        self.reduction = max(self.reduction, float(-20.0 * np.log10(1.0 - smooth.max(initial=0.0))))
        return (block * (1.0 - smooth)[:, None]).astype(np.float32)


def _sliding_max(values: np.ndarray, size: int) -> np.ndarray:
    """Returns the maximum of every `size` neighbours, `len(values) - size + 1` values, in log2(size) passes."""
    width = 1
    while width < size:
        step = min(width, size - width)
        values = np.maximum(values[: len(values) - step], values[step:])
        width += step
    return values
