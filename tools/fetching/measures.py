"""Measures how close to lossless a file of music is: its nominal bitrate, and up to which frequency it is complete."""

import itertools
import struct
from pathlib import Path

import numpy as np
from scipy import fft, signal

from keras_audiosr.sound.bandwidth import estimate_cutoff

_IDENTIFICATION = b"\x01vorbis"
# Width in Hz of the bands that are checked for holes, and where the lowest begins. In narrower or lower bands the music
# itself may be silent.
_BAND = 500.0
_BANDS_FROM = 10000.0
# A band is empty below this mean level of its bins, in dB relative to a full-scale sine. The noise of 16-bit samples
# lies at -125. Holes that Vorbis left lie at -140 and below, and leakage from neighbouring bands lies at -120.
_EMPTY = -118.0
# Frames that are this many dB quieter than the loud ones are ignored, because fades and pauses have no highs anyway.
_QUIET = 30.0
# Share of the frames that must reach the cutoff.
_HELD = 0.9


def bitrate(file: Path, seconds: float) -> int:
    """Returns a file's bitrate in kbit/s: the larger of its average bitrate and the nominal one in a Vorbis header.

    Vorbis encodes at a constant quality, so sparse music takes fewer bits. The nominal bitrate in the header stands for
    that quality.

    Args:
        file: any file of music.
        seconds: its duration.
    """
    average = round(file.stat().st_size * 8 / seconds / 1000)
    with open(file, "rb") as stream:
        head = stream.read(4096)
    at = head.find(_IDENTIFICATION)
    if at < 0:
        return average
    nominal = struct.unpack_from("<i", head, at + len(_IDENTIFICATION) + 13)[0]
    return max(average, nominal // 1000)


def steady_cutoff(audio: np.ndarray, rate: int) -> float:
    """Returns the frequency up to which nine of ten frames of a recording are complete.

    The mean spectrum shows only the cutoff that a codec applies all the time. Vorbis also drops bands for moments when
    nobody would hear it. In songs at 160 to 200 kbit/s, every second frame may be empty above 18 kHz although the mean
    spectrum reaches 22 kHz. A network that is trained on such frames learns to produce silence. Therefore each frame
    has its own cutoff, which is the lower edge of its first empty band. The result is the cutoff that nine of ten
    frames reach. Quiet frames do not count.

    Args:
        audio: array `(time, channels)`, floating point in [-1, 1], as decoded and not rounded to 16 bits.
        rate: sample rate in Hz.

    Returns:
        A lower edge of a band in Hz: 10,000 to 22,000 in steps of 500, or 22,050 if nothing is missing.
    """
    length = 1 << round(np.log2(rate / 21.5))
    window = signal.get_window("blackmanharris", length).astype(np.float32)
    starts = np.arange(_BANDS_FROM, 22050.0, _BAND)
    bins = np.round(np.append(starts, 22050.0) * length / rate).astype(int)
    rows, loudness = [], []
    whole = audio[: len(audio) // length * length].reshape(-1, length, audio.shape[1])
    for begin in range(0, len(whole), 256):  # transforming a whole song at once would need too much memory
        spectra = fft.rfft(whole[begin : begin + 256] * window[:, None], axis=1)
        # The louder channel counts, so a silent channel is not taken for a hole.
        power = (np.square(np.abs(spectra)) / np.square(window.sum() / 2.0)).max(axis=2)
        means = [power[:, low:high].mean(axis=1) for low, high in itertools.pairwise(bins)]
        rows.append(np.stack(means, axis=1))
        loudness.append(power.sum(axis=1))
    if not rows:
        return 22050.0
    levels, loud = np.concatenate(rows), np.concatenate(loudness)
    heard = loud >= np.percentile(loud, 90) * 10.0 ** (-_QUIET / 10.0)
    empty = levels[heard] < 10.0 ** (_EMPTY / 10.0)
    first = np.where(empty.any(axis=1), empty.argmax(axis=1), len(starts))
    reached = np.append(starts, 22050.0)[first]
    return float(np.quantile(reached, 1.0 - _HELD, method="lower"))


def cutoff(audio: np.ndarray, rate: int) -> float:
    """Returns where a recording's mean spectrum ends in Hz: half the sample rate for a full band, at most 22,050."""
    return min(22050.0, estimate_cutoff(audio, rate))
