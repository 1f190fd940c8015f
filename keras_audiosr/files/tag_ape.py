"""Reads and writes APEv2 tags (WavPack, Monkey's Audio, Musepack, many MP3s)."""

from collections.abc import Iterable

from mutagen import apev2
from mutagen.flac import Picture

from .metadata import FRONT_COVER, LINK, Metadata, Tags
from .tag_names import APE_ITEMS, APE_NAMES

# Names in APEv2 of the picture types that FLAC and ID3 number.
_KINDS = (
    "Other", "Png Icon", "Icon", "Front", "Back", "Leaflet", "Media", "Lead Artist", "Artist", "Conductor", "Band",
    "Composer", "Lyricist", "Recording Location", "During Recording", "During Performance", "Video Capture", "Fish",
    "Illustration", "Band Logotype", "Publisher Logotype",
)  # fmt: skip
_COVER = "COVER ART ("
_SUFFIXES = {"image/png": b".png", "image/gif": b".gif", "image/webp": b".webp", "image/bmp": b".bmp"}


def read_ape(found: apev2.APEv2, metadata: Metadata) -> None:
    """Adds the contents of an APEv2 tag."""
    for name, value in found.items():
        try:
            if name.upper().startswith(_COVER):
                kinds = [f"{_COVER}{kind.upper()})" for kind in _KINDS]
                kind = kinds.index(name.upper()) if name.upper() in kinds else FRONT_COVER
                # The value is a file name, a zero byte and the picture.
                metadata.add_picture(bytes(value.value).partition(b"\0")[2], "", kind)
            elif value.kind == apev2.TEXT:
                metadata.add(APE_NAMES.get(name.upper(), name), list(value))
            else:
                metadata.unread.append(name)
        except Exception:
            metadata.unread.append(name)


def fill_ape(found: apev2.APEv2, tags: Tags, pictures: Iterable[Picture]) -> list[str]:
    """Sets items for tags and pictures; returns what they cannot hold. Numbers include their totals, as `"3/12"`."""
    missing = []
    for name, values in tags.items():
        try:
            found[APE_ITEMS.get(name, name)] = values
        except (KeyError, ValueError):  # a name that APEv2 reserves
            missing.append(name)
    for picture in pictures:
        kind = _KINDS[picture.type] if picture.type < len(_KINDS) else _KINDS[0]
        item = f"Cover Art ({kind})"
        if picture.mime == LINK or item in found:
            missing.append("a picture that is a link" if picture.mime == LINK else f"a second picture of kind {kind}")
            continue
        suffix = _SUFFIXES.get(picture.mime, b".jpg")
        found[item] = apev2.APEValue(b"cover" + suffix + b"\0" + picture.data, apev2.BINARY)
    return missing
