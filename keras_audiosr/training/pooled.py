"""Prepares training on a pool: processes make windows from a collection of music while the network trains on them."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError
from ..presets.settings import WindowSettings
from .collection import RATE, Collection
from .pool import Pool
from .producers import Producers

# Share of the pool that is filled before training begins.
_FIRST = 1 / 16
# The folder of shared memory under Linux.
_MEMORY = Path("/dev/shm")


def open_collection(path: Path, out: Path, sample_rate: int) -> Collection:
    """Opens a collection of music, which is first gathered from a catalog if that has not been done.

    Args:
        path: a `catalog.jsonl`, which is gathered into `out` once; or a `collection.json`.
        out: folder in which the gathered collection is stored.
        sample_rate: sample rate of the network in Hz.

    Raises:
        UsageError: the network has another sample rate than the music, or the catalog or collection is damaged.
        AudioSRError: the disk has no space for a copy of the music.
    """
    if sample_rate != RATE:
        raise UsageError(f"a pool's music has {RATE} Hz; the preset has {sample_rate} Hz; train it without --pool")
    if path.name == "collection.json":
        return Collection.load(path.parent)
    return Collection.load(out) if (out / "collection.json").is_file() else Collection.gather(path, out)


@contextlib.contextmanager
def running_pool(
    collection: Collection, data: WindowSettings, out: Path, *, slots: int, producers: int, nice: int, seed: int
) -> Iterator[tuple[Pool, Producers]]:
    """Yields a pool and the processes that fill it while the context lasts.

    The arrays of the pool lie in shared memory if possible, under a name that is derived from the run's folder. A run
    that was killed therefore finds its windows again when it resumes. A run that ends without an error removes them.

    Args:
        collection: the collection of music.
        data: window settings of a preset.
        out: the run's folder.
        slots: number of windows in the pool.
        producers: number of processes that make windows.
        nice: niceness of these processes, 0 to 19; above 0 the training process has priority.
        seed: seed of the windows. It is combined with the time, so a resumed run makes other windows.
    """
    name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:12]
    pool = Pool((_MEMORY if _MEMORY.is_dir() else out) / f"keras-audiosr-pool-{name}")
    pool.prepare(slots, data.window_length)
    making = Producers(collection, data, pool, producers, (seed, time.time_ns()), nice)
    try:
        making.wait(pool, _FIRST)
        yield pool, making
    except BaseException:
        making.stop()
        raise
    making.stop()
    shutil.rmtree(pool.folder, ignore_errors=True)
