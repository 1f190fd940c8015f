"""Overlap-save: a model of fixed windows run over music of any length, without seams.

The signal is thought of as preceded and followed by zeros. Windows advance by
`window_length - 2 * context`; each holds the real neighbouring audio on both
sides, and only its centre, which no window edge can influence, is kept. So the
result does not depend on the window length, and nothing has to be cross-faded.
"""

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from ..errors import UsageError


class BlockProcessor(Protocol):
    """What takes a signal in blocks of any size and gives as many samples back, some of them later."""

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples; returns those that are ready, array `(time, channels)`."""

    def finish(self) -> np.ndarray:
        """Ends the signal; returns what was still outstanding."""


def process_blocks(processor: BlockProcessor, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Drives a processor over an iterable of blocks; yields the blocks that are not empty."""
    for block in blocks:
        ready = processor.push(block)
        if len(ready):
            yield ready
    ready = processor.finish()
    if len(ready):
        yield ready


class SampleQueue:
    """First in, first out, in samples: blocks go in as they come, any length comes out.

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
        """Appends a block `(time, channels)`; it is kept, not copied."""
        if len(block):
            self._blocks.append(block)
            self._length += len(block)

    def take(self, length: int) -> np.ndarray:
        """Removes and returns the oldest `length` samples, or all there are if fewer."""
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
    """A `BlockProcessor` that runs a model over overlapping windows, channel by channel.

    Memory is one window a channel (as many as are in flight), whatever the signal's length. A sample with
    digital silence (exact zeros) over its whole context comes out as digital
    silence, and a window of nothing else never reaches the model; this rule looks
    at samples, not at windows, so it does not depend on the window length either.

    Args:
        predict: takes windows `(batch, window_length, 1)` float32, one a channel, and
            returns as many of the same shape.
        window_length: samples a window.
        context: samples on each side that can influence an output sample.
        channels: number of audio channels.
        in_flight: calls of `predict` at a time. Above 1 each runs in a thread of its own, so `predict` must be
            thread-safe, and what it returns is put in order here; for a `predict` that waits, such as for a server.

    Raises:
        UsageError: no centre is left, `window_length <= 2 * context`.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], np.ndarray],
        window_length: int,
        context: int,
        channels: int,
        in_flight: int = 1,
    ):
        if context < 0 or window_length <= 2 * context:
            raise UsageError(
                f"window_length must be above 2 * context; received {window_length} and {context};"
                f" use {4 * max(context, 1)}"
            )
        self._predict = predict
        self._in_flight = in_flight
        self._pending: collections.deque[Callable[[], np.ndarray]] = collections.deque()
        self._context = context
        self._window = np.zeros((channels, window_length), np.float32)
        self._filled = context  # the zeros before the signal
        self._received = 0
        self._begun = 0  # output samples whose window has been full
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
        ready = list(self._advance(block.T))
        self._returned += sum(len(part) for part in ready)
        return np.concatenate(ready) if ready else self._window[:, :0].T

    def finish(self) -> np.ndarray:
        """Follows the signal with zeros; returns the rest, so that in all as many samples came out as went in."""
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
        """Begins the full window; what is returned waits for its centre, `(time, channels)`."""
        channels, length = self._window.shape
        centre = np.zeros((self.step, channels), np.float32)
        sounding = self._window != 0
        active = np.flatnonzero(sounding.any(axis=1))
        if not len(active):
            return lambda: centre
        # A copy: the window goes on to the next samples.
        windows = self._window[active, :, None]
        # Without threads it is called here and now, and an error comes from here.
        result = _in_thread(self._predict, windows) if self._in_flight > 1 else _at_once(self._predict(windows))

        def finished() -> np.ndarray:
            for channel, output in zip(active, result(), strict=True):
                centre[:, channel] = output[self._context : length - self._context, 0]
                if not sounding[channel].all():
                    counted = np.concatenate([[0], np.cumsum(sounding[channel])])
                    within_reach = counted[2 * self._context + 1 :] - counted[: self.step]
                    centre[within_reach == 0, channel] = 0.0
            return centre

        return finished


def _at_once(restored: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: restored


def _in_thread(predict: Callable[[np.ndarray], np.ndarray], windows: np.ndarray) -> Callable[[], np.ndarray]:
    future: concurrent.futures.Future = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(predict(windows))
        except BaseException as error:
            future.set_exception(error)

    # Not a ThreadPoolExecutor: Python would wait for its threads at exit, also after Ctrl-C.
    threading.Thread(target=work, daemon=True).start()
    return future.result
