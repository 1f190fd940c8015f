"""Tests band distance and band bias against SciPy, on signals with a known answer, and in `compile()`."""

import keras
import numpy as np
import pytest
import scipy.signal
from keras import ops

from keras_audiosr.errors import UsageError
from keras_audiosr.measures import bands

SAMPLE_RATE = 44100


def noise(duration=1.0, channels=2, seed=0, level=0.1):
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal((1, int(duration * SAMPLE_RATE), channels))).astype(np.float32)


def value(tensor):
    return float(ops.convert_to_numpy(tensor)[0])


def reference(true, pred, limit=22050.0):
    """Returns the distance and the bias of each band for `(time, channels)`, computed by SciPy in float64."""
    edges = [(8000 * 10 ** (k / 24), 8000 * 10 ** ((k + 1) / 24)) for k in range(20)]
    edges = [(low, high) for low, high in edges if min(high, limit) - low >= (high - low) / 2]
    distances, errors = [], []
    for channel in range(true.shape[1]):
        levels = []
        for audio in (true[:, channel], pred[:, channel]):
            frequencies, _, spectrum = scipy.signal.stft(
                audio.astype(np.float64), SAMPLE_RATE, "hann", 2048, 1536, boundary=None, padded=False
            )
            power = (2 * np.abs(spectrum)) ** 2
            inside = [(frequencies >= low) & (frequencies < min(high, limit)) for low, high in edges]
            levels.append(10 * np.log10(np.maximum([power[band].mean(axis=0) for band in inside], 1e-10)))
        difference = levels[1] - levels[0]
        heard = (np.maximum(*levels) > -100).any(axis=0)
        distances += list(np.sqrt(np.mean(difference**2, axis=0))[heard])
        errors += list(difference.T[heard])
    return np.mean(distances), np.mean(errors, axis=0)


@pytest.mark.parametrize("limit", [None, 15000.0, 17600.0])
def test_agrees_with_scipy(make_music, limit):
    true = make_music(duration=1.0)
    taps = scipy.signal.firwin(255, 13000, fs=SAMPLE_RATE)
    pred = scipy.signal.convolve(true, taps[:, None], mode="same").astype(np.float32)
    distance, biases = reference(true, pred, limit or 22050.0)
    assert len(biases) == len(bands.band_edges(SAMPLE_RATE, limit))
    assert value(bands.band_distance(true[None], pred[None], SAMPLE_RATE, limit)) == pytest.approx(distance, abs=0.01)
    assert value(bands.band_bias(true[None], pred[None], SAMPLE_RATE, limit)) == pytest.approx(biases.mean(), abs=0.01)
    assert distance > 5.0


@pytest.mark.parametrize("gain", [-6.0, 3.0])
def test_a_gain_is_the_distance_and_the_bias(gain):
    true = noise()
    pred = true * 10 ** (gain / 20)
    assert value(bands.band_distance(true, pred, SAMPLE_RATE)) == pytest.approx(abs(gain), abs=1e-3)
    assert value(bands.band_bias(true, pred, SAMPLE_RATE)) == pytest.approx(gain, abs=1e-3)


def test_one_band_that_is_too_loud():
    true = noise(channels=1)
    low, high = bands.band_edges(SAMPLE_RATE)[3]
    spectrum = np.fft.rfft(true, axis=1)
    frequencies = np.fft.rfftfreq(true.shape[1], 1 / SAMPLE_RATE)
    spectrum[:, (frequencies >= low) & (frequencies < high)] *= 10 ** (10 / 20)
    pred = np.fft.irfft(spectrum, true.shape[1], axis=1).astype(np.float32)
    errors, frames, _ = (ops.convert_to_numpy(part) for part in bands.frame_errors(true, pred, SAMPLE_RATE))
    assert frames.all()
    by_band = errors.mean(axis=(0, 1, 2))
    assert by_band[3] == pytest.approx(10.0, abs=0.3)
    assert np.abs(np.delete(by_band, 3)).max() < 1.0
    # Only one of eleven bands has an error, so the distance is 10 dB over the square root of eleven. The tolerance is
    # for the leakage into the neighbouring bands.
    assert value(bands.band_distance(true, pred, SAMPLE_RATE)) == pytest.approx(10 / np.sqrt(11), abs=0.2)


def test_fine_structure_does_not_matter():
    # Both signals are noise of the same level. Their LSD is nevertheless 0.79, which is nearly 8 dB.
    distance = value(bands.band_distance(noise(4.0, seed=1), noise(4.0, seed=2), SAMPLE_RATE))
    assert distance < 1.3


def test_silent_frames_do_not_count():
    true, silence = noise(), np.zeros((1, 3 * SAMPLE_RATE, 2), np.float32)
    pred = 0.5 * true
    padded = (np.concatenate([audio, silence], axis=1) for audio in (true, pred))
    # The tolerance is for the frames that contain both noise and silence.
    assert value(bands.band_distance(*padded, SAMPLE_RATE)) == pytest.approx(20 * np.log10(2), abs=0.1)
    assert value(bands.band_distance(silence, silence, SAMPLE_RATE)) == 0.0


def test_noise_in_silence_is_punished():
    silence = np.zeros((1, SAMPLE_RATE, 1), np.float32)
    assert value(bands.band_bias(silence, noise(channels=1), SAMPLE_RATE)) > 50.0


def test_bands_end_at_the_limit():
    edges = bands.band_edges(SAMPLE_RATE)
    np.testing.assert_allclose(edges[0], [8000.0, 8000.0 * 10 ** (1 / 24)])
    assert len(edges) == 11
    assert edges[-1, 1] == 22050.0
    assert bands.band_edges(SAMPLE_RATE, 15000.0)[-1].tolist() == pytest.approx([14226.2, 15000.0], abs=0.1)
    assert bands.band_edges(48000)[-1, 1] == pytest.approx(22980, abs=10)
    assert len(bands.band_edges(16000)) == 0
    true = noise(channels=1)
    above = scipy.signal.firwin(1023, 15500, fs=SAMPLE_RATE, pass_zero=False)
    pred = true + scipy.signal.convolve(true, above[None, :, None], mode="same").astype(np.float32)
    assert value(bands.band_distance(true, pred, SAMPLE_RATE)) > 3.0
    assert value(bands.band_distance(true, pred, SAMPLE_RATE, 15000.0)) < 0.05


def test_each_example_may_have_its_own_limit():
    true = np.concatenate([noise(channels=1, seed=seed) for seed in (1, 2, 3)])
    pred = np.concatenate([noise(channels=1, seed=seed, level=0.02) for seed in (4, 5, 6)])
    limits = [12000.0, 15000.0, 30000.0]
    for function in (bands.band_distance, bands.band_bias):
        found = ops.convert_to_numpy(function(true, pred, SAMPLE_RATE, np.float32(limits)))
        one = [value(function(true[i : i + 1], pred[i : i + 1], SAMPLE_RATE, limits[i])) for i in range(3)]
        np.testing.assert_allclose(found, one, atol=1e-3)


@pytest.mark.parametrize(("kind", "function"), [(bands.BandDistance, "band_distance"), (bands.BandBias, "band_bias")])
def test_class_averages_over_frames_and_survives_a_round_trip(kind, function):
    metric = kind(SAMPLE_RATE, limit=16000.0)
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert metric.get_config() == kind(SAMPLE_RATE, limit=16000.0).get_config()
    true, pred = noise(2.0), noise(2.0, seed=1, level=0.03)
    pred[:, SAMPLE_RATE:] *= 0.3
    silence = np.zeros_like(true)
    for start in (0, SAMPLE_RATE):
        metric.update_state(true[:, start : start + SAMPLE_RATE], pred[:, start : start + SAMPLE_RATE])
        metric.update_state(silence, silence)
    halves = [slice(0, SAMPLE_RATE), slice(SAMPLE_RATE, None)]
    values = [value(getattr(bands, function)(true[:, half], pred[:, half], SAMPLE_RATE, 16000.0)) for half in halves]
    assert float(metric.result()) == pytest.approx(np.mean(values), abs=1e-3)


def test_classes_work_in_compile():
    # As in the models of this package, the time axis has no fixed length, so the graph is built without one.
    inputs = keras.Input((None, 1), name="lossy")
    model = keras.Model(inputs, keras.layers.Conv1D(1, 1, use_bias=False, kernel_initializer="ones")(inputs))
    metrics = [bands.BandDistance(SAMPLE_RATE), bands.BandBias(SAMPLE_RATE)]
    model.compile("sgd", "mae", metrics=metrics)
    true = np.concatenate([noise(0.2, 1, seed) for seed in range(2)])
    found = model.evaluate(0.5 * true, true, verbose=0, return_dict=True)
    assert found["band_distance"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert found["band_bias"] == pytest.approx(-20 * np.log10(2), abs=1e-3)


def test_a_metric_without_a_band_is_refused():
    with pytest.raises(UsageError, match="leave this metric out"):
        bands.BandDistance(16000)


def test_definition_says_what_is_computed():
    for part in ("24 bands", "8 kHz", "2048", "512", "1e-10"):
        assert part in bands.BANDS_DEFINITION
