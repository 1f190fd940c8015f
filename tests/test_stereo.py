"""Tests the stereo error against SciPy, and on signals with a known answer."""

import numpy as np
import pytest
import scipy.signal

from keras_audiosr.measures.stereo import STEREO_DEFINITION, stereo_error

SAMPLE_RATE = 44100


def pair(correlation, duration=4.0, seed=0):
    """Returns two channels of noise with the given correlation."""
    left, other = 0.1 * np.random.default_rng(seed).standard_normal((2, int(duration * SAMPLE_RATE)))
    return np.stack([left, correlation * left + np.sqrt(1 - correlation**2) * other], axis=1)


def reference(audio, band):
    filters = scipy.signal.butter(8, band, "bandpass", output="sos", fs=SAMPLE_RATE)
    return np.corrcoef(scipy.signal.sosfiltfilt(filters, audio, axis=0).T)[0, 1]


@pytest.mark.parametrize("limit", [None, 15000.0])
def test_agrees_with_scipy(make_music, limit):
    true, pred = make_music(seed=1).astype(np.float64), make_music(seed=2).astype(np.float64)
    pred[:, 1] += pred[:, 0]
    band = (12000.0, limit or 18000.0)
    expected = abs(reference(pred, band) - reference(true, band))
    assert expected > 0.3
    assert stereo_error(true, pred, SAMPLE_RATE, limit=limit) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("true", "pred"), [(1.0, 0.0), (0.9, 0.3), (-0.5, 0.5), (0.7, 0.7)])
def test_known_correlations(true, pred):
    found = stereo_error(pair(true), pair(pred, seed=1), SAMPLE_RATE)
    assert found == pytest.approx(abs(true - pred), abs=0.03)


def test_each_band_is_judged_by_itself():
    true = pair(1.0)
    low = scipy.signal.firwin(1023, 10000, fs=SAMPLE_RATE)[:, None]
    below = scipy.signal.convolve(true, low, mode="same")
    pred = below + pair(0.0, seed=1) - scipy.signal.convolve(pair(0.0, seed=1), low, mode="same")
    assert stereo_error(true, pred, SAMPLE_RATE) == pytest.approx(1.0, abs=0.03)
    assert stereo_error(true, pred, SAMPLE_RATE, band=(0.0, 9000.0)) == pytest.approx(0.0, abs=0.01)


def test_balance_and_swapped_sides_do_not_matter():
    true = pair(0.6)
    assert stereo_error(true, true[:, ::-1] * (0.5, 1.0), SAMPLE_RATE) == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_judged():
    true = pair(0.5)
    assert stereo_error(true[:, :1], true[:, :1], SAMPLE_RATE) is None
    assert stereo_error(true, true, SAMPLE_RATE, limit=14000.0) is None
    assert stereo_error(true, true, 22050) is None
    assert stereo_error(true, true * (1.0, 0.0), SAMPLE_RATE) is None
    assert stereo_error(np.zeros_like(true), true, SAMPLE_RATE) is None
    assert stereo_error(true, 1e-4 * true, SAMPLE_RATE) is None
    assert stereo_error(true[:100], true[:100], SAMPLE_RATE) == pytest.approx(0.0, abs=1e-9)


def test_definition_says_what_is_computed():
    for part in ("12 to 18 kHz", "2048", "-100 dB"):
        assert part in STEREO_DEFINITION
