"""A pool of windows in shared memory. Producers fill its slots again and again while a trainer draws from them."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import ArtifactError, cause
from ..presets.settings import WindowSettings
from ..processes.file_systems import require_space
from .sources import Batch, ahead

# `(lossy, lossless, cutoff)`: samples `(length,)` of one channel, twice, and a frequency in Hz.
Window = tuple[np.ndarray, np.ndarray, float]


@dataclasses.dataclass(frozen=True)
class Pool:
    """Slots that processes share. Each slot contains one window: lossy and lossless samples, and a cutoff.

    Each slot has a version number, which is odd while the slot is written. A reader compares the version before and
    after it reads.

    Attributes:
        folder: folder of the arrays, in memory or on a disk.
    """

    folder: Path

    def prepare(self, slots: int, length: int) -> None:
        """Makes empty arrays for `slots` windows of `length` samples, or keeps those that a killed run left.

        Raises:
            AudioSRError: there is no space for them.
        """
        if (self.folder / "versions.npy").is_file() and self.open()[0].shape == (slots, 2, length):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        # By default a container has 64 MB of shared memory, and a process that writes more is killed.
        require_space(
            self.folder, slots * 2 * length * 4, "free some space; for a container, add --shm-size 4g to 'docker run'"
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, dtype, shape in (
            ("windows", np.float32, (slots, 2, length)),
            ("cutoffs", np.float32, (slots,)),
            ("versions", np.int64, (slots,)),  # last, because this file shows that the pool is complete
        ):
            np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype, shape)

    def open(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Opens windows `(slots, 2, length)`, lossy and lossless, cutoffs `(slots,)` in Hz, and versions `(slots,)`.

        Raises:
            ArtifactError: the pool is missing or damaged.
        """
        try:
            windows, cutoffs, versions = (
                np.load(self.folder / f"{name}.npy", mmap_mode="r+") for name in ("windows", "cutoffs", "versions")
            )
            if windows.ndim != 3 or not len(windows) == len(cutoffs) == len(versions):
                raise ValueError(f"arrays of {windows.shape}, {cutoffs.shape}, {versions.shape}")
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(
                f"a pool of windows is needed; {self.folder}: {cause(error)}; remove the folder to make a new one"
            ) from error
        return windows, cutoffs, versions

    def filled(self) -> float:
        """Returns the share of the slots, 0 to 1, that contain a window."""
        return float(np.mean(self.open()[2] > 1))


def write(
    pool: tuple[np.ndarray, np.ndarray, np.ndarray], slot: int, lossy: np.ndarray, lossless: np.ndarray, cutoff: float
) -> None:
    """Writes a window into a slot of an open pool. Only one process may write to a slot."""
    windows, cutoffs, versions = pool
    # The version becomes odd, even if a previous writer was killed while it wrote and left an odd version.
    versions[slot] += 1 + versions[slot] % 2
    windows[slot, 0], windows[slot, 1], cutoffs[slot] = lossy, lossless, cutoff
    versions[slot] += 1


def draw(
    pool: tuple[np.ndarray, np.ndarray, np.ndarray], count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` windows from random filled slots. Returns them, `(count, 2, length)`, and their cutoffs in Hz."""
    windows, cutoffs, versions = pool
    batch, below = np.empty((count, *windows.shape[1:]), np.float32), np.empty(count, np.float32)
    filled = 0
    while filled < count:
        slot = int(rng.integers(len(versions)))
        before = int(versions[slot])
        if before == 0 or before % 2:
            continue
        batch[filled], below[filled] = windows[slot], cutoffs[slot]
        filled += int(versions[slot]) == before
    return batch, below


def augment(batch: np.ndarray, data: WindowSettings, rng: np.random.Generator) -> np.ndarray:
    """Varies windows `(count, 2, length)` as a preset's `data` says: gain, polarity, `lossless_share`."""
    count = len(batch)
    low, high = data.gain or (0.0, 0.0)
    gain = 10.0 ** (rng.uniform(low, high, count) / 20.0)
    gain *= np.where(rng.random(count) < 0.5, -1.0, 1.0) if data.polarity else 1.0
    batch = batch * gain.astype(np.float32)[:, None, None]
    whole = rng.random(count) < data.lossless_share
    batch[whole, 0] = batch[whole, 1]
    return batch


class PoolSource:
    """Draws batches from a pool. The slots of a step are drawn at random by the seed and the step alone.

    Args:
        pool: the pool.
        data: window settings of a preset: `batch_size`, and how windows are varied (`augment`).
        steps_per_epoch: number of batches in an epoch.
        seed: seed of the draws.
        check: function that is called before each epoch. It raises an error if the producers have ended.
    """

    def __init__(
        self,
        pool: Pool,
        data: WindowSettings,
        steps_per_epoch: int,
        seed: int,
        check: Callable[[], None] = lambda: None,
    ):
        self._pool = pool.open()
        self._data = data
        self._steps = steps_per_epoch
        self._seed = seed
        self._check = check

    def batch(self, step: int) -> Batch:
        """Returns the batch of a step. Steps are counted from the beginning of the run."""
        rng = np.random.default_rng((self._seed, step))
        windows, cutoffs = draw(self._pool, self._data.batch_size, rng)
        windows = augment(windows, self._data, rng)
        return windows[:, 0, :, None], windows[:, 1, :, None], cutoffs

    def epoch(self, number: int) -> Iterator[Batch]:
        self._check()
        first = number * self._steps
        return ahead(self.batch(step) for step in range(first, first + self._steps))
