"""Stage 10: writes a page to compare lossy, restored and, if it is available, lossless music.

`report` aligns the files, cuts the same excerpt out of each, and writes a single HTML file with a player that switches
between them, a blind test, spectrograms and metrics. The page opens from a disk or a web server, and makes no requests.
"""

import argparse
import dataclasses
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputExistsError, UsageError

__all__ = ["ListeningReport", "report"]

# Default and longest duration of an excerpt in seconds. A browser holds all decoded signals in memory, even on a phone.
DURATION = 30.0
LONGEST = 120.0
# Most restored versions in a page. With the lossy music, the reference and two anchors there are ten sounds to rate;
# BS.1534 allows 12.
MOST_RESTORED = 6
# Number of versions from which on a page with a lossless original has a rating test.
RATED = 3


@dataclasses.dataclass(frozen=True)
class ListeningReport:
    """The content of a listening page.

    Attributes:
        path: path of the page.
        title: heading of the page.
        start: start of the excerpt in seconds from the beginning of the music.
        duration: duration of the excerpt in seconds.
        sample_rate: sample rate of all signals in Hz.
        cutoffs: for each signal the frequency in Hz above which there is (almost) nothing.
        gains: for each signal the gain in dB, 0 or less, that makes all signals equally loud.
        metrics: what `measures.songs.measure` returns for `"lossy"` and `"restored"` (or `"restored 1"`,
            `"restored 2"`, ...), and for `"lossless"` the envelope line alone. `None` without a lossless original or
            without Keras.
        warnings: warnings of one line each.
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
    restored: str | os.PathLike | Sequence[str | os.PathLike],
    lossless: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    start: float | None = None,
    duration: float = DURATION,
    title: str | None = None,
    note: str = "",
    overwrite: bool = False,
) -> ListeningReport:
    """Writes one self-contained HTML page to compare lossy, restored and lossless music.

    The files must be mono or stereo. They are resampled to the rate of the lossless file (of the lossy file if there is
    no lossless one; 96 kHz at most), and aligned exactly to the sample: the lag of the lossy file, and of the files
    that were restored from it, is measured and removed.

    With a lossless original and three or more restored versions the page also has a rating test after ITU-R BS.1534
    (MUSHRA): hidden reference, anchors of 3.5 and 7 kHz, random order, and scores that are saved as CSV.

    Args:
        lossy: the lossy file. FFmpeg must be able to read it.
        restored: a file that `restore` made from the lossy file, or a sequence of up to six such versions, which are
            numbered in the page.
        lossless: the lossless original. It is added to the player, and the page gets the metrics of `evaluate`. These
            need Keras; without it the page says so, and a warning is returned.
        out: path of the page; beside the (first) restored file when `None`: `song.restored.flac` ->
            `song.restored.html`.
        start: start of the excerpt in seconds; the loudest passage when `None`.
        duration: duration of the excerpt in seconds, 120 at most. It is shorter if the music ends before.
        title: heading of the page; the name of the lossy file when `None`.
        note: a paragraph under the heading, for example about the musicians.
        overwrite: whether an existing page may be replaced.

    Returns:
        A `ListeningReport` about the page.

    Raises:
        UsageError: `start` or `duration` is out of its range, there is no restored version or more than six, or the
            page would replace an input.
        OutputExistsError: the page exists and `overwrite` is false.
        AudioFileError: a file cannot be read, or has samples that are not finite or more than two channels; or the page
            cannot be written.
        PairError: the files are not the same music from the same beginning, or differ much in length.

    Example:

    >>> report("song.mp3", "song.restored.flac").path  # doctest: +SKIP
    PosixPath('song.restored.html')
    """
    from ..listening_page import assemble
    from ..listening_page.excerpt import align, excerpt, measured, read, signals_of
    from ..processes.partial_files import atomic_output
    from ..version import __version__

    if not 0.0 < duration <= LONGEST:
        raise UsageError(f"duration must be above 0 and at most {LONGEST:g} s; received {duration:g}; try 30")
    if start is not None and not 0.0 <= start < math.inf:
        raise UsageError(f"start must be 0 s or later; received {start:g}; leave it out for the loudest passage")
    versions = [restored] if isinstance(restored, str | os.PathLike) else list(restored)
    if not 1 <= len(versions) <= MOST_RESTORED:
        raise UsageError(
            f"a page has one to {MOST_RESTORED} restored versions; received {len(versions)}; make several pages"
        )
    # In the order of the page's buttons.
    paths = {} if lossless is None else {"lossless": Path(lossless)}
    paths["lossy"] = Path(lossy)
    paths |= (
        {f"restored {number}": Path(path) for number, path in enumerate(versions, 1)}
        if versions[1:]
        else {"restored": Path(versions[0])}
    )
    page = Path(out) if out is not None else Path(versions[0]).with_suffix(".html")
    if os.path.realpath(page) in map(os.path.realpath, paths.values()):
        raise UsageError(f"an input is never written to; {page} is both input and page; choose another with -o")
    if os.path.lexists(page) and not overwrite:
        raise OutputExistsError(
            f"an output is not replaced unless asked; {page} exists; add --overwrite or choose another with -o"
        )

    audio, sample_rate, codings = read(paths)
    audio = align(audio, paths, sample_rate)
    first, last = excerpt(next(iter(audio.values())), sample_rate, start, duration)
    audio = {name: samples[first:last] for name, samples in audio.items()}
    signals = signals_of(audio, paths, codings, sample_rate)
    metrics, definitions, missing = measured(audio, sample_rate, signals["lossy"].cutoff)
    warnings = [missing] if missing else []
    if len(versions) >= RATED and lossless is None:
        warnings.append("a rating test (MUSHRA) needs the lossless original; the test is left out; add --lossless")
    title = paths["lossy"].stem if title is None else title
    text = assemble(
        signals,
        sample_rate,
        first / sample_rate,
        title,
        note,
        metrics,
        definitions,
        missing,
        __version__,
        rated=len(versions) >= RATED and lossless is not None,
    )
    with atomic_output(page) as partial:
        # A file name that is not valid UTF-8 contains surrogates, which cannot be encoded.
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
        tuple(warnings),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr report`."""
    parser.add_argument("lossy", metavar="LOSSY", help="lossy file that FFmpeg reads")
    restored_help = (
        f"file that 'restore' made from LOSSY, in up to {MOST_RESTORED} versions; with {RATED} or more versions and"
        " --lossless, the page has a rating test (MUSHRA)"
    )
    parser.add_argument("restored", metavar="RESTORED", nargs="+", help=restored_help)
    lossless_help = "lossless original; adds it to the player, and adds the metrics of 'evaluate'"
    parser.add_argument("--lossless", metavar="FILE", help=lossless_help)
    out_help = "path of the page (default: that of the first RESTORED, with the suffix .html)"
    parser.add_argument("-o", "--out", metavar="PAGE", help=out_help)
    start_help = "start of the excerpt in seconds (default: the loudest passage)"
    parser.add_argument("--start", type=float, metavar="S", help=start_help)
    duration_help = f"duration of the excerpt in seconds, {LONGEST:g} at most (default: {DURATION:g})"
    parser.add_argument("--duration", type=float, default=DURATION, metavar="S", help=duration_help)
    parser.add_argument("--title", help="heading of the page (default: the name of LOSSY)")
    parser.add_argument("--note", default="", help="a paragraph below the heading, such as the names of the musicians")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr report`: writes the page, prints its path, and returns the exit code."""
    excerpt = args.start, args.duration
    made = report(args.lossy, args.restored, args.lossless, args.out, *excerpt, args.title, args.note, args.overwrite)
    print(f"{made.path}  {made.duration:.1f} s from {made.start:.1f} s on, {made.path.stat().st_size / 1e6:.1f} MB")
    for warning in made.warnings:
        print(f"keras-audiosr: warning: {warning}", file=sys.stderr)
    return 0
