"""Synthesizes percussion and noises from sines and noise: drum kits, cymbals, claps, risers, vinyl clicks and hiss."""

import numpy as np
from scipy import signal

from . import effects
from .instruments import add
from .parts import Part

RATE = 44100

# Drum sound -> General MIDI's percussion keys that play it. Any other key plays a click.
KEYS = {
    "kick": (35, 36), "snare": (38, 40), "clap": (39,), "hat": (42, 44), "open": (46,), "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59), "tom": (41, 43, 45, 47, 48, 50), "shaker": (54, 69, 70, 82),
}  # fmt: skip
_LEVELS = {"kick": 1.0, "snare": 0.8, "clap": 0.6, "hat": 0.3, "open": 0.35, "crash": 0.5, "ride": 0.3, "tom": 0.7,
           "shaker": 0.25, "click": 0.4}  # fmt: skip


def _time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * RATE)) / RATE


def _filtered(rng: np.random.Generator, length: int, low: float, high: float) -> np.ndarray:
    if high >= 20000:
        sos = signal.butter(2, low, "high", fs=RATE, output="sos")
    else:
        sos = signal.butter(2, [low, high], "band", fs=RATE, output="sos")
    return signal.sosfilt(sos, rng.standard_normal(length))


def _kick(rng) -> np.ndarray:
    time = _time(rng.uniform(0.25, 0.7))
    hertz = rng.uniform(42, 62) * (1 + rng.uniform(2, 8) * np.exp(-time / rng.uniform(0.008, 0.04)))
    body = np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-time / rng.uniform(0.08, 0.3))
    click = _filtered(rng, len(time), 1500, 20000) * np.exp(-time / 0.003) * rng.uniform(0.05, 0.4)
    return np.tanh(rng.uniform(1, 4) * body) + click


def _snare(rng) -> np.ndarray:
    time = _time(rng.uniform(0.2, 0.5))
    tone = sum(np.sin(2 * np.pi * f * rng.uniform(0.95, 1.05) * time) for f in (185, 330)) * np.exp(-time / 0.06)
    wires = _filtered(rng, len(time), rng.uniform(700, 2500), 20000) * np.exp(-time / rng.uniform(0.05, 0.16))
    return 0.4 * tone + rng.uniform(0.3, 0.8) * wires


def _clap(rng) -> np.ndarray:
    time = _time(0.35)
    bursts = sum(np.where(time >= at, np.exp(-(time - at) / 0.006), 0) for at in (0, 0.011, 0.023))
    tail = np.where(time >= 0.03, np.exp(-(time - 0.03) / rng.uniform(0.05, 0.12)), 0)
    return 0.7 * _filtered(rng, len(time), 800, rng.uniform(6000, 19000)) * (bursts + 0.6 * tail)


def _cymbal(rng, seconds: float, partials: int, lowest: float) -> np.ndarray:
    """Synthesizes a cymbal from many partials and noise up to 20 kHz. Higher partials decay faster."""
    time = _time(seconds)
    metal = np.zeros(len(time))
    for hertz in np.exp(rng.uniform(np.log(lowest), np.log(19500), partials)):
        decay = seconds * 0.35 * (lowest / hertz) ** 0.3
        metal += rng.normal() * np.sin(2 * np.pi * (hertz * time + rng.random())) * np.exp(-time / decay)
    hiss = _filtered(rng, len(time), rng.uniform(3000, 7000), 20000) * np.exp(-time / (0.25 * seconds))
    return metal / np.sqrt(partials) + rng.uniform(0.5, 1.2) * hiss


def _tom(rng) -> np.ndarray:
    time = _time(0.6)
    hertz = rng.uniform(80, 200) * (1 + 0.5 * np.exp(-time / 0.03))
    skin = _filtered(rng, len(time), 300, 6000) * np.exp(-time / 0.015)
    return np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-time / 0.2) + 0.4 * skin


def _shaker(rng) -> np.ndarray:
    time = _time(0.12)
    return _filtered(rng, len(time), rng.uniform(3000, 8000), 20000) * np.sin(np.pi * np.minimum(time / 0.12, 1)) ** 2


def _click(rng) -> np.ndarray:
    time = _time(0.15)
    tone = np.sin(2 * np.pi * rng.uniform(400, 2500) * time)
    return (tone + 0.3 * _filtered(rng, len(time), 2000, 20000)) * np.exp(-time / rng.uniform(0.01, 0.05))


def _hit(name: str, rng) -> np.ndarray:
    makers = {"kick": _kick, "snare": _snare, "clap": _clap, "tom": _tom, "shaker": _shaker, "click": _click}
    if name in makers:
        return makers[name](rng)
    seconds, partials, lowest = {
        "hat": (rng.uniform(0.05, 0.15), 24, 3000), "open": (rng.uniform(0.3, 0.7), 32, 2500),
        "crash": (rng.uniform(1.5, 3.0), 70, 400), "ride": (rng.uniform(0.8, 2.0), 40, 600),
    }[name]  # fmt: skip
    return _cymbal(rng, seconds, partials, lowest)


def kit(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Plays a drum part on a random kit; returns an array `(time, 2)`, float32."""
    names = {key: name for name, keys in KEYS.items() for key in keys}
    hits: dict = {}
    out = np.zeros((round(duration * RATE), 2), np.float32)
    for start, _, pitch, velocity in part.notes:
        name = names.get(int(pitch), "click")
        # Different toms and clicks have different sounds. Each sound has three variants, so that strokes differ.
        key = (name, int(pitch) if name in ("tom", "click") else 0, int(rng.integers(3)))
        if key not in hits:
            sound = _hit(name, rng)
            pan = 0.5 if name in ("kick", "snare") else rng.uniform(0.15, 0.85)
            width = np.array([[1 - pan, pan]]) * (2 * _LEVELS[name] / max(np.abs(sound).max(), 1e-6))
            hits[key] = (sound[:, None] * width).astype(np.float32)
        add(out, start, hits[key] * np.float32(velocity))
    return out


def riser(duration: float, rng: np.random.Generator) -> np.ndarray:
    """Synthesizes noise in a band that sweeps up or down between 200 Hz and 20 kHz every 3 to 16 s.

    Returns:
        Array `(time, 2)`, float32.
    """
    noise = rng.standard_normal((round(duration * RATE), 2)).astype(np.float32)
    period, upward, width = rng.uniform(3.0, 16.0), rng.random() < 0.7, rng.uniform(0.3, 1.5)
    offset = rng.uniform(0, period)

    def gains(seconds: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
        place = ((seconds + offset) % period) / period
        place = (place if upward else 1 - place)[:, None]
        centre = 200.0 * 100.0**place
        return np.exp(-((np.log2((frequencies[None, :] + 1.0) / centre) / width) ** 2)) * place**2

    return effects.filter_frames(noise, gains)


def crackle(duration: float, rng: np.random.Generator) -> np.ndarray:
    """Synthesizes the clicks of a vinyl record, with many soft clicks and few loud ones: an array `(time, 2)`."""
    out = np.zeros((round(duration * RATE), 2), np.float32)
    for _ in range(int(duration * rng.uniform(2, 40))):
        time = np.arange(int(rng.uniform(3, 60)))
        click = rng.standard_normal(len(time)) * np.exp(-time / rng.uniform(1, 12)) * rng.pareto(2.0)
        add(out, rng.uniform(0, duration), (click[:, None] * rng.uniform(0.2, 1, (1, 2))).astype(np.float32))
    return np.clip(out / 20, -1, 1)


def hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    """Synthesizes tape noise with an RMS of 1, a little brighter than white noise: an array `(length, 2)`."""
    noise = rng.standard_normal((length, 2))
    tilted = noise - rng.uniform(0.0, 0.6) * np.concatenate([np.zeros((1, 2)), noise[:-1]])
    return (tilted / np.sqrt(np.square(tilted).mean())).astype(np.float32)
