"""Reads ASF attributes (WMA); no output format uses them. The names follow Picard's published mapping."""

import struct
from typing import Any

from .metadata import Metadata
from .tag_names import TXXX_NAMES

_NAMES = {
    "AUTHOR": "ARTIST", "DESCRIPTION": "COMMENT", "WM/ALBUMTITLE": "ALBUM", "WM/PARTOFSET": "DISCNUMBER",
    "WM/YEAR": "DATE", "WM/MODIFIEDBY": "REMIXER", "WM/PUBLISHER": "LABEL", "WM/WRITER": "LYRICIST",
    "WM/BEATSPERMINUTE": "BPM", "WM/INITIALKEY": "KEY", "WM/CATALOGNO": "CATALOGNUMBER",
    "WM/CONTENTGROUPDESCRIPTION": "GROUPING", "WM/SETSUBTITLE": "DISCSUBTITLE", "WM/ISCOMPILATION": "COMPILATION",
    "WM/ARTISTSORTORDER": "ARTISTSORT", "WM/ALBUMSORTORDER": "ALBUMSORT", "WM/TITLESORTORDER": "TITLESORT",
    "WM/ALBUMARTISTSORTORDER": "ALBUMARTISTSORT", "WM/COMPOSERSORTORDER": "COMPOSERSORT",
    "WM/ORIGINALRELEASETIME": "ORIGINALDATE", "WM/ORIGINALRELEASEYEAR": "ORIGINALYEAR",
    "WM/ORIGINALARTIST": "ORIGINALARTIST", "WM/AUTHORURL": "WEBSITE",
}  # fmt: skip
# Attributes that describe the encoded stream, as in other formats.
_OF_THE_STREAM = {"WM/ENCODINGSETTINGS", "WM/ENCODINGTIME", "WMFSDKVERSION", "WMFSDKNEEDED", "ISVBR"}
_PICTURE = "WM/PICTURE"


def read_asf(found: Any, metadata: Metadata) -> None:
    """Adds the contents of ASF attributes."""
    for name, attribute in found:
        key = name.upper()
        try:
            if key == _PICTURE:
                _add_picture(bytes(attribute.value), metadata)
            elif isinstance(attribute.value, bytes):
                metadata.unread.append(name)
            elif key not in _OF_THE_STREAM:
                text = str(int(attribute.value)) if isinstance(attribute.value, bool) else str(attribute.value)
                # "MusicBrainz/Album Id" is ID3's "MusicBrainz Album Id".
                other = TXXX_NAMES.get(key.replace("/", " "), key.removeprefix("WM/"))
                metadata.add(_NAMES.get(key, other), [text])
        except Exception:
            metadata.unread.append(name)


def _add_picture(data: bytes, metadata: Metadata) -> None:
    kind, length = struct.unpack_from("<BI", data)
    texts, position = [], 5
    for _ in range(2):
        end = next(place for place in range(position, len(data), 2) if data[place : place + 2] == b"\0\0")
        texts.append(data[position:end].decode("utf-16-le"))
        position = end + 2
    metadata.add_picture(data[position : position + length], texts[0], kind, texts[1])
