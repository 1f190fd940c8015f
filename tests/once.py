"""Makes files once for all processes of a test run. Exporting a model in each process would be slow."""

import fcntl
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def once(make: Callable[[Path], Path]) -> Callable[[], Path]:
    """Decorates a function that makes a file or folder in an empty folder and returns its path.

    The function is called once in a test run. If pytest-xdist runs several processes, the others wait for the result.
    Tests must not change what was made.
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
