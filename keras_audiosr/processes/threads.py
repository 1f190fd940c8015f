"""Runs work on many items in threads that stop soon after an interrupt."""

import concurrent.futures
import os
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Longest time in seconds until a signal is handled.
_PATIENCE = 0.2


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Calls `work(item)` for every item, several at a time, and yields the results as they finish.

    Args:
        work: the function that threads call. An exception ends the run, after the results that are ready have been
            yielded.
        items: started in this order.
        jobs: number of threads.
        stop: event that is set when the run ends early (an error, an interrupt, or a caller that stops iterating). Work
            that takes long should check it and raise an exception.
    """
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        pending = {pool.submit(work, item) for item in items}
        while pending:
            # A signal just before a wait is handled only when Python runs again, so each wait is short.
            done, pending = concurrent.futures.wait(pending, timeout=_PATIENCE, return_when="FIRST_COMPLETED")
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()
    except BaseException:
        if stop is not None:
            stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
