"""Work on many items side by side, in threads that an interrupt ends soon."""

import concurrent.futures
import os
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds that a signal may go unheard.
_PATIENCE = 0.2


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], jobs: int, stop: threading.Event | None = None
) -> Generator[Result, None, None]:
    """Calls `work(item)` for every item, several at a time, and yields the results in the order they come.

    Args:
        work: what a thread does; what it raises ends everything, once what is done by then has been yielded.
        items: each is begun in this order.
        jobs: threads.
        stop: set when this ends early (by an error, an interrupt, or a caller that leaves); work that takes long
            looks at it, and ends with an exception.
    """
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        pending = {pool.submit(work, item) for item in items}
        while pending:
            # A signal just before a wait begins is handled when Python runs again: soon, not when the work is done.
            done, pending = concurrent.futures.wait(pending, timeout=_PATIENCE, return_when="FIRST_COMPLETED")
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield future.result()
    except BaseException:
        if stop is not None:
            stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
