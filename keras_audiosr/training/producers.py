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
    """Fills the slots `own`, round after round, until the process that trains is gone."""
    os.nice(nice)
    rng = np.random.default_rng(seed)
    arrays = pool.open()
    position = 0
    # Beside the pool: what is in memory needs no disk.
    with tempfile.TemporaryDirectory(dir=pool.folder, prefix=_MAKING) as folder:
        tempfile.tempdir = folder  # pydub's own files, too
        while os.getppid() == parent:
            found = maker(rng, Path(folder))
            for index in rng.permutation(len(found)):
                pools.write(arrays, own[position % len(own)], *found[index])
                position += 1


def main() -> None:
    """What a producer's process runs. Its arguments come as JSON, from the process that started it."""
    order = json.load(sys.stdin)
    variations = Variations(Collection.load(Path(order["collection"])), _SECONDS)
    maker = ExampleMaker(variations, order["window_length"], order["min_level"])
    pool, own, seed = Pool(Path(order["pool"])), range(*order["own"]), tuple(order["seed"])
    _produce(maker, pool, own, seed, order["nice"], order["parent"])


class Producers:
    """Processes that fill a pool, each a share of its slots; they end with the one that started them.

    They are fresh ones, which import what they need and no framework.

    Args:
        collection: of music.
        data: a preset's: its `window_length` and `min_level` count.
        pool: to fill.
        count: processes.
        seed: others make other windows. A run that is resumed gives another one.
        nice: how much the processes yield to others, 0 to 19, as in `os.nice`.
    """

    def __init__(
        self, collection: Collection, data: WindowSettings, pool: Pool, count: int, seed: tuple[int, ...], nice: int
    ):
        slots = len(pool.open()[2])
        for left in pool.folder.glob(f"{_MAKING}*"):  # of producers that were killed
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
        """Raises `AudioSRError` when one of them has ended."""
        if any(process.poll() is not None for process in self._processes):
            raise AudioSRError(
                "the processes that make windows must stay; one has ended (its error stands above); start the command"
                " again, the run resumes"
            )

    def wait(self, pool: Pool, share: float) -> None:
        """Waits until a share of the pool is filled, 0 to 1."""
        while pool.filled() < share:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends them."""
        for process in self._processes:
            process.kill()
            process.wait()
