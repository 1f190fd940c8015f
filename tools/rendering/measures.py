"""Measures tracks, finds their faults, and compares sets of music."""

from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

RATE = 44100
# Centre frequencies in Hz.
OCTAVES = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)

# Level of 16 to 19 kHz in dB relative to the whole. No clip of the corpus lies outside these limits.
_HIGHEST, _LOWEST = -9.0, -85.0


def octave_levels(audio: np.ndarray) -> dict[str, float]:
    """Returns the long-term mean power of each octave, and of 16 to 19 kHz (`"hf"`), in dB relative to the whole.

    Args:
        audio: array `(time, channels)` at 44.1 kHz.
    """
    frequencies, power = signal.welch(audio, RATE, nperseg=4096, detrend=False, axis=0)
    power = power.mean(axis=1) + 1e-20
    total = power.sum()
    levels = {
        f"{centre:g}": power[(frequencies >= centre / 2**0.5) & (frequencies < centre * 2**0.5)].sum()
        for centre in OCTAVES
    }
    levels["hf"] = power[(frequencies >= 16000) & (frequencies < 19000)].sum()
    return {name: float(10 * np.log10(level / total + 1e-12)) for name, level in levels.items()}


def correlation(audio: np.ndarray) -> float:
    """Returns the correlation of left and right in [-1, 1]; it is 1 for mono and for silence."""
    if audio.shape[1] < 2:
        return 1.0
    left, right = audio[:, 0], audio[:, 1]
    scale = np.sqrt(np.sum(np.square(left)) * np.sum(np.square(right)))
    return float(np.sum(left * right) / scale) if scale > 0 else 1.0


def measure(audio: np.ndarray) -> dict[str, float]:
    """Returns the octave levels and crest factor in dB, the loudness in LUFS, and the correlation of the channels."""
    from .mixing import loudness

    level = float(np.sqrt(np.square(audio).mean()) + 1e-9)
    return {
        **octave_levels(audio),
        "crest": float(20 * np.log10(np.abs(audio).max(initial=1e-9) / level)),
        "LUFS": loudness(audio),
        "correlation": correlation(audio),
    }


def fault(audio: np.ndarray) -> str:
    """Returns why a track cannot be used for training, or `""` if it can."""
    from keras_audiosr.sound.bandwidth import brick_wall

    if not np.isfinite(audio).all():
        return "a sample is not finite"
    peak = np.abs(audio).max(initial=0.0)
    if peak >= 1.0:
        return "clips"
    blocks = np.square(audio[: len(audio) // RATE * RATE]).reshape(-1, 2 * RATE).mean(axis=1)
    if peak < 0.01 or np.mean(blocks < 1e-7) > 0.25:
        return "silent"
    highs = octave_levels(audio)["hf"]
    if not _LOWEST < highs < _HIGHEST:
        return f"16-19 kHz at {highs:.0f} dB"
    wall = brick_wall(audio, RATE)
    return f"a wall at {wall:.0f} Hz" if wall is not None else ""


def describe(folders: list[Path]) -> str:
    """Returns a Markdown table with the mean and standard deviation of each measure over each folder's FLAC files."""
    sets = []
    for folder in folders:
        found = [
            measure(soundfile.read(path, dtype="float32", always_2d=True)[0]) for path in sorted(folder.rglob("*.flac"))
        ]
        sets.append((folder, found))
    lines = ["| | " + " | ".join(f"{folder.name} ({len(found)})" for folder, found in sets) + " |"]
    lines.append("|---|" + "---|" * len(sets))
    names = {**{f"{centre:g}": f"{centre:g} Hz octave (dB relative to the whole)" for centre in OCTAVES},
             "hf": "16-19 kHz (dB relative to the whole)", "crest": "crest factor (dB)", "LUFS": "loudness (LUFS)",
             "correlation": "correlation left/right"}  # fmt: skip
    for key, name in names.items():
        cells = []
        for _, found in sets:
            values = [figures[key] for figures in found]
            cells.append(f"{np.mean(values):.1f} ± {np.std(values):.1f}" if key != "correlation" else
                         f"{np.mean(values):.2f} ± {np.std(values):.2f}")  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for low, high in ((1000, 4000), (4000, 16000)):
        slopes = [[(figures[f"{high:g}"] - figures[f"{low:g}"]) / 2 - 3.01 for figures in found] for _, found in sets]
        cells = [f"{np.mean(slope):.1f} ± {np.std(slope):.1f}" for slope in slopes]
        name = f"slope of the power density, {low / 1000:g} to {high / 1000:g} kHz (dB per octave)"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
