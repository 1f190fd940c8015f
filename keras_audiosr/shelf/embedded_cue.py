"""Reads the CUE sheet inside a FLAC file, which is the text of a CUESHEET comment or a CUESHEET block."""

import contextlib
from pathlib import Path
from typing import Any

from mutagen.flac import FLAC

from ..errors import AudioFileError
from .cue import SECTORS_PER_SECOND, CueSheet, CueTrack, parse_cue

_LEAD_OUT = (170, 255)  # track numbers of the lead-out (RFC 9639, section 8.7)


def read_embedded_cue(path: Path) -> CueSheet | None:
    """Returns the sheet inside a FLAC that cuts it into several tracks, or `None`.

    Raises:
        AudioFileError: the sheet is damaged, belongs to other files, or does not cut at whole CD sectors.
    """
    file = None
    with contextlib.suppress(Exception):
        file = FLAC(path)
    if file is None:
        return None
    texts: list[str] = file.get("CUESHEET", [])
    sheet = parse_cue(texts[0], path) if texts else _from_block(file, path)
    if sheet is None or len(sheet.tracks) < 2:
        return None
    last = sheet.tracks[-1].start / SECTORS_PER_SECOND
    if len({track.file for track in sheet.tracks}) > 1 or (file.info.length and last >= file.info.length):
        raise AudioFileError(f"a CUE sheet inside a file must cut that file; the one in {path} belongs to other files")
    return sheet


def _from_block(file: FLAC, path: Path) -> CueSheet | None:
    block: Any = file.cuesheet
    if block is None:
        return None
    rate = file.info.sample_rate
    starts = []
    for track in block.tracks:
        if track.track_number in _LEAD_OUT or track.type:
            continue
        offset = next((index.index_offset for index in track.indexes if index.index_number == 1), 0)
        sectors, rest = divmod((track.start_offset + offset) * SECTORS_PER_SECOND, rate)
        if rest:
            raise AudioFileError(
                f"a CUE sheet must cut at CD sectors; the one in {path} cuts track {track.track_number} elsewhere"
            )
        starts.append((track.track_number, sectors, (track.isrc or b"").decode("ascii", "replace")))
    data = tuple(track.track_number for track in block.tracks if track.type and track.track_number not in _LEAD_OUT)
    tracks = []
    for (number, start, isrc), following in zip(starts, [*starts[1:], None], strict=True):
        tags = {"TRACKNUMBER": str(number), **({"ISRC": isrc} if isrc else {})}
        tracks.append(CueTrack(number, path.name, start, following[1] if following else None, tags))
    return CueSheet(tuple(tracks), data)
