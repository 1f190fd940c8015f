"""Excerpts of a collection of music, varied as other engineers might have mixed and mastered them.

Arrays have the shape `(time, 2)`, float32, at 44.1 kHz. Nearly lossless music has a cutoff in Hz, above which it is not
a valid training target. A change of speed moves the cutoff. A mix has the lowest cutoff of its parts.

The variations imitate what is known about published records:

- Long-term spectra fall by about 5 dB an octave from 100 Hz to 4 kHz, and faster above [1]. Below 4 kHz the excerpts
  are moved towards this line. Above 2 kHz three of ten excerpts are tilted by -4 to +12 dB at 20 kHz, because the
  fetched music is darker there than songs are.
- Peaks are 8 to 16 dB above the RMS level. The mean DR value of albums (peak above the RMS of the louder fifth) fell
  from 13 dB in 1985 to between 8 and 9 dB in 2008 [2].
- The highs of songs are often nearly mono, and sometimes wide.

References:
    [1] P. D. Pestana, Z. Ma, J. D. Reiss, A. Barbosa, D. A. A. Black: Spectral characteristics of popular commercial
        recordings 1950-2010. AES Convention 135, paper 8960, 2013.
    [2] The loudness war: dynamic range over the years, http://www.themindgap.nl/?p=114: all values of the DR database,
        1985 to 2012, by year.
"""

import functools

import numpy as np
from scipy import fft, ndimage, signal

from .collection import FULL_BAND, RATE, Collection, Track

# Probability of each kind of track. Lossless tracks are few, but only they show what lies above 16 to 20 kHz.
_KINDS = {"lossless": 0.45, "near": 0.5, "voice": 0.05}
# Probability that an excerpt is mixed anew. The others keep their highs. When all were mixed, the network gave highs to
# instruments that have none, such as a piano: at 48 kbit/s, 10 to 17 dB above the level of the lossless highs.
_MIXED = 0.75


@functools.cache
def _samples(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r")


@functools.cache
def _chances(tracks: tuple[Track, ...]) -> np.ndarray:
    """Returns the probability of each track. That of a whole album grows with the square root of its length."""
    lengths: dict[str, int] = {}
    for track in tracks:
        lengths[track.album] = lengths.get(track.album, 0) + track.length
    chances = np.array([track.length / np.sqrt(lengths[track.album]) for track in tracks])
    return chances / chances.sum()


def _decibels(value: float | np.ndarray) -> np.float32 | np.ndarray:
    return np.float32(10.0 ** (value / 20.0))


class Variations:
    """Draws random excerpts from one split of a collection, and varies each of them at random.

    Args:
        collection: the collection of music.
        seconds: length of an excerpt in seconds. Excerpts of shorter tracks are shorter.
        split: the split whose tracks are drawn.
    """

    def __init__(self, collection: Collection, seconds: float, split: str = "train"):
        self._path = collection.path
        self._seconds = seconds
        tracks = collection.of(split)
        self._kinds = {kind: tuple(track for track in tracks if track.kind == kind) for kind in _KINDS}

    def _excerpt(self, kind: str, rng: np.random.Generator, speeds: tuple[float, float]) -> tuple[np.ndarray, float]:
        """Draws a piece of a random track of one kind, and changes its speed and pitch in half of the cases.

        Returns:
            The piece, float32 `(time, 2)`, and its cutoff in Hz.
        """
        tracks = self._kinds[kind]
        track = tracks[int(rng.choice(len(tracks), p=_chances(tracks)))]
        speed = float(np.exp(rng.uniform(*speeds))) if rng.random() < 0.5 else 1.0
        wanted = min(track.length, fft.next_fast_len(round(self._seconds * RATE * speed), real=True))
        begin = track.start + int(rng.integers(track.length - wanted + 1))
        piece = _samples(self._path)[begin : begin + wanted].astype(np.float32) / np.float32(32768.0)
        if speed == 1.0:
            return piece, track.cutoff
        # In the frequency domain, because a resampler's filter would remove the highest tenth of the band.
        piece = signal.resample(piece, fft.next_fast_len(round(wanted / speed), real=True))
        return piece, min(track.cutoff * wanted / len(piece), FULL_BAND)

    def __call__(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Draws an excerpt. Returns int16 `(time, 2)`, and its cutoff in Hz."""
        kinds = [kind for kind, tracks in self._kinds.items() if tracks]
        chances = np.array([_KINDS[kind] for kind in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=chances / chances.sum()))]
        audio, cutoff = self._excerpt(kind, rng, (-0.15, 0.25))
        if rng.random() < 0.3:
            other, other_cutoff = self._excerpt(kind, rng, (-0.15, 0.25))
            shared = min(len(audio), len(other))
            audio = audio[:shared] + other[:shared] * _decibels(rng.uniform(-12.0, 3.0))
            cutoff = min(cutoff, other_cutoff)
        if kind != "voice" and self._kinds["voice"] and rng.random() < 0.25:
            voice, voice_cutoff = self._excerpt("voice", rng, (-0.12, 0.12))
            audio = _sung_over(audio, voice, rng)
            cutoff = min(cutoff, voice_cutoff)
        if rng.random() < _MIXED:
            audio = _mixed(audio, rng)
        audio = _mastered(audio, rng)
        # The excerpt is rounded like a CD, so that the encoder receives exactly what the network should restore.
        return np.rint(audio * 32767.0).astype(np.int16), cutoff


def _rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio)))) + 1e-9


def _sung_over(audio: np.ndarray, voice: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mixes a dry voice with music, at about its level, in the middle or to one side, without or with a room."""
    fitted = np.zeros((len(audio), 2), np.float32)
    for begin in range(int(rng.integers(1 + RATE)), len(audio), len(voice) + int(rng.integers(1 + 2 * RATE))):
        fitted[begin : begin + len(voice)] += voice[: len(audio) - begin]
    if rng.random() < 0.5:
        # The room is noise that decays, and it is different in each channel.
        seconds = rng.uniform(0.3, 1.5)
        time = np.arange(round(seconds * RATE)) / RATE
        tail = rng.standard_normal((len(time), 2)) * np.exp(-6.9 * time / seconds)[:, None]
        tail *= _decibels(rng.uniform(-16.0, -4.0)) / np.sqrt(np.sum(np.square(tail), axis=0))
        size = fft.next_fast_len(len(fitted) + len(tail), real=True)
        spectrum = fft.rfft(fitted, size, axis=0) * fft.rfft(tail.astype(np.float32), size, axis=0)
        fitted += fft.irfft(spectrum, size, axis=0)[: len(fitted)]
    if rng.random() < 0.3:
        balance = rng.uniform(0.0, 1.0)
        fitted *= np.sqrt(2.0 * np.array([balance, 1.0 - balance], np.float32))
    return audio + fitted * np.float32(_rms(audio) / _rms(fitted)) * _decibels(rng.uniform(-8.0, 6.0))


# Centres in Hz of the octaves whose levels are moved towards the published line, and the line's slope in dB an octave.
_LINE = 125.0 * 2.0 ** np.arange(6)
_SLOPE = -5.0


def _towards_the_line(power: np.ndarray, frequencies: np.ndarray, share: float) -> np.ndarray:
    """Returns gains in dB at the octaves of `_LINE` that bring a power spectrum nearer to a fall of 5 dB an octave."""
    levels = np.empty(len(_LINE))
    for index, center in enumerate(_LINE):
        band = slice(*np.searchsorted(frequencies, (center / np.sqrt(2.0), center * np.sqrt(2.0))))
        levels[index] = 10.0 * np.log10(power[band].mean() + 1e-12)
    off = levels - _SLOPE * np.arange(len(_LINE))
    return np.clip(share * (np.median(off) - off), -6.0, 6.0)


def _mixed(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes the balance of lows and highs and of mid and side, and swaps left and right in half of the cases."""
    middle, side = 0.5 * (audio[:, 0] + audio[:, 1]), 0.5 * (audio[:, 0] - audio[:, 1])
    if rng.random() < 0.3 and _rms(side) < 0.02 * _rms(middle):
        # Mono music is widened with a delayed copy, like a part that was played twice.
        delay = int(rng.integers(300, 1100))
        side[delay:] += middle[:-delay] * _decibels(rng.uniform(-18.0, -6.0))
    size = fft.next_fast_len(len(audio) + 2048, real=True)
    spectra = fft.rfft(np.stack([middle, side]), size)
    frequencies = fft.rfftfreq(size, 1.0 / RATE)
    octaves = np.log2(np.maximum(frequencies, 20.0))
    # The gains are smooth over octaves and have zero phase.
    power = np.square(np.abs(spectra)).sum(axis=0)
    gains = np.interp(octaves, np.log2(_LINE), _towards_the_line(power, frequencies, rng.uniform(0.0, 0.8)))
    points = np.linspace(np.log2(60.0), np.log2(18000.0), 8)
    gains += np.interp(octaves, points, rng.normal(0.0, 2.5, len(points)))
    # Songs are brighter or darker than the fetched music, so most excerpts keep their slope.
    tilt = rng.uniform(-28.0, 12.0)
    tilt = tilt if tilt > -4.0 else 0.0
    gains += np.interp(octaves, np.log2([2000.0, 20000.0]), [0.0, tilt])
    width = np.full(len(octaves), rng.uniform(-12.0, 4.0) if rng.random() < 0.4 else 0.0)
    kind = rng.random()
    # The highs become nearly mono, as in most songs, or wide, or they keep their width.
    highs = rng.uniform(-30.0, -6.0) if kind < 0.4 else rng.uniform(2.0, 9.0) if kind < 0.55 else 0.0
    edge = np.log2(rng.uniform(1500.0, 9000.0))
    width += np.interp(octaves, [edge, edge + 1.0], [0.0, highs])
    spectra[0] *= _decibels(gains)
    spectra[1] *= _decibels(gains + width)
    middle, side = fft.irfft(spectra, size)[:, : len(audio)].astype(np.float32)
    if rng.random() < 0.5:
        side = -side
    return np.stack([middle + side, middle - side], axis=1)


def _limited(audio: np.ndarray) -> np.ndarray:
    """Turns the level down around samples that exceed full scale, with a gain that changes smoothly within 10 ms."""
    needed = np.minimum(1.0, 1.0 / np.maximum(np.abs(audio).max(axis=1), 1e-9))
    size = RATE // 100 + 1
    gain = ndimage.uniform_filter1d(ndimage.minimum_filter1d(needed, size), size)
    return audio * gain[:, None].astype(np.float32)


def _mastered(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scales peaks to at most 1, and as near to the RMS level as on records, by a limiter, hard or soft clipping."""
    crest = rng.uniform(8.0, 16.0)
    audio = audio / np.float32(np.abs(audio).max(initial=0.0) + 1e-9)
    drive = min(-20.0 * np.log10(_rms(audio)) - crest, 14.0)
    if drive > 0.0 and rng.random() < 0.7:
        how = rng.random()
        if how < 0.5:
            audio = _limited(audio * _decibels(drive))
        elif how < 0.8:
            # Up to 3 dB are clipped, as in loud masters. The limiter does the rest.
            clipped = min(drive, rng.uniform(0.0, 3.0))
            audio = np.clip(_limited(audio * _decibels(drive - clipped)) * _decibels(clipped), -1.0, 1.0)
        else:
            audio = np.tanh(audio * _decibels(drive))
    peak = float(np.abs(audio).max(initial=0.0)) + 1e-9
    # Most records peak just below full scale. Some are quieter.
    level = rng.uniform(-1.0, 0.0) if rng.random() < 0.7 else -abs(rng.normal(0.0, 6.0))
    return audio * np.float32(_decibels(level) / peak)
