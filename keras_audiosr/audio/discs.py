"""What lies on a shelf of ripped discs: which tracks there are, what they are called, where they go."""

import dataclasses
import os
import re
import unicodedata
from pathlib import Path

from ..errors import AudioFileError, UsageError
from .cue import SECTORS_PER_SECOND, CueSheet, CueTrack, locate, read_cue, samples
from .files import LOSSLESS_SUFFIXES
from .tags import Tags, read_tags

# "03 Title", "3. Title", "1-03 Title"; "2001" is a name, not a number.
_LEADING_NUMBER = re.compile(r"\s*(?:\d{1,2}[-.])?(\d{1,3})(?!\d)")
# Folders that number an album's discs, as "CD 2": the album is the folder above.
_DISC_FOLDER = re.compile(r"(?i)(cd|dis[ck])[ _-]?\d{1,2}")
# Bytes of a file or folder name: room under 255 for " (2).flac" and a temporary name.
_NAME_BYTES = 120
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# What a whole disc's file says of itself and no track of it should.
_OF_THE_DISC = ("TITLE", "TRACKNUMBER", "ISRC", "LYRICS", "MUSICBRAINZ_TRACKID")


@dataclasses.dataclass(frozen=True)
class Cut:
    """One track as it lies on the shelf.

    Attributes:
        source: audio file.
        order: place among its folder's tracks, from 1.
        album: name for an album that names itself nowhere: the folder's.
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
        """How reports name the track."""
        return str(self.source) if self.cue is None else f"{self.source} track {self.cue.number}"

    @property
    def key(self) -> str:
        """What the track is remembered by."""
        place = self.source.resolve()
        return str(place) if self.cue is None else f"{place}#{self.cue.number}"

    def stamp(self) -> list[int]:
        """Sizes and times of what the track is made from: unchanged stamp, unchanged track."""
        stats = [path.stat() for path in (self.source, self.sheet) if path is not None]
        return [value for stat in stats for value in (stat.st_size, stat.st_mtime_ns)]

    def span(self, sample_rate: int, length: int) -> tuple[int, int]:
        """The track's first sample in `source`, and the one after its last.

        Raises:
            AudioFileError: the sheet cuts outside the file, which has `length` samples a channel.
        """
        if self.cue is None:
            return 0, length
        start = samples(self.cue.start, sample_rate)
        stop = length if self.cue.stop is None else samples(self.cue.stop, sample_rate)
        if not start < stop <= length:
            raise AudioFileError(
                f"a CUE track lies inside its file; {self.sheet} cuts track {self.cue.number} at samples"
                f" {start} to {stop} of {length}; find the right file or mend the sheet"
            )
        return start, stop


@dataclasses.dataclass
class Shelf:
    """What was found: tracks to make, and by name the reasons why something is none of them."""

    cuts: list[Cut] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def _add_sheet(shelf: Shelf, path: Path, used: set[Path], album: str) -> None:
    """Adds a sheet's tracks; `used` collects the audio files it speaks for."""
    sheet: CueSheet = read_cue(path)
    files: dict[str, Path] = {}
    for track in sheet.tracks:
        found = locate(path, track.file)
        if found is None:
            raise FileNotFoundError(f"its file {track.file!r} is not there")
        files[track.file] = found
    if used & set(files.values()):
        shelf.left_out[str(path)] = "another sheet has cut the same file"
        return
    used |= set(files.values())
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
            # Many shelves keep the sheet of a disc that was long since split into its tracks.
            if audio:
                shelf.left_out[str(path)] = f"{error}; the files beside it are taken as they are"
            else:
                shelf.failed[str(path)] = f"a CUE sheet needs the file it cuts; {error}; put it beside the sheet"
        except (AudioFileError, OSError) as error:
            shelf.failed[str(path)] = str(error)
            # A disc must not become one long track because its sheet is broken.
            used |= {found for found in [locate(path, path.stem + ".wav")] if found is not None}
    for order, path in enumerate((path for path in audio if path not in used), start=1):
        shelf.cuts.append(Cut(path, order, album))


def find_cuts(source, out) -> Shelf:
    """Walks a shelf.

    Args:
        source: a folder of discs at any depth (WAV, AIFF, FLAC, CUE; hidden files and linked folders
            are passed over), one CUE sheet, or one audio file.
        out: folder that will take the tracks; passed over when it lies inside `source`.

    Raises:
        UsageError: `source` is missing or of another kind, or lies inside `out`.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise UsageError(f"SOURCE must exist; {source} does not; check the path")
    if source.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"OUT must not hold SOURCE; {out} does, and tracks could replace it; name another folder")
    shelf = Shelf()
    suffix = source.suffix.lower()
    if source.is_dir():
        root = source.resolve()

        def refuse(error: OSError) -> None:
            shelf.failed[str(error.filename)] = f"a folder must be readable; {error.strerror}; change its rights"

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
        shelf.cuts.append(Cut(source, 1, source.resolve().parent.name))
    else:
        raise UsageError(f"SOURCE is a folder, a CUE sheet, or a WAV, AIFF or FLAC file; {source} is none; name one")
    return shelf


def clean(text: str) -> str:
    """Text that any file can hold: composed Unicode without control characters, lone surrogates replaced."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return "".join(" " if unicodedata.category(mark) in ("Cc", "Zl", "Zp") else mark for mark in text).strip()


def safe_name(text: str, fallback: str) -> str:
    """A file or folder name that every file system takes, that is neither hidden nor leads elsewhere."""
    name = re.sub(r'[/\\:*?"<>|]', "_", clean(text)).strip(". ")
    name = name.encode()[:_NAME_BYTES].decode("utf-8", "ignore").rstrip(". ")
    if name.startswith("-") or _RESERVED.match(name):
        name = f"_{name}"
    return name or fallback


def describe(cut: Cut) -> tuple[str, int, str, Tags, list]:
    """Reads what a track is called.

    Returns:
        Album (tag, else the sheet's title, else the folder), track number (tag, else the number the file name
        begins with, else the order), title (tag, else the file name), tags and pictures.
    """
    tags, pictures = read_tags(cut.source)
    if cut.cue is not None:
        tags = {name: values for name, values in tags.items() if name not in _OF_THE_DISC}
        from_sheet = {name: [clean(value)] for name, value in cut.cue.tags.items()}
        tags = tags | from_sheet | {name: tags[name] for name in ("ALBUM",) if name in tags}
    stem = cut.source.stem
    album = clean(tags.get("ALBUM", [cut.album])[0]) or "Unknown album"
    leading = _LEADING_NUMBER.match(stem)
    number = int(tags.get("TRACKNUMBER", ["0"])[0])
    if not number:
        number = int(leading[1]) if leading is not None and cut.cue is None else cut.order
    number = number or cut.order
    fallback = stem if cut.cue is None else f"Track {number:02d}"
    title = clean(tags.get("TITLE", [fallback])[0]) or f"Track {number:02d}"
    return album, number, title, tags, pictures


def place(album: str, number: int, title: str, taken: set[str]) -> str:
    """A free path `album/NN title.flac`, in letters that differ in more than case; adds it to `taken`."""
    # A title that is a file name, as "03 Song", is numbered already; "99 Luftballons" as track 3 is not.
    digits = f"{number:02d}"
    numbered = title if re.match(rf"{digits}(?!\d)", title) else f"{digits} {title}"
    stem = f"{safe_name(album, 'Unknown album')}/{safe_name(numbered, digits)}"
    path, copy = f"{stem}.flac", 2
    while path.casefold() in taken:
        path, copy = f"{stem} ({copy}).flac", copy + 1
    taken.add(path.casefold())
    return path
