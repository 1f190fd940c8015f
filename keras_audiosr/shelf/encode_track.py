"""Makes the aligned lossy twins of one track for `encode`, with the same result on every machine."""

import dataclasses
from pathlib import Path

import numpy as np

from ..codecs.align import measure_delay
from ..codecs.round_trip import encode_file, encoder_of, same_samples
from ..codecs.spec import KNOWN_CODECS, CodecSpec
from ..errors import AudioSRError
from ..files import audio_files, headers
from ..processes.partial_files import link_or_copy
from .file_locations import read_track
from .manifests import Pair, Track


@dataclasses.dataclass(frozen=True)
class Twin:
    """One twin to make with `spec`, or to copy from `brought`, at the path `lossy` inside the output folder."""

    lossy: str
    spec: CodecSpec | None = None
    brought: Path | None = None


@dataclasses.dataclass(frozen=True)
class TrackTwins:
    """One track and its missing twins.

    Attributes:
        track: the track's line in the manifest.
        source: path of its FLAC file.
        lossless: path of the FLAC file in the output folder, relative to `out`.
        tasks: the twins.
        out: the output folder.
    """

    track: Track
    source: Path
    lossless: str
    tasks: tuple[Twin, ...]
    out: Path


def make_twin(task: Twin, track: Track, lossless_name: str, lossless: np.ndarray, out: Path) -> Pair:
    """Makes or copies one twin, aligns it, and returns its `Pair`.

    Args:
        task: the twin.
        track: the track's line in the manifest.
        lossless_name: path of the FLAC file, relative to `out`.
        lossless: the track's samples, array `(time, channels)`.
        out: the output folder.

    Raises:
        AudioSRError: the twin cannot be made, read or aligned.
    """
    path = out / task.lossy
    if task.spec is not None:
        encode_file(out / lossless_name, path, task.spec)
        # The containers that this package makes declare their delay, which is used if nothing can be measured.
        codec, expected = str(task.spec), 0
    elif task.brought is not None:
        info = headers.probe(task.brought)
        # For the known codecs, the name and the bitrate describe the file completely.
        codec = f"{info.codec}@{info.bitrate}k" if info.codec in KNOWN_CODECS and info.bitrate else "unknown"
        expected = None
        link_or_copy(task.brought, path)
    try:
        lossy, _ = audio_files.read(path, track.sample_rate)
        delay = measure_delay(lossless, lossy, track.sample_rate, expected=expected).delay
    except AudioSRError:
        # A twin that gets no line in the manifest is removed, unless it is the user's own file.
        if task.brought is None or path.resolve() != task.brought.resolve():
            path.unlink(missing_ok=True)
        raise
    encoder = encoder_of(path)
    if task.spec is not None:
        made_by = (
            KNOWN_CODECS[task.spec.codec].encoder
            if task.spec.codec in KNOWN_CODECS
            else f"keras_audiosr {task.spec.codec}"
        )
        # Tags of FLAC and M4A do not name the encoder, and those of MP3 name only Lavc.
        encoder = made_by if encoder == "unknown" else encoder if made_by in encoder else f"{encoder} {made_by}"
    return Pair(
        lossless=lossless_name,
        lossy=task.lossy,
        album=track.album,
        track=track.track,
        title=track.title,
        duration=track.duration,
        length=track.length,
        sample_rate=track.sample_rate,
        channels=track.channels,
        md5=track.md5,
        codec=codec,
        encoder=encoder,
        delay=delay,
        decoder="any" if same_samples(path, lossy, track.sample_rate, delay, track.length) else "ffmpeg",
    )


def make_twins(item: TrackTwins) -> list[tuple[Twin, Pair | Exception]]:
    """Makes the missing twins of one track, and returns the `Pair` or the error of each."""
    try:
        link_or_copy(item.source, item.out / item.lossless)
        lossless = read_track(item.out / item.lossless, item.track)
    except (AudioSRError, OSError, MemoryError) as error:
        return [(task, error) for task in item.tasks]
    done: list[tuple[Twin, Pair | Exception]] = []
    for task in item.tasks:
        try:
            done.append((task, make_twin(task, item.track, item.lossless, lossless, item.out)))
        except (AudioSRError, OSError, MemoryError) as error:
            done.append((task, error))
    return done
