"""Records of the outcome of each song: restored, skipped, copied, planned or failed."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from ..errors import AudioSRError
from ..files.formats import LeftOut


@dataclasses.dataclass(frozen=True)
class RestoredFile:
    """A file that was restored.

    Attributes:
        source: the lossy file.
        target: the restored file.
        duration: length of the music in seconds.
        elapsed: seconds that the restoration took.
        clipped: number of samples beyond full scale that were clamped.
        warnings: messages for the user, each of one line.
        left_out: parts of the source that the output lacks.
        size: size of the restored file in bytes.
        coding: codec, bitrate, sample rate and channels of the source, as text.
        record: content of the `RESTORATION` tag of the restored file: source, model and settings.
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
    """A file that was skipped because it did not need to be restored.

    Attributes:
        source: the file.
        target: the restored file that exists or would have been made.
        reason: `"done"`: the target was already made from this source with this model and these settings.
            `"lossless"`: the source lacks nothing. `"bitrate"`: the source lacks so little that restoring it would do
            harm. `"restored"`: the source is itself a restored file.
        message: the reason as a sentence.
    """

    source: Path
    target: Path
    reason: Literal["done", "lossless", "bitrate", "restored"]
    message: str


@dataclasses.dataclass(frozen=True)
class CopiedFile:
    """A file that was copied or linked unchanged into the output folder: a skipped song or an image.

    Attributes:
        source: the file.
        target: the copy or the hard link.
        size: size of the file in bytes.
    """

    source: Path
    target: Path
    size: int


@dataclasses.dataclass(frozen=True)
class PlannedFile:
    """A file that the run would make if it were not a dry run.

    Attributes:
        source: the lossy file, or the file to copy or link.
        target: the file that would be made.
        size: size of the target in bytes. It is an estimate for a restored file, and 0 for a link or if the length of
            the music is unknown.
        work: what would be done.
    """

    source: Path
    target: Path
    size: int = 0
    work: Literal["restore", "copy", "link"] = "restore"


@dataclasses.dataclass(frozen=True)
class FailedFile:
    """A file that could not be restored.

    Attributes:
        source: the file.
        error: the reason.
    """

    source: Path
    error: AudioSRError


Outcome = RestoredFile | SkippedFile | CopiedFile | PlannedFile | FailedFile


@dataclasses.dataclass
class RestoreReport:
    """The outcomes of all inputs, grouped by kind.

    Attributes:
        restored: files that were restored.
        skipped: files that did not need to be restored.
        copied: files that were copied or linked unchanged into the output folder.
        planned: in a dry run, files that would be made.
        failures: pairs of input and error.
    """

    restored: list[RestoredFile] = dataclasses.field(default_factory=list)
    skipped: list[SkippedFile] = dataclasses.field(default_factory=list)
    copied: list[CopiedFile] = dataclasses.field(default_factory=list)
    planned: list[PlannedFile] = dataclasses.field(default_factory=list)
    failures: list[tuple[Path, AudioSRError]] = dataclasses.field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome to the list of its kind."""
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
