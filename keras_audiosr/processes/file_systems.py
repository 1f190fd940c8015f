"""Operations that differ between file systems: syncing, locking, copying, free space, and the names that they allow.

These functions work on local disks, CIFS/SMB, NFS, exFAT and FUSE. Where a file system cannot sync or lock, the work
goes on without it. A power cut can then cost a file, but no run fails because of it.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from pathlib import Path

from ..annotations import StrPath
from ..errors import AudioFileError, AudioSRError

try:
    import fcntl
except ImportError:  # Windows: work goes on without locks
    fcntl = None  # type: ignore[assignment]

# Errors of fsync where it is not supported: CIFS (EACCES, EBADF on a descriptor for reading), FUSE (EINVAL, ENOSYS).
_CANNOT_SYNC = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS}
# Characters that FAT, exFAT, NTFS and most shares refuse.
RESERVED = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')


def sync(path: StrPath) -> None:
    """Waits until a file's bytes are on the disk, if the file system supports it.

    Raises:
        OSError: the bytes could not be written: the disk is full or broken.
    """
    try:
        # Opened for writing, because network shares cannot sync a read-only descriptor.
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def lock(descriptor: int, wait: bool = True) -> bool:
    """Locks an open file until it is closed. Nobody must need to write to it, because locks are mandatory on SMB.

    Returns:
        Whether it is locked; also false where the operating system or the file system has no such locks.

    Raises:
        BlockingIOError: another process has locked it, and `wait` is false.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        # NFS and SMB may return these errors for a lock that another process holds.
        if not wait and error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError(error.errno, error.strerror) from error
        return False
    return True


def copy(source: StrPath, target: StrPath) -> None:
    """Copies a file with its times and permissions, as far as the file system supports them.

    Raises:
        OSError: the bytes could not be copied.
    """
    shutil.copyfile(source, target)
    with contextlib.suppress(OSError):
        shutil.copystat(source, target)


def require_space(folder: Path, needed: int, fix: str) -> None:
    """Checks, before any work, that a disk has room.

    Args:
        folder: where the files will lie; it may not be there yet.
        needed: bytes.
        fix: what the user can do, for the message.

    Raises:
        AudioSRError: less than that is free.
    """
    free = shutil.disk_usage(_first_folder(folder / "x")).free
    if free < needed:
        raise AudioSRError(
            f"the disk must have room before work begins; {folder} needs {needed / 1e6:,.1f} MB, and"
            f" {free / 1e6:,.1f} MB are free; {fix}"
        )


def name_that_fits(name: str) -> str:
    """A similar file name that every file system allows."""
    fitting = RESERVED.sub("_", name)
    return fitting.rstrip(". ") or "_"


def _first_folder(path: Path) -> Path:
    """The nearest parent folder that exists."""
    return next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path("/"))  # noqa: PTH112


def _unfit(name: str) -> str:
    """The characters of a name that a file system may refuse; empty for most names."""
    end = name[len(name.rstrip(". ")) :]
    return "".join(sorted(set(RESERVED.findall(name)))) + end


def _holds(folder: Path, marks: str) -> bool:
    """Whether a folder allows a name with these characters; also true where this cannot be tested."""
    probe = folder / f".{secrets.token_hex(8)}.partial.{marks}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        return error.errno not in (errno.EINVAL, errno.ENOENT, errno.EILSEQ, errno.EIO)
    try:
        # Some shares silently drop characters that they do not support, and so use another name.
        return any(path.name == probe.name for path in folder.iterdir())
    finally:
        probe.unlink(missing_ok=True)


def fitting_path(path: Path) -> Path:
    """`path`, or a similar one whose new parts the file system allows; the same in every run."""
    existing = _first_folder(path)
    new = path.absolute().relative_to(existing).parts
    marks = "".join(map(_unfit, new))
    if not marks or _holds(existing, marks):
        return path
    kept = path.parts[: len(path.parts) - len(new)]
    return Path(*kept, *map(name_that_fits, new))


def require_name(path: Path) -> None:
    """Checks, before any work, that the file system allows a name.

    Raises:
        AudioFileError: it does not; the message suggests a name that it allows.
    """
    fitting = fitting_path(path)
    if fitting != path:
        raise AudioFileError(
            f"a name must fit its file system; the one of {path.parent} takes none of {_unfit(path.name)!r} as in"
            f" {path.name}; name it {fitting}"
        )


def ignores_case(folder: Path) -> bool:
    """Whether names that differ only by case are one file in this folder, which need not exist yet."""
    probe = _first_folder(folder / "x") / f".{secrets.token_hex(8)}.partial"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    try:
        return os.path.lexists(probe.with_name(probe.name.upper()))
    finally:
        probe.unlink(missing_ok=True)
