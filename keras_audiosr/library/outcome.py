"""What became of each song."""

import dataclasses
from pathlib import Path
from typing import Literal

from ..errors import AudioSRError


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
    """

    source: Path
    target: Path
    duration: float
    elapsed: float
    clipped: int
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SkippedFile:
    """One file that needed nothing.

    Attributes:
        source: the file.
        target: where its restored twin is, or would be.
        reason: `"done"`: the target was made from this very source by this model with these settings;
            `"lossless"`: there is nothing to restore; `"bitrate"`: so little that restoring would harm;
            `"restored"`: the source is itself a restored file.
        message: the same for people.
    """

    source: Path
    target: Path
    reason: Literal["done", "lossless", "bitrate", "restored"]
    message: str


@dataclasses.dataclass(frozen=True)
class PlannedFile:
    """One file that would be restored if this were no dry run.

    Attributes:
        source: the lossy file.
        target: the file that would be made.
    """

    source: Path
    target: Path


@dataclasses.dataclass(frozen=True)
class FailedFile:
    """One file that could not be restored.

    Attributes:
        source: the file.
        error: why.
    """

    source: Path
    error: AudioSRError


Outcome = RestoredFile | SkippedFile | PlannedFile | FailedFile


@dataclasses.dataclass
class RestoreReport:
    """What became of each input.

    Attributes:
        restored: the files that were restored.
        skipped: the files that needed nothing.
        planned: the files that would be restored, in a dry run.
        failures: pairs of input and error.
    """

    restored: list[RestoredFile] = dataclasses.field(default_factory=list)
    skipped: list[SkippedFile] = dataclasses.field(default_factory=list)
    planned: list[PlannedFile] = dataclasses.field(default_factory=list)
    failures: list[tuple[Path, AudioSRError]] = dataclasses.field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Files an outcome where it belongs."""
        if isinstance(outcome, RestoredFile):
            self.restored.append(outcome)
        elif isinstance(outcome, SkippedFile):
            self.skipped.append(outcome)
        elif isinstance(outcome, PlannedFile):
            self.planned.append(outcome)
        else:
            self.failures.append((outcome.source, outcome.error))
