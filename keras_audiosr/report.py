"""Stage 10: a page to hear and see the difference: lossy, restored and, where there is one, lossless music.

`report` aligns the files, cuts one excerpt out of all, and writes a single HTML file: switching while playing,
blind test, spectrograms, figures. It opens from a disk as from a web server, and asks nothing of the network.
"""

import argparse
import dataclasses
import hashlib
import math
import os
import sys
from pathlib import Path

import numpy as np

from .errors import AudioFileError, OutputExistsError, PairError, UsageError

__all__ = ["ListeningReport", "report"]

# Seconds in a page when nobody asks for more, and at most: a phone holds the decoded sound of all signals in memory.
DURATION = 30.0
LONGEST = 120.0
# Hz; every browser plays up to this, what is above it nobody hears.
HIGHEST_RATE = 96000


@dataclasses.dataclass(frozen=True)
class ListeningReport:
    """What a listening page holds.

    Attributes:
        path: the page.
        title: its heading.
        start: seconds from the beginning of the music to that of the excerpt.
        duration: seconds of the excerpt.
        sample_rate: Hz of everything in it.
        cutoffs: Hz above which each signal holds (almost) nothing.
        gains: dB by which each signal is turned down, so that all are equally loud.
        metrics: `{"lossy": {"snr", "si_sdr", "lsd", "lsd_hf"}, "restored": ...}`; `None` without a lossless
            original, or without Keras.
        warnings: one line each.
    """

    path: Path
    title: str
    start: float
    duration: float
    sample_rate: int
    cutoffs: dict[str, float]
    gains: dict[str, float]
    metrics: dict[str, dict] | None
    warnings: tuple[str, ...]


def report(
    lossy: str | os.PathLike,
    restored: str | os.PathLike,
    lossless: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    start: float | None = None,
    duration: float = DURATION,
    title: str | None = None,
    note: str = "",
    overwrite: bool = False,
) -> ListeningReport:
    """Writes one self-contained HTML page to compare lossy, restored and lossless music.

    The files are aligned to the sample, each at the sample rate of the lossless one (else of the lossy one; 96 kHz at
    most), mono or stereo. The lag of a lossy file, and of one restored from it, is measured and taken out.

    Args:
        lossy: the lossy file; any that FFmpeg reads.
        restored: what `restore` made of it.
        lossless: the original, where there is one; adds it to the player, and the metrics of `evaluate` (which need
            Keras; without it the page says so, and a warning is returned).
        out: the page; beside the restored file when `None`: `song.restored.flac` -> `song.restored.html`.
        start: seconds to the beginning of the excerpt; the loudest passage when `None`.
        duration: seconds of the excerpt, 120 at most; shorter where the music ends.
        title: heading; the name of the lossy file when `None`.
        note: a paragraph under it, such as whose music it is.
        overwrite: whether an existing page may be replaced.

    Returns:
        What the page holds.

    Raises:
        UsageError: an excerpt that is none, or an output that is an input.
        OutputExistsError: the page is there already.
        AudioFileError: a file that cannot be read, has samples that are not finite or more than two channels, or a
            page that cannot be written.
        PairError: files that are not the same music, from the same beginning, of about the same length.

    Example:

    >>> report("song.mp3", "song.restored.flac").path  # doctest: +SKIP
    PosixPath('song.restored.html')
    """
    from . import __version__
    from .audio.files import atomic_output
    from .listening_page import assemble

    if not 0.0 < duration <= LONGEST:
        raise UsageError(f"an excerpt lasts more than 0 and at most {LONGEST:g} s; received {duration:g}; try 30")
    if start is not None and not 0.0 <= start < math.inf:
        raise UsageError(f"an excerpt begins at 0 s or later; received {start:g}; leave it out for the loudest passage")
    # In the order of the page's buttons.
    paths = {} if lossless is None else {"lossless": Path(lossless)}
    paths |= {"lossy": Path(lossy), "restored": Path(restored)}
    page = Path(out) if out is not None else paths["restored"].with_suffix(".html")
    if os.path.realpath(page) in map(os.path.realpath, paths.values()):
        raise UsageError(f"an input is never written to; {page} is both input and page; choose another with -o")
    if os.path.lexists(page) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unasked; {page} is there; add --overwrite or choose another with -o"
        )

    audio, sample_rate, codings = _read(paths)
    audio = _align(audio, paths, sample_rate)
    first, last = _excerpt(next(iter(audio.values())), sample_rate, start, duration)
    audio = {name: samples[first:last] for name, samples in audio.items()}
    signals = _signals(audio, paths, codings, sample_rate)
    metrics, definitions, missing = _measure(audio, sample_rate, signals["lossy"].cutoff)
    title = paths["lossy"].stem if title is None else title
    text = assemble(signals, sample_rate, first / sample_rate, title, note, metrics, definitions, missing, __version__)
    with atomic_output(page) as partial:
        # A name that is not UTF-8 arrives as surrogates.
        partial.write_bytes(text.encode("utf-8", "replace"))
    return ListeningReport(
        page,
        title,
        first / sample_rate,
        (last - first) / sample_rate,
        sample_rate,
        {name: signal.cutoff for name, signal in signals.items()},
        {name: 20.0 * math.log10(signal.gain) for name, signal in signals.items()},
        metrics,
        (missing,) if missing else (),
    )


def _read(paths: dict[str, Path]) -> tuple[dict[str, np.ndarray], int, dict[str, str]]:
    """Decodes every file at one rate: `(arrays, Hz, codings)`."""
    from .audio import files

    about = {name: files.probe(path) for name, path in paths.items()}
    sample_rate = min(next(iter(about.values())).sample_rate, HIGHEST_RATE)
    audio, codings = {}, {}
    for name, path in paths.items():
        info = about[name]
        if info.channels > 2:
            raise AudioFileError(
                f"a page plays mono or stereo; {path} has {info.channels} channels; mix each file down with"
                " 'ffmpeg -i IN -ac 2 OUT'"
            )
        audio[name], _ = files.read(path, sample_rate)
        if not len(audio[name]):
            raise AudioFileError(f"a page needs sound; {path} holds no samples; name another file")
        if not np.isfinite(audio[name]).all():
            raise AudioFileError(f"samples must be finite; {path} has NaN or infinity; mend the file where it was made")
        # The bitrate of lossless coding says how dense the music is, not how good the file.
        rate = f", {info.bitrate} kbit/s" if name == "lossy" and info.bitrate else ""
        resampled = f", {info.sample_rate / 1000:g} kHz resampled" if info.sample_rate != sample_rate else ""
        codings[name] = f"{info.codec}{rate}{resampled}"
    return audio, sample_rate, codings


def _align(audio: dict[str, np.ndarray], paths: dict[str, Path], sample_rate: int) -> dict[str, np.ndarray]:
    """Every signal from the same instant, at the length of the first."""
    from .codecs.align import measure_delay
    from .codecs.round_trip import fit_length

    reference, *others = audio
    base = audio[reference]
    power = _power(base)
    aligned = {reference: base}
    # The lossy file should begin with its source; the restored one where the lossy one does.
    delay = 0
    for name in others:
        samples = audio[name]
        # Alignment takes another level for other music; here levels are matched anyway.
        own = _power(samples)
        gain = math.sqrt(power / own) if power and own else 1.0
        try:
            if len(samples) - len(base) > sample_rate:
                extra = (len(samples) - len(base)) / sample_rate
                raise PairError(f"the files are about as long; it is {extra:.1f} s longer; bring both whole")
            delay = measure_delay(base, (samples * gain).astype(np.float32), sample_rate, expected=delay).delay
        except PairError as error:
            raise PairError(f"{paths[name]} does not fit {paths[reference]}: {error}") from error
        aligned[name] = fit_length(samples, delay, len(base))
    return aligned


def _power(audio: np.ndarray) -> float:
    return float(np.mean(np.square(audio), dtype=np.float64))


def _excerpt(audio: np.ndarray, sample_rate: int, start: float | None, duration: float) -> tuple[int, int]:
    """First sample of the excerpt, and the one after its last."""
    length = min(len(audio), max(1, round(duration * sample_rate)))
    if start is not None:
        first = round(start * sample_rate)
        if first >= len(audio):
            raise UsageError(
                f"an excerpt begins within the music; it lasts {len(audio) / sample_rate:.1f} s, received a start of"
                f" {start:g} s; leave it out for the loudest passage"
            )
        return first, min(len(audio), first + length)
    starts = np.arange(0, len(audio) - length + 1, sample_rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64).sum(axis=1))])
    first = int(starts[np.argmax(energy[starts + length] - energy[starts])])
    return first, first + length


def _signals(audio: dict[str, np.ndarray], paths: dict[str, Path], codings: dict[str, str], sample_rate: int):
    """What the page needs of each signal: played as loud as the quietest, none beyond full scale."""
    from .audio.bandwidth import estimate_cutoff
    from .audio.loudness import loudness
    from .listening_page import Signal

    # One factor for all, so that their differences stay as they are; 16-bit samples stay exact without it.
    peak = max(1.0, *(float(np.abs(samples).max(initial=0.0)) for samples in audio.values()))
    levels = {name: loudness(samples, sample_rate) for name, samples in audio.items()}
    quietest = min((level for level in levels.values() if np.isfinite(level)), default=0.0)
    signals = {}
    for name, samples in audio.items():
        with open(paths[name], "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        gain = 10.0 ** ((quietest - levels[name]) / 20.0) if np.isfinite(levels[name]) else 1.0
        cutoff = float(estimate_cutoff(samples, sample_rate))
        embedded = samples if peak == 1.0 else samples / peak
        signals[name] = Signal(embedded, paths[name].name, digest, codings[name], cutoff, levels[name], gain)
    return signals


def _measure(audio: dict[str, np.ndarray], sample_rate: int, cutoff: float):
    """The metrics as `evaluate` counts them, their definitions, and why there are none (else empty)."""
    if "lossless" not in audio:
        return None, [], ""
    try:
        from .metrics import LEVEL_DEFINITION, LSD_DEFINITION, measure
    except ModuleNotFoundError as error:
        return None, [], f"SNR and LSD need the Python package {error.name}: pip install 'keras_audiosr[plot]'"
    lossless, lossy, restored = audio.values()
    peak = float(np.abs(lossless).max(initial=0.0)) or 1.0
    rows = measure(lossless / peak, (lossy / peak, restored / peak), sample_rate, cutoff)
    return dict(zip(("lossy", "restored"), rows, strict=True)), [LSD_DEFINITION, LEVEL_DEFINITION], ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr report`."""
    parser.add_argument("lossy", metavar="LOSSY", help="lossy file, any that FFmpeg reads")
    parser.add_argument("restored", metavar="RESTORED", help="what restore made of it")
    parser.add_argument("--lossless", metavar="FILE", help="the original: adds it to the player, and the metrics")
    parser.add_argument("-o", "--out", metavar="PAGE", help="the page (default: beside RESTORED, with .html)")
    parser.add_argument("--start", type=float, metavar="S", help="second to begin at (default: the loudest passage)")
    parser.add_argument(
        "--duration", type=float, default=DURATION, metavar="S", help=f"seconds, {LONGEST:g} at most (default: 30)"
    )
    parser.add_argument("--title", help="heading (default: the name of LOSSY)")
    parser.add_argument("--note", default="", help="a paragraph under it, such as whose music it is")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")


def run(args: argparse.Namespace) -> int:
    """Writes the page and says where; returns the exit code."""
    made = report(
        args.lossy,
        args.restored,
        args.lossless,
        args.out,
        args.start,
        args.duration,
        args.title,
        args.note,
        args.overwrite,
    )
    print(f"{made.path}  {made.duration:.1f} s from {made.start:.1f} s on, {made.path.stat().st_size / 1e6:.1f} MB")
    for warning in made.warnings:
        print(f"keras-audiosr: warning: {warning}", file=sys.stderr)
    return 0
