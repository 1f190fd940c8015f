"""Prepares the sound of a page: decodes files at one rate, aligns them, cuts an excerpt and measures it."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..codecs.align import measure_delay
from ..codecs.round_trip import fit_length
from ..errors import AudioFileError, PairError, UsageError, how_to_install
from ..files import audio_files, headers
from ..measures.loudness import loudness
from ..sound.bandwidth import estimate_cutoff
from . import Signal

# Highest sample rate of a page in Hz. Every browser plays it, and higher rates add nothing that can be heard.
HIGHEST_RATE = 96000


def read(paths: dict[str, Path]) -> tuple[dict[str, np.ndarray], int, dict[str, str]]:
    """Decodes all files at one sample rate, and returns `(arrays, sample rate in Hz, codings)`, by name."""
    about = {name: headers.probe(path) for name, path in paths.items()}
    sample_rate = min(next(iter(about.values())).sample_rate, HIGHEST_RATE)
    audio, codings = {}, {}
    for name, path in paths.items():
        info = about[name]
        if info.channels > 2:
            raise AudioFileError(
                f"a page plays only mono or stereo; {path} has {info.channels} channels; downmix each file with"
                " 'ffmpeg -i IN -ac 2 OUT'"
            )
        audio[name], _ = audio_files.read(path, sample_rate)
        if not len(audio[name]):
            raise AudioFileError(f"a page needs music; {path} holds no samples; name another file")
        if not np.isfinite(audio[name]).all():
            raise AudioFileError(f"samples must be finite; {path} has NaN or infinity; fix the file where it was made")
        # The bitrate of a lossless file depends on the music and says nothing about the quality.
        rate = f", {info.bitrate} kbit/s" if name == "lossy" and info.bitrate else ""
        resampled = f", {info.sample_rate / 1000:g} kHz resampled" if info.sample_rate != sample_rate else ""
        codings[name] = f"{info.codec}{rate}{resampled}"
    return audio, sample_rate, codings


def align(audio: dict[str, np.ndarray], paths: dict[str, Path], sample_rate: int) -> dict[str, np.ndarray]:
    """Aligns all signals with the first one, and cuts or pads them to its length."""
    reference, *others = audio
    base = audio[reference]
    power = _power(base)
    aligned = {reference: base}
    # The lossy file is expected to begin with its source, and the restored file with the lossy one.
    delay = 0
    for name in others:
        samples = audio[name]
        # The alignment would take a signal of a different level for other music. The page matches levels anyway, so
        # they are matched here too.
        own = _power(samples)
        gain = math.sqrt(power / own) if power and own else 1.0
        try:
            if len(samples) - len(base) > sample_rate:
                extra = (len(samples) - len(base)) / sample_rate
                raise PairError(f"both must be about as long; it is {extra:.1f} s longer; name whole files")
            delay = measure_delay(base, (samples * gain).astype(np.float32), sample_rate, expected=delay).delay
        except PairError as error:
            raise PairError(f"{paths[name]} does not fit {paths[reference]}: {error}") from error
        aligned[name] = fit_length(samples, delay, len(base))
    return aligned


def _power(audio: np.ndarray) -> float:
    return float(np.mean(np.square(audio), dtype=np.float64))


def excerpt(audio: np.ndarray, sample_rate: int, start: float | None, duration: float) -> tuple[int, int]:
    """Returns the index of the first sample of the excerpt, and that after its last sample.

    Without `start`, in seconds, the loudest passage of `duration` seconds is chosen.
    """
    length = min(len(audio), max(1, round(duration * sample_rate)))
    if start is not None:
        first = round(start * sample_rate)
        if first >= len(audio):
            raise UsageError(
                f"start must lie within the music, which lasts {len(audio) / sample_rate:.1f} s; received {start:g} s;"
                " leave it out for the loudest passage"
            )
        return first, min(len(audio), first + length)
    starts = np.arange(0, len(audio) - length + 1, sample_rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64).sum(axis=1))])
    first = int(starts[np.argmax(energy[starts + length] - energy[starts])])
    return first, first + length


def signals_of(
    audio: dict[str, np.ndarray], paths: dict[str, Path], codings: dict[str, str], sample_rate: int
) -> dict[str, Any]:
    """Returns the signals for the page, with gains that make all of them as loud as the quietest one."""
    # All signals are divided by the same peak, so that their differences in level are kept. If none of them exceeds
    # full scale, nothing is divided, so that 16-bit samples stay exact.
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


def measured(audio: dict[str, np.ndarray], sample_rate: int, cutoff: float) -> Any:
    """Returns the metrics as `evaluate` computes them, their definitions, and the reason if they are missing."""
    if "lossless" not in audio:
        return None, [], ""
    try:
        from ..measures.songs import DEFINITIONS, measure, normalize
    except ModuleNotFoundError as error:
        return None, [], f"SNR and LSD need the Python package {error.name}; {how_to_install('plot')}"
    lossless, *others = normalize(*audio.values())
    signals = dict(zip([name for name in audio if name != "lossless"], others, strict=True))
    return measure(lossless, signals, sample_rate, cutoff), DEFINITIONS, ""
