"""Makes the tracks of one audio file for `rip`, with the same result in a thread and on a pipeline."""

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import AudioSRError
from ..files.flac_header import streaminfo_md5
from ..files.flac_proof import flac_writer, holds, require_flac, write_block
from ..files.formats import held_layout, layout_tags
from ..files.pcm import Pcm, as_float, damaged, inspect, pcm_bytes, pcm_md5, read_pcm
from ..files.tag_writers import write_metadata
from ..processes.partial_files import atomic_output
from ..sound.bandwidth import SpectrumMeter
from .discs import Cut, clean, describe
from .manifests import Track

# CD rips reach 20 kHz; codecs up to 128 kbit/s end at 17 kHz and below.
LOSSY_BELOW = 17000.0


@dataclasses.dataclass(frozen=True)
class Source:
    """The tracks to make of one audio file.

    Attributes:
        cuts: the tracks, all of one file.
        paths: output path of each, relative to `out`.
        own: path at which an earlier run made each track, or `None`; a file there may be replaced.
        out: the output folder.
        include_probably_lossy: whether to include tracks whose spectrum ends at a wall below 17 kHz.
    """

    cuts: tuple[Cut, ...]
    paths: tuple[str, ...]
    own: tuple[str | None, ...]
    out: Path
    include_probably_lossy: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result for one track.

    Attributes:
        cut: the track as it was found on the shelf.
        stamp: sizes and times of its source files.
        track: the manifest's entry, if the track was made.
        wall: Hz, where the spectrum ends at a wall, or `None`. With neither `track` nor `failed`, the source is left
            out as probably lossy.
        failed: the error, if the track could not be made.
        occupied: whether other audio has the track's path, so that the track was not made.
        left_out: tags and pictures that a FLAC cannot hold.
    """

    cut: Cut
    stamp: list[int] = dataclasses.field(default_factory=list)
    track: Track | None = None
    wall: float | None = None
    failed: str | None = None
    occupied: bool = False
    left_out: list[str] = dataclasses.field(default_factory=list)


class _ProbablyLossyError(Exception):
    """A source that ends at a brick wall."""

    def __init__(self, wall: float):
        super().__init__(wall)
        self.wall = wall


class _OccupiedError(Exception):
    """Other audio has the track's path, and this source may not replace it."""


class _StoppedError(Exception):
    """The run was interrupted while this track was being made."""


def rip_file(source: Source, stopped: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Makes the tracks of one audio file; an error with one of them is reported in its outcome.

    Args:
        source: the tracks.
        stopped: function that is called for every block and returns whether the run was interrupted.

    Yields:
        One `Outcome` per track, in order, until the run is interrupted.
    """
    cuts = source.cuts
    try:
        pcm = inspect(cuts[0].source)
        # A FLAC that only FFmpeg reads was verified by `inspect` and is encoded again.
        declared = streaminfo_md5(pcm.path) if pcm.container == "FLAC" and not pcm.own_bits else ""
        # Cut tracks have no MD5 of their own, so a FLAC of a whole disc is verified before it is cut.
        if declared and cuts[0].cue is not None and pcm_md5(pcm) != declared:
            raise damaged(pcm)
    except (AudioSRError, OSError) as error:
        yield from (Outcome(cut, failed=str(error)) for cut in cuts)
        return
    for cut, path, own in zip(cuts, source.paths, source.own, strict=True):
        if stopped():
            return
        try:
            yield _rip_cut(source, cut, path, path == own, pcm, declared, stopped)
        except _StoppedError:
            return
        except _ProbablyLossyError as reason:
            yield Outcome(cut, cut.stamp(), wall=reason.wall)
        except _OccupiedError:
            yield Outcome(cut, occupied=True)
        except AudioSRError as error:
            yield Outcome(cut, failed=str(error))
        except Exception as error:
            # An unexpected error of a library must not stop the other tracks.
            yield Outcome(cut, failed=f"a file must be readable; {type(error).__name__}: {error}; rip it again")


def _rip_cut(
    source: Source, cut: Cut, path: str, replace: bool, pcm: Pcm, declared: str, stopped: Callable[[], bool]
) -> Outcome:
    stamp = cut.stamp()
    start, stop = cut.span(pcm.sample_rate, pcm.length)
    album, number, title, metadata = describe(cut)
    target = source.out / path
    # A whole FLAC whose own MD5 is right need not be encoded again.
    copied = bool(declared) and cut.cue is None
    left_out: list[str] = []
    with atomic_output(target) as partial:
        md5, cutoff, wall = _read(pcm, start, stop, None if copied else partial, stopped)
        if copied and md5 != declared:
            raise damaged(pcm)
        if wall is not None and wall < LOSSY_BELOW and not source.include_probably_lossy:
            raise _ProbablyLossyError(wall)
        if target.exists() and not replace and not holds(target, md5):
            raise _OccupiedError
        if copied:
            shutil.copyfile(pcm.path, partial)
        else:
            held, _ = held_layout(".flac", pcm.channels, pcm.channel_layout)
            metadata.tags.update(layout_tags(".flac", pcm.channels, held))
            left_out = [part.detail for part in write_metadata(partial, metadata)]
        require_flac(partial, md5, pcm.path)
    length = stop - start
    track = Track(
        lossless=path, album=album, track=number, title=title, duration=round(length / pcm.sample_rate, 6),
        length=length, sample_rate=pcm.sample_rate, channels=pcm.channels, md5=md5, cutoff=round(cutoff, 1),
        source=clean(cut.name),
    )  # fmt: skip
    return Outcome(cut, stamp, track, wall, left_out=left_out)


def _read(
    pcm: Pcm, start: int, stop: int, partial: Path | None, stopped: Callable[[], bool]
) -> tuple[str, float, float | None]:
    """Reads the samples once; returns their MD5, cutoff and wall, and writes them to `partial` if given."""
    digest = hashlib.md5(usedforsecurity=False)
    meter = SpectrumMeter(pcm.sample_rate)
    with contextlib.ExitStack() as stack:
        writer = None if partial is None else stack.enter_context(flac_writer(partial, pcm))
        for block in read_pcm(pcm, start, stop):
            if stopped():
                raise _StoppedError
            digest.update(pcm_bytes(block, pcm.bits))
            meter.add(as_float(block))
            if writer is not None:
                write_block(writer, block)
    return digest.hexdigest(), meter.cutoff(), meter.brick_wall()
