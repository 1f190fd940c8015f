"""Mixes stems with channel strips, a room and a bus, and masters the mix to the loudness of its style."""

import dataclasses

import numpy as np
import pedalboard
import pyloudnorm

from . import drums, effects
from .measures import octave_levels

RATE = 44100

# Level of 16 to 19 kHz relative to the whole in dB: quantiles of the 104 clips of corpus/train, which are recorded and
# produced music (hf_16_19k_rel_dB in its CORPUS.csv). `_tone` moves the highs of masters towards this distribution.
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_HIGHS = (-75.0, -70.0, -49.8, -37.6, -29.6, -21.7, -15.0)

# Mean RMS level of a stem in dBFS by role. The level of each stem varies randomly around it.
_LEVELS = {"drums": -18, "bass": -20, "lead": -21, "voice": -18, "guitar": -22, "keys": -24, "pad": -26, "fx": -38,
           "vinyl": -62, "clip": -18}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Style:
    """Ranges of the mixing parameters for one kind of music.

    Attributes:
        loudness: lowest and highest loudness in LUFS.
        room: lowest and highest level of the reverberation in dB relative to the dry sound.
        decay: shortest and longest reverberation time in s.
        synthetic: probability that a part is played by one of this tool's own instruments.
        driven: probability that a stem is saturated.
    """

    loudness: tuple[float, float]
    room: tuple[float, float]
    decay: tuple[float, float]
    synthetic: float
    driven: float


STYLES = {
    "classical": Style((-27, -16), (-14, -4), (0.8, 3.0), 0.05, 0.0),
    "acoustic": Style((-21, -13), (-22, -9), (0.3, 1.6), 0.15, 0.1),
    "ambient": Style((-23, -13), (-12, 0), (1.5, 4.0), 0.5, 0.2),
    "pop": Style((-14, -8), (-26, -12), (0.3, 2.2), 0.5, 0.35),
    "rock": Style((-13, -8), (-28, -13), (0.2, 1.5), 0.4, 0.5),
    "electronic": Style((-13, -7.5), (-26, -10), (0.3, 2.5), 0.85, 0.4),
}


def loudness(audio: np.ndarray) -> float:
    """Returns the integrated loudness according to ITU-R BS.1770-4 in LUFS, at least -70 (silence)."""
    if len(audio) < RATE // 2:
        return -70.0
    return max(float(pyloudnorm.Meter(RATE).integrated_loudness(audio.astype(np.float64))), -70.0)


def _strip(role: str, audio: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Processes one stem: low cut, equalizer, compressor, chorus or phaser, saturation, delay, width, pan and level."""
    chain = [] if role in ("bass", "drums", "clip") else [pedalboard.HighpassFilter(float(rng.uniform(40, 180)))]
    chain += effects.equalizer(rng, 5.0 if role != "clip" else 3.0)
    if rng.random() < 0.5:
        threshold = 20 * np.log10(effects.rms(audio) + 1e-6) + rng.uniform(-8, 4)
        ratio, attack, release = rng.uniform(1.5, 6), rng.uniform(0.5, 30), rng.uniform(40, 300)
        chain.append(pedalboard.Compressor(float(threshold), float(ratio), float(attack), float(release)))
    if role in ("guitar", "keys", "pad", "lead") and rng.random() < 0.2:
        chain.append(pedalboard.Chorus(float(rng.uniform(0.3, 2)), float(rng.uniform(0.1, 0.4)), mix=0.4))
    elif role in ("guitar", "pad") and rng.random() < 0.1:
        chain.append(pedalboard.Phaser(float(rng.uniform(0.1, 1)), mix=0.5))
    audio = effects.plugins(audio, *chain)
    if rng.random() < style.driven:
        audio = effects.saturate(audio, rng.uniform(-4, 12), rng.uniform(0, 0.3), rng.uniform(0, 0.6))
    if role in ("lead", "voice") and rng.random() < 0.35:
        seconds, feedback, share = rng.uniform(0.09, 0.5), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.3)
        audio = effects.plugins(audio, pedalboard.Delay(float(seconds), float(feedback), float(share)))
    audio = effects.widen(audio, rng.uniform(0.0, 1.6) if role not in ("bass", "voice") else rng.uniform(0, 0.5))
    if role not in ("bass", "drums", "voice", "clip"):
        pan = rng.uniform(-0.7, 0.7)
        audio = audio * np.array([np.cos((pan + 1) * np.pi / 4), np.sin((pan + 1) * np.pi / 4)], np.float32) * 1.414
    level = effects.rms(audio)
    wanted = effects.decibels(_LEVELS[role] + rng.normal(0, 2.5))
    return audio * np.float32(wanted / level) if level > 1e-5 else audio * 0


def _tone(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves the highs most of the way to a level drawn from `_HIGHS`, with two shelves of -15 to +9 dB together."""
    wanted = float(np.interp(rng.random(), _QUANTILES, _HIGHS))
    for corner in (rng.uniform(2500, 6000), rng.uniform(7000, 12000)):
        missing = wanted - octave_levels(audio)["hf"]
        gain = float(np.clip(0.5 * missing, -7.5, 4.5))
        audio = effects.plugins(audio, pedalboard.HighShelfFilter(float(corner), gain, 0.6))
    return audio


def mix(stems: list, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Mixes stems and masters the mix.

    Args:
        stems: pairs `(role, array (time, 2))`; silent stems stay silent.
        style: style of the music.
        rng: source of all random choices.

    Returns:
        Array `(time, 2)`, float32, within (-1, 1).
    """
    total = np.zeros_like(stems[0][1])
    sent = np.zeros_like(total)
    for role, audio in stems:
        done = _strip(role, audio, style, rng)
        total += done
        dryness = -30.0 if role in ("bass", "fx", "vinyl") else -8.0 if role == "drums" else 0.0
        sent += effects.decibels(dryness + rng.normal(0, 2.0)) * done
    response = effects.room(rng, float(np.exp(rng.uniform(*np.log(style.decay)))))
    wet = effects.reverberate(sent, response)
    share = effects.decibels(rng.uniform(*style.room)) * effects.rms(total) / max(effects.rms(wet), 1e-9)
    total += wet * np.float32(share)
    total = effects.plugins(total, *effects.equalizer(rng, 2.0))
    total = _tone(total, rng)
    total = effects.widen(total, float(rng.choice([0.0, 0.5, 1.0, 1.0, 1.0, 1.3], p=[0.04, 0.06, 0.3, 0.3, 0.2, 0.1])))
    return _master(total, style, rng)


def _master(audio: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Masters a mix: bus compression, saturation, noise floor, limiter to the loudness of the style, fade, polarity."""
    wanted = float(rng.uniform(*style.loudness))
    audio = audio * np.float32(effects.decibels(-18.0) / max(effects.rms(audio), 1e-9))
    if wanted > -18 and rng.random() < 0.8:
        threshold, ratio, attack = rng.uniform(-24, -14), rng.uniform(1.5, 3), rng.uniform(5, 40)
        audio = effects.plugins(audio, pedalboard.Compressor(float(threshold), float(ratio), float(attack), 150.0))
    if wanted > -12 and rng.random() < 0.7:
        audio = effects.saturate(audio, rng.uniform(-6, 4), 0.0, rng.uniform(0, 1))
    # Noise of microphones and tape is common in quiet music, and rare in loud music.
    if rng.random() < (0.75 if wanted < -16 else 0.3):
        audio = audio + effects.decibels(rng.uniform(-75, -52) - 18.0) * drums.hiss(len(audio), rng)
    ceiling = effects.decibels(-rng.uniform(0.05, 1.2))
    gain, limited = 0.0, audio
    # The limiter lowers the loudness, so the gain is corrected up to three times.
    for _ in range(3):
        difference = wanted - loudness(limited)
        if abs(difference) < 0.3:
            break
        gain = min(gain + difference, 30.0)
        limited = effects.limit(audio * np.float32(effects.decibels(gain)), ceiling)
    if rng.random() < 0.15:
        ramp = np.minimum(np.arange(len(limited)) / (rng.uniform(0.5, 4) * RATE), 1.0)[:, None].astype(np.float32)
        limited = limited * (ramp if rng.random() < 0.5 else ramp[::-1])
    return limited * np.float32(rng.choice([-1, 1]))
