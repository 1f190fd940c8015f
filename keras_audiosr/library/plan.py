"""From what a person names (files, folders, patterns) to songs, each with an output of its own."""

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..audio.writers import FORMATS
from ..errors import AudioFileError, AudioSRError, UsageError

# What a folder is searched for. A file named by itself may have any name.
MUSIC_SUFFIXES = frozenset(
    ".mp3 .mp2 .m4a .m4b .mp4 .aac .ogg .oga .opus .spx .flac .wav .wave .aif .aiff .aifc .au .caf .w64 .rf64"
    " .wma .asf .ape .wv .mpc .tta .tak .mka .webm .ac3 .eac3 .dts .amr .3gp .ra .dsf .dff".split()
)
# Between a song's name and the suffix of its restored twin.
RESTORED = ".restored"


@dataclasses.dataclass(frozen=True)
class Song:
    """One song to restore.

    Attributes:
        source: the file as it is.
        target: the file to make.
    """

    source: Path
    target: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        songs: in the order they were named; within a folder by path.
        problems: pairs of input and error: folders without music, or that cannot be searched.
    """

    songs: list[Song]
    problems: list[tuple[Path, AudioSRError]]


def plan_library(inputs: Sequence[str | os.PathLike], out: Path | None, suffix: str, recursive: bool = False) -> Plan:
    """Finds the songs, and where each of them goes.

    Args:
        inputs: files, folders, or patterns (`*`, `?`, `[...]`, `**`) where there is no file of that name. A folder
            gives the music in it, hidden files and `*.restored.*` left out.
        out: output file, for one input file; or folder, in which the tree below each folder (or below the part of a
            pattern that is fixed) is kept. Beside each input when `None`.
        suffix: output format where `out` is no file.
        recursive: whether folders below the folders are searched too. Links to folders are not followed.

    Returns:
        The plan.

    Raises:
        UsageError: an output format nobody writes, several inputs for one output file, two inputs with one
            output, or an output that is an input.
    """
    found: list[tuple[Path, Path | None]] = []
    problems: list[tuple[Path, AudioSRError]] = []
    for given in inputs:
        for path, root in _expand(given):
            # Path.is_dir raises for a name that is too long; as a file it fails with a word of its own.
            if not os.path.isdir(path):  # noqa: PTH112
                found.append((path, root))
                continue
            songs = list(_songs_in(path, recursive, out, problems))
            found += [(song, root or path) for song in songs]
            if not songs:
                where = "anywhere in it" if recursive else "directly in it; add --recursive for the folders below"
                problems.append((path, UsageError(f"a folder must hold music; {path} has none {where}")))
    return Plan(_with_targets(found, out, suffix), problems)


def _expand(given: str | os.PathLike) -> Iterator[tuple[Path, Path | None]]:
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
    for match in matches:
        # A folder and what it holds must not both count.
        if not ("**" in text and Path(match).is_dir()):
            yield Path(match), fixed
    if not matches:
        yield Path(text), None  # as a shell does: it then fails as a file that is missing


def _songs_in(
    folder: Path, recursive: bool, out: Path | None, problems: list[tuple[Path, AudioSRError]]
) -> Iterator[Path]:
    avoided = None if out is None else os.path.realpath(out)

    def unreadable(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename or folder))
        problems.append(
            (path, AudioFileError(f"a folder must be readable; {path}: {error.strerror}; check its rights"))
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


def _with_targets(found: list[tuple[Path, Path | None]], out: Path | None, suffix: str) -> list[Song]:
    sources = {os.path.realpath(path) for path, _ in found}

    def checked(source: Path, target: Path) -> Song:
        if os.path.realpath(target) in sources:
            raise UsageError(f"an input is never written to; {target} is both input and output; choose another with -o")
        return Song(source, target)

    if out is not None and out.suffix.lower() in FORMATS and not os.path.isdir(out):  # noqa: PTH112
        if len(found) > 1 or any(root is not None for _, root in found):
            raise UsageError(f"several inputs need a folder; received {len(found)} files and -o {out}; name a folder")
        return [checked(path, out) for path, _ in found]
    if suffix.lower() not in FORMATS:
        raise UsageError(f"an output format is one of {', '.join(FORMATS)}; received {suffix!r}; try .flac")

    def place(path: Path, root: Path | None, name: str) -> Path:
        folder = path.parent
        if out is not None:
            folder = out if root is None else out / path.parent.relative_to(root)
        return folder / f"{name}{RESTORED}{suffix}"

    # song.mp3 and song.m4a of one folder: both keep their suffix in the output's name.
    taken: dict[Path, int] = {}
    for path, root in found:
        if root is not None:
            target = place(path, root, path.stem)
            taken[target] = taken.get(target, 0) + 1
    songs: dict[Path, Song] = {}
    for path, root in found:
        target = place(path, root, path.stem)
        if taken.get(target, 0) > 1 and root is not None:
            target = place(path, root, path.name)
        if target in songs:
            raise UsageError(
                f"each input needs an output of its own; {songs[target].source} and {path} both give {target};"
                " restore them one by one with -o"
            )
        songs[target] = checked(path, target)
    return list(songs.values())
