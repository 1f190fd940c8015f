"""A sound card that is not there: blocks come by the clock, and must be done by the clock."""

import time
from array import array
from collections.abc import Callable

import numpy as np


class Pace:
    """Holds work on blocks to real time, or just takes the time it needs.

    A block comes when its last sample has been heard; what is made of it is played `buffer` blocks later. What is
    not done by then is an underrun: the card plays silence until it is, and everything after is that much later.

    Args:
        block_duration: seconds of music in a block.
        buffer: blocks that lie between a block's coming and its being played.
        realtime: whether to wait for each block; else nothing is late.
        clock: seconds, steady.
        sleep: waits that many seconds.

    Attributes:
        underruns: blocks that came too late.
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
        """Waits until the block would have come, and starts its time."""
        self._due += self._block_duration
        # Between two blocks others work, who bring the music and take it away. What they take too long is not ours.
        self._due += max(0.0, self._clock() - max(self._ended, self._due))
        wait = self._due - self._clock()
        if self._realtime and wait > 0:
            self._sleep(wait)
        self._begun = self._clock()

    def end(self) -> None:
        """The block is done; it was in time or not."""
        self._ended = self._clock()
        self._steps.append(self._ended - self._begun)
        late = self._ended - self._due - self._buffer
        if self._realtime and late > 0:
            self.underruns += 1
            self._due += late

    def percent(self, quantile: float) -> float:
        """A quantile (0 to 1) of the time that blocks took, in % of their duration; 0 without any."""
        if not self._steps:
            return 0.0
        return float(100.0 * np.quantile(np.asarray(self._steps), quantile) / self._block_duration)
