"""Tags and cover art for the formats other than FLAC: ID3 (WAV, AIFF, MP3), MP4 atoms (M4A), APEv2 (WavPack)."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, apev2, id3, mp3, mp4, wave, wavpack
from mutagen.flac import Picture

from ..errors import AudioFileError
from .tag_names import APE_NAMES, ID3_NAMES, MP4_NAMES, SPLIT_NAMES

Tags = dict[str, list[str]]

_OPENERS: dict[str, Any] = {
    ".wav": wave.WAVE,
    ".aiff": aiff.AIFF,
    ".aif": aiff.AIFF,
    ".mp3": mp3.MP3,
    ".m4a": mp4.MP4,
    ".wv": wavpack.WavPack,
}
_ID3_FRAMES = {name: frame for frame, name in ID3_NAMES.items()}
_MP4_ATOMS = {name: atom for atom, name in MP4_NAMES.items()}
_APE_KEYS = {name: key.title() for key, name in APE_NAMES.items()}
# Atoms that hold a number or a switch, not text.
_MP4_INTEGERS = {"tmpo": lambda text: [int(float(text))], "cpil": lambda text: text.strip() not in ("", "0")}


def write_other_tags(target, tags: Tags, pictures: Iterable[Picture] = ()) -> bool:
    """Replaces the tags and pictures of a WAV, AIFF, MP3, M4A or WavPack file.

    Args:
        target: the file; its suffix says what it is.
        tags: values by Vorbis comment name.
        pictures: cover art.

    Returns:
        Whether they were written; a file that cannot hold tags (RF64) is left as it is.

    Raises:
        AudioFileError: the file cannot be written.
    """
    path = Path(target)
    opener = _OPENERS.get(path.suffix.lower())
    file = None
    with contextlib.suppress(mutagen.MutagenError):
        file = opener(path) if opener else None
    if file is None:
        return False
    if file.tags is None:
        file.add_tags()
    # What the encoder left there is not about the music.
    file.tags.clear()
    if isinstance(file, mp4.MP4):
        _fill_mp4(file.tags, tags, pictures)
    elif isinstance(file, wavpack.WavPack):
        _fill_ape(file.tags, tags, pictures)
    else:
        _fill_id3(file.tags, tags, pictures)
    try:
        file.save()
    except (mutagen.MutagenError, OSError) as error:
        raise AudioFileError(f"tags need a writable disk; {path}: {error}; check the free space") from error
    return True


def _with_totals(tags: Tags) -> Tags:
    """The tags with "3" and "12" joined to "3/12", as all these formats keep them."""
    joined = dict(tags)
    for name, total in SPLIT_NAMES.items():
        if total in joined:
            joined[name] = [f"{(joined.get(name) or ['0'])[0]}/{joined.pop(total)[0]}"]
    return joined


def _fill_id3(found, tags: Tags, pictures: Iterable[Picture]) -> None:
    utf8 = id3.Encoding.UTF8
    for name, values in _with_totals(tags).items():
        if name == "COMMENT":
            found.add(id3.COMM(encoding=utf8, lang="XXX", desc="", text=values))
        elif name == "LYRICS":
            found.add(id3.USLT(encoding=utf8, lang="XXX", desc="", text="\n".join(values)))
        elif name == "MUSICBRAINZ_TRACKID":
            found.add(id3.UFID(owner="http://musicbrainz.org", data=values[0].encode("ascii", "replace")))
        elif name == "GENRE":
            found.add(id3.TCON(encoding=utf8, text=values))
        elif name in _ID3_FRAMES:
            found.add(getattr(id3, _ID3_FRAMES[name])(encoding=utf8, text=values))
        else:
            found.add(id3.TXXX(encoding=utf8, desc=name, text=values))
    for number, picture in enumerate(pictures):
        # Frames of one description replace each other.
        description = picture.desc or ("" if not number else str(number))
        found.add(id3.APIC(encoding=utf8, mime=picture.mime, type=picture.type, desc=description, data=picture.data))


def _fill_mp4(found, tags: Tags, pictures: Iterable[Picture]) -> None:
    for name, values in _with_totals(tags).items():
        atom = _MP4_ATOMS.get(name)
        with contextlib.suppress(ValueError):  # a speed or number that is none
            if atom in ("trkn", "disk"):
                number, _, total = values[0].partition("/")
                found[atom] = [(int(number), int(total or 0))]
            elif atom in _MP4_INTEGERS:
                found[atom] = _MP4_INTEGERS[atom](values[0])
            elif atom is not None:
                found[atom] = values
            else:
                found[f"----:com.apple.iTunes:{name}"] = [value.encode() for value in values]
    covers = [
        mp4.MP4Cover(picture.data, mp4.MP4Cover.FORMAT_PNG if picture.mime == "image/png" else mp4.MP4Cover.FORMAT_JPEG)
        for picture in pictures
    ]
    if covers:
        found["covr"] = covers


def _fill_ape(found, tags: Tags, pictures: Iterable[Picture]) -> None:
    for name, values in _with_totals(tags).items():
        with contextlib.suppress(KeyError):  # a name that APEv2 reserves
            found[_APE_KEYS.get(name, name)] = values
    for picture in list(pictures)[:1]:
        suffix = b".png" if picture.mime == "image/png" else b".jpg"
        found["Cover Art (Front)"] = apev2.APEValue(b"cover" + suffix + b"\0" + picture.data, apev2.BINARY)
