"""One audio file of a shelf -> its tracks: the work of `rip`, the same wherever it is done."""

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..audio.bandwidth import SpectrumMeter
from ..audio.discs import Cut, clean, describe
from ..audio.files import atomic_output
from ..audio.pcm import (
    Pcm,
    as_float,
    damaged,
    flac_writer,
    holds,
    inspect,
    pcm_bytes,
    pcm_md5,
    read_pcm,
    require_flac,
    streaminfo_md5,
    write_block,
)
from ..audio.tags import write_tags
from ..errors import AudioSRError
from .pairs import Track

# CD rips reach 20 kHz; codecs up to 128 kbit/s end at 17 kHz and below.
LOSSY_BELOW = 17000.0


@dataclasses.dataclass(frozen=True)
class Source:
    """The tracks to make of one audio file.

    Attributes:
        cuts: the tracks, all of one file.
        paths: where each goes, relative to `out`.
        own: the path that each was made to by an earlier run, or `None`; what lies there may be replaced.
        out: the folder.
        include_probably_lossy: take also tracks whose spectrum ends at a wall below 17 kHz.
    """

    cuts: tuple[Cut, ...]
    paths: tuple[str, ...]
    own: tuple[str | None, ...]
    out: Path
    include_probably_lossy: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one track: made (`track`), probably lossy (`wall` alone), `failed`, or its place is `occupied`."""

    cut: Cut
    stamp: list[int] = dataclasses.field(default_factory=list)
    track: Track | None = None
    wall: float | None = None
    failed: str | None = None
    occupied: bool = False


class _ProbablyLossyError(Exception):
    """A source that ends at a brick wall."""

    def __init__(self, wall: float):
        super().__init__(wall)
        self.wall = wall


class _OccupiedError(Exception):
    """Other audio lies under the track's name, and is not this source's to replace."""


class _StoppedError(Exception):
    """The run was interrupted while this track was being made."""


def rip_file(source: Source, stopped: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Makes the tracks that lie in one audio file; what goes wrong with one stands in its outcome.

    Args:
        source: the tracks.
        stopped: asked in every block whether the run was interrupted.

    Yields:
        An `Outcome` a track, in order, until stopped.
    """
    cuts = source.cuts
    try:
        pcm = inspect(cuts[0].source)
        declared = streaminfo_md5(pcm.path) if pcm.container == "FLAC" else ""
        # Cut tracks have no sum of their own: a FLAC disc is proven as a whole before it is cut.
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
            # Whatever a file does to a library, the next one is made.
            yield Outcome(cut, failed=f"a file must be readable; {type(error).__name__}: {error}; rip it again")


def _rip_cut(source: Source, cut: Cut, path: str, replace: bool, pcm: Pcm, declared: str, stopped) -> Outcome:
    stamp = cut.stamp()
    start, stop = cut.span(pcm.sample_rate, pcm.length)
    album, number, title, tags, pictures = describe(cut)
    target = source.out / path
    # A whole FLAC whose own MD5 holds needs no second encoding.
    copied = bool(declared) and cut.cue is None
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
        elif tags or pictures:
            write_tags(partial, tags, pictures)
        require_flac(partial, md5, pcm.path)
    length = stop - start
    track = Track(
        lossless=path, album=album, track=number, title=title, duration=round(length / pcm.sample_rate, 6),
        length=length, sample_rate=pcm.sample_rate, channels=pcm.channels, md5=md5, cutoff=round(cutoff, 1),
        source=clean(cut.name),
    )  # fmt: skip
    return Outcome(cut, stamp, track, wall)


def _read(pcm: Pcm, start: int, stop: int, partial: Path | None, stopped) -> tuple[str, float, float | None]:
    """Reads samples once: their MD5, cutoff and wall; writes them to `partial` on the way."""
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
