"""Counts the zeros that follow each other in a signal, to recognize digital silence."""

import numpy as np


class ZeroRuns:
    """Counts exact zeros in a row for each channel.

    Args:
        channels: number of channels.
        silent: number of zeros in a row, including the current sample, from which on a sample is silent.
        most: largest count that is remembered. Counts start at it, because the signal follows endless silence.

    Attributes:
        latest: array `(channels,)` with the counts up to the newest sample, at most `most`.
    """

    def __init__(self, channels: int, silent: int, most: int):
        self._silent = silent
        self._most = most
        self.latest = np.full(channels, most)

    def push(self, block: np.ndarray) -> np.ndarray | None:
        """Takes the next samples `(time, channels)`; returns which of them are silent, or `None` if there are none."""
        if (self.latest + len(block) < self._silent).all():
            # Music seldom ends a block with a zero, so the zeros at its end seldom have to be counted.
            if block[-1].all():
                self.latest = np.zeros_like(self.latest)
            else:
                sounding = block[::-1] != 0
                latest = np.where(sounding.any(axis=0), sounding.argmax(axis=0), self.latest + len(block))
                self.latest = np.minimum(latest, self._most)
            return None
        positions = np.arange(len(block))[:, None]
        last = np.maximum.accumulate(np.where(block != 0, positions, -1 - self.latest), axis=0)
        counts = positions - last
        self.latest = np.minimum(counts[-1], self._most)
        silent: np.ndarray = counts >= self._silent
        return silent
