"""Reads tags, chapters and cover art of music files, and copies them to restored files.

`tag_id3`, `tag_mp4` and `tag_ape` implement the formats, `tag_names` maps the names of fields, and `tag_writers`
writes. Damaged tags are dropped and never make a restoration fail.
"""

import base64
import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutagen
import mutagen.mp4
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import Picture
from mutagen.id3 import ID3

from ..annotations import StrPath
from .chunks import iter_chunks
from .formats import LeftOut
from .headers import AudioInfo
from .metadata import CUESHEET_BLOCK, Chapter, Metadata, Tags, take_chapters
from .tag_ape import read_ape
from .tag_asf import read_asf
from .tag_id3 import read_id3
from .tag_mp4 import read_mp4
from .tag_names import INFO_NAMES
from .tag_writers import write_metadata

# Chunks of WAV and AIFF with other information, such as the place and time of a recording, or markers.
_CHUNKS = {
    b"bext", b"iXML", b"axml", b"cue ", b"plst", b"smpl", b"inst", b"acid", b"MARK", b"INST", b"MIDI", b"COMT", b"APPL",
}  # fmt: skip
_APPLICATION = 2  # type of a FLAC metadata block
# Chunks of RIFF INFO in which programs name themselves.
_PROGRAMS = (b"ISFT", b"IENC", b"ITCH")
# Names that FFmpeg itself adds to the tags of a container.
_OF_FFMPEG = {
    "MAJOR_BRAND",
    "MINOR_VERSION",
    "COMPATIBLE_BRANDS",
    "CREATION_TIME",
    "HANDLER_NAME",
    "VENDOR_ID",
    "DURATION",
}


def _from_vorbis(found: Any, metadata: Metadata) -> None:
    for name, value in found:
        if name.upper() == "METADATA_BLOCK_PICTURE":
            try:
                picture = Picture(base64.b64decode(value))
                metadata.add_picture(picture.data, picture.mime, picture.type, picture.desc)
            except Exception:
                metadata.unread.append("a damaged picture")
        elif name.upper() == "COVERART":  # used before picture blocks existed
            with contextlib.suppress(ValueError):
                metadata.add_picture(base64.b64decode(value), "")
        else:
            metadata.add(name, [value])


def _from_chunks(path: StrPath, metadata: Metadata) -> None:
    """Adds RIFF INFO and AIFF text chunks for fields that an ID3 tag lacks."""
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
            elif name in _CHUNKS:
                metadata.unread.append(f"a {name.decode().strip()} chunk")
    for name, raw in texts:
        key = INFO_NAMES.get(name)
        if key is None and name not in _PROGRAMS and name.isalnum() and raw.strip(b"\0 "):
            metadata.unread.append(name.decode())
        if key is None or key in metadata.tags:
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
        metadata.add(key, [text.strip("\0 ")])


def _load(path: Path) -> tuple[Any, Any]:
    """Opens a file with mutagen; returns its tags and the opened file, each of which may be `None`."""
    with contextlib.suppress(Exception), open(path, "rb") as file:
        found = mutagen.File(file)
        if found is not None and found.tags is not None:
            return found.tags, found
        if found is not None:
            return None, found
    # The ID3 tag can be intact even if the audio after it is damaged.
    with contextlib.suppress(Exception), open(path, "rb") as file:
        return ID3(file), None
    return None, None


def _read_one(found: Any, metadata: Metadata) -> None:
    with contextlib.suppress(Exception):
        if isinstance(found, ID3):
            read_id3(found, metadata)
        elif isinstance(found, mutagen.mp4.MP4Tags):
            read_mp4(found, metadata)
        elif isinstance(found, APEv2):
            read_ape(found, metadata)
        elif isinstance(found, ASFTags):
            read_asf(found, metadata)
        elif found is not None:
            _from_vorbis(found, metadata)


def _with_apev2(path: Path, found: Any, metadata: Metadata) -> Metadata:
    """Merges an APEv2 tag after MP3 frames. It ranks below ID3v2, and above ID3v1, which cuts at 30 characters."""
    other = Metadata()
    with contextlib.suppress(Exception), open(path, "rb") as file:
        read_ape(APEv2(file), other)
    first, second = (metadata, other) if found is not None and found.version >= (2,) else (other, metadata)
    first.add_missing(second)
    return first


def read_metadata(source: StrPath, info: AudioInfo | None = None) -> Metadata:
    """Reads the tags, pictures and chapters of a music file.

    Args:
        source: any file: MP3, M4A, Ogg Vorbis, Opus, FLAC, WavPack, WAV, AIFF and other formats that mutagen reads.
        info: what FFmpeg found in it. Its chapters are used, and its tags if mutagen reads none.

    Returns:
        The metadata. It is empty, without an error, for a file whose tags are missing or cannot be read. Encoder names
        and other descriptions of the encoded stream are left out.
    """
    path, metadata = Path(source), Metadata()
    found, file = _load(path)
    _read_one(found, metadata)
    for block in getattr(file, "pictures", []):
        metadata.add_picture(block.data, block.mime, block.type, block.desc)
    if getattr(file, "cuesheet", None) is not None:
        metadata.unread.append(CUESHEET_BLOCK)
    if any(block.code == _APPLICATION for block in getattr(file, "metadata_blocks", [])):
        metadata.unread.append("an APPLICATION block")
    if isinstance(found, ID3) or (found is None and path.suffix.lower() in (".mp3", ".mp2", ".aac")):
        metadata = _with_apev2(path, found, metadata)
    with contextlib.suppress(Exception):
        _from_chunks(source, metadata)
    listed = take_chapters(metadata.tags)
    metadata.chapters = metadata.chapters or listed
    if info is not None:
        metadata.chapters = metadata.chapters or [Chapter(*chapter) for chapter in info.chapters]
        if file is None and not metadata.tags:
            for name, value in info.tags:
                if name.upper() not in _OF_FFMPEG:
                    metadata.add(name, [value])
            take_chapters(metadata.tags)
    return metadata


def read_tags(source: StrPath) -> tuple[Tags, list[Picture]]:
    """Reads the tags and pictures of a music file, as `read_metadata` does.

    Returns:
        Values by Vorbis comment name (upper case), and the pictures.
    """
    metadata = read_metadata(source)
    return metadata.tags, metadata.pictures


def write_tags(target: StrPath, tags: Tags, pictures: Iterable[Picture] = ()) -> list[LeftOut]:
    """Replaces the tags and pictures of a file.

    Args:
        target: FLAC, WAV, AIFF, MP3, M4A or WavPack file.
        tags: values by Vorbis comment name.
        pictures: cover art.

    Returns:
        What the format cannot hold.

    Raises:
        AudioFileError: `target` cannot be written.
    """
    return write_metadata(target, Metadata(dict(tags), list(pictures)))


def copy_tags(
    source: StrPath, target: StrPath, more: Tags | None = None, metadata: Metadata | None = None
) -> list[LeftOut]:
    """Copies tags, chapters and cover art to a restored file, except measurements of the source's samples.

    Args:
        source: any music file, tagged or not.
        target: FLAC, WAV, AIFF, MP3, M4A or WavPack file. It is not changed if there is nothing to copy.
        more: values by name that replace the source's.
        metadata: the source's metadata, if it has been read already.

    Returns:
        What the target lacks, as in `left_behind`.

    Raises:
        AudioFileError: the target cannot be written. Faults in the source's tags raise no error.
    """
    said = metadata or read_metadata(source)
    return write_metadata(target, dataclasses.replace(said, tags=said.tags | (more or {})))
