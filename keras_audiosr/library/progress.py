"""Shows progress bars on a terminal while songs are restored."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TextIO

from .outcome import Outcome, RestoredFile
from .plan import Song


class Progress(Protocol):
    """Shows how far a run is."""

    def song(self, song: Song) -> contextlib.AbstractContextManager[Callable[[float, float], None]]:
        """Shows the progress of one song.

        Yields:
            A function `advance(seconds, total)`. Call it with the seconds of music restored since the last call, and
            with the length of the song in seconds (0.0 if unknown).
        """

    def finished(self, outcome: Outcome) -> None:
        """Counts a finished song, with any outcome."""

    def close(self) -> None:
        """Removes what is shown."""


def show_progress(sizes: dict[Path, int], jobs: int, bars: bool = True) -> Progress:
    """Returns bars if standard error is a terminal, and otherwise a `Progress` that shows nothing.

    Args:
        sizes: size of each song in bytes, by its path.
        jobs: number of songs at a time.
        bars: whether bars may be shown at all.
    """
    return _Bars(sizes, jobs) if bars and _on_terminal() else _Nothing()


def print_line(text: str, file: TextIO) -> None:
    """Prints a line, and keeps it apart from any bars."""
    if _on_terminal():
        from tqdm import tqdm

        tqdm.write(text, file=file)
    else:
        print(text, file=file)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class _Nothing:
    """Shows nothing. It does not import tqdm, which takes as long as restoring a second of music."""

    @contextlib.contextmanager
    def song(self, song: Song) -> Iterator[Callable[[float, float], None]]:
        yield lambda seconds, total: None

    def finished(self, outcome: Outcome) -> None:
        pass

    def close(self) -> None:
        pass


class _Bars:
    """Shows one bar for the whole run and one for the current song.

    The bar for the whole run counts the bytes of the songs, so that it can estimate the remaining time from the first
    block on. Skipped and failed songs take almost no time, so their bytes are removed from its total.

    Args:
        sizes: size of each song in bytes, by its path. A single song has no bar for the whole run.
        jobs: number of songs at a time. If there are several, single songs have no bars.
    """

    def __init__(self, sizes: dict[Path, int], jobs: int):
        from tqdm import tqdm

        self._tqdm = tqdm
        self._sizes = sizes
        self._one = jobs == 1
        self._done: dict[Path, float] = {}
        self._files = 0
        self._changing = threading.Lock()
        self._all = tqdm(
            desc=self._description(),
            total=sum(sizes.values()),
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            smoothing=0.05,
            disable=len(sizes) == 1,
        )

    def _description(self) -> str:
        return f"restore {self._files}/{len(self._sizes)}"

    def finished(self, outcome: Outcome) -> None:
        with self._changing:
            self._files += 1
            size, done = self._sizes.get(outcome.source, 0), self._done.pop(outcome.source, 0.0)
            if isinstance(outcome, RestoredFile):
                self._all.update(size - done)
            else:
                self._all.total -= size
                self._all.update(-done)
            self._all.set_description_str(self._description())

    def close(self) -> None:
        self._all.close()

    @contextlib.contextmanager
    def song(self, song: Song) -> Iterator[Callable[[float, float], None]]:
        bar = self._tqdm(
            desc=song.source.name,
            bar_format="{desc}: {bar} {elapsed}<{remaining}",
            disable=not self._one,
            leave=False,
        )

        def advance(seconds: float, total: float) -> None:
            bar.total = total or None
            bar.update(seconds)
            with self._changing:
                done = self._done.get(song.source, 0.0)
                size = self._sizes[song.source]
                step = min(size * seconds / total, size - done) if total else 0.0
                self._done[song.source] = done + step
                self._all.update(step)

        with bar:
            yield advance
