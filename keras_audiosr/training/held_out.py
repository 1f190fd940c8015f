"""Held-out windows of a collection of music. They are the same at every evaluation, and encoded like users' files."""

import tempfile
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..presets.settings import WindowSettings
from ..processes.partial_files import atomic_output
from .collection import RATE, Collection
from .degradations import cut, round_trip
from .pool import Window
from .sources import Batch

# Seconds out of the middle of a track.
_SECONDS = 8.0
# What tracks go through, how many tracks at most, and windows that each of them gives at most.
CODECS = ("mp3@32k", "mp3@64k", "mp3@128k", "mp3@V6", "aac@64k")
_TRACKS, _WINDOWS_EACH = 24, 4


def held_out_windows(collection: Collection, length: int, min_level: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the validation tracks as they are, in each of `CODECS`.

    Args:
        collection: of music.
        length: samples a window.
        min_level: dB of full scale that a window's rms must reach; `None` keeps all.

    Returns:
        Windows `(count, 2, length)`, lossy and lossless, and cutoffs `(count,)` in Hz; neighbours are of different
        tracks.

    Raises:
        UsageError: there is none.
    """
    tracks = collection.of("validation")
    tracks = tracks[:: max(1, len(tracks) // _TRACKS)][:_TRACKS]
    samples = np.load(collection.path, mmap_mode="r")
    wanted = round(_SECONDS * RATE)
    parts: list[list[Window]] = []
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            for track in tracks:
                first = track.start + max(0, (track.length - wanted) // 2)
                pcm = np.array(samples[first : min(first + wanted, track.start + track.length)])
                lossy, gain = round_trip(pcm, codec, Path(folder))
                made = cut(lossy / np.float32(gain), pcm, track.cutoff, length=length, min_level=min_level)
                parts.append(list(zip(made.lossy, made.lossless, made.cutoffs, strict=True))[:_WINDOWS_EACH])
    found = [part[turn] for turn in range(_WINDOWS_EACH) for part in parts if turn < len(part)]
    if not found:
        raise UsageError("some album must be held out; the catalog has too few; add music of other albums")
    windows = np.stack([np.stack((lossy, lossless)) for lossy, lossless, _ in found])
    return windows, np.array([cutoff for _, _, cutoff in found], np.float32)


def held_out_batches(collection: Collection, data: WindowSettings, note: Path, most: int) -> list[Batch]:
    """Held-out windows as full batches, at most `most`; made once, and kept in a file.

    Args:
        collection: of music.
        data: a preset's.
        note: `.npz` file to keep them in.
        most: batches.

    Raises:
        UsageError: they fill no batch.
    """
    if not note.is_file():
        windows, cutoffs = held_out_windows(collection, data.window_length, data.min_level)
        with atomic_output(note) as partial:
            np.savez(partial, windows=windows, cutoffs=cutoffs)
    with np.load(note) as file:
        windows, cutoffs = file["windows"], file["cutoffs"]
    size = data.batch_size
    if len(windows) < size:
        raise UsageError(
            f"held-out windows must fill a batch of {size}; there are {len(windows)}; add albums, or lower batch_size"
            " in the preset"
        )
    ends = range(size, min(len(windows), most * size) + 1, size)
    parts = [slice(end - size, end) for end in ends]
    return [(windows[part, 0, :, None], windows[part, 1, :, None], cutoffs[part]) for part in parts]
