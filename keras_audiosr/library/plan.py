"""Finds the songs that the user's files, folders and patterns stand for, and gives each an output of its own."""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import AudioFileError, AudioSRError, UsageError
from ..files.formats import FORMATS, MUSIC_SUFFIXES
from ..processes.file_systems import fitting_path, ignores_case

# Images that are taken for folder art.
IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .gif .webp .bmp .tif .tiff".split())
# Between a song's name and the suffix of its output, where both may lie in one folder.
RESTORED = ".restored"


@dataclasses.dataclass(frozen=True)
class Song:
    """One song to restore, or one image that goes with songs.

    Attributes:
        source: the file as it is.
        target: the file to make. Of an image it is the place for a copy.
        copy: the place for a copy of the source itself; `None` without an output folder apart from the inputs.
    """

    source: Path
    target: Path
    copy: Path | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        songs: in the order they were named; within a folder by path.
        problems: pairs of input and error: folders without music, or that cannot be searched.
        images: the images that lie beside the songs of searched folders; none without an output folder apart from
            the inputs.
        takes_others: whether there is an output folder apart from the inputs, which can take copies of them.
    """

    songs: list[Song]
    problems: list[tuple[Path, AudioSRError]]
    images: list[Song] = dataclasses.field(default_factory=list)
    takes_others: bool = False


def find_music(
    inputs: Sequence[str | os.PathLike], recursive: bool = False, out: Path | None = None
) -> tuple[list[tuple[Path, Path | None]], list[tuple[Path, AudioSRError]]]:
    """Finds the songs that files, folders and patterns stand for.

    Args:
        inputs: files, folders, or patterns (`*`, `?`, `[...]`, `**`) where there is no file of that name. A folder
            gives the music in it, except hidden files and `*.restored.*`.
        recursive: whether subfolders are searched too. Links to folders are not followed.
        out: output folder. What lies in it is not found in a folder around it.

    Returns:
        Pairs of song and the folder below which it keeps its place (`None` for a file that was named); and pairs of
        input and error for folders that hold no music or cannot be searched.
    """
    found: list[tuple[Path, Path | None]] = []
    problems: list[tuple[Path, AudioSRError]] = []
    avoided = None if out is None else os.path.realpath(out)
    for given in inputs:
        for path, root in _expand(given, avoided):
            # Path.is_dir raises for a name that is too long. As a file it fails with a message of its own.
            if not os.path.isdir(path):  # noqa: PTH112
                found.append((path, root))
                continue
            music = list(_songs_in(path, recursive, avoided, problems))
            found += [(song, root or path) for song in music]
            if not music:
                told = _without_music(path, recursive, avoided)
                problems.append((path, UsageError(f"a folder must hold music; {told}")))
    return found, problems


def plan_library(inputs: Sequence[str | os.PathLike], out: Path | None, suffix: str, recursive: bool = False) -> Plan:
    """Finds the songs, and where each of them goes.

    Args:
        inputs: as for `find_music`.
        out: output file, for one input file; or folder, in which the tree below each folder (or below the part of a
            pattern that is fixed) is kept. Outputs in a folder that holds none of the inputs have the songs' names.
            Beside each input when `None`, and there, as in a folder that holds inputs, `.restored` is added to the
            name.
        suffix: output format where `out` is no file.
        recursive: whether subfolders are searched too. Links to folders are not followed.

    Returns:
        The plan.

    Raises:
        UsageError: an output format that cannot be written, several inputs for one output file, two inputs with one
            output, or an output that is an input.
    """
    found, problems = find_music(inputs, recursive, out)
    songs, apart = _with_targets(found, out, suffix)
    images = _images(found, songs) if apart else []
    return Plan(list(_apart(songs, problems)), problems, images, apart)


def _expand(given: str | os.PathLike, avoided: str | None) -> Iterator[tuple[Path, Path | None]]:
    """A pattern's matches with the folder that they keep their place in; anything else as it is."""
    text = os.fspath(given)
    if os.path.lexists(text) or not glob.has_magic(text):
        yield Path(text), None
        return
    # Path.glob takes no absolute patterns.
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    fixed = Path(text)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    root = os.path.realpath(fixed)
    inside = avoided is not None and avoided != root and _lies_in(avoided, root)
    for match in matches:
        # A folder and what it holds must not both count, and outputs of an earlier run are no inputs of this one.
        is_output = inside and _lies_in(os.path.realpath(match), str(avoided))
        if not is_output and not ("**" in text and Path(match).is_dir()):
            yield Path(match), fixed
    if not matches:
        yield Path(text), None  # as a shell does: it then fails as a file that is missing


def _without_music(folder: Path, recursive: bool, avoided: str | None) -> str:
    """What was found in a folder without songs, and what to do."""
    if not recursive:
        return f"{folder} has none; add --recursive to search subfolders"
    if avoided is not None and _lies_in(avoided, os.path.realpath(folder)):
        return f"{folder} has none outside the output folder, {avoided}; choose another output folder with -o"
    return f"{folder} and its subfolders have none"


def _lies_in(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _songs_in(
    folder: Path, recursive: bool, avoided: str | None, problems: list[tuple[Path, AudioSRError]]
) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename or folder))
        problems.append(
            (path, AudioFileError(f"a folder must be readable; {path}: {error.strerror}; check its permissions"))
        )

    for place, folders, names in os.walk(folder, onerror=unreadable):
        # Outputs of an earlier run inside the library are no inputs of this one.
        folders[:] = sorted(
            name
            for name in folders
            if recursive and not name.startswith(".") and os.path.realpath(Path(place, name)) != avoided
        )
        for name in sorted(names):
            path = Path(place, name)
            music = path.suffix.lower() in MUSIC_SUFFIXES and not path.stem.endswith(RESTORED)
            if music and not name.startswith(".") and (path.is_file() or path.is_symlink()):
                yield path


def _require_format(out: Path) -> None:
    """Refuses an output file whose suffix is audio that is not written; a folder would be made of that name."""
    suffix = out.suffix.lower()
    if suffix in MUSIC_SUFFIXES - FORMATS.keys() and not os.path.isdir(out):  # noqa: PTH112
        raise UsageError(
            f"an output file must end in {', '.join(FORMATS)}; received {out}; try {out.with_suffix('.flac').name}"
        )


def _with_targets(found: list[tuple[Path, Path | None]], out: Path | None, suffix: str) -> tuple[list[Song], bool]:
    """The songs with their outputs; and whether these go to a folder that holds none of the songs."""
    sources = {os.path.realpath(path) for path, _ in found}

    def checked(source: Path, target: Path, copy: Path | None = None) -> Song:
        if os.path.realpath(target) in sources:
            raise UsageError(f"an input is never written to; {target} is both input and output; choose another with -o")
        return Song(source, target, copy)

    if out is not None and out.suffix.lower() in FORMATS and not os.path.isdir(out):  # noqa: PTH112
        if len(found) > 1 or any(root is not None for _, root in found):
            raise UsageError(f"several inputs need a folder; received {len(found)} files and -o {out}; name a folder")
        return [checked(path, out) for path, _ in found], False
    if out is not None:
        _require_format(out)
    if suffix.lower() not in FORMATS:
        raise UsageError(f"an output format must be one of {', '.join(FORMATS)}; received {suffix!r}; try .flac")
    apart = out is not None and not any(_lies_in(source, os.path.realpath(out)) for source in sources)
    mark = "" if apart else RESTORED

    def place(path: Path, root: Path | None, name: str) -> Path:
        return fitting_path(_folder(path, root, out) / f"{name}{mark}{suffix}")

    # song.mp3 and song.m4a of one folder: both keep their suffix in the output's name.
    taken: dict[Path, int] = {}
    for path, root in found:
        if root is not None:
            target = place(path, root, path.stem)
            taken[target] = taken.get(target, 0) + 1
    songs: dict[Path, Song] = {}
    made: list[Song] = []
    for path, root in found:
        target = place(path, root, path.stem)
        if taken.get(target, 0) > 1 and root is not None:
            target = place(path, root, path.name)
        if target in songs and songs[target].source.stem == path.stem:
            raise UsageError(
                f"each input needs an output of its own; {songs[target].source} and {path} both give {target};"
                " restore them one by one with -o"
            )
        song = checked(path, target, fitting_path(_folder(path, root, out) / path.name) if apart else None)
        songs.setdefault(target, song)
        made.append(song)
    return made, apart


def _folder(path: Path, root: Path | None, out: Path | None) -> Path:
    """The folder that the output of a song goes to."""
    if out is None:
        return path.parent
    return out if root is None else out / path.parent.relative_to(root)


def _images(found: list[tuple[Path, Path | None]], songs: list[Song]) -> list[Song]:
    """The images beside the songs of folders that were searched."""
    folders: dict[Path, Path] = {}
    for (path, root), song in zip(found, songs, strict=True):
        if root is not None:
            folders.setdefault(path.parent, song.target.parent)
    images = []
    for folder, target in folders.items():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file():
                place = fitting_path(target / path.name)
                images.append(Song(path, place, place))
    return images


def _apart(songs: list[Song], problems: list[tuple[Path, AudioSRError]]) -> Iterator[Song]:
    """The songs whose outputs are files of their own; on some disks names that differ by case are one file."""
    taken: dict[str, Song] = {}
    for song in songs:
        first = taken.setdefault(str(song.target).casefold(), song)
        if first is song or (first.target != song.target and not ignores_case(song.target.parent)):
            yield song
            continue
        problems.append(
            (
                song.source,
                UsageError(
                    f"each input needs an output of its own; on this disk {song.target} and {first.target}, of"
                    f" {first.source}, are one file; restore one of them elsewhere with -o"
                ),
            )
        )
