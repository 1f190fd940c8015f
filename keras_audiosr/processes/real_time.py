"""Simulates the timing of a sound card, where blocks arrive in real time and must be processed in real time."""

import time
from array import array
from collections.abc import Callable

import numpy as np


class Pace:
    """Paces work on blocks to real time and counts underruns, or only measures how long the work takes.

    A block arrives when its last sample has been recorded, and its result is played `buffer` blocks later. If the
    result is not ready by then, there is an underrun. The card plays silence until the result is ready, and all later
    blocks are delayed by the same time.

    Args:
        block_duration: seconds of music in a block.
        buffer: number of blocks between a block's arrival and its playback.
        realtime: whether to wait for each block. If false, no block counts as late.
        clock: returns monotonic time in seconds.
        sleep: waits the given number of seconds.

    Attributes:
        underruns: number of blocks that were ready too late.
    """

    def __init__(
        self,
        block_duration: float,
        buffer: int = 1,
        realtime: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.underruns = 0
        self._block_duration = block_duration
        self._buffer = buffer * block_duration
        self._realtime = realtime
        self._clock = clock
        self._sleep = sleep
        self._steps = array("d")
        self._due = self._begun = self._ended = clock()

    def begin(self) -> None:
        """Waits until the block would arrive, and starts timing it."""
        self._due += self._block_duration
        # The music is read and written between two blocks. A delay there is not counted as a delay of the restoration.
        self._due += max(0.0, self._clock() - max(self._ended, self._due))
        wait = self._due - self._clock()
        if self._realtime and wait > 0:
            self._sleep(wait)
        self._begun = self._clock()

    def end(self) -> None:
        """Ends timing the block, and counts an underrun if it was late."""
        self._ended = self._clock()
        self._steps.append(self._ended - self._begun)
        late = self._ended - self._due - self._buffer
        if self._realtime and late > 0:
            self.underruns += 1
            self._due += late

    def percent(self, quantile: float) -> float:
        """Returns a quantile (0 to 1) of the processing time of blocks, in % of their duration; 0 without blocks."""
        if not self._steps:
            return 0.0
        return float(100.0 * np.quantile(np.asarray(self._steps), quantile) / self._block_duration)
