"""Matches restored files with the pairs of a manifest, and reads them aligned."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..annotations import StrPath
from ..codecs.round_trip import fit_length
from ..errors import AudioFileError, ManifestError
from ..files import audio_files
from ..files.formats import MUSIC_SUFFIXES
from ..shelf.manifests import Pair


def match_restored(folder: Path, pairs: Iterable[Pair]) -> dict[str, Path]:
    """Finds the restored file of each pair. It has the path of the lossy file, with any suffix.

    The folder need not have the whole path of the lossy file below the manifest; the longest trailing part that exists
    is used. A name may end in `.restored`.

    Args:
        folder: folder of the restored files, in the subfolders of their lossy files.
        pairs: pairs to find.

    Returns:
        Path of the restored file by `pair.lossy`.

    Raises:
        ManifestError: the folder has no audio, a pair has no file or several, or one file fits two pairs.
    """
    known: dict[tuple[str, ...], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in MUSIC_SUFFIXES and path.is_file():
            *parents, stem = path.relative_to(folder).with_suffix("").parts
            known.setdefault((*parents, stem.removesuffix(".restored")), []).append(path)
    if not known:
        raise ManifestError(
            f"a trained model or a folder of restored files is needed; {folder} has neither best.keras, metadata.json,"
            " saved_model.pb nor audio; check the path"
        )
    found: dict[str, Path] = {}
    owners: dict[Path, str] = {}
    for pair in pairs:
        parts = Path(pair.lossy).with_suffix("").parts
        candidates = next((known[parts[i:]] for i in range(len(parts)) if parts[i:] in known), [])
        if len(candidates) != 1:
            names = " and ".join(path.name for path in candidates) or "none"
            raise ManifestError(
                f"each pair needs one restored file, named like its lossy one; {folder} has {names} for {pair.lossy};"
                " restore it, or choose only restored codecs with --codec"
            )
        other = owners.setdefault(candidates[0], pair.lossy)
        if other != pair.lossy:
            raise ManifestError(
                f"each pair needs its own restored file; {candidates[0]} fits {other} and {pair.lossy};"
                " keep the subfolders of the lossy files, or choose one codec with --codec"
            )
        found[pair.lossy] = candidates[0]
    return found


def read_restored(path: StrPath, pair: Pair, folder: StrPath) -> np.ndarray:
    """Reads a restored file, aligned to its lossless source.

    Args:
        path: the restored file, at any sample rate.
        pair: the pair whose lossy file it was made from.
        folder: the manifest's folder.

    Returns:
        Array `(pair.length, channels)` float32 at the pair's sample rate.

    Raises:
        AudioFileError: the file cannot be read, or its length is neither that of the lossy nor that of the lossless
            file.
    """
    restored, _ = audio_files.read(path, pair.sample_rate)
    if len(restored) == pair.length:
        return restored
    # The file may be as long as the lossy one. Then it still begins with the delay.
    decoded = len(audio_files.read(Path(folder) / pair.lossy, pair.sample_rate)[0])
    if len(restored) != decoded:
        raise AudioFileError(
            f"a restored file must be as long as its lossy one ({decoded} samples) or its lossless one"
            f" ({pair.length}); {path} has {len(restored)} at {pair.sample_rate} Hz; restore it again"
        )
    return fit_length(restored, pair.delay, pair.length)
