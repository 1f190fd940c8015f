"""What a run says while it goes and at its end: bars on a terminal, a line or a JSON object a song, a summary."""

import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .outcome import FailedFile, Outcome, PlannedFile, RestoredFile, SkippedFile
from .plan import Song

PROGRAM = "keras-audiosr"


class Progress:
    """One bar for all songs and one for the song at work, on a terminal only.

    Args:
        songs: number of songs; a single one needs no bar for all.
        jobs: songs at a time; with several there is no bar for one.
    """

    def __init__(self, songs: int, jobs: int):
        from tqdm import tqdm

        self._tqdm = tqdm
        self._one = jobs == 1
        self._all = tqdm(desc="restore", total=songs, unit="file", disable=None if songs > 1 else True)

    def finished(self) -> None:
        """One more song has been dealt with."""
        self._all.update()

    def close(self) -> None:
        """Takes the bar away."""
        self._all.close()

    @contextlib.contextmanager
    def song(self, song: Song) -> Iterator[Any]:
        """The bar of one song: yields a function to call with the seconds done, and the seconds in all."""
        bar = self._tqdm(
            desc=song.source.name,
            bar_format="{desc}: {bar} {elapsed}<{remaining}",
            disable=None if self._one else True,
            leave=False,
        )

        def advance(seconds: float, total: float) -> None:
            bar.total = total or None
            bar.update(seconds)

        with bar:
            yield advance


class Reporter:
    """Prints what became of each song as it is known, then a summary.

    Lines for people: restored, planned and skipped songs on standard output, errors and warnings on standard error.
    With `json_lines` everything is one JSON object a line on standard output.

    Args:
        json_lines: whether lines are JSON.
        several: whether there is a summary.
        piped: whether standard output carries music; then all lines go to standard error.
        names: what files that stand in for pipes are called instead of their paths.
    """

    def __init__(self, json_lines: bool, several: bool, piped: bool, names: dict[str, str] | None = None):
        self._json = json_lines
        self._several = several
        self._names = names or {}
        self._out: TextIO = sys.stderr if piped else sys.stdout
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._duration = 0.0
        self._started = time.perf_counter()

    def say(self, outcome: Outcome) -> None:
        """Tells what became of one song."""
        self._counts[_EVENTS[type(outcome)]] += 1
        if isinstance(outcome, SkippedFile):
            self._reasons[outcome.reason] += 1
        if isinstance(outcome, RestoredFile):
            self._duration += outcome.duration
        if self._json:
            self._line(json.dumps(_event(outcome)), self._out)
        elif isinstance(outcome, RestoredFile):
            speed = outcome.duration / max(outcome.elapsed, 1e-9)
            self._line(f"{outcome.target}  {outcome.duration:.1f} s  {speed:.0f}x real time", self._out)
            for warning in outcome.warnings:
                self._line(f"{PROGRAM}: warning: {warning}", sys.stderr)
        elif isinstance(outcome, SkippedFile):
            self._line(f"skipped: {outcome.message}", self._out)
        elif isinstance(outcome, PlannedFile):
            self._line(f"would restore {outcome.source} to {outcome.target}", self._out)
        else:
            self._line(f"{PROGRAM}: error: {outcome.error}", sys.stderr)

    def summary(self) -> None:
        """Tells how many songs there were of each kind, if there were several."""
        elapsed = time.perf_counter() - self._started
        counts = self._counts
        if self._json:
            event = {"event": "summary", **{name: counts[name] for name in _EVENTS.values()}}
            event["reasons"] = {reason: self._reasons[reason] for reason in _SKIPPED}
            event |= {"duration": round(self._duration, 3), "elapsed": round(elapsed, 3)}
            self._line(json.dumps(event), self._out)
        elif self._several:
            parts = [f"{counts['planned']} to restore" if counts["planned"] else f"{counts['restored']} restored"]
            parts += [f"{self._reasons[reason]} {words}" for reason, words in _SKIPPED.items() if self._reasons[reason]]
            parts.append(f"{counts['failed']} failed")
            speed = f"; {self._duration / 60:.1f} min of music in {elapsed:.1f} s" if self._duration else ""
            self._line(", ".join(parts) + speed, self._out)

    def _line(self, text: str, file: TextIO) -> None:
        from tqdm import tqdm

        for path, name in self._names.items():
            text = text.replace(path, name)
        # tqdm's own write, so that a line and the bar do not run into each other; one line, whatever is in a path.
        tqdm.write(" ".join(text.splitlines()), file=file)


_EVENTS = {RestoredFile: "restored", PlannedFile: "planned", FailedFile: "failed", SkippedFile: "skipped"}
_SKIPPED = {"done": "done already", "lossless": "lossless", "bitrate": "of high bitrate", "restored": "restored before"}


def _event(outcome: Outcome) -> dict:
    """An outcome as JSON: its class as `event`, and its attributes; a path that is not UTF-8 keeps its surrogates."""
    event: dict[str, Any] = {"event": _EVENTS[type(outcome)]}
    for key, value in vars(outcome).items():
        if key == "error":
            event |= {"error": " ".join(str(value).splitlines()), "exit_code": value.exit_code}
        elif isinstance(value, Path):
            event[key] = str(value)
        else:
            event[key] = round(value, 3) if isinstance(value, float) else value
    return event
