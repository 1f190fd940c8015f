"""Lossless excerpts to train on: cut out of a shelf, and varied so that none is heard twice.

Arrays `(time, 2)`, float32, at 44.1 kHz.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr

from keras_audiosr.datasets import split_albums

RATE = 44100
# Hz between which the points of a random equalizer lie, evenly in octaves.
_EQUALIZER = (60.0, 18000.0)


@dataclasses.dataclass(frozen=True)
class Shelf:
    """Tracks one after the other in one file of 16-bit stereo samples, so that processes share them.

    Attributes:
        path: the `.npy` file, `(time, 2)`, int16.
        tracks: `(split, start, length)` of each.
    """

    path: str
    tracks: tuple[tuple[str, int, int], ...]

    def of(self, split: str) -> list[tuple[int, int]]:
        """`(start, length)` of the tracks of a split."""
        return [(start, length) for name, start, length in self.tracks if name == split]


def gather(albums: Path, out: Path) -> Shelf:
    """Reads every FLAC file under `albums/ALBUM/` once; splits go by album, as `train`'s do."""
    files = sorted(albums.glob("*/*.flac"))
    splits = split_albums(file.parent.name for file in files)
    parts, tracks, start = [], [], 0
    for file in files:
        samples, rate = soundfile.read(file, dtype="int16", always_2d=True)
        if rate != RATE or len(samples) < 2 * RATE:
            continue
        parts.append(samples if samples.shape[1] == 2 else np.repeat(samples[:, :1], 2, axis=1))
        tracks.append((splits[file.parent.name], start, len(samples)))
        start += len(samples)
    np.save(out / "music.npy", np.concatenate(parts))
    shelf = Shelf(str(out / "music.npy"), tuple(tracks))
    (out / "shelf.json").write_text(json.dumps(dataclasses.asdict(shelf)), "utf-8")
    return shelf


def _excerpt(samples: np.ndarray, tracks: list, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A piece of a random track, at another speed (and pitch) every second time."""
    speed = float(np.exp(rng.uniform(-0.15, 0.25))) if rng.random() < 0.5 else 1.0
    start, length = tracks[int(rng.integers(len(tracks)))]
    wanted = min(length, round(seconds * RATE * speed))
    begin = start + int(rng.integers(length - wanted + 1))
    piece = samples[begin : begin + wanted].astype(np.float32) / 32768.0
    return piece if speed == 1.0 else soxr.resample(piece, RATE * speed, RATE, "HQ").astype(np.float32)


def _equalize(audio: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Filters with a smooth response of zero phase through `gains` dB at points even in octaves."""
    size = 1 << int(np.ceil(np.log2(len(audio) + 2048)))
    points = np.geomspace(*_EQUALIZER, len(gains))
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    response = 10.0 ** (np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(points), gains) / 20.0)
    spectrum = np.fft.rfft(audio, size, axis=0) * response[:, None]
    return np.fft.irfft(spectrum, size, axis=0)[: len(audio)].astype(np.float32)


def varied(samples: np.ndarray, tracks: list, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """An excerpt as another engineer might have mixed and mastered it, as 16-bit samples `(time, 2)`.

    Speed, a second piece mixed in, equalizer, stereo width, channels swapped, soft clipping, level: each at random.
    """
    audio = _excerpt(samples, tracks, seconds, rng)
    if rng.random() < 0.35:
        other = _excerpt(samples, tracks, seconds, rng)
        shared = min(len(audio), len(other))
        audio = audio[:shared] + other[:shared] * np.float32(10.0 ** (rng.uniform(-12.0, 3.0) / 20.0))
    if rng.random() < 0.6:
        audio = _equalize(audio, rng.normal(0.0, 4.0, 7))
    if rng.random() < 0.4:
        middle, side = audio.mean(axis=1), 0.5 * (audio[:, 0] - audio[:, 1]) * np.float32(rng.uniform(0.0, 1.6))
        audio = np.stack([middle + side, middle - side], axis=1)
    if rng.random() < 0.5:
        audio = audio[:, ::-1]
    peak = float(np.abs(audio).max(initial=0.0)) + 1e-9
    if rng.random() < 0.3:
        drive = np.float32(10.0 ** (rng.uniform(0.0, 12.0) / 20.0) / peak)
        audio = np.tanh(audio * drive)
        peak = float(np.abs(audio).max(initial=0.0)) + 1e-9
    level = 10.0 ** (-abs(rng.normal(0.0, 5.0)) / 20.0)
    # Rounded as a CD is: what the encoder gets is what the network is to give back.
    return np.rint(audio * np.float32(level / peak * 32767.0)).astype(np.int16)
