"""Sources of training windows: their common interface, and helpers for all of them."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

# Lossy and lossless windows `(batch, time, 1)`, and for each the frequency `(batch,)` in Hz up to which its lossless
# side is a valid training target.
Batch = tuple[Any, Any, Any]

# Number of batches that are prepared in advance.
_AHEAD = 4


class Source(Protocol):
    """A source of training windows."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Returns at least as many batches as an epoch has steps. They do not depend on what was read before."""
        ...


def ahead(batches: Iterator[Batch], size: int = _AHEAD) -> Iterator[Batch]:
    """Yields the same batches. A thread prepares up to `size` of them in advance."""
    ready: queue.Queue = queue.Queue(size)
    over = threading.Event()

    def put(entry: tuple) -> None:
        while not over.is_set():
            try:
                return ready.put(entry, timeout=0.2)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put((batch, None))
                if over.is_set():
                    return
            put((None, StopIteration()))
        except Exception as error:  # it is raised in the thread that waits
            put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            batch, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield batch
    finally:
        over.set()


class Epochs:
    """A source that reads endless streams, which can begin with any epoch.

    Args:
        stream: function that returns the endless batches from an epoch on.
        steps_per_epoch: number of batches in an epoch.
        anew: whether a new stream begins with every epoch. Streams whose batches depend on where they began need this.
    """

    def __init__(self, stream: Callable[[int], Iterator[Batch]], steps_per_epoch: int, *, anew: bool = False):
        self._stream = stream
        self._steps = steps_per_epoch
        self._anew = anew
        self._next: int | None = None
        self._batches: Iterator[Batch] = iter(())

    def epoch(self, number: int) -> Iterator[Batch]:
        if self._anew or number != self._next:
            self._batches = self._stream(number)
        self._next = number + 1
        return itertools.islice(self._batches, self._steps)
