"""Threads: many items side by side, and single calls whose results are needed later."""

import concurrent.futures
import os
import threading
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


def in_thread(work: Callable[[], Result]) -> Callable[[], Result]:
    """Starts `work()` in a thread of its own; returns a function that waits for the result or raises the exception."""
    future: concurrent.futures.Future[Result] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    # A ThreadPoolExecutor is not used, because Python waits for its threads at exit, even after Ctrl-C.
    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:  # there is no memory for the stack of another thread
        run()
    return future.result


def at_once(work: Callable[[], Result]) -> Callable[[], Result]:
    """Calls `work()` now, so that an exception is raised here; returns a function that returns the result."""
    result = work()
    return lambda: result


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
