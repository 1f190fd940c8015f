"""Synthesizes singing: a glottal source, the resonances of a vocal tract, breath, and consonants up to 20 kHz."""

import numpy as np
from scipy import signal

from . import effects
from .instruments import add, envelope, frequency, oscillate, wavetable
from .parts import Part

RATE = 44100

# First three formants in Hz of a man's vowels (after Peterson & Barney, 1952). Women and children have shorter tracts.
VOWELS = np.array([[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240]], float)

# Unvoiced consonants: lowest and highest frequency in Hz, duration in s, level in dB relative to the voice.
CONSONANTS = {
    "s": (4500, 14000, 0.11, -10.0),
    "sh": (2000, 9000, 0.12, -10.0),
    "f": (1500, 18000, 0.08, -22.0),
    "t": (3000, 19000, 0.03, -8.0),
    "k": (1200, 8000, 0.03, -10.0),
    "h": (600, 10000, 0.07, -20.0),
}


def _tract(frames: np.ndarray, formants: np.ndarray, tract: float, frequencies: np.ndarray) -> np.ndarray:
    """Computes the gain of a vocal tract: three formants that move, and fixed ones above, 1 kHz apart.

    Args:
        frames: array `(frames,)`: row of `formants` for each frame; fractions interpolate between rows.
        formants: array `(notes, 3)` in Hz.
        tract: factor of all formant frequencies: 1.0 for a man, up to 1.3 for shorter tracts.
        frequencies: array `(bins,)` in Hz.

    Returns:
        Linear gains, array `(frames, bins)`.
    """
    below = np.clip(frames.astype(int), 0, len(formants) - 1)
    fraction = (frames - below)[:, None]
    now = formants[below] * (1 - fraction) + formants[np.minimum(below + 1, len(formants) - 1)] * fraction

    def resonance(centre, width):
        squared = frequencies**2
        return centre**2 / np.sqrt((squared - centre**2) ** 2 + (frequencies * width) ** 2 + 1.0)

    fixed = np.ones(len(frequencies))
    # A real tract has resonances far above the audible band. Without them the top of the band would lose tens of dB.
    for number in range(4, 100):
        centre = tract * (1000.0 * number - 500.0)
        fixed = fixed * resonance(centre, 80.0 + 0.06 * centre)
    gain = np.repeat(fixed[None, :], len(frames), axis=0)
    for column, width in enumerate((70.0, 100.0, 140.0)):
        gain *= resonance(tract * now[:, column : column + 1], width)
    return np.minimum(gain, 30.0)


def _noise(rng: np.random.Generator, low: float, high: float, seconds: float) -> np.ndarray:
    """Synthesizes band-limited noise with an RMS of 1 that fades in and out."""
    burst = rng.standard_normal(int(seconds * RATE))
    burst = signal.sosfilt(signal.butter(2, [low, min(high, 20000)], "band", fs=RATE, output="sos"), burst)
    burst *= np.hanning(len(burst)) ** 0.5
    return burst / np.sqrt(np.square(burst).mean() + 1e-12)


def _melody(part: Part, tract: float) -> np.ndarray:
    """Reduces a part to one note at a time, in a range that this voice can sing; returns an array like `Part.notes`."""
    notes = part.notes[np.lexsort((-part.notes[:, 2], part.notes[:, 0]))]
    kept: list = []
    for note in notes:
        if kept and note[0] < kept[-1][0] + 0.09:
            continue
        if kept:
            kept[-1][1] = min(kept[-1][1], note[0] - kept[-1][0])
        kept.append(note.copy())
    melody = np.array(kept)
    centre = 52 if tract < 1.1 else 64
    melody[:, 2] += 12 * np.round((centre - np.median(melody[:, 2])) / 12)
    melody[:, 2] = np.clip(melody[:, 2], centre - 14, centre + 17)
    return melody


def sing(part: Part, duration: float, rng: np.random.Generator, tract: float | None = None) -> np.ndarray:
    """Sings the highest notes of a part.

    Args:
        part: the part to sing.
        duration: seconds.
        rng: source of the random vowels, consonants, vibrato and breath.
        tract: factor of the formant frequencies: 1.0 for a man, up to 1.3; random if `None`.

    Returns:
        Array `(time, 2)`, float32, with the same signal in both channels.
    """
    tract = float(rng.choice([1.0, 1.05, 1.15, 1.2, 1.25])) if tract is None else tract
    melody = _melody(part, tract)
    tilt, breath = rng.uniform(1.1, 1.8), rng.uniform(0.02, 0.25)
    rate, depth = rng.uniform(4.8, 6.4), rng.uniform(0.002, 0.012)
    spectrum = 1.0 / np.arange(1, 1025) ** tilt
    length = round(duration * RATE)
    source, noise = np.zeros((length, 1), np.float32), np.zeros((length, 1), np.float32)
    consonants = np.zeros((length, 1), np.float32)
    sibilance = rng.uniform(-4.0, 6.0)
    previous = melody[0, 2]
    for start, held, pitch, velocity in melody:
        level = envelope(int(min(held, 6.0) * RATE), rng.uniform(0.02, 0.08), 2.0, 0.7, 0.08) * velocity
        time = np.arange(len(level)) / RATE
        # The voice slides into the pitch and then has vibrato. A slow random drift makes it less mechanical.
        grid = 0.05 * np.arange(int(time[-1] / 0.05) + 2)
        drift = np.interp(time, grid, 0.003 * rng.standard_normal(len(grid)))
        bend = (previous - pitch) * np.exp(-time / 0.03) / 12.0
        vibrato = depth * np.clip((time - 0.2) / 0.3, 0, 1) * np.sin(2 * np.pi * rate * time)
        hertz = frequency(pitch) * 2.0**bend * (1 + vibrato + drift)
        phase = rng.random()
        add(source, start, (oscillate(wavetable(spectrum, hertz.max()), hertz, phase) * level)[:, None])
        # Breath noise follows the glottal pulses.
        pulses = 0.5 + 0.5 * np.cos(2 * np.pi * (phase + np.cumsum(hertz) / RATE))
        add(noise, start, (breath * rng.standard_normal(len(level)) * level * pulses)[:, None].astype(np.float32))
        if rng.random() < 0.7:
            low, high, seconds, decibels = CONSONANTS[list(CONSONANTS)[int(rng.integers(len(CONSONANTS)))]]
            seconds *= rng.uniform(0.7, 1.5)
            burst = _noise(rng, low * rng.uniform(0.85, 1.15), high, seconds)
            burst *= velocity * effects.decibels(decibels + sibilance) * 0.25
            add(consonants, start - 0.8 * seconds, burst[:, None].astype(np.float32))
        previous = pitch
    vowels = VOWELS[rng.integers(len(VOWELS), size=len(melody))]

    def gains(seconds: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
        notes = np.searchsorted(melody[:, 0], seconds, side="right") - 1
        current = np.clip(notes, 0, len(melody) - 1)
        # The formants change during the first 60 ms of each note.
        moved = np.clip((seconds - melody[current, 0]) / 0.06, 0, 1)
        return _tract(np.maximum(current - 1 + moved, 0), vowels, tract, frequencies)

    voiced = effects.filter_frames(source + noise, gains)
    level = effects.rms(voiced)
    # The voice is normalized, because the tract changes its level, and the levels of consonants are relative to it.
    sound = voiced / max(level, 1e-6) * 0.1 + consonants * (0.2 if level else 0.0)
    return np.repeat(sound, 2, axis=1).astype(np.float32)


def choir(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Sings a part with four voices across the stereo field, with different tracts, timing and tuning.

    Returns:
        Array `(time, 2)`, float32.
    """
    out = np.zeros((round(duration * RATE), 2), np.float32)
    for pan in rng.permutation([0.1, 0.35, 0.65, 0.9]):
        own = Part(part.role, part.notes + np.array([0.0, 0.0, 12.0 * rng.integers(-1, 1), 0.0]))
        own.notes[:, 0] = np.maximum(own.notes[:, 0] + rng.normal(0, 0.02, len(own.notes)), 0)
        own.notes[:, 2] += rng.normal(0, 0.08)
        voice = sing(own, duration, rng, float(rng.uniform(1.0, 1.28)))
        out += voice * np.array([1 - pan, pan], np.float32)
    return out
