"""Reads CUE sheets, which list where the tracks of one long file begin and how they are called."""

import codecs
import contextlib
import dataclasses
import re
from pathlib import Path

from ..annotations import StrPath
from ..errors import AudioFileError
from ..files.formats import LOSSLESS_SUFFIXES

# A CD sector, the unit of a CUE sheet's times: 588 samples at 44.1 kHz.
SECTORS_PER_SECOND = 75
_MAX_BYTES = 1 << 20
# Bytes that are letters in Windows' Central European code page, and symbols or unused in the Western one.
_CENTRAL = b"\x8d\x8f\x9d\xa3\xa5\xaa\xaf\xb3\xb9\xba\xbc\xbe\xbf"
_TAGS = {"TITLE": "TITLE", "PERFORMER": "ARTIST", "SONGWRITER": "COMPOSER", "ISRC": "ISRC"}
_DISC_TAGS = {"TITLE": "ALBUM", "PERFORMER": "ALBUMARTIST", "SONGWRITER": "COMPOSER", "CATALOG": "BARCODE"}
_REMARKS = ("DATE", "GENRE", "DISCNUMBER", "TOTALDISCS", "COMPOSER")


@dataclasses.dataclass(frozen=True)
class CueTrack:
    """One audio track of a sheet.

    Attributes:
        number: track number in the sheet, from 1.
        file: the name in the sheet's `FILE` line.
        start: sector (1/75 s) of `INDEX 01` in the file.
        stop: sector at which the next track of the file starts; `None` at the file's end.
        tags: Vorbis comment names and values of the disc, overridden by those of the track.
    """

    number: int
    file: str
    start: int
    stop: int | None
    tags: dict[str, str]


@dataclasses.dataclass(frozen=True)
class CueSheet:
    """The tracks of a disc.

    Attributes:
        tracks: audio tracks in playing order.
        data_tracks: numbers of the tracks that hold no audio.
        encoding: Python's name of a code page that was detected or named; empty for Unicode.
    """

    tracks: tuple[CueTrack, ...]
    data_tracks: tuple[int, ...]
    encoding: str = ""


def _decode(content: bytes, encoding: str | None, where: StrPath) -> tuple[str, str]:
    """Returns the text of a sheet, and the encoding that was detected or given; empty for Unicode."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(name, "replace"), ""
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode("utf-8"), ""
    if encoding is not None:
        try:
            return content.decode(encoding), encoding
        except (LookupError, UnicodeDecodeError) as error:
            raise AudioFileError(
                f"a CUE sheet must be text in the encoding that was named; {where}: {error}; try another, such as cp932"
            ) from error
    guessed = _guess(content)
    return content.decode(guessed, "replace"), guessed


def _guess(content: bytes) -> str:
    """Detects the code page of a sheet, because Windows rippers write the local one."""
    from charset_normalizer import from_bytes

    words = re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", content)
    high = [byte for word in words for byte in word if byte > 0x7F]
    mixed = sum(any(byte < 0x80 for byte in word) for word in words)
    upper = all(byte >= 0xC0 or byte in (0xA8, 0xB8) for byte in high)
    if len(high) < sum(map(len, words)) / 2 or (upper and mixed > len(words) / 2):
        # Accented letters among Latin ones are Western, unless they would be symbols within words.
        central = any(byte in _CENTRAL for byte in high)
        return "cp1250" if central else "cp1252"
    if upper:
        candidates = ["cp1251", "cp1253"]  # words of letters that are all in the upper quarter
    else:
        candidates = ["cp932", "gb18030", "big5", "euc_kr", "euc_jp", "cp1251", "cp1253", "cp1252", "cp1250"]
    best = from_bytes(content, cp_isolation=candidates).best()
    return best.encoding if best is not None else candidates[0]


def _value(rest: str) -> str:
    """Returns the value after a command, up to the last quotation mark of the line, because titles may contain some."""
    rest = rest.strip()
    if not rest.startswith('"'):
        return rest
    return rest[1 : rest.rindex('"')] if rest.count('"') > 1 else rest[1:]


def _sectors(value: str, where: str) -> int:
    found = re.fullmatch(r"(\d+):([0-5]?\d):(\d\d?)", value)
    if found is None or int(found[3]) >= SECTORS_PER_SECOND:
        raise AudioFileError(f"a CUE time must be mm:ss:ff with ff below 75; {where} has {value!r}; fix the sheet")
    minutes, seconds, sectors = (int(part) for part in found.groups())
    return (minutes * 60 + seconds) * SECTORS_PER_SECOND + sectors


def read_cue(path: StrPath, encoding: str | None = None) -> CueSheet:
    """Reads a CUE sheet.

    A track runs from its `INDEX 01` to the next one in the same file. A pregap (`INDEX 00`) belongs to the track before
    it, as on a CD player. Audio before the first `INDEX 01` belongs to no track.

    Args:
        path: the sheet, in UTF-8, UTF-16 with a byte order mark, or a code page.
        encoding: Python's name of the code page; detected when `None`.

    Raises:
        AudioFileError: the file is not a CUE sheet, a time is invalid, or tracks are out of order.
    """
    path = Path(path)
    if path.stat().st_size > _MAX_BYTES:
        raise AudioFileError(
            f"a CUE sheet must be a small text; {path} has over {_MAX_BYTES} bytes; choose the sheet itself"
        )
    text, used = _decode(path.read_bytes(), encoding, path)
    return dataclasses.replace(parse_cue(text, path), encoding=used)


def parse_cue(text: str, path: Path) -> CueSheet:
    """Parses the text of the sheet at `path`, as `read_cue` does."""
    disc: dict[str, str] = {}
    tracks: list[dict] = []
    file = ""
    current: dict | None = None
    for line_number, line in enumerate(text.splitlines(), start=1):
        where = f"{path}:{line_number}"
        words = line.split()
        if len(words) < 2:
            continue
        command, rest = words[0].upper(), line.strip()[len(words[0]) :]
        if command == "FILE":
            quoted = rest.strip().startswith('"')
            file = _value(rest) if quoted else " ".join(words[1:-1] or words[1:])
        elif command == "TRACK":
            if not words[1].isdecimal() or len(words) < 3:
                raise AudioFileError(
                    f"a CUE track line must be 'TRACK nn AUDIO'; {where} has {line.strip()!r}; fix the sheet"
                )
            current = {"number": int(words[1]), "tags": {}, "audio": words[2].upper() == "AUDIO"}
            tracks.append(current)
        elif command == "INDEX" and current is not None and words[1].isdecimal():
            if int(words[1]) <= 1 and len(words) > 2:
                # INDEX 01 and its file override those of INDEX 00.
                current["start"] = _sectors(words[2], where)
                current["file"], current["index"] = file, int(words[1])
        elif command == "REM" and len(words) > 2:
            if words[1].upper() in _REMARKS:
                target = disc if current is None else current["tags"]
                target[words[1].upper()] = _value(rest.strip()[len(words[1]) :])
        elif current is None and command in _DISC_TAGS:
            disc[_DISC_TAGS[command]] = _value(rest)
        elif current is not None and command in _TAGS:
            current["tags"][_TAGS[command]] = _value(rest)
    data_tracks = tuple(track["number"] for track in tracks if not track["audio"])
    return CueSheet(_cut(path, disc, tracks), data_tracks)


def _cut(path: Path, disc: dict[str, str], tracks: list[dict]) -> tuple[CueTrack, ...]:
    if not any(track["audio"] for track in tracks):
        raise AudioFileError(f"a CUE sheet needs a 'TRACK nn AUDIO' line; {path} has none; fix the sheet")
    cut = []
    for track, following in zip(tracks, [*tracks[1:], None], strict=True):
        if not track["audio"]:
            continue
        if track.get("index") != 1 or not track["file"]:
            raise AudioFileError(
                f"a CUE track needs a FILE and an INDEX 01; {path} does not have both for track {track['number']};"
                " fix the sheet"
            )
        stop = None
        if following is not None and following.get("file") == track["file"]:
            stop = following["start"]
            if stop <= track["start"]:
                raise AudioFileError(
                    f"CUE tracks must follow each other; in {path} track {following['number']} does not begin after"
                    f" track {track['number']}; fix the sheet"
                )
        tags = dict(disc)
        tags["ARTIST"] = track["tags"].get("ARTIST", disc.get("ALBUMARTIST", ""))
        tags |= track["tags"] | {"TRACKNUMBER": str(track["number"])}
        cut.append(CueTrack(track["number"], track["file"], track["start"], stop, {k: v for k, v in tags.items() if v}))
    return tuple(cut)


def find_audio(sheet: Path, name: str) -> Path | None:
    """Finds the audio file that a sheet names, in the sheet's folder only.

    The file may have been renamed since the sheet was written. Case is therefore ignored, and a FLAC in place of a WAV,
    or the sheet's own name with a lossless suffix, is accepted too. Returns `None` if there is no such file.
    """
    # A sheet is untrusted input: neither an absolute path nor '..' may lead out of its folder.
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    beside = {entry.name.casefold(): entry for entry in sorted(sheet.parent.iterdir()) if entry.is_file()}
    stems = [Path(base).stem, sheet.stem]
    for wanted in [base, *(stem + suffix for stem in stems for suffix in LOSSLESS_SUFFIXES)]:
        found = beside.get(wanted.casefold())
        if found is not None and found.suffix.lower() in LOSSLESS_SUFFIXES:
            return found
    return None


def samples(sectors: int, sample_rate: int) -> int:
    """Returns the sample at which a sector begins. It is exact at multiples of 75 Hz and otherwise rounded down."""
    return sectors * sample_rate // SECTORS_PER_SECOND
