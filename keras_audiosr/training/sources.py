"""Where the windows of a run come from: what all sources have in common."""

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

# Lossy and lossless windows `(batch, time, 1)`, and for each the frequency `(batch,)` in Hz above which its lossless
# side is no example.
Batch = tuple[Any, Any, Any]

# Batches that are made ahead.
_AHEAD = 4


class Source(Protocol):
    """Where windows come from."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, as many as it has steps at least; the same ones whatever was read before."""
        ...


def ahead(batches: Iterator[Batch], size: int = _AHEAD) -> Iterator[Batch]:
    """The same batches, made in a thread before they are asked for."""
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
        except Exception as error:  # for the thread that waits
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
    """A source of endless streams, of which each can begin with any epoch.

    Args:
        stream: the batches from an epoch on, without end.
        steps_per_epoch: batches an epoch.
        anew: begin a stream for every epoch, rather than read one on: for streams that depend on where they began.
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
