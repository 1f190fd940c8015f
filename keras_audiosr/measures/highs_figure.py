"""The figure of the highs: how far each band is off, and whether the envelope has lines (extra `plot`)."""

import numpy as np

from ..annotations import StrPath
from ..processes.partial_files import atomic_output
from .figures import require_matplotlib
from .highs import LINES, analyze, modulation_frequencies
from .songs import normalize

__all__ = ["highs_figure"]

# Hz shown of the modulation spectrum: the lines that are looked for, and their neighbours.
SHOWN = (0.5 * LINES[0], LINES[1] + LINES[0])


def highs_figure(
    path: StrPath, codec: str, files: list[dict], signals: dict[str, np.ndarray], sample_rate: int, title: str = ""
) -> None:
    """Draws the bias of each band over many files beside the modulation spectra of one; whole or not at all.

    Args:
        path: the picture; its suffix chooses the format (`.png`).
        codec: of the files, for the heading.
        files: figures as `evaluate` keeps them, each with `band_biases` of `unprocessed` and `restored`.
        signals: name -> array `(time, channels)` in [-1, 1] of one song, the lossless one first.
        sample_rate: Hz of that song.
        title: of that song.

    Raises:
        UsageError: matplotlib is missing.
        AudioFileError: the picture cannot be written.
    """
    require_matplotlib()
    # Without pyplot: no global state, no display, safe in any thread.
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
    right.set_title(f"modulation spectra: {title}", parse_math=False)  # a song may be called $
    if right.lines:
        right.legend()
    with atomic_output(path) as partial:
        figure.savefig(partial, dpi=80)
