"""Finds the songs in the user's files, folders and patterns, and assigns a separate output to each of them."""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import AudioFileError, AudioSRError, UsageError
from ..files.formats import FORMATS, MUSIC_SUFFIXES
from ..processes.file_systems import fitting_path, ignores_case

# Files with these suffixes count as folder images, such as covers.
IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .gif .webp .bmp .tif .tiff".split())
# Inserted between a song's name and the suffix of its output if both may be in the same folder.
RESTORED = ".restored"


@dataclasses.dataclass(frozen=True)
class Song:
    """A song to restore, or an image beside songs.

    Attributes:
        source: the existing file.
        target: the file to make. For an image it is the path of its copy.
        copy: path for an unchanged copy of the source. It is `None` unless there is an output folder that contains none
            of the inputs.
    """

    source: Path
    target: Path
    copy: Path | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The songs and images of a run, with their outputs.

    Attributes:
        songs: songs in the order of the inputs. Songs of one folder are sorted by path.
        problems: pairs of input and error, for example a folder that contains no music or cannot be read.
        images: images beside the songs of searched folders. The list is empty unless `takes_others` is true.
        takes_others: whether there is an output folder that contains none of the inputs. Only such a folder can receive
            copies of skipped songs and images.
    """

    songs: list[Song]
    problems: list[tuple[Path, AudioSRError]]
    images: list[Song] = dataclasses.field(default_factory=list)
    takes_others: bool = False


def find_music(
    inputs: Sequence[str | os.PathLike], recursive: bool = False, out: Path | None = None
) -> tuple[list[tuple[Path, Path | None]], list[tuple[Path, AudioSRError]]]:
    """Finds the songs in files, folders and patterns.

    Args:
        inputs: files, folders or patterns (`*`, `?`, `[...]`, `**`). A name that exists is never taken for a pattern.
            A folder stands for the music in it, except hidden files and `*.restored.*`.
        recursive: whether subfolders are searched too. Links to folders are not followed.
        out: output folder. If it is inside a searched folder, the files in it are ignored.

    Returns:
        Two lists. The first has pairs of a song and its root folder; the output keeps the song's path relative to the
        root, which is `None` for a file that was named itself. The second has pairs of input and error, for folders
        that contain no music or cannot be read.
    """
    found: list[tuple[Path, Path | None]] = []
    problems: list[tuple[Path, AudioSRError]] = []
    avoided = None if out is None else os.path.realpath(out)
    for given in inputs:
        for path, root in _expand(given, avoided):
            # Path.is_dir raises an exception for a name that is too long. Treated as a file, it fails with our message.
            if not os.path.isdir(path):  # noqa: PTH112
                found.append((path, root))
                continue
            music = list(_songs_in(path, recursive, avoided, problems))
            found += [(song, root or path) for song in music]
            if not music:
                told = _without_music(path, recursive, avoided)
                problems.append((path, UsageError(f"a folder must contain music; {told}")))
    return found, problems


def plan_library(inputs: Sequence[str | os.PathLike], out: Path | None, suffix: str, recursive: bool = False) -> Plan:
    """Finds the songs and chooses the output of each.

    Args:
        inputs: as for `find_music`.
        out: output file for a single input file, or output folder. A folder keeps the tree below each input folder, or
            below the fixed part of a pattern. If the folder contains none of the inputs, outputs have the songs'
            names. Otherwise, `.restored` is added to the names. If `None`, each output is written beside its input,
            also with `.restored`.
        suffix: suffix of the output format. It is used unless `out` is a file.
        recursive: whether subfolders are searched too. Links to folders are not followed.

    Returns:
        The plan.

    Raises:
        UsageError: the output format cannot be written, there are several inputs for one output file, two inputs
            would have the same output, or an output is one of the inputs.
    """
    found, problems = find_music(inputs, recursive, out)
    songs, apart = _with_targets(found, out, suffix)
    images = _images(found, songs) if apart else []
    return Plan(list(_apart(songs, problems)), problems, images, apart)


def _expand(given: str | os.PathLike, avoided: str | None) -> Iterator[tuple[Path, Path | None]]:
    """Yields the matches of a pattern with its fixed part as their root, or any other input unchanged with `None`."""
    text = os.fspath(given)
    if os.path.lexists(text) or not glob.has_magic(text):
        yield Path(text), None
        return
    # Path.glob does not accept absolute patterns.
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    fixed = Path(text)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    root = os.path.realpath(fixed)
    inside = avoided is not None and avoided != root and _lies_in(avoided, root)
    for match in matches:
        # A pattern with ** matches a folder and also its files, so the folder is left out. Outputs of an earlier run
        # are not inputs of this one.
        is_output = inside and _lies_in(os.path.realpath(match), str(avoided))
        if not is_output and not ("**" in text and Path(match).is_dir()):
            yield Path(match), fixed
    if not matches:
        yield Path(text), None  # as in a shell, so that it fails as a missing file


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
        # Outputs of an earlier run inside the library are not inputs of this one.
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
    """Refuses an output with the suffix of an audio format that cannot be written, which would become a folder."""
    suffix = out.suffix.lower()
    if suffix in MUSIC_SUFFIXES - FORMATS.keys() and not os.path.isdir(out):  # noqa: PTH112
        raise UsageError(
            f"an output file must end in {', '.join(FORMATS)}; received {out}; try {out.with_suffix('.flac').name}"
        )


def _with_targets(found: list[tuple[Path, Path | None]], out: Path | None, suffix: str) -> tuple[list[Song], bool]:
    """Returns the songs with their outputs, and whether the output folder contains none of the songs."""
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

    # If a folder has song.mp3 and song.m4a, both outputs keep the suffix of their source in their names.
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
    """Returns the folder for the output of a song."""
    if out is None:
        return path.parent
    return out if root is None else out / path.parent.relative_to(root)


def _images(found: list[tuple[Path, Path | None]], songs: list[Song]) -> list[Song]:
    """Returns the images beside the songs of searched folders."""
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
    """Yields the songs with separate output files. On some disks, names that differ only by case are the same file."""
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
