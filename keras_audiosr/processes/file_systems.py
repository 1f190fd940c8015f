"""Operations that differ between file systems: syncing, locking, copying, free space, and allowed file names.

These functions work on local disks, CIFS/SMB, NFS, exFAT and FUSE. If a file system does not support syncing or
locking, they continue without it. A power failure can then damage a file, but no run fails for this reason.
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
except ImportError:  # Windows has no fcntl, so there are no locks
    fcntl = None  # type: ignore[assignment]

# Errors of an fsync that is not supported: CIFS (EACCES, EBADF on a read-only descriptor), FUSE (EINVAL, ENOSYS).
_CANNOT_SYNC = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS}
# Characters that FAT, exFAT, NTFS and most shares refuse.
RESERVED = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')


def sync(path: StrPath) -> None:
    """Waits until a file's bytes are on the disk, if the file system supports it.

    Raises:
        OSError: the bytes could not be written, for example because the disk is full or defective.
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
    """Locks an open file until it is closed. Use a file that nobody writes to, because locks are mandatory on SMB.

    Args:
        descriptor: descriptor of the open file.
        wait: whether to wait while another process holds the lock.

    Returns:
        Whether the file is now locked. It is false if the operating system or the file system has no such locks.

    Raises:
        BlockingIOError: another process has locked the file, and `wait` is false.
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
    """Checks that a disk has enough free space. Call it before any work begins.

    Args:
        folder: folder of the future files. It need not exist yet.
        needed: number of bytes.
        fix: advice for the user, as the last part of the error message.

    Raises:
        AudioSRError: less space is free.
    """
    free = shutil.disk_usage(_first_folder(folder / "x")).free
    if free < needed:
        raise AudioSRError(
            f"the disk must have enough free space; {folder} needs {needed / 1e6:,.1f} MB, and"
            f" {free / 1e6:,.1f} MB are free; {fix}"
        )


def name_that_fits(name: str) -> str:
    """Returns a similar file name that every file system allows."""
    fitting = RESERVED.sub("_", name)
    return fitting.rstrip(". ") or "_"


def _first_folder(path: Path) -> Path:
    """Returns the nearest parent folder of `path` that exists."""
    return next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path("/"))  # noqa: PTH112


def _unfit(name: str) -> str:
    """Returns the characters of a name that some file systems refuse; the result is empty for most names."""
    end = name[len(name.rstrip(". ")) :]
    return "".join(sorted(set(RESERVED.findall(name)))) + end


def _holds(folder: Path, marks: str) -> bool:
    """Returns whether a folder allows a name with these characters. It is also true if this cannot be tested."""
    probe = folder / f".{secrets.token_hex(8)}.partial.{marks}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        return error.errno not in (errno.EINVAL, errno.ENOENT, errno.EILSEQ, errno.EIO)
    try:
        # Some shares silently drop characters that they do not support, so the file has another name.
        return any(path.name == probe.name for path in folder.iterdir())
    finally:
        probe.unlink(missing_ok=True)


def fitting_path(path: Path) -> Path:
    """Returns `path`, or a similar path that the file system allows. The result is the same in every run.

    Only the parts of the path that do not exist yet are changed.
    """
    existing = _first_folder(path)
    new = path.absolute().relative_to(existing).parts
    marks = "".join(map(_unfit, new))
    if not marks or _holds(existing, marks):
        return path
    kept = path.parts[: len(path.parts) - len(new)]
    return Path(*kept, *map(name_that_fits, new))


def require_name(path: Path) -> None:
    """Checks that the file system allows a name. Call it before any work begins.

    Raises:
        AudioFileError: the file system refuses the name. The message suggests one that it allows.
    """
    fitting = fitting_path(path)
    if fitting != path:
        raise AudioFileError(
            f"a name must be allowed by its file system; that of {path.parent} does not allow {_unfit(path.name)!r} in"
            f" {path.name}; name it {fitting}"
        )


def ignores_case(folder: Path) -> bool:
    """Returns whether names that differ only by case are the same file in a folder, which need not exist yet."""
    probe = _first_folder(folder / "x") / f".{secrets.token_hex(8)}.partial"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    try:
        return os.path.lexists(probe.with_name(probe.name.upper()))
    finally:
        probe.unlink(missing_ok=True)
