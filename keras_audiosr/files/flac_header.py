"""Reads the header of a FLAC file (RFC 9639, section 8.2)."""

import dataclasses

from ..annotations import StrPath

_WIDTHS = (8, 16, 24)


@dataclasses.dataclass(frozen=True)
class StreamInfo:
    """A FLAC's STREAMINFO.

    Attributes:
        sample_rate: Hz.
        channels: number of audio channels.
        bits: bits per sample, 4 to 32.
        length: samples per channel; 0 when unknown.
        md5: MD5 of the samples in hexadecimal; empty when unknown.
    """

    sample_rate: int
    channels: int
    bits: int
    length: int
    md5: str

    @property
    def width(self) -> int:
        """The smallest of 8, 16 and 24 bits that holds the samples; 0 if none does."""
        return next((width for width in _WIDTHS if self.bits <= width), 0)


def read_streaminfo(path: StrPath) -> StreamInfo | None:
    """Reads the header of a FLAC file; returns `None` for another file, or if an ID3 tag comes first."""
    with open(path, "rb") as file:
        head = file.read(42)
    # The file begins with "fLaC", a block header of 4 bytes, and the 34 bytes of STREAMINFO, which end with the MD5.
    if len(head) < 42 or head[:4] != b"fLaC":
        return None
    fields = int.from_bytes(head[18:26], "big")
    return StreamInfo(
        sample_rate=fields >> 44,
        channels=(fields >> 41 & 7) + 1,
        bits=(fields >> 36 & 31) + 1,
        length=fields & (1 << 36) - 1,
        md5=head[26:].hex() if any(head[26:]) else "",
    )


def streaminfo_md5(path: StrPath) -> str:
    """Returns the MD5 that a FLAC file declares for its samples, in hexadecimal; empty if it declares none.

    A file that does not begin with `fLaC`, for example because of an ID3 tag, counts as declaring none.
    """
    header = read_streaminfo(path)
    return "" if header is None else header.md5
