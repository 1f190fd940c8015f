"""Computes and draws the average spectrum of one file: lossless, lossy, and restored by each row."""

from pathlib import Path

import numpy as np

from keras_audiosr.datasets import Pair, read_manifest
from keras_audiosr.datasets.decode import decode_pair
from keras_audiosr.processes.partial_files import atomic_output
from study_parts.records import KNOWN, UNPROCESSED

# This title has many instruments and strong highs.
PICTURED = "fd_guit_map16"

FRAME_LENGTH = 2048
FRAME_STEP = 512
# Each point is the mean of this many bins, which makes 256 points.
BINS = 4
# Lowest power, which is -100 dB.
FLOOR = 1e-10
# Columns of panels in the picture.
COLUMNS = 4


def average_spectrum(audio: np.ndarray, sample_rate: int) -> dict:
    """Computes the mean power spectrum over all frames and channels, with 256 points.

    Args:
        audio: array `(time, channels)` in [-1, 1].
        sample_rate: Hz.

    Returns:
        `first` and `step` in Hz: the frequency of point i is `first + i * step`. `level`: list of levels in dB, rounded
        to a tenth and at least -100; the bin of a full-scale sine has 0 dB.
    """
    window = np.hanning(FRAME_LENGTH + 1)[:-1]
    padded = np.pad(audio, ((0, max(0, FRAME_LENGTH - len(audio))), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH, axis=0)[::FRAME_STEP]
    total = np.zeros(FRAME_LENGTH // 2)
    for frame in frames:  # (channels, time); one frame at a time needs little memory
        total += np.square(np.abs(np.fft.rfft(frame * window)))[:, :-1].mean(axis=0)
    power = total.reshape(-1, BINS).mean(axis=1) / len(frames) / (FRAME_LENGTH / 4) ** 2
    bin_width = sample_rate / FRAME_LENGTH
    level = 10 * np.log10(np.maximum(power, FLOOR))
    return {
        "first": round((BINS - 1) / 2 * bin_width, 3),
        "step": round(BINS * bin_width, 3),
        "level": [round(float(value), 1) for value in level],
    }


def pictured_pair(manifest: Path) -> Pair:
    """Returns the pair that is drawn: the one with the title `PICTURED`, or otherwise the first."""
    pairs = read_manifest(manifest, Pair)
    return next((pair for pair in pairs if pair.title == PICTURED), pairs[0])


def unprocessed(manifests: dict[str, Path]) -> dict:
    """Returns the contents of the record `unprocessed`: the spectra of both sides of the drawn pair in each corpus.

    Args:
        manifests: corpus name -> path of the manifest.
    """
    sides = {}
    for corpus, manifest in manifests.items():
        pair = pictured_pair(manifest)
        lossless, lossy = (average_spectrum(side, pair.sample_rate) for side in decode_pair(pair, manifest.parent))
        sides[corpus] = {"title": pair.title, "lossless": lossless, "lossy": lossy}
    return {"spectra": sides}


def draw_spectra(records: dict[str, dict], path: Path) -> None:
    """Draws one panel for each row, with the spectra of the restored, the lossy and the lossless file."""
    from matplotlib.figure import Figure

    sides = records[UNPROCESSED]["spectra"]
    names = [name for name in KNOWN if name in records]
    columns = min(COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 0.6 + 2.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    looks = {"lossless": ("0.7", 1.8), "lossy": ("C3", 0.9), "restored": ("C0", 0.9)}
    for axis, name in zip(axes.flat, names, strict=False):
        corpus, _ = KNOWN[name]
        for label, (color, width) in looks.items():
            spectrum = records[name]["spectrum"] if label == "restored" else sides[corpus][label]
            frequencies = spectrum["first"] + spectrum["step"] * np.arange(len(spectrum["level"]))
            axis.plot(frequencies / 1000, spectrum["level"], color=color, linewidth=width, label=label)
        axis.set_title(name, fontsize="small")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.supxlabel("frequency (kHz)", fontsize="small")
    figure.supylabel("level (dB of full scale)", fontsize="small")
    title = next(iter(sides.values()))["title"]
    figure.suptitle(f"{title}, average spectrum", parse_math=False, fontsize="medium")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize="small")
    with atomic_output(path) as partial:
        figure.savefig(partial, dpi=80)
