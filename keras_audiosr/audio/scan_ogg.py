"""Ogg page by page: gaps in their numbers, wrong checksums, streams that do not end or follow each other (RFC 3533)."""

import os
import zlib

_CONTINUED, _FIRST, _LAST = 1, 2, 4
_CHUNK = 1 << 16
# Ogg's CRC-32 takes each byte from its highest bit, zlib's from its lowest.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> int:
    """CRC-32 of a page whose own checksum is taken as zero."""
    data = (page[:22] + b"\0\0\0\0" + page[26:]).translate(_MIRRORED)
    # zlib begins and ends by inverting, Ogg does not.
    mirrored = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def scan_ogg(path) -> list[str]:
    """Looks at every page of an Ogg file (Vorbis, Opus, FLAC, Speex).

    Args:
        path: the file.

    Returns:
        What is wrong, as predicates of the file; empty for a whole one.
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
                # Behind the last page taggers may leave what they like.
                junk += found - position if found < size else 0
                position = found
                continue
            segments = file.read(head[26]) if len(head) == 27 else b""
            body = file.read(sum(segments))
            if len(head) < 27 or len(segments) < head[26] or len(body) < sum(segments):
                break  # cut within a page: its stream has no end
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
        faults.append(f"has {junk} bytes between its pages that are none")
    if links > 1:
        faults.append(f"is {links} files in one")
    return faults


def _next_page(file, position: int, size: int) -> int:
    while position < size:
        file.seek(position)
        at = file.read(_CHUNK + 3).find(b"OggS")
        if at >= 0:
            return position + at
        position += _CHUNK
    return size
