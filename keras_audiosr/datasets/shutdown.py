"""Ends decoding before Python shuts down, because otherwise the process could hang.

If TensorFlow calls into Python while the interpreter shuts down, the call never returns. An iterator that still exists
then, after Ctrl-C in the middle of an epoch or as a global variable, waits for this call in its destructor.
"""

import atexit
import threading
import time


class _Door:
    """A context manager around all Python code that a dataset runs. Once it is closed, entering it ends the dataset."""

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
                # tf.data takes this for the end of a sequence. It would log any other error.
                raise StopIteration
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            self._last_call = time.monotonic()
        # Running calls finish, and calls that wait for the interpreter's lock get it during the sleep.
        while self._inside or time.monotonic() - self._last_call < 0.1:
            time.sleep(0.01)


until_shutdown = _Door()
