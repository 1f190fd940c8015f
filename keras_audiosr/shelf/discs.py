"""Finds the tracks of ripped discs in a folder (a "shelf"), and determines their names and output paths."""

import dataclasses
import os
import re
import unicodedata
from pathlib import Path

from ..annotations import StrPath
from ..errors import AudioFileError, UsageError
from ..files.formats import LOSSLESS_SUFFIXES
from ..files.metadata import CUESHEET_BLOCK, Metadata, chapter_tags
from ..files.tags import read_metadata
from ..processes.file_systems import RESERVED
from .cue import SECTORS_PER_SECOND, CueSheet, CueTrack, find_audio, read_cue, samples
from .embedded_cue import read_embedded_cue

# Finds the number in "03 Title", "3. Title" and "1-03 Title". "2001" is a name, not a number.
_LEADING_NUMBER = re.compile(r"\s*(?:\d{1,2}[-.])?(\d{1,3})(?!\d)")
# Matches folders that number the discs of an album, such as "CD 2". The album is then the folder above.
_DISC_FOLDER = re.compile(r"(?i)(cd|dis[ck])[ _-]?\d{1,2}")
# Largest length in bytes of a file or folder name. Below 255 it leaves room for " (2).flac" and a temporary name.
_NAME_BYTES = 120
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# Tags of a file with a whole disc that do not apply to its tracks.
_OF_THE_DISC = (
    "TITLE",
    "TRACKNUMBER",
    "ISRC",
    "LYRICS",
    "CUESHEET",
    "MUSICBRAINZ_TRACKID",
    "MUSICBRAINZ_RELEASETRACKID",
    "ACOUSTID_ID",
    "ACOUSTID_FINGERPRINT",
    "MUSICIP_PUID",
    "FINGERPRINT",
)


@dataclasses.dataclass(frozen=True)
class Cut:
    """One track that can be made from a shelf.

    Attributes:
        source: audio file.
        order: position among its folder's tracks, from 1.
        album: album name to use if no tag or sheet has one: the folder's name.
        sheet: CUE sheet that cuts the track out of `source`; `None` for a file that is one track.
        cue: the track's entry in the sheet.
    """

    source: Path
    order: int
    album: str
    sheet: Path | None = None
    cue: CueTrack | None = None

    @property
    def name(self) -> str:
        """Name of the track in reports."""
        return str(self.source) if self.cue is None else f"{self.source} track {self.cue.number}"

    @property
    def key(self) -> str:
        """Key that identifies the track in later runs."""
        place = self.source.resolve()
        return str(place) if self.cue is None else f"{place}#{self.cue.number}"

    def stamp(self) -> list[int]:
        """Returns the sizes and times of the track's source files, which show whether they have changed."""
        stats = [path.stat() for path in (self.source, self.sheet) if path is not None]
        return [value for stat in stats for value in (stat.st_size, stat.st_mtime_ns)]

    def span(self, sample_rate: int, length: int) -> tuple[int, int]:
        """Returns the track's first sample in `source`, and the sample after its last.

        Args:
            sample_rate: Hz.
            length: samples per channel in `source`.

        Raises:
            AudioFileError: the sheet cuts outside the file.
        """
        if self.cue is None:
            return 0, length
        start = samples(self.cue.start, sample_rate)
        stop = length if self.cue.stop is None else samples(self.cue.stop, sample_rate)
        if not start < stop <= length:
            raise AudioFileError(
                f"a CUE track must lie inside its file; {self.sheet} cuts track {self.cue.number} at samples"
                f" {start} to {stop} of {length}; find the right file or fix the sheet"
            )
        return start, stop


@dataclasses.dataclass
class Shelf:
    """The result of searching a shelf.

    Attributes:
        cuts: the tracks that can be made.
        left_out: reasons for leaving something out, by its name.
        failed: errors, by the name of the file or folder.
        notes: notes, by the name of the file.
        encoding: encoding of the CUE sheets; detected when `None`.
    """

    cuts: list[Cut] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    encoding: str | None = None


def _add_sheet(shelf: Shelf, path: Path, used: set[Path], album: str) -> None:
    """Adds a sheet's tracks; `used` collects the audio files that sheets refer to."""
    sheet: CueSheet = read_cue(path, shelf.encoding)
    if sheet.encoding:
        shelf.notes[str(path)] = f"its text was read as {sheet.encoding}; --cue-encoding selects another encoding"
    files: dict[str, Path] = {}
    for track in sheet.tracks:
        found = find_audio(path, track.file)
        if found is None:
            raise FileNotFoundError(f"its file {track.file!r} does not exist")
        files[track.file] = found
    if used & set(files.values()):
        shelf.left_out[str(path)] = "another sheet has cut the same file"
        return
    used |= set(files.values())
    _add_cuts(shelf, path, sheet, files, album)


def _add_cuts(shelf: Shelf, path: Path, sheet: CueSheet, files: dict[str, Path], album: str) -> None:
    for order, track in enumerate(sheet.tracks, start=1):
        shelf.cuts.append(Cut(files[track.file], order, album, path, track))
    first = sheet.tracks[0]
    if first.start and not any(number < first.number for number in sheet.data_tracks):
        seconds = first.start / SECTORS_PER_SECOND
        shelf.left_out[f"{path} before track {first.number}"] = f"{seconds:.2f} s before the first INDEX 01, no track"
    for number in sheet.data_tracks:
        shelf.left_out[f"{path} track {number}"] = "a data track, not audio"


def _add_folder(shelf: Shelf, folder: Path, names: list[str], album: str) -> None:
    paths = [folder / name for name in sorted(names) if not name.startswith(".")]
    audio = [path for path in paths if path.suffix.lower() in LOSSLESS_SUFFIXES and path.is_file()]
    used: set[Path] = set()
    for path in paths:
        if path.suffix.lower() != ".cue" or not path.is_file():
            continue
        try:
            _add_sheet(shelf, path, used, album)
        except FileNotFoundError as error:
            # Many collections keep the sheet of a disc that was already split into tracks.
            if audio:
                shelf.left_out[str(path)] = f"{error}; the files beside it are used as tracks"
            else:
                shelf.failed[str(path)] = f"a CUE sheet needs the file it cuts; {error}; put it beside the sheet"
        except (AudioFileError, OSError) as error:
            shelf.failed[str(path)] = str(error)
            # A disc must not become one long track because its sheet is broken.
            used |= {found for found in [find_audio(path, path.stem + ".wav")] if found is not None}
    for order, path in enumerate((path for path in audio if path not in used), start=1):
        _add_file(shelf, path, order, album)


def _add_file(shelf: Shelf, path: Path, order: int, album: str) -> None:
    """Adds a file as one track, or as the tracks of the sheet inside it."""
    sheet = None
    if path.suffix.lower() == ".flac":
        try:
            sheet = read_embedded_cue(path)
        except AudioFileError as error:
            shelf.notes[str(path)] = f"{error}; the file is used as one track"
    if sheet is None:
        shelf.cuts.append(Cut(path, order, album))
        return
    shelf.notes[str(path)] = f"the CUE sheet inside it cuts it into {len(sheet.tracks)} tracks"
    _add_cuts(shelf, path, sheet, {track.file: path for track in sheet.tracks}, album)


def find_cuts(source: StrPath, out: StrPath, encoding: str | None = None) -> Shelf:
    """Searches a shelf for tracks.

    Args:
        source: a folder of discs at any depth (WAV, AIFF, FLAC, CUE; hidden files and linked folders
            are skipped), one CUE sheet, or one audio file.
        out: folder for the tracks; it is skipped if it is inside `source`.
        encoding: Python's name of the encoding of the CUE sheets; detected when `None`.

    Raises:
        UsageError: `source` does not exist, is of another kind, or lies inside `out`.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise UsageError(f"SOURCE must exist; {source} does not; check the path")
    if source.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"OUT must not hold SOURCE; {out} does, and tracks could replace it; name another folder")
    shelf = Shelf(encoding=encoding)
    suffix = source.suffix.lower()
    if source.is_dir():
        root = source.resolve()

        def refuse(error: OSError) -> None:
            shelf.failed[str(error.filename)] = f"a folder must be readable; {error.strerror}; change its permissions"

        for folder, folders, names in os.walk(source, onerror=refuse):
            here = Path(folder)
            folders[:] = sorted(
                name for name in folders if not name.startswith(".") and (here / name).resolve() != out.resolve()
            )
            top = here.resolve() == root
            numbered = not top and _DISC_FOLDER.fullmatch(here.name)
            album = root.name if top else here.resolve().parent.name if numbered else here.name
            _add_folder(shelf, here, names, album)
    elif suffix == ".cue":
        try:
            _add_sheet(shelf, source, set(), source.resolve().parent.name)
        except FileNotFoundError as error:
            shelf.failed[str(source)] = f"a CUE sheet needs the file it cuts; {error}; put it beside the sheet"
        except (AudioFileError, OSError) as error:
            shelf.failed[str(source)] = str(error)
    elif suffix in LOSSLESS_SUFFIXES:
        _add_file(shelf, source, 1, source.resolve().parent.name)
    else:
        raise UsageError(
            f"SOURCE must be a folder, a CUE sheet, or a WAV, AIFF or FLAC file; received {source}; choose one of these"
        )
    return shelf


def clean(text: str) -> str:
    """Returns text that any file can hold: composed Unicode without control characters and lone surrogates."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return "".join(" " if unicodedata.category(mark) in ("Cc", "Zl", "Zp") else mark for mark in text).strip()


def safe_name(text: str, fallback: str) -> str:
    """Returns a file or folder name that every file system allows, and that is neither hidden nor a path."""
    name = RESERVED.sub("_", clean(text).replace("/", "_")).strip(". ")
    name = name.encode()[:_NAME_BYTES].decode("utf-8", "ignore").rstrip(". ")
    if name.startswith("-") or _RESERVED.match(name):
        name = f"_{name}"
    return name or fallback


def describe(cut: Cut) -> tuple[str, int, str, Metadata]:
    """Reads the names and metadata of a track.

    Returns:
        The album (from the tag, else the sheet's title, else the folder), the track number (from the tag, else from the
        beginning of the file name, else the order), the title (from the tag, else the file name), and the metadata for
        the FLAC. Measurements are kept for a whole file, because its samples do not change.
    """
    metadata = read_metadata(cut.source)
    tags = metadata.tags
    if cut.cue is None:
        measured = {name: values for name, values in metadata.measured.items() if values}
        tags = tags | measured | chapter_tags(metadata.chapters)
        metadata.measured = {name: values for name, values in metadata.measured.items() if not values}
    else:
        tags = {name: values for name, values in tags.items() if name not in _OF_THE_DISC}
        metadata.unread = [name for name in metadata.unread if name != CUESHEET_BLOCK]
        from_sheet = {name: [clean(value)] for name, value in cut.cue.tags.items()}
        tags = tags | from_sheet | {name: tags[name] for name in ("ALBUM",) if name in tags}
    stem = cut.source.stem
    album = clean(tags.get("ALBUM", [cut.album])[0]) or "Unknown album"
    leading = _LEADING_NUMBER.match(stem)
    said = tags.get("TRACKNUMBER", ["0"])[0]
    number = int(said) if said.isdecimal() else 0  # "A1" of a record
    if not number:
        number = int(leading[1]) if leading is not None and cut.cue is None else cut.order
    number = number or cut.order
    fallback = stem if cut.cue is None else f"Track {number:02d}"
    title = clean(tags.get("TITLE", [fallback])[0]) or f"Track {number:02d}"
    return album, number, title, dataclasses.replace(metadata, tags=tags, chapters=[])


def place(album: str, number: int, title: str, taken: set[str]) -> str:
    """Returns an unused path `album/NN title.flac`, compared without case, and adds it to `taken`."""
    # A title from a file name, such as "03 Song", has a number already. "99 Luftballons" as track 3 does not.
    digits = f"{number:02d}"
    numbered = title if re.match(rf"{digits}(?!\d)", title) else f"{digits} {title}"
    stem = f"{safe_name(album, 'Unknown album')}/{safe_name(numbered, digits)}"
    path, copy = f"{stem}.flac", 2
    while path.casefold() in taken:
        path, copy = f"{stem} ({copy}).flac", copy + 1
    taken.add(path.casefold())
    return path
