"""Stage 9: restores a music file or a whole music library.

FFmpeg decodes in a process of its own. Inference and writing happen in this process, block by block, so that the use of
memory does not grow with the song. TensorFlow and Keras are imported only if the model needs them. The parts of this
stage are in `library/`.
"""

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from ..errors import OutputExistsError, UsageError
from ..library.outcome import CopiedFile, FailedFile, PlannedFile, RestoredFile, RestoreReport, SkippedFile
from ..library.settings import RestoreOptions, Settings, settings_of
from ..library.settings import add_arguments as add_settings
from ..serving.address import add_arguments as add_server_arguments
from ..serving.address import model_from

if TYPE_CHECKING:
    import numpy as np

    from ..library.plan import Plan
    from ..runners import Runner
    from ..runners.load import RunnerOptions
    from ..serving import Server

__all__ = ["CopiedFile", "PlannedFile", "RestoreReport", "RestoredFile", "Settings", "SkippedFile", "restore"]

_StrPath = str | os.PathLike[str]


@overload
def restore(
    inputs: "np.ndarray",
    *,
    model: "_StrPath | Server | Runner | None" = None,
    sample_rate: int | None = None,
    strength: float = 1.0,
    trust: bool = False,
) -> "np.ndarray": ...


@overload
def restore(
    inputs: _StrPath | Sequence[_StrPath],
    out: _StrPath | None = None,
    model: "_StrPath | Server | Runner | None" = None,
    suffix: str = ".flac",
    *,
    jobs: int = 1,
    recursive: bool = False,
    trust: bool = False,
    **options: Unpack[RestoreOptions],
) -> RestoreReport: ...


def restore(
    inputs: Any,
    out: Any = None,
    model: Any = None,
    suffix: Any = ".flac",
    *,
    jobs: Any = 1,
    recursive: Any = False,
    trust: Any = False,
    sample_rate: Any = None,
    **options: Any,
) -> Any:
    """Restores music: files, folders, or an array.

    Files keep their sample rate (unless `rate` or `min_rate` is given), their channels and their length, and stay
    aligned to the sample. Music at another sample rate than the model's keeps its own samples; only the model's
    correction is resampled and added. Digital silence stays digital silence, and a low-frequency (LFE) channel is not
    changed. Tags, chapters and pictures are copied, and a tag says what restored the file. Parts that the output format
    does not support are listed in `left_out` of each `RestoredFile`; FLAC supports nearly everything.

    There is nothing to restore in a file whose codec is lossless and whose spectrum does not end abruptly. Such a file
    is skipped unless `force` is true. An array is always restored.

    If there are several songs, an output that was made from the same source by the same model with the same settings
    counts as done. Any other existing output is an error, unless `overwrite` is true.

    Args:
        inputs: one or several files that FFmpeg reads, folders, or patterns such as `"music/**/*.mp3"`; they are never
            written to. Or an array `(time, channels)` or `(time,)` of floating-point numbers in [-1, 1].
        out: output file (for one input; its suffix decides the format), or output folder (an existing folder, or any
            name without an audio suffix), which receives the tree below each input folder. Songs keep their names if
            the output folder contains none of the inputs. When `None`, outputs lie beside their inputs: `song.mp3` ->
            `song.restored.flac`.
        model: a model as `load_runner` takes it, or a runner that `load_runner` returned; the default preset that comes
            with the package when `None`.
        suffix: output format if `out` is not a file: `.flac`, `.wav`, `.aiff`, `.m4a` (ALAC), `.wv`, `.mp3`.
        jobs: number of files to restore at a time, one thread each.
        recursive: whether subfolders are searched.
        trust: whether a SavedModel that did not come with this package may be run. A SavedModel is a program.
        sample_rate: sample rate of an array in Hz; the model's own when `None`.
        **options: the fields of `Settings`, by name: `subtype`, `strength`, `rate`, `min_rate`, `clip`, `others`,
            `overwrite`, `force`, `strict`, `dry_run`. Only `strength` is allowed for an array.

    Returns:
        For files, a `RestoreReport`. If one of several files fails, its failure is in the report and the others are
        restored. For an array, the restored array, float32, of the same shape. Its values can exceed [-1, 1] where the
        input is near full scale.

    Raises:
        UsageError: the arguments do not fit together, or two inputs have the same output.
        ArtifactError: the model is missing or damaged.
        AudioSRError: `inputs` is a single file, and it cannot be restored.

    Example:

    >>> restore("song.mp3").restored[0].target  # doctest: +SKIP
    PosixPath('song.restored.flac')
    >>> restored = restore(lossy, sample_rate=48000)  # doctest: +SKIP
    """
    from ..runners.load import RunnerOptions

    if hasattr(inputs, "__array__"):
        if out is not None:
            raise UsageError(f"a restored array is returned, not written; received out={str(out)!r}; leave it out")
        if unfit := options.keys() - {"strength"}:
            raise UsageError(f"for an array the only setting is strength; received {min(unfit)}; leave it out")
        return _restore_array(inputs, model, sample_rate, Settings(**options).strength, RunnerOptions(trust))
    if sample_rate is not None:
        raise UsageError(f"sample_rate is for arrays only; received {sample_rate} for files; use rate to resample them")

    from ..library.batch import restore_each
    from ..library.plan import plan_library

    named = isinstance(inputs, str | os.PathLike)
    sources = [inputs] if named else list(inputs)
    plan = plan_library(sources, None if out is None else Path(out), suffix, recursive)
    single = named and _is_single(sources, plan)
    report = RestoreReport()
    for outcome in restore_each(plan, model, Settings(**options, skip_done=not single), jobs, RunnerOptions(trust)):
        if isinstance(outcome, FailedFile) and single:
            raise outcome.error
        report.add(outcome)
    return report


def _restore_array(
    audio: Any, model: Any, sample_rate: int | None, strength: float, options: "RunnerOptions"
) -> "np.ndarray":
    import numpy as np

    from ..library.batch import load_runners
    from ..sound.blend import Blend, channel_strengths
    from ..sound.framing import process_blocks

    audio = np.asarray(audio, np.float32)
    if audio.ndim not in (1, 2):
        raise UsageError(f"an array must be (time, channels) or (time,); received shape {audio.shape}; reshape it")
    if not np.isfinite(audio).all():
        raise UsageError("samples must be finite; received NaN or infinity; replace them with numbers in [-1, 1]")
    lossy = audio if audio.ndim == 2 else audio[:, None]
    channels = lossy.shape[1]
    (runner,) = load_runners(model, options=options)
    blend = Blend(runner.processor(channels, sample_rate), channel_strengths(channels, strength))
    restored = list(process_blocks(blend, [lossy]))
    return (np.concatenate(restored) if restored else lossy.copy()).reshape(audio.shape)


def _is_single(inputs: Sequence, plan: "Plan") -> bool:
    """Returns whether a single file was named. Its failure is then raised, and no existing output counts as done."""
    return len(inputs) == 1 and [song.source for song in plan.songs] == [Path(inputs[0])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr restore`."""
    add = parser.add_argument
    inputs_help = "music files that FFmpeg reads, folders, patterns such as 'music/*.mp3', or - for standard input"
    add("inputs", nargs="+", metavar="IN", help=inputs_help)
    out_help = "output file (its suffix decides the format), folder, or - for standard output (default: beside IN)"
    add("-o", "--out", help=out_help)
    add("-r", "--recursive", action="store_true", help="search subfolders")
    add("--model", help="preset, exported model, run folder or .keras file (default: the bundled preset)")
    trust_help = "run a SavedModel that did not come with this package; it is a program, so you must trust its author"
    add("--trust-saved-model", action="store_true", help=trust_help)
    add("--format", default="flac", help="output format: flac (default), wav, aiff, m4a (ALAC), wv or mp3")
    add_settings(parser)
    jobs_help = "number of files to restore at a time, one thread each (default: 1)"
    add("--jobs", type=int, default=1, metavar="N", help=jobs_help)
    printed = parser.add_mutually_exclusive_group()
    quiet_help = "print only errors and warnings, and show no progress"
    printed.add_argument("-q", "--quiet", action="store_true", help=quiet_help)
    verbose_help = "also print the coding of each song, and the model and settings that restored it"
    printed.add_argument("-v", "--verbose", action="store_true", help=verbose_help)
    printed.add_argument("--json", action="store_true", help="print one JSON object per line on standard output")
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr restore`: prints a line for each file and a summary, and returns the exit code."""
    from ..library.batch import restore_each
    from ..library.pipes import spooled
    from ..library.plan import plan_library
    from ..library.reporter import Reporter
    from ..runners.load import RunnerOptions

    model, options = model_from(args), RunnerOptions(args.trust_saved_model)
    suffix = "." + args.format.lstrip(".").lower()
    codes = []
    with spooled(args.inputs, args.out, suffix) as (inputs, out):
        piped = out != args.out
        plan = plan_library(inputs, None if out is None else Path(out), suffix, args.recursive)
        single = _is_single(inputs, plan)
        settings = settings_of(args, skip_done=not single)
        # Temporary files stand in for the pipes. Messages name the pipes, because the user does not know these files.
        names = dict.fromkeys(set(inputs) - set(args.inputs), "standard input")
        names |= {str(out): "standard output"} if piped else {}
        reporter = Reporter(args.json, not single, piped, names, args.quiet, args.verbose)
        songs = restore_each(plan, model, settings, args.jobs, options, bars=not args.quiet)
        with contextlib.closing(songs) as outcomes:
            for outcome in outcomes:
                reporter.say(outcome)
                if isinstance(outcome, FailedFile):
                    codes.append(outcome.error.exit_code)
                elif isinstance(outcome, SkippedFile) and piped:
                    # The pipe receives the unchanged song in the requested format.
                    as_it_is = dataclasses.replace(settings, strength=0.0, force=True)
                    for passed_on in restore_each(plan, model, as_it_is, options=options, bars=not args.quiet):
                        reporter.say(passed_on)
        reporter.summary()
    if not codes:
        return 0
    # One song's failure has its own code. Of several: 3 when outputs existed and nothing else went wrong.
    return codes[0] if single or set(codes) == {OutputExistsError.exit_code} else 1
