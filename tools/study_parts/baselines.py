"""The baselines, which need no training: interpolation, an exciter, and a copy of the octave below the cutoff."""

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import scipy.interpolate
import soxr

from keras_audiosr.datasets.decode import decode_pair
from keras_audiosr.files.audio_files import read, write
from keras_audiosr.processes.ffmpeg import last_line, run_ffmpeg
from keras_audiosr.processes.partial_files import link_or_copy
from keras_audiosr.shelf.manifests import Pair, read_manifest, write_manifest
from keras_audiosr.sound.bandwidth import estimate_cutoff

# Corpus -> factor by which its sample rate is lower.
LOW_RATES = {"half_rate": 2, "quarter_rate": 4}

FRAME_LENGTH = 2048
FRAME_STEP = 512


def interpolate(audio: np.ndarray, sample_rate: int, factor: int, kind: str) -> np.ndarray:
    """Resamples audio to a lower rate with band limitation, and interpolates it back to its own rate.

    Args:
        audio: array `(time, channels)`.
        sample_rate: Hz.
        factor: how many times lower the lower rate is.
        kind: `"cubic"` (the spline that the audio U-Net uses) or `"linear"`.
    """
    low = soxr.resample(audio, sample_rate, sample_rate / factor, "VHQ")
    known = np.arange(len(low)) * factor
    wanted = np.minimum(np.arange(len(audio)), known[-1])
    if kind == "cubic":
        return scipy.interpolate.CubicSpline(known, low, axis=0)(wanted).astype(np.float32)
    return scipy.interpolate.interp1d(known, low, axis=0)(wanted).astype(np.float32)


def low_rate_pairs(manifest: Path, factor: int, kind: str, out: Path) -> Path:
    """Makes pairs whose lossy sides are the lossless sides of `manifest`, reduced to a lower rate and interpolated.

    An interrupted call can be repeated. If the new manifest exists, nothing is done.

    Args:
        manifest: manifest of the pairs with the lossless sides.
        factor: as for `interpolate`.
        kind: as for `interpolate`.
        out: folder of the new pairs.

    Returns:
        The path of the new manifest.
    """
    made = out / "pairs.jsonl"
    if made.is_file():
        return made
    pairs = []
    for pair in read_manifest(manifest, Pair):
        lossless, sample_rate = read(manifest.parent / pair.lossless)
        lossy = Path(f"{kind}_{factor}", pair.album, Path(pair.lossless).stem + ".wav")
        write(out / lossy, interpolate(lossless, sample_rate, factor, kind), sample_rate, "FLOAT")
        link_or_copy(manifest.parent / pair.lossless, out / pair.lossless)
        codec = f"downsample@{sample_rate / factor / 1000:g}k"
        pairs.append(dataclasses.replace(pair, lossy=str(lossy), codec=codec, encoder=kind, delay=0, decoder="any"))
    write_manifest(made, pairs)
    return made


def excite(lossy: np.ndarray, sample_rate: int) -> np.ndarray:
    """Applies FFmpeg's harmonic exciter up to 20 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.wav", Path(folder) / "after.wav"
        write(before, lossy, sample_rate, "FLOAT")
        done = run_ffmpeg("-i", str(before), "-af", "aexciter=ceil=20000", "-c:a", "pcm_f32le", str(after))
        if done.returncode:
            raise RuntimeError(f"aexciter failed: {last_line(done.stderr)}")
        return read(after)[0]


def copy_up(lossy: np.ndarray, sample_rate: int) -> np.ndarray:
    """Applies spectral band replication without side information.

    The octave below the cutoff is copied above the cutoff repeatedly, up to the end of the band. In each frame, a
    straight line is fitted to the levels of that octave (dB over Hz). The levels of the copies continue this line.

    Reference: M. Dietz et al., "Spectral Band Replication, a Novel Approach in Audio Coding", AES 112, 2002.
    """
    cutoff = estimate_cutoff(lossy, sample_rate)
    top = round(cutoff / sample_rate * FRAME_LENGTH) - 2  # the encoder's low-pass filter attenuates the bins above
    # If a copy is moved by a multiple of this many bins, its phase advances from frame to frame like the original's.
    whole = FRAME_LENGTH // FRAME_STEP
    bottom = top - top // 2 // whole * whole
    if top >= FRAME_LENGTH // 2 - 2:
        return lossy
    restored = []
    for channel in lossy.T:
        spectrum = librosa.stft(channel, n_fft=FRAME_LENGTH, hop_length=FRAME_STEP)
        bins = np.arange(bottom, top)
        level = 20 * np.log10(np.abs(spectrum[bottom:top]) + 1e-7)
        slope = np.polyfit(bins - top, level, 1)[0]
        slope = np.minimum(slope, 0.0)  # the levels of the copies must not rise
        above = np.arange(top, spectrum.shape[0])
        source = bottom + (above - top) % (top - bottom)
        # The change of level from the line at the source to the line at the copy.
        change = slope * (above - source)[:, None]
        spectrum[top:] = spectrum[source] * 10 ** (change / 20)
        restored.append(librosa.istft(spectrum, hop_length=FRAME_STEP, n_fft=FRAME_LENGTH, length=len(channel)))
    return np.stack(restored, axis=1).astype(np.float32)


def restore_all(manifest: Path, method: Callable, out: Path) -> Path:
    """Writes `method(lossy, sample_rate)` for every pair, with the file names that `evaluate` expects; returns `out`.

    Existing files are kept, so an interrupted call can be repeated.
    """
    for pair in read_manifest(manifest, Pair):
        target = out / Path(pair.lossy).with_suffix(".wav")
        if not target.is_file():
            _, lossy = decode_pair(pair, manifest.parent)
            write(target, method(lossy, pair.sample_rate), pair.sample_rate, "FLOAT")
    return out


def interpolation(factor: int, kind: str) -> Callable:
    """Returns `interpolate` as a method for `restore_all`."""
    return functools.partial(interpolate, factor=factor, kind=kind)


# Name -> corpus, description, method. The description is one of the conditions of a record.
BASELINES = {
    "aexciter": ("mp3@64k", "FFmpeg's aexciter, ceil=20000", excite),
    "copy_up": ("mp3@64k", "the octave below the cutoff copied up", copy_up),
    "spline_half_rate_of_mp3": ("mp3@64k", "cubic spline from half the rate", interpolation(2, "cubic")),
    "linear_half_rate_of_mp3": ("mp3@64k", "linear from half the rate", interpolation(2, "linear")),
    "linear_half_rate": ("half_rate", "linear instead of the spline", interpolation(2, "linear")),
    "linear_quarter_rate": ("quarter_rate", "linear instead of the spline", interpolation(4, "linear")),
}
