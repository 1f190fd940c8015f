"""Copies or links what is not restored into the output folder: skipped songs, and images beside the songs."""

import filecmp
import os
from pathlib import Path

from ..errors import OutputExistsError
from ..processes.file_systems import copy
from ..processes.partial_files import atomic_output, link_or_copy
from .outcome import CopiedFile, PlannedFile
from .settings import Settings


def is_copy(source: Path, target: Path) -> bool:
    """Returns whether `target` is a copy of `source` or another name of the same file.

    Files of equal size and modification time count as equal, as in `filecmp.cmp`. All others are compared byte by byte.
    """
    try:
        return target.samefile(source) or filecmp.cmp(source, target)
    except OSError:
        return False


def bring(source: Path, target: Path, settings: Settings) -> CopiedFile | PlannedFile | None:
    """Copies or links an unchanged file into the output folder.

    Args:
        source: the file.
        target: path of the copy or link.
        settings: `settings.others` chooses between a copy and a hard link.

    Returns:
        What was done, or in a dry run what would be done. `None` if `target` is already a copy of `source`.

    Raises:
        OutputExistsError: `target` is a different file and `settings.overwrite` is false.
        AudioFileError: `target` cannot be written.
    """
    if is_copy(source, target):
        return None
    if os.path.lexists(target) and not settings.overwrite:
        raise OutputExistsError(
            f"an output is not replaced unless asked; {target} is another file; add --overwrite or choose another with"
            " -o"
        )
    size = source.stat().st_size
    if settings.dry_run:
        planned = PlannedFile(source, target, size, "copy")
        return planned if settings.others == "copy" else PlannedFile(source, target, 0, "link")
    if settings.others == "link":
        link_or_copy(source, target)
    else:
        with atomic_output(target, replace=settings.overwrite) as partial:
            copy(source, partial)
    return CopiedFile(source, target, size)
