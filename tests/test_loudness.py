"""Tests K-weighted loudness against the filters and the calibration of ITU-R BS.1770."""

import numpy as np
import pytest
from scipy.signal import lfilter

from keras_audiosr.measures.loudness import loudness


def tone(frequency, sample_rate, channels=1, level=1.0):
    time = np.arange(2 * sample_rate) / sample_rate
    return np.repeat(level * np.sin(2 * np.pi * frequency * time)[:, None], channels, axis=1).astype(np.float32)


def test_calibration_of_the_standard():
    # According to BS.1770, a full-scale sine of 997 Hz in one channel measures -3.01. Two channels add 3.01 dB.
    assert loudness(tone(997, 48000), 48000) == pytest.approx(-3.01, abs=0.01)
    assert loudness(tone(997, 48000, channels=2), 48000) == pytest.approx(0.0, abs=0.01)


def test_equals_the_filters_of_the_standard(make_music):
    # The coefficients are those of BS.1770-5, tables 1 and 2 (48 kHz). These filters lose the tail that rings on after
    # the last sample, so a difference of 0.01 dB is allowed.
    audio = make_music(sample_rate=48000)
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    weighted = lfilter(*high_pass, lfilter(*shelf, audio.astype(np.float64), axis=0), axis=0)
    expected = -0.691 + 10 * np.log10(np.square(weighted).mean(axis=0).sum())
    assert loudness(audio, 48000) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("sample_rate", [22050, 44100, 96000])
def test_does_not_depend_on_the_sample_rate(sample_rate):
    # The bilinear transform warps the shelf slightly, so a difference of 0.05 dB is allowed.
    assert loudness(tone(1000, sample_rate), sample_rate) == pytest.approx(loudness(tone(1000, 48000), 48000), abs=0.05)


def test_follows_the_gain_and_silence_is_silent(make_music):
    audio = make_music()
    assert loudness(audio, 44100) - loudness(audio / 2, 44100) == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert loudness(np.zeros((100, 2), np.float32), 44100) == -np.inf
    assert loudness(np.zeros((0, 2), np.float32), 44100) == -np.inf
