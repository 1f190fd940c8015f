"""Outputs that are not whole yet: their names, who works on them, and the removal of those that nobody works on.

A lock of the operating system says that a run is alive. It falls with its process, however that ends, also by
`kill -9`; numbers of processes are used again, and mean nothing on a shared disk.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import soundfile

from ..errors import AudioFileError, OutputExistsError

_NAME = re.compile(r"\.[0-9a-f]{16}\.partial(\.\w+)?")
_swept: set[Path] = set()
_sweeping = threading.Lock()


@contextlib.contextmanager
def atomic_output(path, replace: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name only when the block succeeds.

    The file is synced before it is renamed: after a crash there is the old file
    or the whole new one, never a half. What killed runs left beside it is removed.

    Args:
        path: the file to make.
        replace: whether a file of that name gives way. Else it is refused, also one that another run made meanwhile.

    Raises:
        OutputExistsError: the name is taken, and not to be replaced.
        AudioFileError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    try:
        with partial_file(path) as partial:
            yield partial
            sync(partial)
            if replace:
                os.replace(partial, path)
            else:
                take_new_name(partial, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> AudioFileError:
    return AudioFileError(
        f"the output must be writable; {path}: {error}; check the folder, its rights and the free space"
    )


@contextlib.contextmanager
def atomic_folder(path, replaces: str | None = None) -> Iterator[Path]:
    """A temporary folder beside `path`, there before long work begins, that takes its name when all is done.

    Args:
        path: the folder to make.
        replaces: name of a file; a folder at `path` that holds it is replaced, once the new one is whole and synced.

    Raises:
        OutputExistsError: `path` is there, neither empty nor what may be replaced.
        AudioFileError: the folder cannot be written, or the disk is full.
    """
    path = Path(path).absolute()
    occupied = path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir()))
    if occupied and replaces is None:
        raise OutputExistsError(f"the output folder must be new or empty; {path} is not; name another, or move it away")
    if occupied and not (path / str(replaces)).is_file():
        raise OutputExistsError(
            f"only a folder that holds {replaces} is replaced; {path} has none; name another, or move it away"
        )
    # Not the name of a partial: killed between the two renames, this is the only whole one.
    old = path.with_name(f".{secrets.token_hex(8)}.old")
    try:
        with partial_folder(path) as partial:
            yield partial
            for made in partial.rglob("*"):
                if made.is_file():
                    sync(made)
            if occupied:
                os.replace(path, old)
            try:
                os.replace(partial, path)
            except OSError:
                if occupied:
                    os.replace(old, path)
                raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """An empty file beside `path` that no other run takes for abandoned; removed at the end if it still has its name.

    What killed runs left in the folder is removed first.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    # The suffix stays last: soundfile and FFmpeg choose the format by it.
    partial = _beside(path, path.suffix)
    try:
        descriptor = _locked_file(partial)
        try:
            yield partial
        finally:
            os.close(descriptor)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """As `partial_file`, a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    partial = _beside(path)
    partial.mkdir()
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield partial
    finally:
        os.close(descriptor)
        shutil.rmtree(partial, ignore_errors=True)


def sync(path) -> None:
    """Waits until a file's bytes are on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def take_new_name(partial: Path, path: Path) -> None:
    """Gives `partial` a name that nobody has. By a link, for a rename would replace what is there.

    Raises:
        OutputExistsError: somebody has it.
        OSError: the folder cannot be written.
    """
    try:
        os.link(partial, path)
    except OSError as error:
        if os.path.lexists(path):
            raise OutputExistsError(
                f"an output is not replaced unasked; {path} was made meanwhile; add --overwrite or name another"
            ) from error
        partial.rename(path)  # a disk without links


def remove_abandoned(folder: Path) -> None:
    """Removes partial files and folders whose run has ended, once a folder and process."""
    folder = folder.absolute()
    with _sweeping:
        if folder in _swept:
            return
        _swept.add(folder)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):
                _remove_if_abandoned(path)


def _beside(path: Path, suffix: str = "") -> Path:
    """A new name: random, for two threads at work on files of one name; short, where `path` has 255 bytes."""
    return path.with_name(f".{secrets.token_hex(8)}.partial{suffix}")


def _remove_if_abandoned(path: Path) -> None:
    # What cannot be opened or locked, on a disk that knows no locks, stays.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    # A disk without locks: then nobody can take this for abandoned either.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _locked_file(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _lock(descriptor)
        # Between the two lines above another run may have taken it for abandoned.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
