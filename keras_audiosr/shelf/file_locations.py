"""Locates the files of a manifest: says where they are kept, and matches twins to tracks by name."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import AudioFileError
from ..files import audio_files
from ..files.flac_header import streaminfo_md5
from ..files.formats import MUSIC_SUFFIXES
from .manifests import Track

# Suffixes of the files that are considered in a folder of twins. They include films, whose sound can be a twin.
TWIN_SUFFIXES = MUSIC_SUFFIXES | {".mkv"}


def path_inside(path: Path, out: Path, folder: str, name: str) -> str:
    """Returns `path` relative to `out` if it lies inside, else `folder/name`, which is where it should be put.

    Only the location of the name counts; the file itself may be a link to another place.
    """
    path, out = path.parent.resolve() / path.name, out.resolve()
    return path.relative_to(out).as_posix() if path.is_relative_to(out) else f"{folder}/{name}"


def read_track(path: Path, track: Track) -> np.ndarray:
    """Reads a lossless track, `(time, channels)` float32, and checks it against its line in the manifest.

    Raises:
        AudioFileError: the file cannot be read, or differs from the manifest.
    """
    audio, sample_rate = audio_files.read(path)
    found = (len(audio), sample_rate, audio.shape[1])
    digest = streaminfo_md5(path) or track.md5
    if found != (track.length, track.sample_rate, track.channels) or digest != track.md5:
        raise AudioFileError(
            f"a track must be as its manifest says; {path} has {found[0]} samples at {found[1]} Hz, {found[2]} channels"
            f" and MD5 {digest}; run rip again"
        )
    return audio


def _key(path: str) -> tuple[str, ...]:
    """Returns a path's parts without the suffix, in the form in which names are compared: composed, without case."""
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in Path(path).with_suffix("").parts)


def match_twins(folder: Path, tracks: Sequence[Track]) -> tuple[list[tuple[Path, Track]], list[tuple[str, str]]]:
    """Finds the track of each file in a folder by its name, then by the folders above it.

    Returns:
        `(file, track)` for each match, and `(path, reason)` for each file that matches no track, or several.
    """
    by_stem = defaultdict(list)
    for track in tracks:
        by_stem[_key(track.lossless)[-1]].append(track)
    matches, unmatched = [], []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in TWIN_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        key = _key(str(path.relative_to(folder)))
        candidates = by_stem.get(key[-1], [])
        for depth in range(2, len(key) + 1):
            closer = [track for track in candidates if _key(track.lossless)[-depth:] == key[-depth:]]
            candidates = closer or candidates
        if len(candidates) == 1:
            matches.append((path, candidates[0]))
            continue
        what = f"{len(candidates)} tracks have" if candidates else "no track has"
        fix = "put it in a folder named like its album's" if candidates else "give it the name of its track"
        unmatched.append((str(path), f"a twin must have the name of one track; {what} the name {path.stem!r}; {fix}"))
    return matches, unmatched
