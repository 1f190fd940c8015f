"""Synthesizes instruments that soundfonts lack: unison saws, FM, plucked strings, sub basses and amplified guitars.

Each instrument takes a part, a duration in s and a random generator, and returns an array `(time, 2)`, float32, at
44.1 kHz.
"""

import numpy as np
import pedalboard
from scipy import signal

from . import effects
from .parts import Part

RATE = 44100
# Harmonics above this frequency in Hz are left out.
_TOP = 20500.0
# Samples of a wavetable.
_TABLE = 4096


def frequency(pitch: float) -> float:
    """Returns the frequency in Hz of a MIDI pitch."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def add(out: np.ndarray, start: float, sound: np.ndarray) -> None:
    """Adds a sound to `out` at a time in s; samples beyond either end are dropped."""
    at = round(start * RATE)
    if at < 0:
        sound, at = sound[-at:], 0
    sound = sound[: max(len(out) - at, 0)]
    out[at : at + len(sound)] += sound


def envelope(length: int, attack: float, decay: float, sustain: float, release: float) -> np.ndarray:
    """Returns the amplitude envelope of a note that is held for `length` samples.

    `attack`, `decay` and `release` are in s, and `sustain` is in [0, 1]. The release follows after `length` samples.
    """
    time = np.arange(length + int(release * RATE)) / RATE
    held = sustain + (1 - sustain) * np.exp(-np.maximum(time - attack, 0) / max(decay, 1e-3))
    level = np.minimum(time / max(attack, 1e-3), 1.0) * held
    over = np.maximum(time - length / RATE, 0)
    return level * np.clip(1 - over / max(release, 1e-3), 0, 1) ** 2


def wavetable(spectrum: np.ndarray, highest: float) -> np.ndarray:
    """Returns one period of a sound with these amplitudes of harmonics.

    Harmonics that would lie above 20.5 kHz at a fundamental of `highest` Hz are left out.
    """
    count = min(len(spectrum), int(_TOP / highest), _TABLE // 4)
    bins = np.zeros(_TABLE // 2 + 1, complex)
    bins[1 : count + 1] = spectrum[:count] * (-0.5j * _TABLE)
    return np.fft.irfft(bins, _TABLE).astype(np.float32)


def oscillate(table: np.ndarray, frequencies: np.ndarray, phase: float) -> np.ndarray:
    """Plays a wavetable with a frequency in Hz for each sample, from a phase in [0, 1)."""
    position = (phase + np.cumsum(frequencies) / RATE) * _TABLE % _TABLE
    below = position.astype(np.int64)
    fraction = (position - below).astype(np.float32)
    return table[below % _TABLE] * (1 - fraction) + table[(below + 1) % _TABLE] * fraction


def _spectrum(rng: np.random.Generator) -> np.ndarray:
    """Returns the harmonics of a random saw, square, pulse or organ-like mixture: an array `(1024,)`."""
    number = np.arange(1, 1025)
    kind = rng.integers(4)
    if kind == 0:
        return 1.0 / number
    if kind == 1:
        return (number % 2) / number
    if kind == 2:
        return np.sin(np.pi * number * rng.uniform(0.08, 0.45)) / number
    return rng.standard_normal(1024) / number ** rng.uniform(0.8, 1.4)


def synthesizer(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Plays a part on a subtractive synthesizer: detuned voices through a sweeping filter, up to 20 kHz."""
    spectrum = _spectrum(rng)
    voices = 1 if part.role == "bass" else int(rng.integers(1, 8))
    detune = rng.uniform(0.02, 0.25)
    sustained = part.role == "pad" or rng.random() < 0.4
    shape = (rng.uniform(0.1, 0.6), 1.0, 0.8, rng.uniform(0.3, 1.0)) if part.role == "pad" else (
        rng.uniform(0.001, 0.02), rng.uniform(0.05, 0.6), rng.uniform(0.4, 0.9) if sustained else 0.05,
        rng.uniform(0.05, 0.3),
    )  # fmt: skip
    vibrato = rng.uniform(0.0, 0.003)
    out = np.zeros((round(duration * RATE), 2), np.float32)
    for start, length, pitch, velocity in part.notes:
        level = envelope(int(min(length, 8.0) * RATE), *shape).astype(np.float32) * np.float32(velocity)
        wobble = 1 + vibrato * np.sin(2 * np.pi * 5.5 * np.arange(len(level)) / RATE)
        note = np.zeros((len(level), 2), np.float32)
        for voice in range(voices):
            tuned = frequency(pitch + detune * (voice - (voices - 1) / 2) * 2 / max(voices - 1, 1))
            sound = oscillate(wavetable(spectrum, 1.01 * tuned), tuned * wobble, rng.random())
            pan = 0.5 + 0.5 * (voice / max(voices - 1, 1) - 0.5) * (1 if voice % 2 else -1)
            note += sound[:, None] * np.array([1 - pan, pan], np.float32)
        add(out, start, note * level[:, None])
    return _sweep(out, rng, 60.0 if part.role == "bass" else 400.0)


def _sweep(audio: np.ndarray, rng: np.random.Generator, lowest: float) -> np.ndarray:
    """Applies a resonant low-pass filter whose cutoff moves between `lowest` Hz and 20 kHz, to two of three sounds."""
    if rng.random() < 0.33:
        return audio
    centre, depth = rng.uniform(0.45, 0.85), rng.uniform(0.1, 0.5)
    period, phase, resonance = rng.uniform(0.5, 24.0), rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 2.0)
    slope = rng.choice([2, 4])

    def gains(seconds: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
        place = np.clip(centre + depth * np.sin(2 * np.pi * seconds / period + phase), 0, 1)[:, None]
        ratio = frequencies[None, :] / (lowest * (20000.0 / lowest) ** place)
        return (1 + resonance * np.exp(-(np.log2(ratio + 1e-6) ** 2) * 8)) / np.sqrt(1 + ratio ** (2 * slope))

    return effects.filter_frames(audio, gains)


def fm(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Plays a part with two-operator FM, as in electric pianos and bells of the 1980s, at twice the sample rate."""
    import soxr

    ratio = float(rng.choice([0.5, 1, 1, 2, 3, 3.5, 5, 7.01, 11]))
    index, falls = rng.uniform(0.5, 6.0), rng.uniform(0.05, 0.8)
    shape = (0.002, rng.uniform(0.2, 1.5), rng.uniform(0.0, 0.5), rng.uniform(0.05, 0.5))
    out = np.zeros((round(duration * RATE) * 2, 1), np.float32)
    for start, length, pitch, velocity in part.notes:
        base = frequency(pitch)
        level = envelope(int(2 * min(length, 6.0) * RATE), shape[0] * 2, shape[1] * 2, shape[2], shape[3] * 2)
        time = np.arange(len(level)) / (2 * RATE)
        # The modulation index keeps the sidebands below 30 kHz by Carson's rule. The resampler removes the sidebands
        # above 21 kHz.
        depth = min(index * velocity, max((30000.0 - base) / (base * ratio) - 1, 0.0)) * np.exp(-time / falls)
        sound = np.sin(2 * np.pi * base * time + depth * np.sin(2 * np.pi * base * ratio * time)) * level * velocity
        add(out, 2 * start, sound[:, None].astype(np.float32))
    low = soxr.resample(out, 2 * RATE, RATE, "VHQ")[: round(duration * RATE)]
    low = np.pad(low, ((0, round(duration * RATE) - len(low)), (0, 0)))
    return np.repeat(low, 2, axis=1)


def sub_bass(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Plays a part on a bass like the TR-808's: a sine that falls to its pitch, with light or heavy saturation."""
    out = np.zeros((round(duration * RATE), 1), np.float32)
    drop, falls, decay = rng.uniform(0.5, 3.0), rng.uniform(0.01, 0.06), rng.uniform(0.3, 1.5)
    for start, length, pitch, velocity in part.notes:
        level = envelope(int(min(length, 3.0) * RATE), 0.002, decay, 0.1, 0.05)
        time = np.arange(len(level)) / RATE
        hertz = frequency(min(pitch, 50)) * (1 + drop * np.exp(-time / falls))
        add(out, start, (np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * level * velocity)[:, None].astype(np.float32))
    return effects.saturate(np.repeat(out, 2, axis=1), rng.uniform(0, 24), rng.uniform(0, 0.3))


def _string(pitch: float, seconds: float, rng: np.random.Generator, damping: float) -> np.ndarray:
    """Synthesizes a plucked string (Karplus and Strong, 1983): a mono array of `seconds`."""
    period = RATE / frequency(pitch)
    whole = int(period)
    # Two taps average neighbouring samples, which tunes the loop and damps the highs. The fraction is limited, because
    # a single tap would not damp them.
    fraction = float(np.clip(period - whole, 0.15, 0.85))
    burst = rng.uniform(-1, 1, whole + 1)
    burst -= np.roll(burst, max(1, int(whole * rng.uniform(0.08, 0.3))))
    excitation = np.zeros(int(seconds * RATE))
    excitation[: len(burst)] = burst[: len(excitation)]
    feedback = np.zeros(whole + 2)
    feedback[0], feedback[whole], feedback[whole + 1] = 1.0, -damping * (1 - fraction), -damping * fraction
    return signal.lfilter([1.0], feedback, excitation)


def guitar(part: Part, duration: float, rng: np.random.Generator, distorted: bool = True) -> np.ndarray:
    """Plays a part on an amplified electric guitar, twice (left and right), often in power chords if distorted."""
    drive, hardness, asymmetry = rng.uniform(14, 38), rng.uniform(0, 0.8), rng.uniform(0, 0.4)
    # One or two low-pass filters stand for a loudspeaker cabinet; none stands for a guitar recorded without one.
    cabinet = [pedalboard.LowpassFilter(float(rng.uniform(4000, 9000))) for _ in range(int(rng.integers(0, 3)))]
    cabinet.append(pedalboard.PeakFilter(float(rng.uniform(1800, 4000)), float(rng.uniform(0, 6)), 0.8))
    chord = [0, 7, 12] if distorted and rng.random() < 0.7 else [0]
    damping = rng.uniform(0.992, 0.9985)
    takes = []
    for _ in range(2):
        strings: dict = {}
        out = np.zeros((round(duration * RATE), 1), np.float32)
        for start, length, pitch, velocity in part.notes:
            held = envelope(int(min(length, 2.5) * RATE), 0.001, 10.0, 1.0, 0.06)
            for interval in chord if pitch < 60 else [0]:
                key = int(np.clip(pitch + interval, 36, 90))
                if key not in strings:
                    strings[key] = _string(key, 2.6, rng, damping)
                sound = strings[key][: len(held)] * held[: len(strings[key])] * velocity
                add(out, start + 0.004 * rng.random(), sound[:, None].astype(np.float32))
        takes.append(effects.saturate(out, drive, asymmetry, hardness) if distorted else out)
    return effects.plugins(np.concatenate(takes, axis=1), pedalboard.HighpassFilter(80.0), *cabinet)
