"""Overlap-save, which runs a model with windows of a fixed length over music of any length, without seams.

Zeros are assumed before and after the signal. Windows advance by `window_length - 2 * context`. Each window contains
the real neighbouring audio on both sides. Only its centre, which the edges of the window cannot influence, is kept. The
result therefore does not depend on the window length, and no cross-fade is needed.
"""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from ..errors import UsageError
from ..processes.threads import Workers
from .mid_side import Pairs, channel_pairs, to_left_right, to_mid_side


class BlockProcessor(Protocol):
    """Processes a signal in blocks of any size and returns as many samples as it received, some of them later."""

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples; returns those that are ready, array `(time, channels)`."""

    def finish(self) -> np.ndarray:
        """Ends the signal; returns the remaining samples."""


def process_blocks(processor: BlockProcessor, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Passes blocks to a processor, and yields the resulting blocks that are not empty."""
    for block in blocks:
        ready = processor.push(block)
        if len(ready):
            yield ready
    ready = processor.finish()
    if len(ready):
        yield ready


class SampleQueue:
    """A first-in, first-out queue of samples that takes and returns any number of them.

    Args:
        channels: number of audio channels.
    """

    def __init__(self, channels: int):
        self._blocks: collections.deque[np.ndarray] = collections.deque()
        self._empty = np.zeros((0, channels), np.float32)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, block: np.ndarray) -> None:
        """Appends a block `(time, channels)` without copying it."""
        if len(block):
            self._blocks.append(block)
            self._length += len(block)

    def take(self, length: int) -> np.ndarray:
        """Removes and returns the oldest `length` samples, or all samples if there are fewer."""
        parts = []
        while length > 0 and self._blocks:
            block = self._blocks.popleft()
            if len(block) > length:
                self._blocks.appendleft(block[length:])
                block = block[:length]
            parts.append(block)
            length -= len(block)
            self._length -= len(block)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else self._empty


class OverlapSave:
    """A `BlockProcessor` that runs a model over overlapping windows of mid, of side and of each unpaired channel.

    Memory use is one window per channel and call in flight, whatever the signal's length. A sample whose whole context
    is digital silence (exact zeros) comes out as digital silence, and a window of only zeros never reaches the model.
    This rule looks at samples rather than windows, so it does not depend on the window length. It applies to mid and
    side, so that equal channels stay equal, and to the output channels, so that a silent one stays silent.

    Args:
        predict: takes windows `(batch, window_length, 1)` float32, each of mid, side or one channel, and returns an
            array of the same shape.
        window_length: samples per window.
        context: samples on each side that can influence an output sample.
        channels: number of audio channels.
        in_flight: number of concurrent calls of `predict`. Above 1 they run in threads, so `predict` must be
            thread-safe. The results are put back in order. This suits a `predict` that waits for a server or that
            computes on several cores.
        pairs: indices of left and right channels, as for `mid_side.channel_pairs`.

    Raises:
        UsageError: the windows have no centre (`window_length <= 2 * context`), or a pair names a channel that does not
            exist.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        window_length: int,
        context: int,
        channels: int,
        in_flight: int = 1,
        pairs: Pairs | None = None,
    ):
        if context < 0 or window_length <= 2 * context:
            raise UsageError(
                f"window_length must be above 2 * context; received {window_length} and {context};"
                f" use {4 * max(context, 1)}"
            )
        self._predict = predict
        self._in_flight = in_flight
        self._workers = Workers(in_flight if in_flight > 1 else 0)
        self._pending: collections.deque[Callable[[], np.ndarray]] = collections.deque()
        self._context = context
        self._pairs = channel_pairs(channels, pairs)
        self._window = np.zeros((channels, window_length), np.float32)
        self._filled = context  # the zeros before the signal
        self._received = 0
        self._begun = 0  # number of output samples whose window has been filled
        self._returned = 0

    @property
    def step(self) -> int:
        """Samples from one window to the next."""
        return self._window.shape[1] - 2 * self._context

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples; returns the restored ones that are ready.

        Args:
            block: array `(time, channels)` float32, of any length.

        Returns:
            Array `(time, channels)` float32, possibly empty.
        """
        self._received += len(block)
        ready = list(self._advance(to_mid_side(block, self._pairs).T))
        self._returned += sum(len(part) for part in ready)
        return np.concatenate(ready) if ready else self._window[:, :0].T

    def finish(self) -> np.ndarray:
        """Pads the signal with zeros and returns the rest, so that the output is as long as the input."""
        ready: list[np.ndarray] = []
        while self._begun < self._received:
            zeros = np.zeros((self._window.shape[0], self._window.shape[1] - self._filled), np.float32)
            ready += self._advance(zeros)
        ready += [self._pending.popleft()() for _ in range(len(self._pending))]
        missing = self._received - self._returned
        self._returned = self._begun = self._received
        return np.concatenate(ready)[:missing] if ready else self._window[:, :0].T

    def _advance(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        length, start = self._window.shape[1], 0
        while start < samples.shape[1]:
            count = min(length - self._filled, samples.shape[1] - start)
            self._window[:, self._filled : self._filled + count] = samples[:, start : start + count]
            self._filled += count
            start += count
            if self._filled == length:
                self._pending.append(self._begin())
                self._begun += self.step
                overlap = 2 * self._context
                self._window[:, :overlap] = self._window[:, length - overlap :].copy()
                self._filled = overlap
                if len(self._pending) >= self._in_flight:
                    yield self._pending.popleft()()

    def _begin(self) -> Callable[[], np.ndarray]:
        """Starts the network on the full window; returns a function that waits for the centre, `(time, channels)`."""
        channels, length = self._window.shape
        coded = np.zeros((self.step, channels), np.float32)
        active = np.flatnonzero(self._window.any(axis=1))
        if not len(active):
            return lambda: coded
        # A copy, because the window buffer is reused for the next samples.
        windows = self._window[active, :, None]
        silent = self._silent(self._window)
        unheard = self._silent(to_left_right(self._window.T, self._pairs).T) if self._pairs else silent
        result = self._workers.start(lambda: self._predict(windows))

        def finished() -> np.ndarray:
            for row, output in zip(active, result(), strict=True):
                coded[:, row] = output[self._context : length - self._context, 0]
            coded[silent] = 0.0
            centre = to_left_right(coded, self._pairs)
            centre[unheard] = 0.0
            return centre

        return finished

    def _silent(self, signals: np.ndarray) -> np.ndarray:
        """Returns which samples of the centre have only zeros in their context, as booleans `(step, channels)`."""
        silent = np.zeros((self.step, len(signals)), bool)
        reach = 2 * self._context + 1
        for channel, signal in enumerate(signals):
            # Any run of `reach` zeros contains one of these samples. Music rarely has a zero at one of them, so the
            # zeros rarely have to be counted.
            if not signal[::reach].all():
                counted = np.concatenate([[0], np.cumsum(signal != 0)])
                silent[:, channel] = counted[reach:] == counted[: self.step]
        return silent
