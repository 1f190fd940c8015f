"""CUE sheets: where the tracks of one long file begin, and what they are called."""

import codecs
import dataclasses
import re
from pathlib import Path

from ..errors import AudioFileError
from .files import LOSSLESS_SUFFIXES

# A CD sector, the unit of a CUE sheet's times: 588 samples at 44.1 kHz.
SECTORS_PER_SECOND = 75
_MAX_BYTES = 1 << 20
_WORDS = re.compile(r'"([^"]*)"?|(\S+)')
_TAGS = {"TITLE": "TITLE", "PERFORMER": "ARTIST", "SONGWRITER": "COMPOSER", "ISRC": "ISRC"}
_DISC_TAGS = {"TITLE": "ALBUM", "PERFORMER": "ALBUMARTIST", "SONGWRITER": "COMPOSER", "CATALOG": "BARCODE"}
_REMARKS = ("DATE", "GENRE", "DISCNUMBER", "TOTALDISCS", "COMPOSER")


@dataclasses.dataclass(frozen=True)
class CueTrack:
    """One audio track of a sheet.

    Attributes:
        number: as the sheet counts, from 1.
        file: the name in the sheet's `FILE` line.
        start: sector (1/75 s) of `INDEX 01` in that file.
        stop: sector at which the next track of the file starts; `None` at the file's end.
        tags: Vorbis comment names and values: the disc's, and the track's over them.
    """

    number: int
    file: str
    start: int
    stop: int | None
    tags: dict[str, str]


@dataclasses.dataclass(frozen=True)
class CueSheet:
    """A disc.

    Attributes:
        tracks: audio tracks in playing order.
        data_tracks: numbers of the tracks that hold no audio.
    """

    tracks: tuple[CueTrack, ...]
    data_tracks: tuple[int, ...]


def _decode(content: bytes) -> str:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(name, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # Windows rippers write the local code page; Western is the best guess without a mark.
        return content.decode("cp1252", "replace")


def _sectors(value: str, where: str) -> int:
    found = re.fullmatch(r"(\d+):([0-5]?\d):(\d\d?)", value)
    if found is None or int(found[3]) >= SECTORS_PER_SECOND:
        raise AudioFileError(f"a CUE time is mm:ss:ff with ff below 75; {where} has {value!r}; mend the sheet")
    minutes, seconds, sectors = (int(part) for part in found.groups())
    return (minutes * 60 + seconds) * SECTORS_PER_SECOND + sectors


def read_cue(path) -> CueSheet:
    """Reads a CUE sheet.

    A track runs from its `INDEX 01` to the next one's in the same file: a
    pregap (`INDEX 00`) stays with the track before it, as a CD player counts
    and as the ear expects. Audio before the first `INDEX 01` belongs to no track.

    Args:
        path: the sheet: UTF-8, UTF-16 with its mark, or Windows' Western code page.

    Raises:
        AudioFileError: not a CUE sheet, a time that is none, or tracks that do not follow each other.
    """
    path = Path(path)
    if path.stat().st_size > _MAX_BYTES:
        raise AudioFileError(f"a CUE sheet is a small text; {path} has over {_MAX_BYTES} bytes; name the sheet itself")
    disc: dict[str, str] = {}
    tracks: list[dict] = []
    file = ""
    current: dict | None = None
    for line_number, line in enumerate(_decode(path.read_bytes()).splitlines(), start=1):
        where = f"{path}:{line_number}"
        words = [quoted or plain for quoted, plain in _WORDS.findall(line)]
        if len(words) < 2:
            continue
        command = words[0].upper()
        # A title without quotation marks is the rest of the line.
        value = words[1] if '"' in line else " ".join(words[1:])
        if command == "FILE":
            file = words[1] if '"' in line else " ".join(words[1:-1] or words[1:])
        elif command == "TRACK":
            if not words[1].isdecimal() or len(words) < 3:
                raise AudioFileError(
                    f"a CUE track line is 'TRACK nn AUDIO'; {where} has {line.strip()!r}; mend the sheet"
                )
            current = {"number": int(words[1]), "tags": {}, "audio": words[2].upper() == "AUDIO"}
            tracks.append(current)
        elif command == "INDEX" and current is not None and words[1].isdecimal():
            if int(words[1]) <= 1 and len(words) > 2:
                # The last of INDEX 00 and 01 stands: INDEX 01 wins, and the file it is in.
                current["start"] = _sectors(words[2], where)
                current["file"], current["index"] = file, int(words[1])
        elif command == "REM" and len(words) > 2:
            if words[1].upper() in _REMARKS:
                target = disc if current is None else current["tags"]
                target[words[1].upper()] = words[2] if '"' in line else " ".join(words[2:])
        elif current is None and command in _DISC_TAGS:
            disc[_DISC_TAGS[command]] = value
        elif current is not None and command in _TAGS:
            current["tags"][_TAGS[command]] = value
    data_tracks = tuple(track["number"] for track in tracks if not track["audio"])
    return CueSheet(_cut(path, disc, tracks), data_tracks)


def _cut(path: Path, disc: dict[str, str], tracks: list[dict]) -> tuple[CueTrack, ...]:
    if not any(track["audio"] for track in tracks):
        raise AudioFileError(f"a CUE sheet needs a 'TRACK nn AUDIO' line; {path} has none; mend the sheet")
    cut = []
    for track, following in zip(tracks, [*tracks[1:], None], strict=True):
        if not track["audio"]:
            continue
        if track.get("index") != 1 or not track["file"]:
            raise AudioFileError(
                f"a CUE track needs a FILE and an INDEX 01; {path} has neither for track {track['number']};"
                " mend the sheet"
            )
        stop = None
        if following is not None and following.get("file") == track["file"]:
            stop = following["start"]
            if stop <= track["start"]:
                raise AudioFileError(
                    f"CUE tracks follow each other; in {path} track {following['number']} begins before"
                    f" track {track['number']} ends; mend the sheet"
                )
        tags = dict(disc)
        tags["ARTIST"] = track["tags"].get("ARTIST", disc.get("ALBUMARTIST", ""))
        tags |= track["tags"] | {"TRACKNUMBER": str(track["number"])}
        cut.append(CueTrack(track["number"], track["file"], track["start"], stop, {k: v for k, v in tags.items() if v}))
    return tuple(cut)


def locate(sheet: Path, name: str) -> Path | None:
    """The audio file a sheet names, looked for in the sheet's folder only.

    Sheets outlive their files' names: another spelling in upper and lower case,
    a WAV that has become a FLAC, and the sheet's own name with a lossless suffix also count.
    """
    # A sheet is input: neither an absolute path nor '..' leads out of its folder.
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    beside = {entry.name.casefold(): entry for entry in sorted(sheet.parent.iterdir()) if entry.is_file()}
    stems = [Path(base).stem, sheet.stem]
    for wanted in [base, *(stem + suffix for stem in stems for suffix in LOSSLESS_SUFFIXES)]:
        found = beside.get(wanted.casefold())
        if found is not None and found.suffix.lower() in LOSSLESS_SUFFIXES:
            return found
    return None


def samples(sectors: int, sample_rate: int) -> int:
    """The sample at which a sector begins: exact at multiples of 75 Hz, rounded down elsewhere."""
    return sectors * sample_rate // SECTORS_PER_SECOND
