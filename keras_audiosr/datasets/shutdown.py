"""Ends decoding before Python shuts down.

A call into Python that TensorFlow makes while the interpreter goes away never returns, and
the destructor of an iterator that is still alive (after Ctrl-C in the middle of an epoch,
or as a global variable) waits for it: the process would hang instead of leaving.
"""

import atexit
import threading
import time


class _Door:
    """A context around whatever a dataset runs in Python; once closed it ends the dataset instead of letting in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._inside = 0
        self._last_call = 0.0
        atexit.register(self._close)

    def __enter__(self) -> None:
        with self._lock:
            self._last_call = time.monotonic()
            if self._closed:
                # To tf.data the end of a sequence; any other error would be logged.
                raise StopIteration
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            self._last_call = time.monotonic()
        # Calls inside finish; those that wait for the interpreter's lock get it while this sleeps.
        while self._inside or time.monotonic() - self._last_call < 0.1:
            time.sleep(0.01)


until_shutdown = _Door()
