"""Keeps the manifest of a folder of ripped tracks, and a record of their sources.

The manifest, `tracks.jsonl`, is for all commands. `.rip.json` beside it is for the next run of `rip`: it holds sizes
and times of each source and of the FLAC made from it, so that unchanged files are not decoded again. If it is missing,
the tracks are made again.
"""

import contextlib
import dataclasses
import json
import threading
import time
from pathlib import Path

from ..errors import AudioFileError, cause
from ..files.flac_header import streaminfo_md5
from ..files.flac_proof import holds
from ..processes.partial_files import atomic_output
from .manifests import Track, read_manifest, write_manifest

MANIFEST = "tracks.jsonl"
_MEMORY = ".rip.json"
# Seconds between writes of the manifest while tracks are made: a killed run loses no more than this.
_SAVE_EVERY = 10.0


class RippedTracks:
    """The tracks under a folder.

    Args:
        out: the folder.

    Attributes:
        tracks: each `Track` by its path relative to `out`.

    Raises:
        ManifestError: the manifest is damaged.
    """

    def __init__(self, out: Path):
        self.out = out
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self._memory: dict[str, dict] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = json.loads((out / _MEMORY).read_text("utf-8"))
            if isinstance(found, dict):
                self._memory = {key: entry for key, entry in found.items() if isinstance(entry, dict)}
        self.tracks: dict[str, Track] = {}
        manifest = out / MANIFEST
        if manifest.is_file() and manifest.stat().st_size:
            listed = read_manifest(manifest, Track)
            self.tracks = {track.lossless: track for track in listed if (out / track.lossless).is_file()}

    def _recall(self, key: str) -> dict:
        return self._memory.get(key, {})

    def path_of(self, key: str) -> str | None:
        """Returns the path of the track that was made from a source before, or `None`."""
        return (self._recall(key).get("track") or {}).get("lossless")

    def owned(self) -> set[str]:
        """Returns the paths in the manifest or the record, except those whose recorded source no longer exists."""
        known = {entry["track"]["lossless"]: key for key, entry in self._memory.items() if entry.get("track")}
        # The key of a track that a sheet cuts out consists of its file, "#" and its number.
        gone = {path for path, key in known.items() if not any(Path(k).exists() for k in (key, key.rsplit("#", 1)[0]))}
        return (set(self.tracks) | set(known)) - gone

    def wall_of(self, key: str, stamp: list[int]) -> float | None:
        """Returns the brick wall in Hz that was measured in a source, if it has not changed since; otherwise `None`."""
        entry = self._recall(key)
        return entry.get("wall") if entry.get("stamp") == stamp else None

    def kept(self, key: str, stamp: list[int]) -> Track | None:
        """Returns the track made from a source before, if neither the source nor the track's samples have changed.

        A FLAC with the recorded size, time and declared MD5 is not read again. If it was touched (tagged, copied or
        damaged), it is decoded and the MD5 of its samples is compared.
        """
        entry = self._recall(key)
        if entry.get("stamp") != stamp or not entry.get("track"):
            return None
        try:
            track = Track(**entry["track"])
            path = self.out / track.lossless
            touched = entry.get("made") != _stamp(path)
            if streaminfo_md5(path) != track.md5 or (touched and not holds(path, track.md5)):
                # The changed track must not be used for training, whatever happens to its source.
                self.tracks.pop(track.lossless, None)
                return None
            self.add(key, stamp, track, entry.get("wall"))
        except (AudioFileError, OSError, TypeError):
            return None
        return track

    def add(self, key: str, stamp: list[int], track: Track, wall: float | None) -> None:
        """Adds a track whose file is complete."""
        with self._lock:
            self.tracks[track.lossless] = track
            made = _stamp(self.out / track.lossless)
            self._memory[key] = {"stamp": stamp, "made": made, "wall": wall, "track": dataclasses.asdict(track)}
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._save()

    def leave_out(self, key: str, stamp: list[int], wall: float) -> None:
        """Removes a probably lossy source from the manifest; a FLAC that was made from it is not deleted."""
        with self._lock:
            entry = self._memory.setdefault(key, {})
            if entry.get("stamp") != stamp:
                entry.clear()
            entry.update(stamp=stamp, wall=wall)
            self.tracks.pop((entry.get("track") or {}).get("lossless", ""), None)

    def save(self) -> None:
        """Writes the manifest and `.rip.json`, each atomically."""
        with self._lock:
            self._save()

    def _save(self) -> None:
        try:
            write_manifest(self.out / MANIFEST, self.tracks.values())
            with atomic_output(self.out / _MEMORY) as partial:
                partial.write_text(json.dumps(self._memory), "utf-8")
        except OSError as error:
            raise AudioFileError(
                f"OUT must be a writable folder; {self.out}: {cause(error)}; check its permissions and the free space"
            ) from error
        self._saved = time.monotonic()


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
