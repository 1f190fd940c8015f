"""Tests the losses against their formulas in NumPy and SciPy, and on silent windows."""

import json

import keras
import numpy as np
import pytest
import scipy.signal

from keras_audiosr import losses
from keras_audiosr.errors import UsageError

ALL = [*losses.LOSSES.values()]


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    y_true = 0.1 * generator.standard_normal((3, 4096, 1))
    return y_true.astype("float32"), (y_true + 0.02 * generator.standard_normal(y_true.shape)).astype("float32")


def value(loss, y_true, y_pred):
    return float(loss(y_true, y_pred))


def test_simple_losses_equal_numpy(pair):
    y_true, y_pred = (signal.astype("float64") for signal in pair)
    error = y_true - y_pred
    expected = {
        "l1": np.abs(error).mean(),
        "l2": (error**2).mean(),
        "charbonnier": np.sqrt(error**2 + 1e-6).mean(),
        "negative_snr": np.mean(10 * np.log10((error**2).sum((1, 2)) / (y_true**2).sum((1, 2)))),
    }
    for name, number in expected.items():
        assert value(losses.LOSSES[name](), *pair) == pytest.approx(number, rel=1e-4), name


def test_si_sdr_equals_numpy_and_ignores_scale(pair):
    y_true, y_pred = (signal.astype("float64")[..., 0] for signal in pair)
    expected = []
    for target, estimate in zip(y_true, y_pred, strict=True):
        projection = np.dot(estimate, target) / np.dot(target, target) * target
        expected.append(-10 * np.log10(np.sum(projection**2) / np.sum((estimate - projection) ** 2)))
    assert value(losses.NegativeSISDR(), *pair) == pytest.approx(np.mean(expected), abs=1e-3)
    assert value(losses.NegativeSISDR(), pair[0], 0.5 * pair[1]) == pytest.approx(np.mean(expected), abs=1e-3)


def test_multi_resolution_stft_equals_scipy(pair):
    def power(signal, frame_length):
        window = scipy.signal.get_window("hann", frame_length)
        starts = range(0, len(signal) - frame_length + 1, frame_length // 4)
        frames = np.stack([signal[start : start + frame_length] * window for start in starts])
        return np.abs(np.fft.rfft(frames)) ** 2 / (frame_length / 4) ** 2

    totals = []
    for target, estimate in zip(*(signal.astype("float64")[..., 0] for signal in pair), strict=True):
        for frame_length in (512, 1024, 2048):
            true, pred = power(target, frame_length), power(estimate, frame_length)
            difference = np.log10(true + 1e-10) - np.log10(pred + 1e-10)
            log = np.sqrt((difference**2).mean(axis=-1)).mean()
            true, pred = np.sqrt(true), np.sqrt(pred)
            convergence = np.linalg.norm(true - pred) / np.linalg.norm(true)
            totals.append(log + convergence)
    assert value(losses.MultiResolutionSTFT(), *pair) == pytest.approx(np.mean(totals), rel=2e-3)


@pytest.mark.parametrize("loss", ALL)
def test_better_is_lower_and_config_round_trips(loss, pair):
    y_true, y_pred = pair
    original = loss()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert value(again, *pair) == value(original, *pair)
    assert value(original, y_true, 0.5 * (y_true + y_pred)) < value(original, y_true, y_pred)


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("case", ["both silent", "true silent", "pred silent"])
def test_silent_windows_give_finite_losses_and_gradients(loss, case, pair):
    tf = pytest.importorskip("tensorflow")
    y_true = tf.constant(np.zeros_like(pair[0]) if case in ("both silent", "true silent") else pair[0])
    y_pred = tf.Variable(np.zeros_like(pair[0]) if case in ("both silent", "pred silent") else pair[1])
    with tf.GradientTape() as tape:
        result = loss()(y_true, y_pred)
    assert np.isfinite(float(result))
    assert np.isfinite(tape.gradient(result, y_pred).numpy()).all()


def test_spectral_convergence_does_not_explode_on_near_silence():
    y_pred = 1e-3 * np.random.default_rng(1).standard_normal((1, 4096, 1)).astype("float32")
    quiet = 1e-7 * y_pred
    assert value(losses.MultiResolutionSTFT(log_weight=0.0), quiet, y_pred) < 20.0


def test_band_term_asks_for_the_energy_of_noise_and_hides_what_loud_bands_cover():
    generator = np.random.default_rng(2)
    y_true, other = (0.1 * generator.standard_normal((2, 16384, 1)).astype("float32") for _ in range(2))
    bands = losses.MultiResolutionSTFT(log_weight=0.0, convergence_weight=0.0, band_weight=1.0)
    levels = {gain: value(bands, y_true, gain * other) for gain in (0.7, 1.0, 1.4)}
    assert levels[1.0] < 0.6 * min(levels[0.7], levels[1.4])
    # The tone is more than 50 dB above the quiet noise, so it must not matter whether that noise is restored.
    tone = np.sin(2 * np.pi * 1000 * np.arange(16384) / 44100)[:, None] * np.ones((2, 1, 1), "float32")
    assert value(bands, tone + 1e-4 * y_true, tone) < 0.02 < value(bands, tone + y_true, tone)


def test_weighted_sum(pair):
    terms = [{"name": "l1", "weight": 2.0}, {"name": "charbonnier", "weight": 3.0, "config": {"epsilon": 0.1}}]
    total = losses.build_loss(terms)
    expected = 2 * value(losses.L1(), *pair) + 3 * value(losses.Charbonnier(0.1), *pair)
    assert value(total, *pair) == pytest.approx(expected, rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(total))
    assert value(again, *pair) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="each loss needs one weight"):
        losses.WeightedSum([losses.L1()], [1.0, 2.0])
    with pytest.raises(UsageError, match="multi_resolution_stft"):
        losses.build_loss([{"name": "stft", "weight": 1.0}])


def test_losses_look_at_the_bands_of_the_presets_sample_rate():
    """Losses that take a sample rate receive the one of the preset, unless their config has its own."""
    terms = [
        {"name": "multi_resolution_stft", "weight": 1.0, "config": {"band_weight": 0.5}},
        {"name": "spectral_distance", "weight": 1.0},
        {"name": "spectral_distance", "weight": 1.0, "config": {"sample_rate": 32000}},
        {"name": "l1", "weight": 1.0},
    ]
    given = json.loads(json.dumps(terms))
    stft, distance, other, _ = losses.build_loss(terms, 48000).losses
    assert (stft.sample_rate, distance.sample_rate, other.sample_rate) == (48000, 48000, 32000)
    np.testing.assert_array_equal(stft._mel, losses.MultiResolutionSTFT(band_weight=0.5, sample_rate=48000)._mel)
    assert np.abs(stft._mel - losses.MultiResolutionSTFT(band_weight=0.5)._mel).max() > 0.1
    assert terms == given, "the preset stays as it is"


def test_feature_statistics_ask_for_the_kind_of_noise_not_for_its_samples():
    generator = np.random.default_rng(0)
    y_true, other = (0.1 * generator.standard_normal((4, 16384, 1)).astype("float32") for _ in range(2))
    loss = losses.FeatureStatistics()
    assert value(loss, y_true, y_true) == pytest.approx(0.0, abs=1e-9)
    # For this loss, another noise of the same level must be closer than the same noise at a level 3 dB lower. A loss
    # that compares waveforms prefers the latter.
    assert value(loss, y_true, other) < 0.5 * value(loss, y_true, 0.7 * y_true)
    assert value(losses.L2(), y_true, other) > 10 * value(losses.L2(), y_true, 0.7 * y_true)


def test_beyond_its_ceiling_snr_earns_nothing(pair):
    y_true, _ = pair
    # The SNRs are 60 and 77 dB. The latter would be 80 dB, but the loss adds -100 dBFS to the error.
    small, smaller = 1.001 * y_true, 1.0001 * y_true
    plain, capped = losses.NegativeSNR(), losses.NegativeSNR(ceiling=50.0)
    assert value(plain, y_true, small) - value(plain, y_true, smaller) > 15.0
    assert 0.0 <= value(capped, y_true, small) - value(capped, y_true, smaller) < 0.5
    assert abs(value(capped, y_true, 0.9 * y_true) + 20.0) < 0.01
