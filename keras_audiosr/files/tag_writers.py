"""Writes tags, chapters and art to a finished file: Vorbis comments, ID3 (WAV, AIFF, MP3), MP4, APEv2 (WavPack)."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, flac, mp3, mp4, wave, wavpack
from mutagen.apev2 import APEv2

from ..annotations import StrPath
from ..errors import AudioFileError, cause
from .formats import FORMATS, LeftOut
from .metadata import Metadata, Tags, chapter_tags
from .tag_ape import fill_ape
from .tag_id3 import MOST_CHAPTERS, fill_id3
from .tag_mp4 import fill_mp4
from .tag_names import SPLIT_NAMES

# By the names in `FORMATS`.
_OPENERS: dict[str, Any] = {
    "FLAC": flac.FLAC,
    "WAV": wave.WAVE,
    "AIFF": aiff.AIFF,
    "MP3": mp3.MP3,
    "M4A": mp4.MP4,
    "WavPack": wavpack.WavPack,
}
# MP4 has a separate atom for the number of movements.
_MP4_TOTALS = ("TRACKNUMBER", "DISCNUMBER")


def left_behind(suffix: str, metadata: Metadata) -> list[LeftOut]:
    """Lists the metadata of a song that an output will lack, before the output is made.

    Args:
        suffix: the output's suffix, a key of `formats.FORMATS` in any case.
        metadata: the song's metadata.

    Returns:
        What could not be read, what the format cannot hold, and measurements such as ReplayGain, which apply only to
        the song's own samples.
    """
    left_out = _unsayable(suffix, metadata)
    if metadata.unread:
        names = ", ".join(sorted(set(metadata.unread)))
        left_out.append(LeftOut("tags", f"its tags have {names}, which no other format can hold"))
    if metadata.measured:
        names = ", ".join(sorted(metadata.measured))
        left_out.append(LeftOut("measurements", f"{names}, measured on other samples than its own"))
    return left_out


def _unsayable(suffix: str, metadata: Metadata) -> list[LeftOut]:
    """Lists the tags, pictures and chapters of a song that a format cannot hold."""
    suffix = suffix.lower()
    if suffix not in FORMATS:
        return []
    form = FORMATS[suffix]
    left_out = [
        LeftOut("pictures", f"{form.name} cannot hold a picture of {len(picture.data) / 1e6:.1f} MB")
        for picture in metadata.pictures
        if len(picture.data) > form.largest_picture
    ]
    pictures = _fitting(metadata.pictures, suffix)
    missing: list[str] = []
    if suffix == ".m4a":
        missing = fill_mp4(mp4.MP4Tags(), _with_totals(metadata.tags, _MP4_TOTALS), pictures)
    elif suffix == ".wv":
        missing = fill_ape(APEv2(), _with_totals(metadata.tags | chapter_tags(metadata.chapters)), pictures)
    elif suffix != ".flac" and len(metadata.chapters) > MOST_CHAPTERS:
        left_out.append(LeftOut("chapters", f"ID3 holds {MOST_CHAPTERS} chapters of {len(metadata.chapters)}"))
    for part in missing:
        left_out.append(LeftOut("pictures" if "picture" in part else "tags", f"{form.name} cannot hold {part}"))
    return left_out


def _fitting(pictures: list[flac.Picture], suffix: str) -> list[flac.Picture]:
    return [picture for picture in pictures if len(picture.data) <= FORMATS[suffix].largest_picture]


def write_metadata(target: StrPath, metadata: Metadata) -> list[LeftOut]:
    """Replaces tags, chapters and pictures of a FLAC, WAV, AIFF, MP3, M4A or WavPack file.

    An M4A keeps the chapters that it was made with (`writers.open_writer`); they are not replaced.

    Args:
        target: the file, whose suffix determines the format.
        metadata: the metadata to write. If it is empty, the file is not changed.

    Returns:
        What the file lacks, as in `left_behind`. A file that cannot hold tags (RF64) is not changed.

    Raises:
        AudioFileError: the file cannot be written.
    """
    path = Path(target)
    suffix = path.suffix.lower()
    opener = _OPENERS[FORMATS[suffix].name] if suffix in FORMATS else None
    left_out = left_behind(suffix, metadata)
    if not (metadata.tags or metadata.pictures or metadata.chapters):
        return left_out
    file: Any = None
    with contextlib.suppress(mutagen.MutagenError):
        file = opener(path) if opener else None
    if file is None:
        return [LeftOut("tags", "this file cannot hold any tags")]
    if file.tags is None:
        file.add_tags()
    said: Any = file.tags
    # Tags that the encoder left do not describe the music.
    said.clear()
    pictures = _fitting(metadata.pictures, suffix)
    if isinstance(file, flac.FLAC):
        _fill_flac(file, metadata, pictures)
    elif isinstance(file, mp4.MP4):
        fill_mp4(said, _with_totals(metadata.tags, _MP4_TOTALS), pictures)
    elif isinstance(file, wavpack.WavPack):
        fill_ape(said, _with_totals(metadata.tags | chapter_tags(metadata.chapters)), pictures)
    else:
        fill_id3(said, _with_totals(metadata.tags), pictures, metadata.chapters)
    try:
        file.save()
    except (mutagen.MutagenError, OSError) as error:
        raise AudioFileError(f"tags need a writable disk; {path}: {cause(error)}; check the free space") from error
    return left_out


def _with_totals(tags: Tags, names: Iterable[str] = tuple(SPLIT_NAMES)) -> Tags:
    """Returns the tags with number and total joined, such as "3/12", as these formats store them."""
    joined = dict(tags)
    for name in names:
        total = SPLIT_NAMES[name]
        if total in joined:
            joined[name] = [f"{(joined.get(name) or ['0'])[0]}/{joined.pop(total)[0]}"]
    return joined


def _fill_flac(file: flac.FLAC, metadata: Metadata, pictures: list[flac.Picture]) -> None:
    file.clear_pictures()
    tags = metadata.tags | chapter_tags(metadata.chapters)
    for name in sorted(tags):
        file[name] = tags[name]
    for picture in pictures:
        file.add_picture(picture)
