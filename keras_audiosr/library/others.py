"""What an output folder takes besides restored songs: songs that were skipped, and images beside the songs."""

import filecmp
import os
from pathlib import Path

from ..errors import OutputExistsError
from ..processes.file_systems import copy
from ..processes.partial_files import atomic_output
from ..shelf.file_locations import bring_in
from .outcome import CopiedFile, PlannedFile
from .settings import Settings


def is_copy(source: Path, target: Path) -> bool:
    """Whether `target` is a copy of `source`, or another name of it.

    Files of one size and time count as equal, as `filecmp` has it; all others are compared byte by byte.
    """
    try:
        return target.samefile(source) or filecmp.cmp(source, target)
    except OSError:
        return False


def bring(source: Path, target: Path, settings: Settings) -> CopiedFile | PlannedFile | None:
    """Brings a file into the output folder as it is.

    Args:
        source: the file.
        target: its place.
        settings: `others` says how.

    Returns:
        What was done, or what would be done in a dry run; `None` if the file is there already.

    Raises:
        OutputExistsError: another file is there, and is not to be replaced.
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
        bring_in(source, target)
    else:
        with atomic_output(target, replace=settings.overwrite) as partial:
            copy(source, partial)
    return CopiedFile(source, target, size)
