"""Threads: many items side by side, and calls in the background whose results are needed later."""

import concurrent.futures
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Longest delay in seconds before a signal is handled.
_PATIENCE = 0.2


def cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Threads that make calls in the background, in the order in which they are given.

    A `ThreadPoolExecutor` is not used, because Python waits for its threads at exit, even after Ctrl-C. The threads end
    when this object is not used any more and its calls are done.

    Args:
        count: number of threads. If it is 0, `start` makes the call itself.
    """

    def __init__(self, count: int):
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._count = 0
        # If there is no memory for the stacks of all threads, there are fewer.
        with contextlib.suppress(RuntimeError):
            for _ in range(count):
                threading.Thread(target=_make_calls, args=(self._calls,), daemon=True).start()
                self._count += 1
        weakref.finalize(self, _end, self._calls, self._count)

    def start(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Calls `work()` in a thread; returns a function that waits for the result or raises the exception."""
        if not self._count:
            result = work()
            return lambda: result
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def call() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(call)
        return future.result


def _make_calls(calls: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (call := calls.get()) is not None:
        call()
        # Otherwise the arrays of this call would be kept until the next one.
        del call


def _end(calls: "queue.SimpleQueue[Callable[[], None] | None]", count: int) -> None:
    for _ in range(count):
        calls.put(None)


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Calls `work(item)` for every item, several at a time, and yields the results as they finish.

    Args:
        work: the function that the threads call. If it raises an exception, the results that are ready are yielded, and
            then the exception is raised here.
        items: arguments of `work`. The calls start in this order.
        jobs: number of threads.
        stop: event that is set when the run ends early, because of an error, an interrupt, or a caller that stops
            iterating. Calls that take long should check it and raise an exception.

    Yields:
        The results, in the order in which the calls finish.
    """
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        pending = {pool.submit(work, item) for item in items}
        while pending:
            # Python handles a signal that arrives just before a wait only after the wait, so each wait is short.
            done, pending = concurrent.futures.wait(pending, timeout=_PATIENCE, return_when="FIRST_COMPLETED")
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()
    except BaseException:
        if stop is not None:
            stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
