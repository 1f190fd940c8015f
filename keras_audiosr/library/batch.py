"""Restores many songs, one after the other or in parallel, and opens the models for it."""

import contextlib
import dataclasses
import os
import queue
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

from ..errors import AudioFileError, AudioSRError, UsageError, cause
from ..processes import threads
from ..runners import Runner
from ..runners.load import RunnerOptions, open_runner
from ..runners.locate import locate
from ..serving import Server
from .others import bring
from .outcome import FailedFile, Outcome, SkippedFile
from .plan import Plan, Song
from .progress import show_progress
from .settings import Settings
from .song import restore_song

# One song uses at most this many cores.
_MOST_THREADS = 4
_AS_IT_COMES = RunnerOptions()
# These errors make one file fail. The other files are restored nevertheless.
_FAILURES = (AudioSRError, OSError, MemoryError)


def load_runners(
    model: str | os.PathLike[str] | Server | Runner | None, count: int = 1, options: RunnerOptions = _AS_IT_COMES
) -> list[Runner]:
    """Opens one runner for each thread, because a runner serves only one thread at a time.

    Args:
        model: a model that `load_runner` accepts, or a runner.
        count: number of threads. They share the cores equally.
        options: how the model is opened. Its `num_threads` is replaced by each thread's share of the cores, at most 4.

    Returns:
        `count` runners.

    Raises:
        ArtifactError: the model is missing or damaged.
        UsageError: a single runner was given for several threads.
    """
    if not isinstance(model, Runner):
        num_threads = max(1, min(_MOST_THREADS, threads.cores() // count))
        located, options = locate(model), dataclasses.replace(options, num_threads=num_threads)
        return [open_runner(located, options) for _ in range(count)]
    if count > 1:
        raise UsageError(f"a runner serves one thread; received one and jobs={count}; pass the model's name instead")
    return [model]


def restore_each(
    plan: Plan,
    model: str | os.PathLike[str] | Server | Runner | None,
    settings: Settings,
    jobs: int = 1,
    options: RunnerOptions = _AS_IT_COMES,
    bars: bool = True,
) -> Generator[Outcome, None, None]:
    """Restores the songs of a plan, and copies or links skipped songs and images if `settings.others` says so.

    Args:
        plan: the plan that `plan_library` returned.
        model: a model that `load_runner` accepts, or a runner.
        settings: how songs are restored.
        jobs: number of songs that are restored at the same time, each in its own thread.
        options: as for `load_runners`.
        bars: whether progress bars are shown. They appear only if standard error is a terminal.

    Yields:
        The outcome of each file, as soon as it is known. With `jobs` above 1, songs are yielded in the order in which
        they finish.

    Raises:
        UsageError: there is no input at all, an output format does not support the settings, `others` is set without
            an output folder that contains none of the inputs, or `jobs` is below 1.
        ArtifactError: the model is missing or damaged.
    """
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    if not plan.songs and not plan.problems:
        raise UsageError("restore needs an input; received none; name a file, a folder or a pattern")
    if settings.others and plan.songs and not plan.takes_others:
        raise UsageError(
            f"others need an output folder that contains none of the inputs; received others {settings.others} without"
            " such a folder; name one with -o"
        )
    for suffix in {song.target.suffix for song in plan.songs}:
        settings.sample_format(suffix)
    yield from (FailedFile(path, error) for path, error in plan.problems)
    if not plan.songs:
        return
    jobs = min(jobs, len(plan.songs))

    # All runners are opened before the work begins, so that a bad model is reported at once.
    runners: queue.SimpleQueue[Runner] = queue.SimpleQueue()
    for runner in load_runners(model, jobs, options):
        runners.put(runner)
    stopped = threading.Event()
    progress = show_progress({song.source: _size(song.source) for song in plan.songs}, jobs, bars)

    def one(song: Song) -> Outcome:
        runner = runners.get()
        try:
            with progress.song(song) as advance:
                return restore_song(song, runner, settings, stopped, advance)
        except _FAILURES as error:
            return _failed(song.source, error)
        finally:
            runners.put(runner)

    copies = {song.source: song.copy for song in plan.songs}
    outcomes = threads.side_by_side(one, plan.songs, jobs, stopped) if jobs > 1 else map(one, plan.songs)
    with contextlib.closing(progress):
        for outcome in outcomes:
            progress.finished(outcome)
            yield outcome
            copy = copies.get(outcome.source)
            if settings.others and copy and isinstance(outcome, SkippedFile) and outcome.reason != "done":
                yield from _brought(outcome.source, copy, settings)
    if settings.others:
        for image in plan.images:
            yield from _brought(image.source, image.target, settings)


def _brought(source: Path, target: Path, settings: Settings) -> Iterator[Outcome]:
    try:
        outcome: Outcome | None = bring(source, target, settings)
    except _FAILURES as error:
        outcome = _failed(source, error)
    if outcome is not None:
        yield outcome


def _failed(source: Path, error: Exception) -> FailedFile:
    if isinstance(error, AudioSRError):
        return FailedFile(source, error)
    if isinstance(error, MemoryError):
        message = f"restoring needs more memory than is free; it ran out at {source}; use fewer --jobs"
    else:  # for example a name that is too long, or a folder without search permission
        message = f"input and output must be reachable; {source}: {cause(error)}; check the path"
    return FailedFile(source, AudioFileError(message))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
