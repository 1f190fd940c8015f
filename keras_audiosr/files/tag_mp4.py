"""Reads and writes MP4 atoms (M4A, M4B). Freeform atoms hold names that have no atom of their own."""

from collections.abc import Iterable
from typing import Any

from mutagen import mp4
from mutagen.flac import Picture

from .metadata import LINK, Metadata, Tags, chapters_from
from .tag_names import MP4_ATOMS, MP4_FREEFORM, MP4_FREEFORM_NAMES, MP4_NAMES

_FREEFORM = "----:com.apple.iTunes:"
_PAIRS = ("trkn", "disk")
_SWITCHES = ("cpil", "pcst", "pgap")
_INTEGERS = ("tmpo", "\xa9mvi", "\xa9mvc", "shwm", "rtng", "stik")
# The encoding tool, and a genre's number, which mutagen has read as a name.
_OF_THE_STREAM = ("\xa9too", "gnre")
_COVERS = {"image/png": mp4.MP4Cover.FORMAT_PNG, "image/jpeg": mp4.MP4Cover.FORMAT_JPEG}


def read_mp4(found: mp4.MP4Tags, metadata: Metadata) -> None:
    """Adds the contents of MP4 atoms."""
    for name, values in found.items():
        try:
            if name == "covr":
                for cover in values:
                    mime = "image/png" if cover.imageformat == cover.FORMAT_PNG else "image/jpeg"
                    metadata.add_picture(cover, mime)
            elif name in _PAIRS:
                metadata.add(MP4_NAMES[name], ["/".join(str(part) for part in values[0])])
            elif name.startswith("----:"):
                freeform = name.rsplit(":", 1)[1] if name.startswith(_FREEFORM) is False else name[len(_FREEFORM) :]
                texts = (bytes(value).decode("utf-8", "replace") for value in values)
                metadata.add(MP4_FREEFORM_NAMES.get(freeform.upper(), freeform), texts)
            elif name in MP4_NAMES:
                # A switch that is off means the same as a missing one.
                metadata.add(MP4_NAMES[name], values if isinstance(values, list) else ["1"] * bool(values))
            elif name not in _OF_THE_STREAM:
                metadata.unread.append(name)
        except Exception:
            metadata.unread.append(name)


def read_mp4_chapters(found: Any, metadata: Metadata) -> None:
    """Adds the chapters that mutagen found; FFmpeg finds more kinds of them."""
    chapters = getattr(found, "chapters", None) or []
    metadata.chapters += chapters_from(((chapter.start, chapter.title) for chapter in chapters), 0.0)


def fill_mp4(found: mp4.MP4Tags, tags: Tags, pictures: Iterable[Picture]) -> list[str]:
    """Sets atoms for tags and pictures; returns what they cannot hold. Numbers include their totals, as `"3/12"`."""
    for name, values in tags.items():
        atom = MP4_ATOMS.get(name)
        if atom is not None and _set_atom(found, atom, values):
            continue
        freeform = MP4_FREEFORM.get(name, name)
        if atom in _PAIRS:
            # "A1" of a vinyl record is not a number, but its total is.
            number, _, total = values[0].partition("/")
            values = [number]
            if total.isdecimal():
                found[atom] = [(0, int(total))]
        found[_FREEFORM + freeform] = [value.encode() for value in values]
    covers, missing = [], []
    for picture in pictures:
        if picture.mime in _COVERS:
            covers.append(mp4.MP4Cover(picture.data, _COVERS[picture.mime]))
        else:
            missing.append("a picture that is a link" if picture.mime == LINK else f"a picture of {picture.mime}")
    if covers:
        found["covr"] = covers
    return missing


def _set_atom(found: mp4.MP4Tags, atom: str, values: list[str]) -> bool:
    """Sets an atom; returns whether it can hold these values."""
    try:
        if atom in _PAIRS:
            number, _, total = values[0].partition("/")
            found[atom] = [(int(number or 0), int(total or 0))]
        elif atom in _SWITCHES:
            found[atom] = values[0].strip() not in ("", "0")
        elif atom in _INTEGERS:
            if not values[0].isdecimal() or len(values) > 1:
                return False
            found[atom] = [int(values[0])]
        else:
            found[atom] = values
    except ValueError:  # not a number
        return False
    return True
