"""Training on a pool: processes make windows of a collection of music while the network trains on them."""

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
# Where memory is a folder, under Linux.
_MEMORY = Path("/dev/shm")


def open_collection(path: Path, out: Path, sample_rate: int) -> Collection:
    """The music of a catalog, or what was gathered from one before.

    Args:
        path: a `catalog.jsonl`, which is gathered into `out` once; or a `collection.json`.
        out: folder in which the gathered collection is stored.
        sample_rate: Hz of the network.

    Raises:
        UsageError: the music has another sample rate, or the catalog or collection is damaged.
        AudioSRError: the disk has no room for a copy of the music.
    """
    if sample_rate != RATE:
        raise UsageError(f"a pool's music has {RATE} Hz; the preset has {sample_rate}; train it without --pool")
    if path.name == "collection.json":
        return Collection.load(path.parent)
    return Collection.load(out) if (out / "collection.json").is_file() else Collection.gather(path, out)


@contextlib.contextmanager
def running_pool(
    collection: Collection, data: WindowSettings, out: Path, *, slots: int, producers: int, nice: int, seed: int
) -> Iterator[tuple[Pool, Producers]]:
    """A pool that processes fill while the context lasts.

    Its arrays lie in memory, under a name that follows from the run's folder: a run that was killed finds its windows
    again when it resumes. A run that ends leaves nothing.

    Args:
        collection: of music.
        data: a preset's.
        out: the run's folder.
        slots: windows in the pool.
        producers: processes that make windows.
        nice: how much these yield to the one that trains, 0 to 19.
        seed: of what they make. Each time that a run is resumed they make other windows.
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
