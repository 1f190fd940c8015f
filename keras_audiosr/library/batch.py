"""Many songs, one after the other or side by side, and the models that restore them."""

import contextlib
import os
import queue
import threading
from collections.abc import Generator

from .. import threads
from ..errors import AudioFileError, AudioSRError, UsageError
from ..runners import Runner, load_runner
from ..serving import Server
from .outcome import FailedFile, Outcome
from .plan import Plan, Song
from .reporter import Progress
from .settings import Settings
from .song import restore_song

# A window is too little work for more.
_MOST_THREADS = 4


def load_runners(
    model: str | os.PathLike[str] | Server | Runner | None, count: int = 1, trust: bool = False
) -> list[Runner]:
    """Runners for as many threads: one serves a single thread at a time.

    Args:
        model: what `load_runner` takes, or a runner.
        count: number of threads. The cores are shared out among them.
        trust: as for `load_runner`.

    Raises:
        ArtifactError: the model is missing or damaged.
        UsageError: one runner for several threads.
    """
    if not isinstance(model, Runner):
        num_threads = max(1, min(_MOST_THREADS, threads.cores() // count))
        return [load_runner(model, trust, num_threads) for _ in range(count)]
    if count > 1:
        raise UsageError(f"a runner serves one thread; received one and jobs={count}; give the model's name instead")
    return [model]


def restore_each(
    plan: Plan,
    model: str | os.PathLike[str] | Server | Runner | None,
    settings: Settings,
    jobs: int = 1,
    trust: bool = False,
) -> Generator[Outcome, None, None]:
    """Restores the songs of a plan.

    Args:
        plan: from `plan_library`.
        model: what `load_runner` takes, or a runner.
        settings: how.
        jobs: songs at a time, one thread each.
        trust: as for `load_runner`.

    Yields:
        What became of each input as soon as it is known; with `jobs` above 1 in the order they end.

    Raises:
        UsageError: no input at all, settings that an output format does not have, or `jobs` under 1.
        ArtifactError: the model is missing or damaged.
    """
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    if not plan.songs and not plan.problems:
        raise UsageError("restore needs a file; received none; name one")
    for suffix in {song.target.suffix for song in plan.songs}:
        settings.sample_format(suffix)
    yield from (FailedFile(path, error) for path, error in plan.problems)
    if not plan.songs:
        return
    jobs = min(jobs, len(plan.songs))

    # All are loaded before the work begins, so that a bad model is told at once.
    runners: queue.SimpleQueue[Runner] = queue.SimpleQueue()
    for runner in load_runners(model, jobs, trust):
        runners.put(runner)
    stopped = threading.Event()
    progress = Progress(len(plan.songs), jobs)

    def one(song: Song) -> Outcome:
        runner = runners.get()
        try:
            with progress.song(song) as advance:
                return restore_song(song, runner, settings, stopped, advance)
        except AudioSRError as error:
            return FailedFile(song.source, error)
        except OSError as error:  # such as a name that is too long, or a folder that may not be searched
            reason = f"input and output must be reachable; {song.source}: {error}; check the path"
            return FailedFile(song.source, AudioFileError(reason))
        except MemoryError:
            reason = f"restoring needs more memory than there is; {song.source} met its end; take fewer --jobs"
            return FailedFile(song.source, AudioFileError(reason))
        finally:
            runners.put(runner)

    outcomes = threads.side_by_side(one, plan.songs, jobs, stopped) if jobs > 1 else map(one, plan.songs)
    with contextlib.closing(progress):
        for outcome in outcomes:
            progress.finished()
            yield outcome
