"""One song restored: decoded, judged, restored, written, tagged, block by block in flat memory."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..audio import files
from ..audio.blend import Blend, channel_strengths
from ..audio.framing import BlockProcessor, process_blocks
from ..audio.limiter import Limiter
from ..audio.proof import require_written
from ..audio.resample import RateConverter
from ..audio.scan import find_faults
from ..audio.tags import copy_tags
from ..audio.verdict import WORTH_SAMPLE_RATE, is_lossless, judge, meter_blocks, room_advice
from ..audio.writers import open_writer
from ..errors import AudioFileError, OutputExistsError
from ..runners import Runner
from .outcome import PlannedFile, RestoredFile, SkippedFile
from .plan import Song
from .record import make_record, read_record, record_tags, source_hash
from .settings import Settings

# Samples a block: large enough that Python's part is small, small beside a song.
BLOCK_LENGTH = 1 << 16


def restore_song(
    song: Song,
    runner: Runner,
    settings: Settings,
    stopped: threading.Event,
    advance: Callable[[float, float], None] = lambda seconds, total: None,
) -> RestoredFile | SkippedFile | PlannedFile:
    """Restores one song, unless there is a reason not to.

    Args:
        song: where it is and where it goes.
        runner: restores; used by nobody else meanwhile.
        settings: how.
        stopped: once it is set, the work ends with `KeyboardInterrupt` and leaves nothing behind.
        advance: called with the seconds that are done since the last call, and with the seconds in all (0.0 when
            the file does not say).

    Raises:
        OutputExistsError: the target is there, and not to be replaced.
        AudioFileError: the source cannot be read, or the target not written.
        ArtifactError: the model returns values that are not finite.
    """
    started = time.perf_counter()
    source, target = files.require_file(song.source), song.target
    record = make_record(source_hash(source), runner.name, runner.version, settings.recorded(target.suffix))
    # First, for it is cheap: a library of which most is done costs a hash a song.
    done = _settled(song, record, settings)
    if done is not None:
        return done
    info = files.probe(source)
    skipped = None if settings.force else _needless(song, info, settings, stopped)
    if skipped is not None:
        return skipped
    if settings.dry_run:
        return PlannedFile(source, target)

    length = 0
    complaints: list[str] = []

    def decoded() -> Iterator[np.ndarray]:
        nonlocal length
        for block in _blocks(source, info, stopped, complaints):
            _require_finite(block, source, length, info.sample_rate)
            length += len(block)
            yield block
            advance(len(block) / info.sample_rate, info.duration)

    rate = settings.rate or info.sample_rate
    subtype = settings.sample_format(target.suffix)
    chain = _chain(runner, source, info, rate, settings)
    limiter = Limiter(rate, info.channels) if settings.clips(subtype) == "limit" else None
    if limiter is not None:
        chain.append(limiter)
    blocks: Iterable[np.ndarray] = decoded()
    for processor in chain:
        blocks = process_blocks(processor, blocks)
    output = dataclasses.replace(info, sample_rate=rate)
    try:
        with files.atomic_output(target, replace=settings.overwrite) as partial:
            with open_writer(partial, output, settings.subtype, settings.clips(subtype) != "none") as writer:
                for block in blocks:
                    writer.write(block)
            cut = find_faults(source, info, length / info.sample_rate, complaints)
            if cut:
                _refuse_if_strict(cut, settings)
            copy_tags(source, partial, record_tags(record))
            require_written(partial, writer, output)
    except OutputExistsError:
        # Another run was quicker with this song.
        done = _settled(song, record, settings)
        if done is not None:
            return done
        raise

    warnings = [cut] if cut else []
    if info.sample_rate < WORTH_SAMPLE_RATE and rate == info.sample_rate:
        warnings.append(f"{source}: {room_advice(info.sample_rate)}")
    if writer.clipped:
        warnings.append(
            f"{source}: {writer.clipped} samples beyond full scale clamped; --clip limit turns them down,"
            " WAV with subtype FLOAT keeps them"
        )
    if limiter is not None and limiter.limited:
        share = limiter.limited / max(length * rate / info.sample_rate, 1.0)
        warnings.append(f"{source}: peaks turned down by up to {limiter.reduction:.1f} dB in {share:.1%} of it")
    elapsed = time.perf_counter() - started
    return RestoredFile(source, target, length / info.sample_rate, elapsed, writer.clipped, tuple(warnings))


def _settled(song: Song, record: dict, settings: Settings) -> SkippedFile | None:
    """What an output that is there already means."""
    target = song.target
    if settings.overwrite or not os.path.lexists(target):
        return None
    found = read_record(target)
    if found == record and settings.skip_done:
        return SkippedFile(song.source, target, "done", f"{target} is done")
    what = "is there"
    if found is not None:
        changed = [key for key in record if found.get(key) != record[key]]
        what = f"was made with another {', '.join(changed)}" if changed else "is done already"
    raise OutputExistsError(
        f"an output is not replaced unasked; {target} {what}; add --overwrite or choose another with -o"
    )


def _needless(song: Song, info: files.AudioInfo, settings: Settings, stopped: threading.Event) -> SkippedFile | None:
    """Why a file needs no restoring; `None` when it may."""
    if read_record(song.source) is not None:
        message = f"{song.source} is itself a restored file; --force restores it again"
        return SkippedFile(song.source, song.target, "restored", message)
    # At a higher rate than its own even a lossless file has an empty band.
    if (settings.rate or 0) > info.sample_rate:
        return None
    if not is_lossless(info.codec):
        verdict = judge(info)
        if verdict.worth != "no":
            return None
        message = f"{song.source}: {verdict.advice} ({verdict.reason}); --force restores it all the same"
        return SkippedFile(song.source, song.target, "bitrate", message)
    length = 0
    complaints: list[str] = []

    def counted() -> Iterator[np.ndarray]:
        nonlocal length
        for block in _blocks(song.source, info, stopped, complaints):
            length += len(block)
            yield block

    verdict = judge(info, meter_blocks(counted(), info.sample_rate))
    if verdict.kind != "lossless":
        return None
    cut = find_faults(song.source, info, length / info.sample_rate, complaints)
    if cut:
        _refuse_if_strict(cut, settings)
        cut = f"; {cut}"
    message = f"{song.source} has nothing to restore ({verdict.reason}); --force restores it all the same{cut}"
    return SkippedFile(song.source, song.target, "lossless", message)


def _blocks(
    source: Path, info: files.AudioInfo, stopped: threading.Event, complaints: list[str]
) -> Iterator[np.ndarray]:
    for block in files.read_blocks(source, info, BLOCK_LENGTH, complaints=complaints):
        if stopped.is_set():
            raise KeyboardInterrupt
        yield block


def _chain(runner: Runner, source: Path, info: files.AudioInfo, rate: int, settings: Settings) -> list[BlockProcessor]:
    """What the samples go through, from the source's rate to the output's."""
    chain: list[BlockProcessor] = []
    work_rate = info.sample_rate
    if work_rate < min(rate, runner.sample_rate):
        # First room for what is missing, then the model.
        chain.append(RateConverter(work_rate, rate, info.channels))
        work_rate = rate
    restoring = runner.processor(info.channels, work_rate, source)
    strengths = channel_strengths(info.channels, settings.strength, info.channel_layout)
    chain.append(restoring if (strengths == 1.0).all() else Blend(restoring, strengths))
    if work_rate != rate:
        chain.append(RateConverter(work_rate, rate, info.channels))
    return chain


def _refuse_if_strict(cut: str, settings: Settings) -> None:
    if settings.strict:
        raise AudioFileError(f"only whole files are taken with --strict; {cut}; fetch it again")


def _require_finite(block: np.ndarray, source: Path, position: int, sample_rate: int) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        first = position + int(np.argmin(finite.all(axis=1)))
        raise AudioFileError(
            f"samples must be finite; {source} has NaN or infinity at {first / sample_rate:.3f} s;"
            " mend the file where it was made"
        )
