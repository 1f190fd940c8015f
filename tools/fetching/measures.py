"""How nearly lossless a file of music is: what its encoder was asked for, and how far up it kept everything."""

import itertools
import struct
from pathlib import Path

import numpy as np
from scipy import fft, signal

from keras_audiosr.sound.bandwidth import estimate_cutoff

_IDENTIFICATION = b"\x01vorbis"
# Hz: bands whose emptiness is judged, and where they begin. Music itself may be silent in narrower or lower ones.
_BAND = 500.0
_BANDS_FROM = 10000.0
# dB of a full-scale sine, mean of a band's bins: under the noise of 16 bits (-125) nothing was there; Vorbis' own holes
# lie at -140 and less, the skirts of what it kept around them at -120.
_EMPTY = -118.0
# A frame this many dB under the loud ones is left out: fades and pauses end below anything.
_QUIET = 30.0
# Share of the frames that must reach up to the cutoff.
_HELD = 0.9


def bitrate(file: Path, seconds: float) -> int:
    """kbit/s that the encoder was asked for, or that the file has where it says nothing or has more.

    Vorbis keeps a quality, not a rate: sparse music takes fewer bits at the same one, and says which in its header.
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
    """Hz up to which a recording kept its highs all the time, as a floor of whole bands.

    A spectrum's mean tells where a codec stopped for good. Vorbis also drops bands for moments, where its noise would
    not be heard: measured on songs at 160 to 200 kbit/s, every second frame may be empty above 18 kHz although the mean
    reaches 22 kHz. Who trains on such moments learns silence. So each frame has a cutoff of its own, below its first
    empty band, and what nine of ten frames reach, quiet ones left out, is the file's.

    Args:
        audio: array `(time, channels)`, floating point in [-1, 1], as decoded: not rounded to 16 bits.
        rate: Hz.

    Returns:
        Hz, 22,050 at most.
    """
    length = 1 << round(np.log2(rate / 21.5))
    window = signal.get_window("blackmanharris", length).astype(np.float32)
    starts = np.arange(_BANDS_FROM, 22050.0, _BAND)
    bins = np.round(np.append(starts, 22050.0) * length / rate).astype(int)
    rows, loudness = [], []
    whole = audio[: len(audio) // length * length].reshape(-1, length, audio.shape[1])
    for begin in range(0, len(whole), 256):  # a whole song's transform at once would fill the memory
        spectra = fft.rfft(whole[begin : begin + 256] * window[:, None], axis=1)
        # The louder channel: a side that is silent because the song is mono is no hole.
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
    """Hz where a recording's mean spectrum ends; half the sample rate, and 22,050 at most, for a full band."""
    return min(22050.0, estimate_cutoff(audio, rate))
