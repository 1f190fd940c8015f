"""Instruments that soundfonts lack: unison saws, FM, plucks, sub basses and amplified guitars, full-band."""

import numpy as np
import pedalboard
from scipy import signal

from . import effects
from .parts import Part

RATE = 44100
# Harmonics end here.
_TOP = 20500.0
_TABLE = 4096


def frequency(pitch: float) -> float:
    """Hz of a MIDI pitch."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def add(out: np.ndarray, start: float, sound: np.ndarray) -> None:
    """Adds a sound to `out` at a time in s; what reaches beyond either end is dropped."""
    at = round(start * RATE)
    if at < 0:
        sound, at = sound[-at:], 0
    sound = sound[: max(len(out) - at, 0)]
    out[at : at + len(sound)] += sound


def envelope(length: int, attack: float, decay: float, sustain: float, release: float) -> np.ndarray:
    """Level of a note held for `length` samples; `attack`, `decay`, `release` in s, the release comes after."""
    time = np.arange(length + int(release * RATE)) / RATE
    held = sustain + (1 - sustain) * np.exp(-np.maximum(time - attack, 0) / max(decay, 1e-3))
    level = np.minimum(time / max(attack, 1e-3), 1.0) * held
    over = np.maximum(time - length / RATE, 0)
    return level * np.clip(1 - over / max(release, 1e-3), 0, 1) ** 2


def wavetable(spectrum: np.ndarray, highest: float) -> np.ndarray:
    """One period of a sound with these harmonics, none above 20.5 kHz when played at `highest` Hz."""
    count = min(len(spectrum), int(_TOP / highest), _TABLE // 4)
    bins = np.zeros(_TABLE // 2 + 1, complex)
    bins[1 : count + 1] = spectrum[:count] * (-0.5j * _TABLE)
    return np.fft.irfft(bins, _TABLE).astype(np.float32)


def oscillate(table: np.ndarray, frequencies: np.ndarray, phase: float) -> np.ndarray:
    """Plays a table with a frequency in Hz for each sample."""
    position = (phase + np.cumsum(frequencies) / RATE) * _TABLE % _TABLE
    below = position.astype(np.int64)
    fraction = (position - below).astype(np.float32)
    return table[below % _TABLE] * (1 - fraction) + table[(below + 1) % _TABLE] * fraction


def _spectrum(rng: np.random.Generator) -> np.ndarray:
    """Harmonics of a saw, a square, a pulse or an organ-like mixture."""
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
    """A subtractive synthesizer: detuned voices through a filter that sweeps, up to 20 kHz."""
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
    """A resonant low-pass whose cutoff wanders between `lowest` and 20 kHz; one time in three left wide open."""
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
    """Two operators, as electric pianos, bells and basses of the eighties; computed at twice the rate."""
    import soxr

    ratio = float(rng.choice([0.5, 1, 1, 2, 3, 3.5, 5, 7.01, 11]))
    index, falls = rng.uniform(0.5, 6.0), rng.uniform(0.05, 0.8)
    shape = (0.002, rng.uniform(0.2, 1.5), rng.uniform(0.0, 0.5), rng.uniform(0.05, 0.5))
    out = np.zeros((round(duration * RATE) * 2, 1), np.float32)
    for start, length, pitch, velocity in part.notes:
        base = frequency(pitch)
        level = envelope(int(2 * min(length, 6.0) * RATE), shape[0] * 2, shape[1] * 2, shape[2], shape[3] * 2)
        time = np.arange(len(level)) / (2 * RATE)
        # Carson's rule keeps the sidebands below 30 kHz; the resampler takes what lies above 21.
        depth = min(index * velocity, max((30000.0 - base) / (base * ratio) - 1, 0.0)) * np.exp(-time / falls)
        sound = np.sin(2 * np.pi * base * time + depth * np.sin(2 * np.pi * base * ratio * time)) * level * velocity
        add(out, 2 * start, sound[:, None].astype(np.float32))
    low = soxr.resample(out, 2 * RATE, RATE, "VHQ")[: round(duration * RATE)]
    low = np.pad(low, ((0, round(duration * RATE) - len(low)), (0, 0)))
    return np.repeat(low, 2, axis=1)


def sub_bass(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """An 808: a sine that drops into its pitch and is driven a little or a lot."""
    out = np.zeros((round(duration * RATE), 1), np.float32)
    drop, falls, decay = rng.uniform(0.5, 3.0), rng.uniform(0.01, 0.06), rng.uniform(0.3, 1.5)
    for start, length, pitch, velocity in part.notes:
        level = envelope(int(min(length, 3.0) * RATE), 0.002, decay, 0.1, 0.05)
        time = np.arange(len(level)) / RATE
        hertz = frequency(min(pitch, 50)) * (1 + drop * np.exp(-time / falls))
        add(out, start, (np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * level * velocity)[:, None].astype(np.float32))
    return effects.saturate(np.repeat(out, 2, axis=1), rng.uniform(0, 24), rng.uniform(0, 0.3))


def _string(pitch: float, seconds: float, rng: np.random.Generator, damping: float) -> np.ndarray:
    """A plucked string after Karplus and Strong (1983)."""
    period = RATE / frequency(pitch)
    whole = int(period)
    # Two taps average neighbours: they tune the loop and damp its highs. Alone, one tap would damp nothing.
    fraction = float(np.clip(period - whole, 0.15, 0.85))
    burst = rng.uniform(-1, 1, whole + 1)
    burst -= np.roll(burst, max(1, int(whole * rng.uniform(0.08, 0.3))))
    excitation = np.zeros(int(seconds * RATE))
    excitation[: len(burst)] = burst[: len(excitation)]
    feedback = np.zeros(whole + 2)
    feedback[0], feedback[whole], feedback[whole + 1] = 1.0, -damping * (1 - fraction), -damping * fraction
    return signal.lfilter([1.0], feedback, excitation)


def guitar(part: Part, duration: float, rng: np.random.Generator, distorted: bool = True) -> np.ndarray:
    """Two takes of an electric guitar, left and right, through an amplifier; power chords when distorted."""
    drive, hardness, asymmetry = rng.uniform(14, 38), rng.uniform(0, 0.8), rng.uniform(0, 0.4)
    # A cabinet ends near 5 kHz; fuzz straight into the desk does not.
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
