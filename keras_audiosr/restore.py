"""Stage 9: a music file becomes a restored music file.

Decoding runs in FFmpeg's process, inference and writing here, block by block:
memory does not grow with the song. No TensorFlow and no Keras is imported
unless the model asked for is theirs.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import os
import queue
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from .errors import AudioFileError, AudioSRError, OutputExistsError, UsageError

__all__ = ["RestoreReport", "RestoredFile", "restore"]

# Samples a block: large enough that Python's part is small, small beside a song.
BLOCK_LENGTH = 1 << 16
# Seconds by which decoded and declared duration may differ before the user is told.
DURATION_TOLERANCE = 0.5


@dataclasses.dataclass(frozen=True)
class RestoredFile:
    """One restored file.

    Attributes:
        source: the lossy file.
        target: the restored file.
        duration: seconds of music.
        elapsed: seconds it took.
        clipped: samples beyond full scale that were clamped.
        warnings: one line each; what the user should know.
    """

    source: Path
    target: Path
    duration: float
    elapsed: float
    clipped: int
    warnings: tuple[str, ...]


@dataclasses.dataclass
class RestoreReport:
    """What became of each input.

    Attributes:
        restored: the files that were restored.
        failures: pairs of input and error.
    """

    restored: list[RestoredFile] = dataclasses.field(default_factory=list)
    failures: list[tuple[Path, AudioSRError]] = dataclasses.field(default_factory=list)


def restore(
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike | None = None,
    model: str | os.PathLike | None = None,
    suffix: str = ".flac",
    subtype: str | None = None,
    jobs: int = 1,
    overwrite: bool = False,
) -> RestoreReport:
    """Restores music files: same sample rate, channels and length, aligned to the sample.

    Music at another sample rate than the model's keeps its own samples; only the model's correction is
    resampled and added. Digital silence stays digital silence. Tags and pictures are copied to FLAC.

    Args:
        inputs: one file or several; any that FFmpeg reads. They are never written to.
        out: output file (for one input; its suffix chooses the format), or folder (one that exists, or any
            name without an audio suffix). Beside each input when `None`: `song.mp3` -> `song.restored.flac`.
        model: as `runners.load_runner` takes it; the default preset that comes with the package when `None`.
        suffix: output format where `out` is no file: `.flac`, `.wav`, `.aiff`, `.m4a` (ALAC), `.wv`, `.mp3`.
        subtype: sample format of FLAC, WAV and AIFF: `PCM_16`, `PCM_24` (the default), or in WAV and AIFF `FLOAT`.
        jobs: files at a time, one thread each.
        overwrite: whether an existing output may be replaced.

    Returns:
        The report. A failure with one of several inputs is in it, and does not stop the others.

    Raises:
        UsageError: arguments that do not fit each other; two inputs with one output.
        ArtifactError: the model is missing or damaged.
        AudioSRError: `inputs` is one file, and it cannot be restored.

    Example:

    >>> restore("song.mp3").restored[0].target  # doctest: +SKIP
    PosixPath('song.restored.flac')
    """
    report = RestoreReport()
    sources = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    for result in _restore_each(sources, out, model, suffix, subtype, jobs, overwrite):
        if isinstance(result, RestoredFile):
            report.restored.append(result)
        elif sources[0] is inputs:
            raise result[1]
        else:
            report.failures.append(result)
    return report


def plan_outputs(inputs: Sequence[Path], out: Path | None, suffix: str) -> list[Path]:
    """Where each input goes.

    Raises:
        UsageError: an output format nobody writes, several inputs for one output file,
            two inputs with one output, or an output that is an input.
    """
    from .audio.writers import FORMATS

    if out is not None and out.suffix.lower() in FORMATS and not out.is_dir():
        if len(inputs) > 1:
            raise UsageError(f"several inputs need a folder; received {len(inputs)} files and -o {out}; name a folder")
        _require_not_input(out, inputs)
        return [out]
    if suffix.lower() not in FORMATS:
        raise UsageError(f"an output format is one of {', '.join(FORMATS)}; received {suffix!r}; try .flac")
    outputs: dict[Path, Path] = {}
    for source in inputs:
        target = (source.parent if out is None else out) / f"{source.stem}.restored{suffix}"
        if target in outputs:
            raise UsageError(
                f"each input needs an output of its own; {outputs[target]} and {source} both give {target};"
                " restore them one by one with -o"
            )
        _require_not_input(target, inputs)
        outputs[target] = source
    return list(outputs)


def _require_not_input(target: Path, inputs: Sequence[Path]) -> None:
    if os.path.realpath(target) in map(os.path.realpath, inputs):
        raise UsageError(f"an input is never written to; {target} is both input and output; choose another with -o")


def _restore_each(
    inputs, out, model, suffix, subtype, jobs, overwrite
) -> Generator[RestoredFile | tuple[Path, AudioSRError], None, None]:
    """Yields what became of each input as soon as it is known; with `jobs` above 1 in the order they end."""
    if jobs < 1:
        raise UsageError(f"jobs must be 1 or more; received {jobs}; try 1")
    sources = [Path(source) for source in inputs]
    if not sources:
        raise UsageError("restore needs a file; received none; name one")
    targets = plan_outputs(sources, None if out is None else Path(out), suffix)
    jobs = min(jobs, len(sources))

    from .runners import load_runner

    # A runner serves one thread at a time; all are loaded before the work begins, so that a bad model is told at once.
    runners: queue.SimpleQueue = queue.SimpleQueue()
    for _ in range(jobs):
        runners.put(load_runner(model))
    stopped = threading.Event()

    def one(source: Path, target: Path) -> RestoredFile | tuple[Path, AudioSRError]:
        runner = runners.get()
        try:
            return _restore_file(runner, source, target, subtype, overwrite, stopped, progress=jobs == 1)
        except AudioSRError as error:
            return source, error
        except OSError as error:  # such as a name that is too long, or a folder that may not be searched
            return source, AudioFileError(f"input and output must be reachable; {source}: {error}; check the path")
        finally:
            runners.put(runner)

    if jobs == 1:
        yield from map(one, sources, targets)
        return

    from tqdm import tqdm

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(one, source, target) for source, target in zip(sources, targets, strict=True)]
        ended = concurrent.futures.as_completed(futures)
        for future in tqdm(ended, "restore", total=len(futures), unit="file", disable=None):
            yield future.result()
    finally:
        # On Ctrl-C the threads see `stopped` at their next block, and clean up after themselves.
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _restore_file(runner, source: Path, target: Path, subtype, overwrite, stopped, progress: bool) -> RestoredFile:
    from tqdm import tqdm

    from .audio import files
    from .audio.tags import copy_tags
    from .audio.writers import open_writer

    started = time.perf_counter()
    info = files.probe(source)
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unasked; {target} is there; add --overwrite or choose another with -o"
        )
    length = 0

    def decoded(bar):
        nonlocal length
        for block in files.read_blocks(source, info, BLOCK_LENGTH):
            if stopped.is_set():
                raise KeyboardInterrupt
            _require_finite(block, source, length, info.sample_rate)
            length += len(block)
            yield block
            bar.update(len(block) / info.sample_rate)

    bar = tqdm(
        desc=source.name,
        total=info.duration or None,
        bar_format="{desc}: {bar} {elapsed}<{remaining}",
        disable=None if progress else True,
        leave=False,
    )
    with bar, files.atomic_output(target) as partial:
        with open_writer(partial, info, subtype) as writer:
            for block in runner.stream(decoded(bar), info.channels, info.sample_rate):
                writer.write(block)
        copy_tags(source, partial)

    duration = length / info.sample_rate
    warnings = []
    if info.duration and abs(duration - info.duration) > DURATION_TOLERANCE:
        warnings.append(
            f"{source} declares {info.duration:.1f} s and holds {duration:.1f} s; it may be cut short or joined"
        )
    if writer.clipped:
        warnings.append(
            f"{source}: {writer.clipped} samples beyond full scale clamped; WAV with subtype FLOAT keeps them"
        )
    return RestoredFile(source, target, duration, time.perf_counter() - started, writer.clipped, tuple(warnings))


def _require_finite(block, source: Path, position: int, sample_rate: int) -> None:
    import numpy as np

    finite = np.isfinite(block)
    if not finite.all():
        first = position + int(np.argmin(finite.all(axis=1)))
        raise AudioFileError(
            f"samples must be finite; {source} has NaN or infinity at {first / sample_rate:.3f} s;"
            " mend the file where it was made"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr restore`."""
    parser.add_argument("inputs", nargs="+", metavar="IN", help="music file, any that FFmpeg reads")
    parser.add_argument("-o", "--out", help="output file (its suffix is the format) or folder; else beside the input")
    parser.add_argument("--model", help="preset, exported model, run folder or .keras file; else the bundled preset")
    parser.add_argument("--format", default="flac", help="flac (default), wav, aiff, m4a (ALAC), wv or mp3")
    parser.add_argument("--subtype", help="PCM_16, PCM_24 (default) or, in WAV and AIFF, FLOAT")
    parser.add_argument("--jobs", type=int, default=1, help="files at a time, one thread each (default 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr restore`: a line a file as it ends; returns the exit code."""
    from tqdm import tqdm

    code = 0
    suffix = "." + args.format.lstrip(".").lower()
    results = _restore_each(args.inputs, args.out, args.model, suffix, args.subtype, args.jobs, args.overwrite)

    def say(text: str, file) -> None:
        # tqdm's own write, so that a line and the bar do not run into each other; one line, whatever is in a path.
        tqdm.write(" ".join(text.splitlines()), file=file)

    with contextlib.closing(results):
        for result in results:
            if isinstance(result, RestoredFile):
                speed = result.duration / max(result.elapsed, 1e-9)
                say(f"{result.target}  {result.duration:.1f} s  {speed:.0f}x real time", sys.stdout)
                for warning in result.warnings:
                    say(f"keras-audiosr: warning: {warning}", sys.stderr)
            else:
                _, error = result
                say(f"keras-audiosr: error: {error}", sys.stderr)
                # Several inputs: 1 says "some failed"; one input: the failure's own code.
                code = 1 if len(args.inputs) > 1 else error.exit_code
    return code
