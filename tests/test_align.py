"""Tests that `measure_delay` finds a known lag, and that it explains why two files are not a pair."""

import numpy as np
import pytest
from conftest import music

from keras_audiosr.codecs import measure_delay
from keras_audiosr.errors import PairError

RATE = 44100


def shifted(audio: np.ndarray, delay: int) -> np.ndarray:
    """Returns `audio` delayed by `delay` samples like a decoder's output: longer, or with its beginning cut off."""
    return np.pad(audio, ((delay, 700), (0, 0))) if delay >= 0 else audio[-delay:]


def damaged(audio: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns `audio` as after a poor codec: without content above 3 kHz, and with noise 12 dB below the rest."""
    spectrum = np.fft.rfft(audio, axis=0)
    spectrum[int(3000 / RATE * len(audio)) :] = 0
    low = np.fft.irfft(spectrum, len(audio), axis=0)
    noise = np.random.default_rng(seed).standard_normal(audio.shape) * 0.25 * low.std()
    return (low + noise).astype(np.float32)


@pytest.mark.parametrize("delay", [0, 1, -1, 528, 1024, 1105, 2257, -1105, 7919, -7919, 16000])
@pytest.mark.parametrize("channels", [1, 2])
def test_lag_is_found(delay, channels):
    audio = music(4.0, RATE, channels)
    found = measure_delay(audio, shifted(damaged(audio), delay), RATE)
    assert found.delay == delay
    assert found.correlation > 0.8
    assert found.num_windows >= 3


@pytest.mark.parametrize("length", [512, 1000, 4410, 30000])
@pytest.mark.parametrize("delay", [0, 1105, -100])
def test_short_files(length, delay):
    audio = music(1.0, RATE, 1)[:length]
    assert measure_delay(audio, shifted(audio, delay), RATE).delay == delay


@pytest.mark.parametrize("audio", [np.zeros((0, 1)), np.full((1, 2), 0.5), np.zeros((RATE, 2))])
def test_nothing_to_measure(audio):
    audio = audio.astype(np.float32)
    lossy = np.zeros((len(audio) + 1152, audio.shape[1]), np.float32)
    with pytest.raises(PairError, match="a lag needs at least"):
        measure_delay(audio, lossy, RATE)
    found = measure_delay(audio, lossy, RATE, expected=0)
    assert (found.delay, found.num_windows) == (0, 0)


def test_opposite_phase_between_channels_does_not_cancel():
    left = music(3.0, RATE, 1)
    audio = np.concatenate([left, -left], axis=1)
    assert measure_delay(audio, shifted(audio, 1105), RATE).delay == 1105


def test_loop_is_settled_by_what_differs():
    """A bar repeats exactly every 5,000 samples, and a melody that does not repeat settles the lag."""
    bar = np.tile(music(5000 / RATE, RATE, 1), (40, 1))
    audio = bar + 0.3 * music(len(bar) / RATE, RATE, 1, seed=3)[: len(bar)]
    assert measure_delay(audio, shifted(damaged(audio), 1105), RATE).delay == 1105


def test_steady_tone_is_ambiguous_unless_a_lag_is_expected():
    time = np.arange(4 * RATE)[:, None] / RATE
    tone = (0.5 * np.sin(2 * np.pi * 441.0 * time)).astype(np.float32)
    with pytest.raises(PairError, match="repeats itself"):
        measure_delay(tone, shifted(tone, 1105), RATE)
    assert measure_delay(tone, tone, RATE, expected=0).delay == 0


def test_expected_does_not_hide_a_lag():
    audio = music(3.0)
    assert measure_delay(audio, shifted(audio, 1105), RATE, expected=0).delay == 1105


def stretched(audio: np.ndarray, factor: float) -> np.ndarray:
    places = np.arange(int(len(audio) * factor)) / factor
    return np.stack([np.interp(places, np.arange(len(audio)), channel) for channel in audio.T], axis=1)


LONG = music(12.0, RATE, 2, seed=5)
HALF = len(LONG) // 2


@pytest.mark.parametrize(
    ("lossy", "reason"),
    [
        (music(12.0, RATE, 2, seed=6), "same recording|differs between windows"),
        (LONG[:, :1], "same channels"),
        (LONG * 0.0, "lossy one is silent"),
        (-LONG, "inverted"),
        (LONG[:, ::-1] * [1.0, 0.9], "left and right are swapped"),
        (2.0 * LONG, "differs by [+]6.0 dB"),
        (0.5 * LONG, "differs by -6.0 dB"),
        (LONG[:HALF], "missing at the end"),
        (stretched(LONG, 1.0002), "drifts from .* clock or sample rate"),
        (stretched(LONG, 48000 / RATE), "same recording|clock or sample rate|differs between windows"),
        (np.delete(LONG, np.s_[HALF : HALF + 3000], axis=0), "jumps from 0 to -3000 .* cut or a splice"),
        (np.insert(LONG, HALF, np.zeros((576, 2)), axis=0), "jumps from 0 to 576 .* cut or a splice"),
        (np.concatenate([LONG[:HALF], music(6.0, RATE, 2, seed=9)]), "something else|same recording"),
        (np.concatenate([LONG[:HALF], np.zeros((HALF, 2))]), "something else"),
    ],
    ids="other channels silent inverted swapped louder quieter truncated drift rate cut insert spliced dropout".split(),
)
def test_no_pair(lossy, reason):
    with pytest.raises(PairError, match=reason) as caught:
        measure_delay(LONG, lossy.astype(np.float32), RATE)
    assert "\n" not in str(caught.value)
