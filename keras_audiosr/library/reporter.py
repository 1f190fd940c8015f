"""Prints a line or a JSON object for each file, and a summary at the end of a run."""

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ..files.formats import MEASUREMENTS
from .outcome import CopiedFile, FailedFile, Outcome, PlannedFile, RestoredFile, SkippedFile
from .progress import print_line
from .sizes import in_words

PROGRAM = "keras-audiosr"


class Reporter:
    """Prints the outcome of each file as soon as it is known, and then a summary.

    By default, lines about restored, planned, copied and skipped files go to standard output. Errors and warnings go
    to standard error. With `json_lines`, all of them are JSON objects on standard output, one per line.

    Args:
        json_lines: whether lines are JSON objects.
        several: whether a summary is printed as text. In JSON there is always one.
        piped: whether standard output carries music. All lines then go to standard error.
        names: names to print in place of the paths of temporary files that replace pipes.
        quiet: whether only errors and warnings are printed. It does not apply to JSON.
        verbose: whether two more lines describe each restored song: its source and coding, and the model and settings.
    """

    def __init__(
        self,
        json_lines: bool,
        several: bool,
        piped: bool,
        names: dict[str, str] | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ):
        self._json = json_lines
        self._several = several
        self._names = names or {}
        self._quiet = quiet
        self._verbose = verbose
        self._out: TextIO = sys.stderr if piped else sys.stdout
        self._counts: Counter[str] = Counter()
        self._work: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._failures: list[str] = []
        self._said_since_failure = False
        self._duration = 0.0
        self._size = 0
        self._started = time.perf_counter()

    def say(self, outcome: Outcome) -> None:
        """Prints the outcome of one file."""
        self._count(outcome)
        if self._json:
            self._line(json.dumps(_event(outcome)), self._out)
        elif isinstance(outcome, FailedFile):
            self._failures.append(str(outcome.error))
            self._line(f"{PROGRAM}: error: {outcome.error}", sys.stderr)
        else:
            self._said_since_failure = self._said_since_failure or bool(self._failures)
            if not self._quiet:
                for line in self._lines(outcome):
                    self._line(line, self._out)
            if isinstance(outcome, RestoredFile):
                self._warn(outcome)

    def _count(self, outcome: Outcome) -> None:
        self._counts[_EVENTS[type(outcome)]] += 1
        if isinstance(outcome, PlannedFile):
            self._work[outcome.work] += 1
        if isinstance(outcome, SkippedFile):
            self._reasons[outcome.reason] += 1
        if isinstance(outcome, RestoredFile):
            self._duration += outcome.duration
            self._left_out.update({part.what for part in outcome.left_out})
        if isinstance(outcome, RestoredFile | PlannedFile):
            self._size += outcome.size

    def _lines(self, outcome: RestoredFile | SkippedFile | CopiedFile | PlannedFile) -> Iterator[str]:
        if isinstance(outcome, SkippedFile):
            yield f"skipped: {outcome.message}"
        elif isinstance(outcome, CopiedFile):
            yield f"{outcome.target}  unchanged, {in_words(outcome.size)}"
        elif isinstance(outcome, PlannedFile):
            about = "about " if outcome.work == "restore" else ""
            size = f" ({about}{in_words(outcome.size)})" if outcome.size else ""
            yield f"would {outcome.work} {outcome.source} to {outcome.target}{size}"
        else:
            speed = outcome.duration / max(outcome.elapsed, 1e-9)
            size = in_words(outcome.size)
            without = "".join(f"  without {part.detail}" for part in outcome.left_out if not part.is_loss)
            yield f"{outcome.target}  {outcome.duration:.1f} s  {size}  {speed:.0f}x real time{without}"
            if self._verbose:
                yield f"  from {outcome.source}: {outcome.coding}"
                yield f"  with {', '.join(f'{key} {value}' for key, value in outcome.record.items())}"

    def _warn(self, outcome: RestoredFile) -> None:
        for warning in outcome.warnings:
            self._line(f"{PROGRAM}: warning: {warning}", sys.stderr)
        details = "; ".join(part.detail for part in outcome.left_out if part.is_loss)
        if details:
            self._line(f"{PROGRAM}: warning: left out of {outcome.target}: {details}", sys.stderr)

    def summary(self) -> None:
        """Prints how many files had each outcome, and repeats the errors if other lines followed them."""
        elapsed = time.perf_counter() - self._started
        if self._json:
            event = {"event": "summary", **{name: self._counts[name] for name in _EVENTS.values()}}
            event["reasons"] = {reason: self._reasons[reason] for reason in _SKIPPED}
            event["left_out"] = dict(sorted(self._left_out.items()))
            event |= {"duration": round(self._duration, 3), "elapsed": round(elapsed, 3), "size": self._size}
            self._line(json.dumps(event), self._out)
        elif self._several and not self._quiet:
            if self._said_since_failure:
                self._line(f"{PROGRAM}: {len(self._failures)} failed:", sys.stderr)
                for failure in self._failures:
                    self._line(f"  {failure}", sys.stderr)
            self._line(self._totals(elapsed), self._out)

    def _totals(self, elapsed: float) -> str:
        counts = self._counts
        parts = [f"{self._work['restore']} to restore" if counts["planned"] else f"{counts['restored']} restored"]
        parts += [f"{self._reasons[reason]} {words}" for reason, words in _SKIPPED.items() if self._reasons[reason]]
        parts += [f"{counts['copied']} included unchanged"] if counts["copied"] else []
        parts += [f"{self._work[work]} to {work}" for work in ("copy", "link") if self._work[work]]
        parts.append(f"{counts['failed']} failed")
        left_out = [(what, f"{what} left out of {songs}") for what, songs in sorted(self._left_out.items())]
        parts += [words for what, words in left_out if what != MEASUREMENTS]
        work = [f"{self._duration / 60:.1f} min of music in {elapsed:.1f} s"] if self._duration else []
        about = "about " if counts["planned"] else ""
        work += [f"{about}{in_words(self._size)}"] if self._size else []
        others = [words for what, words in left_out if what == MEASUREMENTS]
        return "; ".join([", ".join(parts), *([", ".join(work)] if work else []), *others])

    def _line(self, text: str, file: TextIO) -> None:
        for path, name in self._names.items():
            text = text.replace(path, name)
        # Line breaks in paths are removed, so that the text stays on one line.
        print_line(" ".join(text.splitlines()), file)


_EVENTS = {
    RestoredFile: "restored",
    PlannedFile: "planned",
    CopiedFile: "copied",
    FailedFile: "failed",
    SkippedFile: "skipped",
}
_SKIPPED = {"done": "done already", "lossless": "lossless", "bitrate": "of high bitrate", "restored": "restored before"}


def _event(outcome: Outcome) -> dict:
    """Returns an outcome as a dict for JSON: its kind as `event`, and its attributes. Paths may contain surrogates."""
    event: dict[str, Any] = {"event": _EVENTS[type(outcome)]}
    for key, value in vars(outcome).items():
        if key == "error":
            event |= {"error": " ".join(str(value).splitlines()), "exit_code": value.exit_code}
        elif isinstance(value, Path):
            event[key] = str(value)
        elif key == "left_out":
            event[key] = [dataclasses.asdict(part) for part in value]
        else:
            event[key] = round(value, 3) if isinstance(value, float) else value
    return event
