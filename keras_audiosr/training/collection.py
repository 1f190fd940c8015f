"""A collection of music: the recordings of a catalog in one file of samples, which processes and runs share."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import soundfile

from ..datasets import split_albums
from ..errors import UsageError, on_one_line
from ..processes.file_systems import require_space
from ..processes.partial_files import write_json

RATE = 44100
FULL_BAND = RATE / 2.0
# Shorter tracks give no window behind an encoder's start and end.
_SHORTEST = 2.5


@dataclasses.dataclass(frozen=True)
class Track:
    """One recording of a collection.

    Attributes:
        album: the artist's, or the composition's.
        kind: `"lossless"`, `"near"` (nearly lossless) or `"voice"` (lossless, one dry voice).
        split: `"train"` or `"validation"`.
        start, length: samples, in the collection's file.
        cutoff: Hz above which it is no example; 22,050 for lossless ones.
    """

    album: str
    kind: str
    split: str
    start: int
    length: int
    cutoff: float


@dataclasses.dataclass(frozen=True)
class Collection:
    """Recordings one after the other in one file of 16-bit stereo samples, so that processes share them.

    Attributes:
        path: the `.npy` file, `(time, 2)`, int16.
        tracks: of the file.
    """

    path: str
    tracks: tuple[Track, ...]

    @classmethod
    def gather(cls, catalog: Path, out: Path) -> "Collection":
        """Reads every track that a catalog has for training; splits go by album, as `train`'s do.

        Args:
            catalog: `catalog.jsonl` of tools/fetch_music.py; the files lie beside it.
            out: folder for `music.npy` and `collection.json`.

        Raises:
            UsageError: it is no such catalog, or a file of it cannot be read or has another sample rate.
            AudioSRError: the disk has no room for a copy of the music.
        """
        try:
            return cls._gather(catalog, out)
        except (ValueError, KeyError, TypeError, RecursionError, soundfile.LibsndfileError) as error:
            reason = f"{type(error).__name__} {on_one_line(error)}"
            raise UsageError(
                f"a catalog of music is needed; {catalog}: {reason}; tools/fetch_music.py makes one"
            ) from error

    @classmethod
    def _gather(cls, catalog: Path, out: Path) -> "Collection":
        lines = [json.loads(line) for line in catalog.read_text("utf-8").splitlines()]
        lines = [line for line in lines if line["split"] == "train" and line["seconds"] >= _SHORTEST]
        splits = split_albums(line["album"] for line in lines)
        tracks, start = [], 0
        for line in lines:
            info = soundfile.info(catalog.parent / line["path"])
            if info.samplerate != RATE:
                raise UsageError(
                    f"a catalog's music has {RATE} Hz; {line['path']} has {info.samplerate}; fetch it again"
                )
            cutoff = FULL_BAND if line["cutoff"] is None else float(line["cutoff"])
            tracks.append(Track(line["album"], line["kind"], splits[line["album"]], start, info.frames, cutoff))
            start += info.frames
        music = out / "music.npy"
        music.unlink(missing_ok=True)  # of a run that was killed while it copied
        # Into a full disk, a file in memory is not written with an error: the process is killed.
        fix = "free some, name another folder with -o, or use the music of an earlier run: --pool RUN/music"
        require_space(out, start * np.dtype(np.int16).itemsize * 2, fix)
        out.mkdir(parents=True, exist_ok=True)
        # One after the other into the file: hours of music need not fit in memory.
        samples = np.lib.format.open_memmap(music, "w+", np.int16, (start, 2))
        for line, track in zip(lines, tracks, strict=True):
            read, _ = soundfile.read(catalog.parent / line["path"], dtype="int16", always_2d=True)
            samples[track.start : track.start + track.length] = read  # mono is the same on both sides
        samples.flush()
        collection = cls(str(music), tuple(tracks))
        write_json(out / "collection.json", dataclasses.asdict(collection))
        return collection

    @classmethod
    def load(cls, folder: Path) -> "Collection":
        """The collection that `gather` left in a folder.

        Raises:
            UsageError: it is damaged.
        """
        note = folder / "collection.json"
        try:
            fields = json.loads(note.read_text("utf-8"))
            collection = cls(str(folder / "music.npy"), tuple(Track(**track) for track in fields["tracks"]))
            samples = np.load(collection.path, mmap_mode="r")
            if samples.shape != (sum(track.length for track in collection.tracks), 2):
                raise ValueError(f"music.npy has the shape {samples.shape}")
            return collection
        except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
            reason = f"{type(error).__name__} {on_one_line(error)}"
            raise UsageError(
                f"a collection of music is whole; {note}: {reason}; remove its folder to gather it again"
            ) from error

    def of(self, split: str) -> tuple[Track, ...]:
        """The tracks of a split."""
        return tuple(track for track in self.tracks if track.split == split)
