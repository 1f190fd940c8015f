"""Atomic outputs: temporary files and folders that are renamed when complete, and removed when abandoned.

A lock of the operating system shows that the run which makes a temporary file is still alive. The lock ends with its
process, even after `kill -9`. Process IDs are not suitable, because they are reused and mean nothing on a shared disk.
The lock is on a separate file, because some shares let nobody write to a locked file.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from ..annotations import StrPath
from ..errors import AudioFileError, OutputExistsError, cause
from .file_systems import copy, lock, require_name, sync

_NAME = re.compile(r"\.[0-9a-f]{16}\.partial(\.\w+)?")
# With these flags, if the system has them, links are not followed and pipes do not block.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_swept: set[Path] = set()
_sweeping = threading.Lock()


@contextlib.contextmanager
def atomic_output(path: StrPath, replace: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which is renamed to `path` only if the block succeeds.

    The file is synced before it is renamed, so after a crash there is either the old file or the complete new one.
    Temporary files that killed runs have left in the folder are removed.

    Args:
        path: the file to make.
        replace: whether an existing file is replaced. If false, an existing file is an error, even if another run made
            it in the meantime.

    Raises:
        OutputExistsError: the file exists and `replace` is false.
        AudioFileError: the folder cannot be written, the file system does not allow the name, or the disk is full.
    """
    path = Path(path)
    require_name(path)
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


def link_or_copy(source: Path, target: Path) -> None:
    """Puts `source` at the path `target`, as a hard link if possible, otherwise as a copy.

    Raises:
        AudioFileError: `source` is missing, or `target` cannot be written.
    """
    if not source.is_file():
        raise AudioFileError(f"a file that is linked or copied must exist; {source} is missing; bring it back")
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return
    link = target.with_name(f".{secrets.token_hex(8)}.link")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.hardlink_to(source.resolve())
            os.replace(link, target)
        except OSError:
            with atomic_output(target) as partial:
                # The copy keeps the time, because a later run uses it to see whether the source has changed.
                copy(source, partial)
    except OSError as error:
        raise AudioFileError(
            f"the output must be writable; {target}: {cause(error)}; check the folder, its permissions and the free"
            " space"
        ) from error
    finally:
        link.unlink(missing_ok=True)


def write_json(path: StrPath, content: Any) -> None:
    """Writes JSON atomically: `path` is always either the old file or the complete new one.

    Raises:
        AudioFileError: as `atomic_output`.
    """
    with atomic_output(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _unwritable(path: Path, error: Exception) -> AudioFileError:
    return AudioFileError(
        f"the output must be writable; {path}: {cause(error)}; check the folder, its permissions and the free space"
    )


@contextlib.contextmanager
def atomic_folder(path: StrPath, replaces: str | None = None) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which is renamed to `path` only if the block succeeds.

    Args:
        path: the folder to make.
        replaces: name of a file. If a folder at `path` contains this file, it is replaced once the new folder is
            complete and synced.

    Raises:
        OutputExistsError: `path` exists, is not empty, and may not be replaced.
        AudioFileError: the folder cannot be written, the file system does not allow the name, or the disk is full.
    """
    path = Path(path).absolute()
    require_name(path)
    occupied = path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir()))
    if occupied and replaces is None:
        raise OutputExistsError(f"the output folder must be new or empty; {path} is not; name another, or move it away")
    if occupied and not (path / str(replaces)).is_file():
        raise OutputExistsError(
            f"only a folder that contains {replaces} is replaced; {path} does not; name another, or move it away"
        )
    # This is not the name of a temporary folder, which could be removed as abandoned. If the run is killed between the
    # two renames, this is the only complete folder.
    old = path.with_name(f".{secrets.token_hex(8)}.old")
    try:
        with partial_folder(path) as partial:
            yield partial
            for made in partial.rglob("*"):
                if made.is_file():
                    sync(made)
            if occupied:
                os.replace(path, old)
            elif path.is_dir():
                path.rmdir()  # some file systems cannot replace an empty folder
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
    """Yields an empty temporary file beside `path`; it is removed at the end unless it was renamed.

    Other runs do not remove it while this run is alive. Files that killed runs left in the folder are removed first.

    Raises:
        OSError: the folder cannot be made or written.
    """
    # The suffix stays at the end, because soundfile and FFmpeg choose the format by it.
    with _claimed(path, path.suffix) as partial:
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield partial
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`, with the same rules as `partial_file`."""
    with _claimed(path) as partial:
        try:
            partial.mkdir()
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def take_new_name(partial: Path, path: Path) -> None:
    """Renames `partial` to a new name. It uses a hard link, because a rename would replace an existing file.

    Raises:
        OutputExistsError: the name is taken.
        OSError: the folder cannot be written.
    """
    try:
        os.link(partial, path)
    except OSError as error:
        if os.path.lexists(path):
            raise OutputExistsError(
                f"an output is not replaced unless asked; another run made {path}; add --overwrite or name another"
            ) from error
        partial.rename(path)  # for a disk without hard links


def remove_abandoned(folder: Path) -> None:
    """Removes temporary files and folders of runs that have ended. It does so once per folder and process."""
    folder = folder.absolute()
    with _sweeping:
        if folder in _swept:
            return
        _swept.add(folder)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):
                _remove_if_abandoned(path)


@contextlib.contextmanager
def _claimed(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yields a new locked name beside `path`, after it has removed temporary files that killed runs left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    # The name is random, because two threads may work on files of the same name. It is short, because the name of
    # `path` may already have 255 bytes.
    partial = path.with_name(f".{secrets.token_hex(8)}.partial{suffix}")
    descriptor = _locked_file(_lock_of(partial))
    try:
        yield partial
    finally:
        os.close(descriptor)  # closed first, because Windows cannot remove an open file
        _lock_of(partial).unlink(missing_ok=True)


def _lock_of(partial: Path) -> Path:
    return partial.with_name(".".join(partial.name.split(".")[:3]) + ".lock")


def _remove_if_abandoned(path: Path) -> None:
    # A file that cannot be opened or locked is kept, for instance on a disk without locks.
    with contextlib.suppress(OSError):
        owner = _lock_of(path)
        # A temporary file without a lock file was made by an earlier version, which locked the file itself.
        descriptor = os.open(owner if owner.exists() else path, _READ)
        try:
            if not lock(descriptor, wait=False):
                return
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)


def _locked_file(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        lock(descriptor)  # on a disk without locks, no other run can lock this file and remove it either
        # Another run may have removed the file as abandoned between the two lines above.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
