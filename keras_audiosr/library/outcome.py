"""What became of each song."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from ..errors import AudioSRError
from ..files.formats import LeftOut


@dataclasses.dataclass(frozen=True)
class RestoredFile:
    """One restored file.

    Attributes:
        source: the lossy file.
        target: the restored file.
        duration: seconds of music.
        elapsed: seconds it took.
        clipped: samples beyond full scale that were clamped.
        warnings: one line each; what the user should know.
        left_out: what of the source its output does not have.
        size: bytes of the restored file.
        coding: codec, bitrate, sample rate and channels of the source.
        record: what the restored file's `RESTORATION` tag says: source, model and settings.
    """

    source: Path
    target: Path
    duration: float
    elapsed: float
    clipped: int
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    size: int = 0
    coding: str = ""
    record: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SkippedFile:
    """One file that was not restored, because there was no need.

    Attributes:
        source: the file.
        target: the restored file that exists, or that would be made.
        reason: `"done"`: the target was made from this source by this model with these settings; `"lossless"`: there
            is nothing to restore; `"bitrate"`: so little is missing that restoring would do harm; `"restored"`: the
            source is itself a restored file.
        message: the reason as a sentence.
    """

    source: Path
    target: Path
    reason: Literal["done", "lossless", "bitrate", "restored"]
    message: str


@dataclasses.dataclass(frozen=True)
class CopiedFile:
    """One file that was brought into the output folder as it is: a song that was skipped, or folder art.

    Attributes:
        source: the file.
        target: its copy, or its other name where it was linked.
        size: bytes of the file.
    """

    source: Path
    target: Path
    size: int


@dataclasses.dataclass(frozen=True)
class PlannedFile:
    """One file that would be made if this were no dry run.

    Attributes:
        source: the lossy file, or the file to copy or link.
        target: the file that would be made.
        size: estimated bytes of the restored file; bytes of a copy; 0 for a link, and where the length of the music is
            unknown.
        work: what would be done.
    """

    source: Path
    target: Path
    size: int = 0
    work: Literal["restore", "copy", "link"] = "restore"


@dataclasses.dataclass(frozen=True)
class FailedFile:
    """One file that could not be restored.

    Attributes:
        source: the file.
        error: why.
    """

    source: Path
    error: AudioSRError


Outcome = RestoredFile | SkippedFile | CopiedFile | PlannedFile | FailedFile


@dataclasses.dataclass
class RestoreReport:
    """What became of each input.

    Attributes:
        restored: the files that were restored.
        skipped: the files that did not need to be restored.
        copied: the files that were brought into the output folder as they are.
        planned: the files that would be made, in a dry run.
        failures: pairs of input and error.
    """

    restored: list[RestoredFile] = dataclasses.field(default_factory=list)
    skipped: list[SkippedFile] = dataclasses.field(default_factory=list)
    copied: list[CopiedFile] = dataclasses.field(default_factory=list)
    planned: list[PlannedFile] = dataclasses.field(default_factory=list)
    failures: list[tuple[Path, AudioSRError]] = dataclasses.field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Adds an outcome to the list of its kind."""
        if isinstance(outcome, RestoredFile):
            self.restored.append(outcome)
        elif isinstance(outcome, CopiedFile):
            self.copied.append(outcome)
        elif isinstance(outcome, SkippedFile):
            self.skipped.append(outcome)
        elif isinstance(outcome, PlannedFile):
            self.planned.append(outcome)
        else:
            self.failures.append((outcome.source, outcome.error))
