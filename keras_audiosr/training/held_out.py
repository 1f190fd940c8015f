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

# Seconds that are taken from the middle of a track.
_SECONDS = 8.0
# The codecs, the largest number of tracks, and the largest number of windows for each codec of a track.
CODECS = ("mp3@32k", "mp3@64k", "mp3@128k", "mp3@V6", "aac@64k")
_TRACKS, _WINDOWS_EACH = 24, 4


def held_out_windows(collection: Collection, length: int, min_level: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Encodes the validation tracks, without variations, with each of `CODECS`, and cuts windows from them.

    Args:
        collection: the collection of music.
        length: samples in a window.
        min_level: lowest RMS of a lossless window, in dB relative to full scale; `None` keeps all.

    Returns:
        Windows `(count, 2, length)`, lossy and lossless, and cutoffs `(count,)` in Hz. Neighbouring windows are from
        different tracks.

    Raises:
        UsageError: there are no such windows.
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
        raise UsageError(
            "at least one album must be held out for validation; the catalog has too few; add music of other albums"
        )
    windows = np.stack([np.stack((lossy, lossless)) for lossy, lossless, _ in found])
    return windows, np.array([cutoff for _, _, cutoff in found], np.float32)


def held_out_batches(collection: Collection, data: WindowSettings, note: Path, most: int) -> list[Batch]:
    """Returns held-out windows in full batches. They are made once and kept in a file.

    Args:
        collection: the collection of music.
        data: window settings of a preset.
        note: `.npz` file in which the windows are kept.
        most: largest number of batches.

    Raises:
        UsageError: the windows do not fill a batch.
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
