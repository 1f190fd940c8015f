"""Checks Ogg page by page for gaps in page numbers, wrong checksums, and unended or chained streams (RFC 3533)."""

import os
import zlib
from typing import BinaryIO

from ..annotations import StrPath

_CONTINUED, _FIRST, _LAST = 1, 2, 4
_CHUNK = 1 << 16
# A start time above this many seconds is more than an encoder's delay. This many pages are searched for the first one
# with sound.
_LATE, _MOST_HEADERS = 2.0, 300
# Ogg's CRC-32 takes each byte from its highest bit, zlib's from its lowest.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> int:
    """Returns the CRC-32 of a page, with its own checksum set to zero."""
    data = (page[:22] + b"\0\0\0\0" + page[26:]).translate(_MIRRORED)
    # zlib begins and ends by inverting, Ogg does not.
    mirrored = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def late_start(path: StrPath, container: str, codec: str, start: float, duration: float) -> float:
    """Returns the seconds that FFmpeg counts before the sound begins.

    A recording of an internet stream that has run for days begins with a time stamp of several days.

    Args:
        path: the file.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec.
        start: FFmpeg's start time in seconds.
        duration: FFmpeg's duration in seconds, which counts from zero in some formats and from the start in others.
    """
    if container == "ogg" and codec != "opus":
        # FFmpeg knows where Vorbis begins, but assumes that FLAC begins at zero. The duration is then unknown.
        return duration if not start and _first_time(path) > _LATE else 0.0
    elif container != "ogg" and not any(name in container for name in ("matroska", "nut", "asf")):
        return 0.0
    return start if _LATE < start <= duration else 0.0


def _first_time(path: StrPath) -> float:
    """Returns the time in seconds of the first page with sound, for FLAC in Ogg; 0.0 for other codecs."""
    rate = 0
    with open(path, "rb", buffering=_CHUNK) as file:
        for _ in range(_MOST_HEADERS):
            head = file.read(27)
            if len(head) < 27 or head[:4] != b"OggS":
                return 0.0
            body = file.read(sum(file.read(head[26])))
            granule = int.from_bytes(head[6:14], "little", signed=True)
            if body[:5] == b"\x7fFLAC" and len(body) >= 30:
                rate = int.from_bytes(body[27:30], "big") >> 4
            elif granule > 0:
                return granule / rate if rate else 0.0
    return 0.0


def scan_ogg(path: StrPath) -> list[str]:
    """Checks every page of an Ogg file (Vorbis, Opus, FLAC, Speex).

    Args:
        path: the file.

    Returns:
        The faults, as predicates of the file; empty if there are none.
    """
    expected: dict[int, int] = {}
    open_streams: set[int] = set()
    links = missing = damaged = unended = junk = 0
    heading = False  # within the first pages of the streams that begin together
    with open(path, "rb", buffering=_CHUNK) as file:
        size = os.fstat(file.fileno()).st_size
        position = 0
        while position < size:
            file.seek(position)
            head = file.read(27)
            if head[:4] != b"OggS":
                found = _next_page(file, position + 1, size)
                # Bytes after the last page are ignored, because tag editors may leave any there.
                junk += found - position if found < size else 0
                position = found
                continue
            segments = file.read(head[26]) if len(head) == 27 else b""
            body = file.read(sum(segments))
            if len(head) < 27 or len(segments) < head[26] or len(body) < sum(segments):
                break  # The file is cut within a page, so its stream has no end.
            if _checksum(head + segments + body) != int.from_bytes(head[22:26], "little"):
                damaged += 1
                position += 4
                position = _next_page(file, position, size)
                continue
            position += 27 + len(segments) + len(body)
            serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
            if head[5] & _FIRST:
                if not heading:
                    links += 1
                    unended += len(open_streams)
                    open_streams.clear()
                open_streams.add(serial)
            elif number != expected.get(serial, number):
                missing += max(number - expected[serial], 1)
            heading = bool(head[5] & _FIRST)
            expected[serial] = number + 1
            if head[5] & _LAST:
                open_streams.discard(serial)
    unended += len(open_streams)
    faults = []
    if unended:
        faults.append("has no last page")
    if missing:
        faults.append(f"lacks {missing} pages")
    if damaged:
        faults.append(f"has {damaged} damaged pages")
    elif junk:
        faults.append(f"has {junk} bytes between its pages that belong to no page")
    if links > 1:
        faults.append(f"is {links} files in one")
    return faults


def _next_page(file: BinaryIO, position: int, size: int) -> int:
    while position < size:
        file.seek(position)
        at = file.read(_CHUNK + 3).find(b"OggS")
        if at >= 0:
            return position + at
        position += _CHUNK
    return size
