"""Supports sample rates other than the model's by resampling only the correction.

In `out = x + up(restored - down(x))` the original samples are not resampled. Music that the model does not change, and
everything above the model's Nyquist frequency, therefore stays the same. libsoxr compensates its own delay and works in
constant memory.
"""

import numpy as np

from .framing import BlockProcessor, SampleQueue


class Resampler:
    """A streaming sample rate converter with linear phase and no lag (libsoxr, quality HQ).

    Args:
        source_rate: input sample rate in Hz.
        target_rate: output sample rate in Hz.
        channels: number of audio channels.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int):
        import soxr  # imported here, because music at the model's own rate does not need it

        self._stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality="HQ")
        self._channels = channels

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns those that are ready."""
        return self._stream.resample_chunk(np.ascontiguousarray(block, np.float32))

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        return self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True)


class RateConverter:
    """A `BlockProcessor` that changes the sample rate and returns `round(length * target_rate / source_rate)` samples.

    Args:
        source_rate: input sample rate in Hz.
        target_rate: output sample rate in Hz.
        channels: number of audio channels.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int):
        self._stream = Resampler(source_rate, target_rate, channels)
        self._rates = (source_rate, target_rate)
        self._received = 0
        self._returned = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns those that are ready, at the new rate."""
        self._received += len(block)
        ready = self._stream.push(block)
        self._returned += len(ready)
        return ready

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        rest = self._stream.finish()
        source_rate, target_rate = self._rates
        missing = round(self._received * target_rate / source_rate) - self._returned
        # libsoxr can round the length differently, by one sample.
        return np.pad(rest[: max(missing, 0)], ((0, max(missing - len(rest), 0)), (0, 0)))


class CorrectionAtRate:
    """A `BlockProcessor` that applies a model of one sample rate to music of another.

    Args:
        processor: the `BlockProcessor` at the model's sample rate.
        sample_rate: sample rate of the music in Hz.
        model_rate: sample rate of the model in Hz.
        channels: number of audio channels.
    """

    def __init__(self, processor: BlockProcessor, sample_rate: int, model_rate: int, channels: int):
        self._processor = processor
        self._down = Resampler(sample_rate, model_rate, channels)
        self._up = Resampler(model_rate, sample_rate, channels)
        # Delay lines for the original, the model's input, and the correction.
        self._original = SampleQueue(channels)
        self._input = SampleQueue(channels)
        self._correction = SampleQueue(channels)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples `(time, channels)`; returns the restored ones that are ready."""
        self._original.put(block)
        lossy = self._down.push(block)
        self._input.put(lossy)
        self._correction.put(self._up.push(self._correct(self._processor.push(lossy))))
        return self._add(min(len(self._original), len(self._correction)))

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""
        lossy = self._down.finish()
        self._input.put(lossy)
        for restored in (self._processor.push(lossy), self._processor.finish()):
            self._correction.put(self._up.push(self._correct(restored)))
        self._correction.put(self._up.finish())
        return self._add(len(self._original))

    def _correct(self, restored: np.ndarray) -> np.ndarray:
        return restored - self._input.take(len(restored))

    def _add(self, length: int) -> np.ndarray:
        restored = self._original.take(length).copy()
        # The length is rounded twice, so the correction can be one sample shorter or longer.
        correction = self._correction.take(length)
        restored[: len(correction)] += correction
        return restored
