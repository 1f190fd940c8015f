"""Tags and cover art: read from what people have, written to FLAC as Vorbis comments and pictures.

`tag_writers` writes them to the other formats.

Tags are a courtesy to the listener: broken ones are dropped, and never fail the job.
"""

import base64
import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

import mutagen
import mutagen.mp4
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import ID3

from ..errors import AudioFileError
from .chunks import iter_chunks
from .tag_names import APE_NAMES, ID3_NAMES, INFO_NAMES, MP4_NAMES, SPLIT_NAMES
from .tag_writers import Tags, write_other_tags

# What an encoder or a player measured on other samples than these, and what indexes a whole disc.
_DROPPED = re.compile(
    r"ENCODER|ENCODED[ _-]?BY|ENCODING|ENCODERSETTINGS|ENCODER_OPTIONS|ITUN(ES|SMPB|NORM|PGAP)\w*|ACCURATERIP\w*|"
    r"(REPLAYGAIN|R128|MP3GAIN|WAVEFORMATEXTENSIBLE)_\w*|CUESHEET|LOG|METADATA_BLOCK_PICTURE|COVERART(MIME)?"
)
# What was computed from the very samples of a file, and does not hold for a restored one.
_STALE = re.compile(r"ACOUSTID([ _]\w+)?|MUSIC(IP|MAGIC)[ _]\w+")
# A FLAC metadata block holds under 16 MiB.
_MAX_PICTURE = (1 << 24) - 4096
_FRONT_COVER = 3


def _add(tags: Tags, name: str, values: Iterable) -> None:
    # Vorbis comment names: printable ASCII without '='.
    name = re.sub(r"[^\x20-\x3c\x3e-\x7d]", "", name).strip().upper()
    if not name or _DROPPED.fullmatch(name):
        return
    if name in SPLIT_NAMES:
        for value in values:
            _add_number(tags, name, str(value))
        return
    for value in values:
        text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
        if text and text not in tags.setdefault(name, []):
            tags[name].append(text)


def _add_number(tags: Tags, name: str, text: str) -> None:
    number, _, total = text.partition("/")
    for part, key in ((number, name), (total, SPLIT_NAMES[name])):
        if part.strip().isdecimal() and len(part) < 6 and int(part):
            tags.setdefault(key, [str(int(part))])


def _picture(data: bytes, mime: str, kind: int = _FRONT_COVER, description: str = "") -> Picture | None:
    if not data or len(data) > _MAX_PICTURE:
        return None
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = bytes(data), mime or "image/jpeg", kind, description
    return picture


def _from_id3(found: ID3, tags: Tags, pictures: list[Picture | None]) -> None:
    for frame in found.values():
        # A frame that cannot be read says nothing about the next one.
        with contextlib.suppress(Exception):
            name = frame.FrameID
            if name == "APIC":
                pictures.append(_picture(frame.data, frame.mime, int(frame.type), frame.desc))
            elif name == "TXXX":
                _add(tags, frame.desc, frame.text)
            elif name == "COMM":
                # Descriptions mark what programs leave for themselves (iTunNORM, ID3v1 ...).
                _add(tags, "COMMENT", frame.text if not frame.desc else [])
            elif name == "USLT":
                _add(tags, "LYRICS", [frame.text])
            elif name == "UFID" and frame.owner == "http://musicbrainz.org":
                _add(tags, "MUSICBRAINZ_TRACKID", [frame.data.decode("ascii")])
            elif name == "TCON":
                _add(tags, "GENRE", frame.genres)
            elif name in ID3_NAMES:
                _add(tags, ID3_NAMES[name], frame.text)


def _from_mp4(found, tags: Tags, pictures: list[Picture | None]) -> None:
    for name, values in found.items():
        with contextlib.suppress(Exception):
            if name == "covr":
                for cover in values:
                    mime = "image/png" if cover.imageformat == cover.FORMAT_PNG else "image/jpeg"
                    pictures.append(_picture(cover, mime))
            elif name in ("trkn", "disk"):
                _add(tags, MP4_NAMES[name], ["/".join(str(part) for part in values[0])])
            elif name.startswith("----:"):
                _add(tags, name.rsplit(":", 1)[1], (bytes(value).decode("utf-8", "replace") for value in values))
            elif name in MP4_NAMES:
                _add(tags, MP4_NAMES[name], values if isinstance(values, list) else [int(values)])


def _from_ape(found, tags: Tags, pictures: list[Picture | None]) -> None:
    for name, value in found.items():
        with contextlib.suppress(Exception):
            if name.upper() == "COVER ART (FRONT)":
                # A file name, a zero, the picture.
                data = bytes(value.value).partition(b"\0")[2]
                pictures.append(_picture(data, "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"))
            elif value.kind == mutagen.apev2.TEXT:
                _add(tags, APE_NAMES.get(name.upper(), name), list(value))


def _from_vorbis(found, tags: Tags, pictures: list[Picture | None]) -> None:
    for name, value in found:
        if name.upper() == "METADATA_BLOCK_PICTURE":
            with contextlib.suppress(Exception):
                picture = Picture(base64.b64decode(value))
                pictures.append(_picture(picture.data, picture.mime, picture.type, picture.desc))
        else:
            _add(tags, name, [value])


def _from_chunks(path, tags: Tags) -> None:
    """RIFF INFO and AIFF text chunks, for what an ID3 tag has not said."""
    texts: list[tuple[bytes, bytes]] = []
    with open(path, "rb") as file:
        for name, offset, length in iter_chunks(file):
            if length > 1 << 20:
                continue
            file.seek(offset)
            content = file.read(length)
            if name == b"LIST" and content[:4] == b"INFO":
                position = 4
                while position + 8 <= len(content):
                    size = int.from_bytes(content[position + 4 : position + 8], "little")
                    texts.append((content[position : position + 4], content[position + 8 : position + 8 + size]))
                    position += 8 + size + size % 2
            elif name in (b"NAME", b"AUTH", b"(c) ", b"ANNO"):
                texts.append((name, content))
    for name, raw in texts:
        key = INFO_NAMES.get(name)
        if key is None or key in tags:
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
        _add(tags, key, [text.strip("\0 ")])


def _load(path: Path):
    """Mutagen's view of a file: `(tags, pictures)`, or `(None, [])`."""
    with contextlib.suppress(Exception), open(path, "rb") as file:
        found = mutagen.File(file)
        if found is not None and found.tags is not None:
            return found.tags, list(getattr(found, "pictures", []))
    # Its ID3 tag can be whole where the audio behind it is not.
    with contextlib.suppress(Exception), open(path, "rb") as file:
        return ID3(file), []
    return None, []


def read_tags(source) -> tuple[Tags, list[Picture]]:
    """Reads the tags of an MP3, M4A, Ogg Vorbis, Opus, FLAC, WavPack, WAV or AIFF file.

    Args:
        source: any file.

    Returns:
        Values by Vorbis comment name (upper case), and the pictures. Both empty
        for a file without tags, or with tags that cannot be read: no error.
        Encoder names, ReplayGain and CUE sheets are left out.
    """
    tags: Tags = {}
    pictures: list[Picture | None] = []
    found, blocks = _load(Path(source))
    with contextlib.suppress(Exception):
        if isinstance(found, ID3):
            _from_id3(found, tags, pictures)
        elif isinstance(found, mutagen.mp4.MP4Tags):
            _from_mp4(found, tags, pictures)
        elif isinstance(found, APEv2):
            _from_ape(found, tags, pictures)
        elif found is not None:
            _from_vorbis(found, tags, pictures)
    pictures += [_picture(block.data, block.mime, block.type, block.desc) for block in blocks]
    with contextlib.suppress(Exception):
        _from_chunks(source, tags)
    return tags, [picture for picture in pictures if picture is not None]


def write_tags(target, tags: Tags, pictures: Iterable[Picture] = ()) -> None:
    """Replaces the tags and pictures of a FLAC file.

    Args:
        target: FLAC file.
        tags: values by Vorbis comment name.
        pictures: cover art.

    Raises:
        AudioFileError: `target` is no FLAC file, or cannot be written.
    """
    try:
        file = FLAC(target)
        file.clear_pictures()
        file.clear()
        for name in sorted(tags):
            file[name] = tags[name]
        for picture in pictures:
            file.add_picture(picture)
        file.save()
    except (mutagen.MutagenError, OSError) as error:
        raise AudioFileError(
            f"tags are written to a FLAC file on a writable disk; {target}: {error}; check the free space"
        ) from error


def copy_tags(source, target, more: Tags | None = None) -> bool:
    """Copies tags and cover art to a restored file; what was computed from the source's very samples stays behind.

    Args:
        source: MP3, M4A, Ogg Vorbis, Opus, FLAC, WavPack, WAV or AIFF file, tagged or not.
        target: FLAC file; or WAV, AIFF, MP3 (ID3), M4A or WavPack (APEv2), which is left as it is where it cannot
            hold tags.
        more: values by name that replace the source's.

    Returns:
        Whether anything was written.

    Raises:
        AudioFileError: the target cannot be written. Whatever is wrong with the source's tags raises nothing.
    """
    tags, pictures = read_tags(source)
    tags = {name: values for name, values in tags.items() if not _STALE.fullmatch(name)} | (more or {})
    if not tags and not pictures:
        return False
    if Path(target).suffix.lower() != ".flac":
        return write_other_tags(target, tags, pictures)
    write_tags(target, tags, pictures)
    return True
