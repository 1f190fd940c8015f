"""Processes that fill a pool with new windows until training ends."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ..errors import AudioSRError
from ..presets.settings import WindowSettings
from . import pool as pools
from .collection import Collection
from .degradations import ExampleMaker
from .pool import Pool
from .variations import Variations

# Seconds of music that are encoded at a time.
_SECONDS = 14.0
_MAKING = "making-"


def _produce(maker: ExampleMaker, pool: Pool, own: range, seed: tuple[int, ...], nice: int, parent: int) -> None:
    """Fills the slots `own` again and again until the parent process, which trains, has ended."""
    os.nice(nice)
    rng = np.random.default_rng(seed)
    arrays = pool.open()
    position = 0
    # Temporary files lie beside the pool, which is in memory if possible, and need no disk then.
    with tempfile.TemporaryDirectory(dir=pool.folder, prefix=_MAKING) as folder:
        tempfile.tempdir = folder  # for the temporary files of other packages, too
        while os.getppid() == parent:
            found = maker(rng, Path(folder))
            for index in rng.permutation(len(found)):
                pools.write(arrays, own[position % len(own)], *found[index])
                position += 1


def main() -> None:
    """Runs in the process of a producer. The process that started it sends the arguments as JSON."""
    order = json.load(sys.stdin)
    variations = Variations(Collection.load(Path(order["collection"])), _SECONDS)
    maker = ExampleMaker(variations, order["window_length"], order["min_level"])
    pool, own, seed = Pool(Path(order["pool"])), range(*order["own"]), tuple(order["seed"])
    _produce(maker, pool, own, seed, order["nice"], order["parent"])


class Producers:
    """Processes that fill a pool. Each fills its share of the slots, and ends when the process that started it ends.

    The processes are started fresh rather than forked, and import no deep learning framework.

    Args:
        collection: the collection of music.
        data: window settings of a preset. Only `window_length` and `min_level` are used.
        pool: the pool to fill.
        count: number of processes.
        seed: seed of the windows. A resumed run uses another seed.
        nice: niceness of the processes, 0 to 19, as in `os.nice`.
    """

    def __init__(
        self, collection: Collection, data: WindowSettings, pool: Pool, count: int, seed: tuple[int, ...], nice: int
    ):
        slots = len(pool.open()[2])
        for left in pool.folder.glob(f"{_MAKING}*"):  # left by producers that were killed
            shutil.rmtree(left, ignore_errors=True)
        package = Path(__file__).parents[1]
        code = f"from {package.name}.training.producers import main; main()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *filter(None, sys.path)])}
        self._processes = []
        for index in range(count):
            process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, text=True)
            self._processes.append(process)
            order = {
                "collection": str(Path(collection.path).parent),
                "window_length": data.window_length,
                "min_level": data.min_level,
                "pool": str(pool.folder),
                "own": (index, slots, count),
                "seed": (*seed, index),
                "nice": nice,
                "parent": os.getpid(),
            }
            with process.stdin as pipe:  # type: ignore[union-attr]
                json.dump(order, pipe)

    def check(self) -> None:
        """Raises `AudioSRError` if one of the processes has ended."""
        if any(process.poll() is not None for process in self._processes):
            raise AudioSRError(
                "the processes that make windows must keep running; one has ended (its error is printed above); start"
                " the command again to resume the run"
            )

    def wait(self, pool: Pool, share: float) -> None:
        """Waits until this share of the pool, 0 to 1, is filled. Raises `AudioSRError` as `check` does."""
        while pool.filled() < share:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """Kills the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
