"""Stage 9: a music file, or a whole library of them, becomes restored music.

Decoding runs in FFmpeg's process, inference and writing here, block by block:
memory does not grow with the song. No TensorFlow and no Keras is imported
unless the model asked for is theirs. `library/` holds the parts.
"""

import argparse
import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from .errors import OutputExistsError, UsageError
from .library.outcome import FailedFile, PlannedFile, RestoredFile, RestoreReport, SkippedFile
from .serving.address import add_arguments as add_server_arguments
from .serving.address import model_from

if TYPE_CHECKING:
    import numpy as np

    from .library.plan import Plan
    from .runners import Runner
    from .serving import Server

__all__ = ["PlannedFile", "RestoreReport", "RestoredFile", "SkippedFile", "restore"]

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
    subtype: str | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    *,
    recursive: bool = False,
    strength: float = 1.0,
    rate: int | None = None,
    clip: str | None = None,
    force: bool = False,
    strict: bool = False,
    dry_run: bool = False,
    trust: bool = False,
) -> RestoreReport: ...


def restore(
    inputs,
    out=None,
    model=None,
    suffix=".flac",
    subtype=None,
    jobs=1,
    overwrite=False,
    *,
    recursive=False,
    strength=1.0,
    rate=None,
    clip=None,
    force=False,
    strict=False,
    dry_run=False,
    trust=False,
    sample_rate=None,
):
    """Restores music: files, folders, or an array.

    Files keep their sample rate (unless `rate` is given), channels and length, aligned to the sample. Music at
    another sample rate than the model's keeps its own samples; only the model's correction is resampled and added.
    Digital silence stays digital silence, and so does a low-frequency channel. Tags and pictures are
    copied, and a tag says what restored the file.

    A file whose codec is lossless and whose spectrum shows no wall has nothing to restore: it is skipped, unless
    `force`. An array is restored whatever it is.

    Args:
        inputs: one file or several, any that FFmpeg reads; folders; patterns such as `"music/**/*.mp3"`. They are
            never written to. Or an array `(time, channels)` or `(time,)` of floating point in [-1, 1].
        out: output file (for one input; its suffix chooses the format), or folder (one that exists, or any
            name without an audio suffix) that receives the tree below each folder. Beside each input when `None`:
            `song.mp3` -> `song.restored.flac`.
        model: as `load_runner` takes it, or what it returned; the default preset that comes with the package when
            `None`.
        suffix: output format where `out` is no file: `.flac`, `.wav`, `.aiff`, `.m4a` (ALAC), `.wv`, `.mp3`.
        subtype: sample format of FLAC, WAV and AIFF: `PCM_16` (with TPDF dither), `PCM_24` (the default), or in WAV
            and AIFF `FLOAT`.
        jobs: files at a time, one thread each.
        overwrite: whether an existing output may be replaced. Without it an output that was made from the same
            source by the same model with the same settings counts as done where there are several songs; any other
            is refused.
        recursive: whether folders below the folders are searched.
        strength: share of the model's correction that is taken, 0 (none) to 1.
        rate: Hz of the outputs, resampled by libsoxr; each file's own when `None`.
        clip: what happens to peaks beyond full scale. `"limit"`: the gain goes down around true peaks;
            `"clamp"`: samples are cut (the default for integers); `"none"`: they stay (the default of `FLOAT`).
        force: whether lossless and already restored files are restored too.
        strict: whether a file that holds less or more than it declares is a failure; else it is a warning.
        dry_run: whether to stop at saying what would be done.
        trust: whether a SavedModel that did not come with this package may be run, as the program that it is.
        sample_rate: Hz of an array; the model's own when `None`.

    Returns:
        For files the report: a failure with one of several is in it, and does not stop the others. For an
        array the restored array, float32, of the same shape. It can exceed [-1, 1] where the input nearly does.

    Raises:
        UsageError: arguments that do not fit each other; two inputs with one output.
        ArtifactError: the model is missing or damaged.
        AudioSRError: `inputs` is one file, and it cannot be restored.

    Example:

    >>> restore("song.mp3").restored[0].target  # doctest: +SKIP
    PosixPath('song.restored.flac')
    >>> restored = restore(lossy, sample_rate=48000)  # doctest: +SKIP
    """
    if hasattr(inputs, "__array__"):
        if out is not None:
            raise UsageError(f"an array is returned, not written; received out={str(out)!r}; leave it out")
        return _restore_array(inputs, model, sample_rate, strength, trust)
    if sample_rate is not None:
        raise UsageError(f"files know their sample rate; received sample_rate={sample_rate}; give rate for another")

    from .library.batch import restore_each
    from .library.plan import plan_library
    from .library.settings import Settings

    named = isinstance(inputs, str | os.PathLike)
    sources = [inputs] if named else list(inputs)
    plan = plan_library(sources, None if out is None else Path(out), suffix, recursive)
    single = named and _is_single(sources, plan)
    settings = Settings(
        subtype=subtype,
        strength=strength,
        rate=rate,
        clip=clip,
        overwrite=overwrite,
        skip_done=not single,
        force=force,
        strict=strict,
        dry_run=dry_run,
    )
    report = RestoreReport()
    for outcome in restore_each(plan, model, settings, jobs, trust):
        if isinstance(outcome, FailedFile) and single:
            raise outcome.error
        report.add(outcome)
    return report


def _restore_array(audio, model, sample_rate: int | None, strength: float, trust: bool) -> "np.ndarray":
    import numpy as np

    from .audio.blend import Blend, channel_strengths
    from .audio.framing import process_blocks
    from .library.batch import load_runners
    from .library.settings import Settings

    Settings(strength=strength)  # for its check
    audio = np.asarray(audio, np.float32)
    if audio.ndim not in (1, 2):
        raise UsageError(f"an array must be (time, channels) or (time,); received shape {audio.shape}; reshape it")
    if not np.isfinite(audio).all():
        raise UsageError("samples must be finite; received NaN or infinity; mend them where they were made")
    lossy = audio if audio.ndim == 2 else audio[:, None]
    channels = lossy.shape[1]
    (runner,) = load_runners(model, trust=trust)
    blend = Blend(runner.processor(channels, sample_rate), channel_strengths(channels, strength))
    restored = list(process_blocks(blend, [lossy]))
    return (np.concatenate(restored) if restored else lossy.copy()).reshape(audio.shape)


def _is_single(inputs: Sequence, plan: "Plan") -> bool:
    """Whether one file was named and nothing else: then its failure is the caller's, and nothing is skipped."""
    return len(inputs) == 1 and [song.source for song in plan.songs] == [Path(inputs[0])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `keras-audiosr restore`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="music files that FFmpeg reads, folders, patterns, or - for a pipe")
    add("-o", "--out", help="output file (its suffix is the format), folder, or - for a pipe; else beside the input")
    add("-r", "--recursive", action="store_true", help="folders below the folders too")
    add("--model", help="preset, exported model, run folder or .keras file; else the bundled preset")
    trust_help = "run a SavedModel that did not come with this package: it is a program, trust who made it"
    add("--trust-saved-model", action="store_true", help=trust_help)
    add("--strength", type=float, default=1.0, help="share of the correction, 0 to 1 (default 1)")
    add("--format", default="flac", help="flac (default), wav, aiff, m4a (ALAC), wv or mp3")
    add("--subtype", help="PCM_16 (dithered), PCM_24 (default) or, in WAV and AIFF, FLOAT")
    add("--rate", choices=("keep", "44100", "48000", "96000"), default="keep", help="Hz of the output (default keep)")
    add(
        "--clip",
        choices=("limit", "clamp", "none"),
        help="peaks beyond full scale: turned down, cut (default), or kept (default of FLOAT)",
    )
    add("--jobs", type=int, default=1, help="files at a time, one thread each (default 1)")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--force", action="store_true", help="restore lossless and restored files too")
    add("--strict", action="store_true", help="a file that is cut short or joined is a failure")
    add("--dry-run", action="store_true", help="say what would be done")
    add("--json", action="store_true", help="one JSON object a line on standard output")
    add_server_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr restore`: a line a file as it ends, and a summary; returns the exit code."""
    from .library.batch import restore_each
    from .library.pipes import spooled
    from .library.plan import plan_library
    from .library.reporter import Reporter
    from .library.settings import Settings

    model = model_from(args)
    suffix = "." + args.format.lstrip(".").lower()
    codes = []
    with spooled(args.inputs, args.out, suffix) as (inputs, out):
        piped = out != args.out
        plan = plan_library(inputs, None if out is None else Path(out), suffix, args.recursive)
        single = _is_single(inputs, plan)
        settings = Settings(
            subtype=args.subtype,
            strength=args.strength,
            rate=None if args.rate == "keep" else int(args.rate),
            clip=args.clip,
            overwrite=args.overwrite,
            skip_done=not single,
            force=args.force,
            strict=args.strict,
            dry_run=args.dry_run,
        )
        # Who piped a song knows nothing of the files that stand in for it.
        names = dict.fromkeys(set(inputs) - set(args.inputs), "standard input")
        names |= {str(out): "standard output"} if piped else {}
        reporter = Reporter(args.json, several=not single, piped=piped, names=names)
        with contextlib.closing(restore_each(plan, model, settings, args.jobs, args.trust_saved_model)) as outcomes:
            for outcome in outcomes:
                reporter.say(outcome)
                if isinstance(outcome, FailedFile):
                    codes.append(outcome.error.exit_code)
                elif isinstance(outcome, SkippedFile) and piped:
                    # Who waits at the end of a pipe gets the song as it is, in the format asked for.
                    as_it_is = dataclasses.replace(settings, strength=0.0, force=True)
                    for passed_on in restore_each(plan, model, as_it_is, trust=args.trust_saved_model):
                        reporter.say(passed_on)
        reporter.summary()
    if not codes:
        return 0
    # One song's failure has its own code. Of several: 3 when outputs were there and nothing else went wrong.
    return codes[0] if single or set(codes) == {OutputExistsError.exit_code} else 1
