"""Checks that a training run resumes with the same music, by the SHA-256 of every file, which is recorded at its start.

A resumed run that continued with other music would end with weights that cannot be reproduced.
"""

import concurrent.futures
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import AudioFileError, UsageError, cause
from ..processes.partial_files import atomic_output


def hold_to_corpus(note: Path, folder: Path, names: Iterable[str]) -> None:
    """Records the SHA-256 of the files of a corpus, and refuses files that have changed since they were recorded.

    A file that still has its recorded size and modification time is not read again. A file with another modification
    time but the same content is accepted.

    Args:
        note: JSON file of the record, `{name: [bytes, nanoseconds, SHA-256]}`. It is made if it does not exist.
        folder: the folder that the names are relative to.
        names: names of the files.

    Raises:
        UsageError: a file has changed, or the record is damaged.
        AudioFileError: a file is missing or cannot be read.
    """
    folder = Path(folder)
    noted = _read(note)

    def describe(name: str) -> list:
        path = folder / name
        try:
            status = path.stat()
            before = noted.get(name)
            if before is not None and before[:2] == [status.st_size, status.st_mtime_ns]:
                return before
            with open(path, "rb") as file:
                return [status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
        except OSError as error:
            raise AudioFileError(
                f"the files of a manifest must be readable; {path}: {error.strerror}; restore the file"
            ) from error

    names = sorted(set(names))
    # Threads suffice, because reading and hashing release the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = dict(zip(names, pool.map(describe, names), strict=True))
    changed = [name for name in names if name in noted and noted[name][2] != found[name][2]]
    if changed:
        others = f" and {len(changed) - 1} more have" if len(changed) > 1 else " has"
        raise UsageError(
            f"a run must resume with the corpus it began with; {folder / changed[0]}{others} changed since;"
            " name another folder for the run, or restore the music"
        )
    if found != noted:
        with atomic_output(note) as partial:
            partial.write_text(json.dumps(found, indent=0) + "\n", "utf-8")


def _read(note: Path) -> dict[str, list]:
    try:
        noted = json.loads(note.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"a run's {note.name} must be JSON; {note}: {cause(error)}; name another folder") from error
    sound = isinstance(noted, dict) and all(isinstance(entry, list) and len(entry) == 3 for entry in noted.values())
    if not sound:
        raise UsageError(
            f"a run's {note.name} must have three values for each file; {note} does not; name another folder"
        )
    return noted
