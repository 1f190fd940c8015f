"""Measures one pair for `evaluate`, in this process or in several."""

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.decode import decode_pair, left_right_pairs
from ..datasets.restored_files import read_restored
from ..errors import ArtifactError, UsageError
from ..shelf.manifests import Pair

if TYPE_CHECKING:
    from ..runners import Runner
    from ..runners.load import RunnerOptions
    from ..runners.locate import Located

__all__ = ["Worker", "mapper"]


@dataclasses.dataclass
class Worker:
    """Everything that measuring a pair needs. It is pickled for each process of a pool before a model is loaded.

    Attributes:
        folder: the manifest's folder.
        what: a model, or a folder of restored files.
        restored_files: restored file by `pair.lossy`, if `what` is a folder.
        options: the runner's options.
        visqol: whether to compute ViSQOL.
        cutoff: Hz; estimated for each lossy file when `None`.
        limit: Hz up to which the lossless files are lossless; half the sample rate when `None`.
        zimtohrli: whether to compute Zimtohrli.
        runner: the loaded model; `None` before `load`, and for a folder of restored files.
    """

    folder: Path
    what: "Located | Path"
    restored_files: dict[str, Path]
    options: "RunnerOptions"
    visqol: bool
    cutoff: float | None = None
    limit: float | None = None
    zimtohrli: bool = False
    runner: "Runner | None" = None

    def load(self) -> None:
        """Loads the model, unless this process has loaded it already."""
        if self.runner is None and not isinstance(self.what, Path):
            from ..runners.load import open_runner

            self.runner = open_runner(self.what, self.options)

    def signals(self, pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the lossless, lossy and restored signals: arrays `(pair.length, pair.channels)`.

        Raises:
            ArtifactError: the restored audio is not finite, or its shape differs from that of the lossless audio.
        """
        lossless, lossy = decode_pair(pair, self.folder)
        if self.runner is not None:
            restored = self.runner.run(
                lossy, pair.sample_rate, self.folder / pair.lossy, left_right_pairs(pair, self.folder)
            )
        else:
            restored = read_restored(self.restored_files[pair.lossy], pair, self.folder)
        if restored.shape != lossless.shape or not np.isfinite(restored).all():
            source = self.what if isinstance(self.what, Path) else self.what.name
            finite = "finite" if np.isfinite(restored).all() else "not finite"
            raise ArtifactError(
                f"restored audio is finite and has the shape of its lossless source, {lossless.shape}; {source} gave"
                f" {restored.shape}, {finite}, for {pair.lossy}; restore it again"
            )
        return lossless, lossy, restored

    def opinions(self) -> dict[str, Callable]:
        """Returns the functions of the selected perceptual models by name."""
        found: dict[str, Callable] = {}
        if self.visqol:
            from .visqol import visqol

            found["visqol"] = visqol
        if self.zimtohrli:
            from .zimtohrli import zimtohrli

            found["zimtohrli"] = zimtohrli
        return found

    def __call__(self, pair: Pair) -> dict:
        from ..sound.bandwidth import estimate_cutoff
        from .songs import below, measure, normalize

        self.load()
        lossless, lossy, restored = self.signals(pair)
        cutoff = float(estimate_cutoff(lossy, pair.sample_rate)) if self.cutoff is None else self.cutoff
        lossless, lossy, restored = normalize(lossless, lossy, restored)
        signals = {"unprocessed": lossy, "restored": restored}
        found = measure(lossless, signals, pair.sample_rate, cutoff, self.limit)
        for model, score in self.opinions().items():
            heard = below(lossless, pair.sample_rate, self.limit)
            for name, signal in signals.items():
                found[name][model] = score(heard, below(signal, pair.sample_rate, self.limit), pair.sample_rate)
        about = {name: getattr(pair, name) for name in ("lossless", "lossy", "codec", "duration")}
        line = found.pop("lossless")["envelope_line"]
        return {**about, "cutoff": cutoff, "lossless_envelope_line": line, **found}


_worker: Worker | None = None


def _start_process(worker: Worker) -> None:
    global _worker  # A pool can give its processes a state only through a global variable.
    _worker = worker


def _measure_in_process(pair: Pair) -> dict:
    assert _worker is not None
    return _worker(pair)


@contextlib.contextmanager
def mapper(worker: Worker, jobs: int) -> Iterator[Callable]:
    """Yields a function `map(pairs)` that measures pairs in `jobs` processes and keeps their order.

    Raises:
        UsageError: a process ended early.
    """
    if jobs == 1:
        yield lambda pairs: map(worker, pairs)
        return
    # Processes are spawned rather than forked, because TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, context, _start_process, (dataclasses.replace(worker, runner=None),)
    )
    try:
        yield lambda pairs: pool.map(_measure_in_process, pairs)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise UsageError(
            f"{jobs} processes need memory for {jobs} models, and a script that calls them an"
            " 'if __name__ == \"__main__\":'; one process ended early; try jobs=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
