"""Overlap-save: a model of fixed windows run over music of any length, without seams.

The signal is thought of as preceded and followed by zeros. Windows advance by
`window_length - 2 * context`; each holds the real neighbouring audio on both
sides, and only its centre, which no window edge can influence, is kept. So the
result does not depend on the window length, and nothing has to be cross-faded.
"""

import collections
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

    Memory is one window a channel, whatever the signal's length. A sample with
    digital silence (exact zeros) over its whole context comes out as digital
    silence, and a window of nothing else never reaches the model; this rule looks
    at samples, not at windows, so it does not depend on the window length either.

    Args:
        predict: takes windows `(batch, window_length, 1)` float32, one a channel, and
            returns as many of the same shape.
        window_length: samples a window.
        context: samples on each side that can influence an output sample.
        channels: number of audio channels.

    Raises:
        UsageError: no centre is left, `window_length <= 2 * context`.
    """

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray], window_length: int, context: int, channels: int):
        if context < 0 or window_length <= 2 * context:
            raise UsageError(
                f"window_length must be above 2 * context; received {window_length} and {context};"
                f" use {4 * max(context, 1)}"
            )
        self._predict = predict
        self._context = context
        self._window = np.zeros((channels, window_length), np.float32)
        self._filled = context  # the zeros before the signal
        self._received = 0
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
        missing = self._received - self._returned
        ready = []
        while missing > 0:
            zeros = np.zeros((self._window.shape[0], self._window.shape[1] - self._filled), np.float32)
            for part in self._advance(zeros):
                ready.append(part[:missing])
                missing -= len(ready[-1])
        self._returned = self._received
        return np.concatenate(ready) if ready else self._window[:, :0].T

    def _advance(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        length, start = self._window.shape[1], 0
        while start < samples.shape[1]:
            count = min(length - self._filled, samples.shape[1] - start)
            self._window[:, self._filled : self._filled + count] = samples[:, start : start + count]
            self._filled += count
            start += count
            if self._filled == length:
                yield self._centre()
                overlap = 2 * self._context
                self._window[:, :overlap] = self._window[:, length - overlap :].copy()
                self._filled = overlap

    def _centre(self) -> np.ndarray:
        """Runs the full window; returns its centre as `(time, channels)`."""
        channels, length = self._window.shape
        centre = np.zeros((self.step, channels), np.float32)
        sounding = self._window != 0
        active = np.flatnonzero(sounding.any(axis=1))
        if not len(active):
            return centre
        restored = self._predict(self._window[active, :, None])
        for channel, output in zip(active, restored, strict=True):
            centre[:, channel] = output[self._context : length - self._context, 0]
            if not sounding[channel].all():
                counted = np.concatenate([[0], np.cumsum(sounding[channel])])
                within_reach = counted[2 * self._context + 1 :] - counted[: self.step]
                centre[within_reach == 0, channel] = 0.0
        return centre
