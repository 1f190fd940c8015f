"""A collection of music: the recordings of a catalog in one file of samples, which several processes and runs share."""

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
# Length in seconds of the shortest track that is used. The ends of encoded music are cut off, and what is left of a
# shorter track hardly fills a window.
_SHORTEST = 2.5


@dataclasses.dataclass(frozen=True)
class Track:
    """One recording of a collection.

    Attributes:
        album: name of the album: an artist, or for some lossless clips a composition. Splits are made by album.
        kind: `"lossless"`, `"near"` (nearly lossless) or `"voice"` (lossless, one dry voice).
        split: `"train"` or `"validation"`.
        start, length: position and length in the collection's file, in samples.
        cutoff: frequency in Hz up to which the track is a valid training target; 22,050 for lossless tracks.
    """

    album: str
    kind: str
    split: str
    start: int
    length: int
    cutoff: float


@dataclasses.dataclass(frozen=True)
class Collection:
    """Recordings that lie one after the other in one file of 16-bit stereo samples, so that processes can share them.

    Attributes:
        path: path of the `.npy` file, `(time, 2)`, int16.
        tracks: the tracks in the file, in order.
    """

    path: str
    tracks: tuple[Track, ...]

    @classmethod
    def gather(cls, catalog: Path, out: Path) -> "Collection":
        """Copies the tracks that a catalog has for training. They are split by album, like the pairs of a manifest.

        Args:
            catalog: `catalog.jsonl` of tools/fetch_music.py. Its files lie beside it.
            out: folder that receives `music.npy` and `collection.json`.

        Raises:
            UsageError: the catalog is not valid, or one of its files cannot be read or is not at 44.1 kHz.
            AudioSRError: the disk has no space for a copy of the music.
        """
        try:
            return cls._gather(catalog, out)
        except (ValueError, KeyError, TypeError, RecursionError, soundfile.LibsndfileError) as error:
            reason = f"{type(error).__name__} {on_one_line(error)}"
            raise UsageError(
                f"a valid catalog of music is needed; {catalog}: {reason}; tools/fetch_music.py makes one"
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
                    f"a catalog's music must have {RATE} Hz; {line['path']} has {info.samplerate} Hz; fetch it again"
                )
            cutoff = FULL_BAND if line["cutoff"] is None else float(line["cutoff"])
            tracks.append(Track(line["album"], line["kind"], splits[line["album"]], start, info.frames, cutoff))
            start += info.frames
        music = out / "music.npy"
        music.unlink(missing_ok=True)  # left by a run that was killed while it copied
        # On a full disk, writing to a memory-mapped file raises no error: the system kills the process.
        fix = "free some space, name another folder with -o, or use the music of an earlier run: --pool RUN/music"
        require_space(out, start * np.dtype(np.int16).itemsize * 2, fix)
        out.mkdir(parents=True, exist_ok=True)
        # Tracks are copied one by one, so that hours of music need not fit in memory.
        samples = np.lib.format.open_memmap(music, "w+", np.int16, (start, 2))
        for line, track in zip(lines, tracks, strict=True):
            read, _ = soundfile.read(catalog.parent / line["path"], dtype="int16", always_2d=True)
            samples[track.start : track.start + track.length] = read  # a mono track is copied to both channels
        samples.flush()
        collection = cls(str(music), tuple(tracks))
        write_json(out / "collection.json", dataclasses.asdict(collection))
        return collection

    @classmethod
    def load(cls, folder: Path) -> "Collection":
        """Opens the collection that `gather` wrote to a folder.

        Raises:
            UsageError: the collection is missing or damaged.
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
                f"a collection of music must be complete; {note}: {reason}; remove its folder to gather it again"
            ) from error

    def of(self, split: str) -> tuple[Track, ...]:
        """Returns the tracks of a split."""
        return tuple(track for track in self.tracks if track.split == split)
