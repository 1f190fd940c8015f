"""What one process of a test run makes and all of them use: exports cost a TensorFlow each."""

import fcntl
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def once(make: Callable[[Path], Path]) -> Callable[[], Path]:
    """Decorates a function that makes something in an empty folder and returns its path, which nobody changes.

    It is called once a run, whether pytest runs alone or pytest-xdist in several processes: the others wait.
    """

    @functools.cache
    def made() -> Path:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
        if run is None:
            return make(Path(tempfile.mkdtemp(prefix=f"{make.__name__}-")))
        shared = Path(tempfile.gettempdir(), f"keras_audiosr-tests-{run}")
        shared.mkdir(exist_ok=True)
        with open(shared / f"{make.__name__}.path", "a+", encoding="utf-8") as note:
            fcntl.flock(note, fcntl.LOCK_EX)
            note.seek(0)
            path = note.read()
            if not path:
                path = str(make(Path(tempfile.mkdtemp(prefix=make.__name__, dir=shared))))
                note.write(path)
            return Path(path)

    return functools.wraps(make)(made)
