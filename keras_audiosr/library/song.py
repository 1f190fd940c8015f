"""Restores one song. It is decoded, restored and written block by block, so memory use is constant."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import AudioFileError, OutputExistsError
from ..files import audio_files, headers
from ..files.formats import LeftOut, held_layout, layout_tags
from ..files.read_back import require_written
from ..files.scan import find_faults
from ..files.tag_writers import left_behind, write_metadata
from ..files.tags import read_metadata
from ..files.verdict import WORTH_SAMPLE_RATE, is_lossless, judge, meter_blocks, room_advice
from ..files.writers import open_writer
from ..processes.partial_files import atomic_output
from ..runners import Runner
from ..sound.blend import Blend, channel_strengths
from ..sound.framing import BlockProcessor, process_blocks
from ..sound.limiter import Limiter
from ..sound.mid_side import layout_pairs
from ..sound.resample import RateConverter
from .others import is_copy
from .outcome import PlannedFile, RestoredFile, SkippedFile
from .plan import Song
from .provenance import make_record, read_record, record_tags, source_hash
from .settings import Settings
from .sizes import estimated_size

# Samples per block. Blocks of this length make Python's overhead small and are still short compared to a song.
BLOCK_LENGTH = 1 << 16


def restore_song(
    song: Song,
    runner: Runner,
    settings: Settings,
    stopped: threading.Event,
    advance: Callable[[float, float], None] = lambda seconds, total: None,
) -> RestoredFile | SkippedFile | PlannedFile:
    """Restores one song, unless it can be skipped.

    Args:
        song: the source and the target.
        runner: the model. No other thread may use the runner at the same time.
        settings: how the song is restored.
        stopped: event that ends the work with `KeyboardInterrupt`. No partial output is left.
        advance: function that is called with the seconds of music decoded since the last call, and with the length of
            the song in seconds (0.0 if the file does not declare it).

    Returns:
        The outcome. In a dry run it is a `PlannedFile`.

    Raises:
        OutputExistsError: the target exists and may not be replaced.
        AudioFileError: the source cannot be read, the target cannot be written, or with `settings.strict` the source
            is not complete or does not fit into the target.
        ArtifactError: the model returns values that are not finite.
    """
    started = time.perf_counter()
    source, target = headers.require_file(song.source), song.target
    record = make_record(source_hash(source), runner.name, runner.version, settings.recorded(target.suffix))
    # This comes first because it is cheap. A song that is already done costs one hash.
    done = _settled(song, record, settings)
    if done is not None:
        return done
    info = headers.probe(source)
    skipped = None if settings.force else _needless(song, info, settings, stopped)
    if skipped is not None:
        return skipped
    if os.path.lexists(target) and not settings.overwrite:
        done = _settled(song, record, settings)
        if done is not None:
            return done
        raise _exists(target, "is a copy of its source")
    if settings.dry_run:
        return PlannedFile(source, target, estimated_size(info, target.suffix, settings))

    length = 0
    complaints: list[str] = []

    def decoded() -> Iterator[np.ndarray]:
        nonlocal length
        for block in _blocks(source, info, stopped, complaints):
            _require_finite(block, source, length, info.sample_rate)
            length += len(block)
            yield block
            advance(len(block) / info.sample_rate, info.duration)

    rate = settings.output_rate(info.sample_rate)
    subtype = settings.sample_format(target.suffix)
    chain = _chain(runner, source, info, rate, settings)
    limiter = Limiter(rate, info.channels) if settings.clips(subtype) == "limit" else None
    if limiter is not None:
        chain.append(limiter)
    blocks: Iterable[np.ndarray] = decoded()
    for processor in chain:
        blocks = process_blocks(processor, blocks)
    metadata = read_metadata(source, info)
    chapters = tuple((part.start, part.end or info.duration, part.title) for part in metadata.chapters)
    output = dataclasses.replace(info, sample_rate=rate, chapters=chapters)
    held, unsaid = held_layout(target.suffix, info.channels, info.channel_layout)
    left_out = [unsaid] if unsaid else []
    if info.tracks > 1:
        others = f"only sound track {info.track + 1} of {info.tracks} was used, the default one"
        left_out.append(LeftOut("tracks", others))
    metadata.tags |= record_tags(record) | layout_tags(target.suffix, info.channels, held)
    # Checked before the work, because a later refusal would waste the time of a song.
    _refuse_left_out(left_out + left_behind(target.suffix, metadata), source, settings)
    try:
        with atomic_output(target, replace=settings.overwrite) as partial:
            with open_writer(partial, output, settings.subtype, settings.clips(subtype) != "none", target) as writer:
                for block in blocks:
                    writer.write(block)
            cut = find_faults(source, info, length / info.sample_rate, complaints)
            if cut:
                _refuse_if_strict(cut, settings)
            left_out += write_metadata(partial, metadata)
            _refuse_left_out(left_out, source, settings)
            require_written(partial, writer, output)
    except OutputExistsError:
        # Another run has made this output in the meantime.
        done = _settled(song, record, settings)
        if done is not None:
            return done
        raise

    warnings = [cut] if cut else []
    if info.sample_rate < WORTH_SAMPLE_RATE and rate == info.sample_rate:
        warnings.append(f"{source}: {room_advice(info.sample_rate)}")
    if writer.clipped:
        warnings.append(
            f"{source}: {writer.clipped} samples beyond full scale were clamped; --clip limit turns the peaks down,"
            " and WAV with subtype FLOAT keeps them"
        )
    if limiter is not None and limiter.limited:
        share = limiter.limited / max(length * rate / info.sample_rate, 1.0)
        warnings.append(f"{source}: peaks were turned down by up to {limiter.reduction:.1f} dB in {share:.1%} of it")
    return RestoredFile(
        source,
        target,
        duration=length / info.sample_rate,
        elapsed=time.perf_counter() - started,
        clipped=writer.clipped,
        warnings=tuple(warnings),
        left_out=tuple(left_out),
        size=target.stat().st_size,
        coding=_coding(info),
        record=record,
    )


def _settled(song: Song, record: dict, settings: Settings) -> SkippedFile | None:
    """Returns a skipped song if the existing target is its result, or `None` if the target does not matter.

    Raises:
        OutputExistsError: the target is a different file, or has a different record.
    """
    target = song.target
    if settings.overwrite or not os.path.lexists(target):
        return None
    found = read_record(target)
    if found == record and settings.skip_done:
        return SkippedFile(song.source, target, "done", f"{target} is done")
    if found is None and is_copy(song.source, target):
        return None  # an earlier run copied it there because it did not need to be restored
    what = "is another file"
    if found is not None:
        changed = [key for key in record if found.get(key) != record[key]]
        what = f"was made with another {', '.join(changed)}" if changed else "is done already"
    raise _exists(target, what)


def _exists(target: Path, what: str) -> OutputExistsError:
    return OutputExistsError(
        f"an output is not replaced unless asked; {target} {what}; add --overwrite or choose another with -o"
    )


def _coding(info: headers.AudioInfo) -> str:
    bitrate = f", {info.bitrate} kbit/s" if info.bitrate else ""
    channels = f"{info.channels} channel{'s' if info.channels > 1 else ''}"
    return f"{info.codec}{bitrate}, {info.sample_rate} Hz, {channels}"


def _needless(song: Song, info: headers.AudioInfo, settings: Settings, stopped: threading.Event) -> SkippedFile | None:
    """Returns a skipped song with the reason why it need not be restored, or `None` if it should be restored."""
    if read_record(song.source) is not None:
        message = f"{song.source} is itself a restored file; add --force to restore it again"
        return SkippedFile(song.source, song.target, "restored", message)
    # If the sample rate is raised, even a lossless file has an empty band to restore.
    if settings.output_rate(info.sample_rate) > info.sample_rate:
        return None
    if not is_lossless(info.codec):
        verdict = judge(info)
        if verdict.worth != "no":
            return None
        message = f"{song.source}: {verdict.advice} ({verdict.reason}); add --force to restore it nevertheless"
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
    message = f"{song.source} has nothing to restore ({verdict.reason}); add --force to restore it nevertheless{cut}"
    return SkippedFile(song.source, song.target, "lossless", message)


def _blocks(
    source: Path, info: headers.AudioInfo, stopped: threading.Event, complaints: list[str]
) -> Iterator[np.ndarray]:
    for block in audio_files.read_blocks(source, info, BLOCK_LENGTH, complaints=complaints):
        if stopped.is_set():
            raise KeyboardInterrupt
        yield block


def _chain(
    runner: Runner, source: Path, info: headers.AudioInfo, rate: int, settings: Settings
) -> list[BlockProcessor]:
    """Returns the processors from the source's sample rate to the output's, in order."""
    chain: list[BlockProcessor] = []
    work_rate = info.sample_rate
    if work_rate < min(rate, runner.sample_rate):
        # The resampler comes before the model, so that there are frequencies for the model to restore.
        chain.append(RateConverter(work_rate, rate, info.channels))
        work_rate = rate
    pairs = layout_pairs(info.channels, info.channel_layout)
    restoring = runner.processor(info.channels, work_rate, source, pairs)
    strengths = channel_strengths(info.channels, settings.strength, info.channel_layout)
    chain.append(restoring if (strengths == 1.0).all() else Blend(restoring, strengths))
    if work_rate != rate:
        chain.append(RateConverter(work_rate, rate, info.channels))
    return chain


def _refuse_if_strict(cut: str, settings: Settings) -> None:
    if settings.strict:
        raise AudioFileError(f"with --strict only complete files are restored; {cut}; obtain the file again")


def _refuse_left_out(left_out: list[LeftOut], source: Path, settings: Settings) -> None:
    lost = [part.detail for part in left_out if part.is_loss]
    if lost and settings.strict:
        details = "; ".join(lost)
        raise AudioFileError(
            f"with --strict everything of a song must fit into its output; {source}: {details}; try another format"
        )


def _require_finite(block: np.ndarray, source: Path, position: int, sample_rate: int) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        first = position + int(np.argmin(finite.all(axis=1)))
        raise AudioFileError(
            f"samples must be finite; {source} has NaN or infinity at {first / sample_rate:.3f} s;"
            " fix the file where it was made"
        )
