"""Reads and writes manifests: JSON Lines files that list ripped tracks, or pairs of tracks and lossy files.

Each line of a track manifest (written by `rip`) is a `Track`, and each line of a pair manifest (written by `encode`) is
a `Pair`. Paths in both are relative to the manifest's folder and cannot leave it, by `..` or by a symbolic link. The
folder can therefore be moved as a whole, and a manifest from an untrusted source cannot read other files.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ..annotations import StrPath
from ..errors import ManifestError, cause
from ..processes.partial_files import atomic_output

SPLITS = ("train", "validation", "test")
# Number of characters of a wrong value that an error shows.
_SHOWN = 200


@dataclasses.dataclass(frozen=True)
class Track:
    """One lossless track.

    Attributes:
        lossless: path of the FLAC file, relative to the manifest.
        album: album name, which determines the split.
        track: number within the album, from 1.
        title: title, or the source's file name.
        duration: seconds.
        length: samples per channel.
        sample_rate: Hz.
        channels: number of audio channels.
        md5: MD5 of the PCM samples, as FLAC's STREAMINFO defines it.
        cutoff: Hz above which the source has practically no signal.
        source: path of the ripped file as it was given, for information only.
    """

    lossless: str
    album: str
    track: int
    title: str
    duration: float
    length: int
    sample_rate: int
    channels: int
    md5: str
    cutoff: float
    source: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """A lossless track and one lossy twin, aligned to the sample.

    Attributes:
        lossless, album, track, title, duration, length, sample_rate, channels, md5: as in `Track`.
        lossy: path of the compressed file, relative to the manifest.
        codec: codec and bitrate, such as `"mp3@64k"`; `"unknown"` if they are not known for a file that the user
            supplied.
        encoder: the encoder's name in the file's tags.
        delay: samples by which the decoded lossy file lags behind its source; readers drop them.
        decoder: `"any"` if every decoder gives the same samples, else `"ffmpeg"`, the decoder to use.
    """

    lossless: str
    lossy: str
    album: str
    track: int
    title: str
    duration: float
    length: int
    sample_rate: int
    channels: int
    md5: str
    codec: str
    encoder: str
    delay: int
    decoder: str


class _Folder:
    """A manifest's folder, which checks that paths stay inside it."""

    def __init__(self, folder: Path):
        self._root = Path(os.path.realpath(folder))
        # Links are resolved once per folder rather than once per line.
        self._followed: dict[Path, Path] = {}

    def check(self, value: str, where: str) -> None:
        """Raises `ManifestError` for a path that leaves the folder."""
        if Path(value).is_absolute() or ".." in Path(value).parts or "\0" in value:
            raise ManifestError(
                f"paths in a manifest must stay inside its folder; {where} has {repr(value)[:_SHOWN]}; make it relative"
            )
        path = self._root / value
        if path.parent not in self._followed:
            self._followed[path.parent] = Path(os.path.realpath(path.parent))
        place = self._followed[path.parent]
        with contextlib.suppress(OSError):  # a name that is too long is not a link
            place = Path(os.path.realpath(path)) if path.is_symlink() else place
        if not place.is_relative_to(self._root):
            raise ManifestError(
                f"paths in a manifest must stay inside its folder; {where} has {repr(value)[:_SHOWN]}, where a link"
                f" leads to {place}; replace the link by a copy"
            )


def read_manifest(path: StrPath, kind: type) -> list:
    """Reads a manifest of `Track` or `Pair` lines.

    Args:
        path: the JSON Lines file.
        kind: `Track` or `Pair`.

    Raises:
        ManifestError: the file is missing, empty or not JSON Lines, a field is missing or of the wrong type, or a path
            leaves the folder. The message names the line.
    """
    path = Path(path)
    if not path.is_file():
        verb = "rip" if kind is Track else "encode"
        raise ManifestError(
            f"a manifest of {kind.__name__.lower()}s is needed; {path} is no file; 'keras-audiosr {verb}' makes one"
        )
    entries = []
    folder = _Folder(path.parent)
    fields = dataclasses.fields(kind)
    try:
        # splitlines() is not used, because it splits at U+2028, which may be in a title and ends no line in JSON Lines.
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ManifestError(f"a manifest must be UTF-8 JSON Lines; {path}: {cause(error)}; make it again") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            values = {field.name: found[field.name] for field in fields}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            names = ", ".join(field.name for field in fields)
            raise ManifestError(
                f"each manifest line must be a JSON object with {names}; {where}: {type(error).__name__}"
                f" {cause(error)}; make it again"
            ) from error
        for field in fields:
            value = values[field.name]
            wanted = {str: "str", int: "int", float: "float"}[field.type]  # type: ignore[index]
            allowed = (int, float) if field.type is float else (field.type,)
            if not isinstance(value, allowed) or isinstance(value, bool):  # type: ignore[arg-type]
                raise ManifestError(
                    f"{field.name} must be {wanted}; {where} has {repr(value)[:_SHOWN]}; make the manifest again"
                )
        for name in ("lossless", "lossy"):
            if name in values:
                folder.check(values[name], where)
        entries.append(kind(**values))
    if not entries:
        raise ManifestError(
            f"a manifest needs at least one line; {path} has none; see what was left out when it was made"
        )
    return entries


def write_manifest(path: StrPath, entries: Iterable) -> None:
    """Writes `Track` or `Pair` entries, sorted by path, atomically."""
    key = lambda entry: (entry.lossless, getattr(entry, "lossy", ""))  # noqa: E731 - used once, below
    lines = [_line(dataclasses.asdict(entry)) + "\n" for entry in sorted(entries, key=key)]
    with atomic_output(path) as partial:
        partial.write_text("".join(lines), "utf-8")


def _line(entry: dict) -> str:
    line = json.dumps(entry, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # bytes of a file name that are not UTF-8
        return json.dumps(entry)
    return line


def _position(album: str, seed: int) -> float:
    """Returns the position of an album in [0, 1), which is a hash of its name."""
    digest = hashlib.sha256(f"{seed}:{album}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(album: str, seed: int = 0, fractions: tuple[float, float] = (0.1, 0.0)) -> str:
    """Returns the split of an album, from a hash of its name, so that new albums do not move others.

    Args:
        album: album name.
        seed: a different seed gives a different assignment.
        fractions: shares of `"validation"` and `"test"`, each in [0, 1), their sum below 1.

    Returns:
        `"train"`, `"validation"` or `"test"`.
    """
    validation, test = fractions
    position = _position(album, seed)
    if position < validation:
        return "validation"
    return "test" if position < validation + test else "train"


def split_albums(albums: Iterable[str], seed: int = 0, fractions: tuple[float, float] = (0.1, 0.0)) -> dict[str, str]:
    """Returns the split of each album. No requested split is empty as long as an album remains for training.

    Albums are assigned as by `split_of`. If a requested split gets no album, as can happen with few albums, the
    training album with the lowest hash is moved to it.

    Args:
        albums: album names.
        seed, fractions: as for `split_of`.
    """
    splits = {album: split_of(album, seed, fractions) for album in set(albums)}
    for name, fraction in zip(("validation", "test"), fractions, strict=True):
        training = [album for album, split in splits.items() if split == "train"]
        if fraction > 0 and name not in splits.values() and len(training) > 1:
            splits[min(training, key=lambda album: _position(album, seed))] = name
    return splits
