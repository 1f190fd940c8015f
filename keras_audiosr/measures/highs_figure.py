"""Draws the figure of the highs: the bias of each band, and lines in the envelope. It needs the extra `plot`."""

import numpy as np

from ..annotations import StrPath
from ..processes.partial_files import atomic_output
from .figures import require_matplotlib
from .highs import LINES, analyze, modulation_frequencies
from .songs import normalize

__all__ = ["highs_figure"]

# Range of the modulation spectrum that is shown, in Hz: the range that is searched for lines, and its surroundings.
SHOWN = (0.5 * LINES[0], LINES[1] + LINES[0])


def highs_figure(
    path: StrPath, codec: str, files: list[dict], signals: dict[str, np.ndarray], sample_rate: int, title: str = ""
) -> None:
    """Draws the band biases of many files beside the modulation spectra of one song, and saves the picture atomically.

    Args:
        path: path of the picture; its suffix chooses the format, such as `.png`.
        codec: codec of the files, for the heading.
        files: entries of `EvaluationTable.files`, each with `band_biases` of `unprocessed` and `restored`.
        signals: versions of one song by name, the lossless one first: arrays `(time, channels)` in [-1, 1].
        sample_rate: sample rate of that song in Hz.
        title: title of that song.

    Raises:
        UsageError: matplotlib is missing.
        AudioFileError: the picture cannot be written.
    """
    require_matplotlib()
    # pyplot is avoided, because it has global state, needs a display and is not safe in threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, signal in enumerate(("unprocessed", "restored")):
        biases: dict[float, list[float]] = {}
        for file in files:
            for low, bias in file[signal]["band_biases"].items():
                biases.setdefault(float(low) / 1000.0, []).append(bias)
        lows = sorted(biases)
        means, spreads = (np.array([of(biases[low]) for low in lows]) for of in (np.mean, np.std))
        left.plot(lows, means, color=f"C{index}", marker="o", markersize=3, label=signal)
        left.fill_between(lows, means - spreads, means + spreads, color=f"C{index}", alpha=0.2, linewidth=0)
    left.axhline(0.0, color="black", linewidth=0.8)
    left.set(title=f"{codec}: bias by band, mean ± standard deviation of {len(files)} files")
    left.set(xlabel="where the band begins (kHz)", ylabel="restored minus lossless (dB)")
    left.legend()

    for name, audio in zip(signals, normalize(*signals.values()), strict=True):
        band = analyze(audio, sample_rate)
        if band is None or band.modulation is None:
            continue
        frequencies = modulation_frequencies(band)
        shown = (frequencies >= SHOWN[0]) & (frequencies <= SHOWN[1])
        level = 10.0 * np.log10(np.maximum(band.modulation[shown], 1e-30))
        right.plot(frequencies[shown], level, linewidth=0.9, label=name)
    right.set(xlabel="frequency of the envelope of 13 to 19 kHz (Hz)", ylabel="power (dB)")
    right.set_title(f"modulation spectra: {title}", parse_math=False)  # a title may contain $
    if right.lines:
        right.legend()
    with atomic_output(path) as partial:
        figure.savefig(partial, dpi=80)
