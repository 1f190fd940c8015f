"""Compares the metrics with independent implementations, and tests the metric classes in `compile()`."""

import keras
import numpy as np
import pytest
import scipy.signal
from keras import ops

from keras_audiosr.errors import UsageError
from keras_audiosr.measures import metrics

SAMPLE_RATE = 44100


def reference_log_spectrum(audio):
    """Returns the log spectrum `(bins, frames)` of a signal `(time,)`, computed by SciPy in float64."""
    window = scipy.signal.get_window("hann", 2048)
    audio = np.pad(audio.astype(np.float64), (0, max(0, 2048 - audio.size)))
    # SciPy's "spectrum" scaling divides by the sum of the window.
    _, _, spectrum = scipy.signal.stft(audio, 1.0, window, 2048, 2048 - 512, boundary=None, padded=False)
    power = np.abs(spectrum * window.sum()) ** 2 / (window.sum() / 2) ** 2
    return np.log10(np.maximum(power, 1e-10))


def reference_lsd(true, pred, cutoff=-1.0):
    """Returns the log-spectral distance (LSD) of two signals `(time, channels)`."""
    bins = np.arange(1025) * SAMPLE_RATE / 2048 > cutoff
    values = []
    for channel in range(true.shape[1]):
        difference = reference_log_spectrum(true[:, channel])[bins] - reference_log_spectrum(pred[:, channel])[bins]
        values.append(np.sqrt(np.mean(difference**2, axis=0)).mean())
    return np.mean(values)


@pytest.fixture(scope="module")
def examples(make_music):
    """Lossless music and a noisy copy without highs, each `(2, time, 2)`."""
    lossless = np.stack([make_music(duration=1.0, seed=seed) for seed in (1, 2)])
    taps = scipy.signal.firwin(255, 9000, fs=SAMPLE_RATE)
    lossy = scipy.signal.convolve(lossless, taps[None, :, None], mode="same")
    lossy += 1e-3 * np.random.default_rng(0).standard_normal(lossy.shape)
    return lossless, lossy.astype(np.float32)


def test_snr_and_si_sdr_agree_with_numpy_in_float64(examples):
    lossless, lossy = examples
    true, pred = np.float64(lossless), np.float64(lossy)
    by_hand = 10 * np.log10((true**2).sum(1) / ((true - pred) ** 2).sum(1)).mean(-1)
    np.testing.assert_allclose(ops.convert_to_numpy(metrics.snr(lossless, lossy)), by_hand, atol=1e-3)  # dB
    scale = (true * pred).sum(1, keepdims=True) / (true**2).sum(1, keepdims=True)
    by_hand = 10 * np.log10(((scale * true) ** 2).sum(1) / ((scale * true - pred) ** 2).sum(1)).mean(-1)
    np.testing.assert_allclose(ops.convert_to_numpy(metrics.si_sdr(lossless, lossy)), by_hand, atol=1e-3)


def test_si_sdr_of_four_samples_worked_out_by_hand():
    # The scale is <t, p> / <t, t> = 4 / 4 = 1. The target is (1, 1, 1, 1) and the distortion is (1, -1, 0, 0), so the
    # result is 10 log10(4 / 2).
    true, pred = np.ones((1, 4, 1), "float32"), np.float32([2, 0, 1, 1]).reshape(1, 4, 1)
    np.testing.assert_allclose(ops.convert_to_numpy(metrics.si_sdr(true, pred)), [3.0103], atol=1e-4)


def test_si_sdr_ignores_gain_and_snr_does_not(examples):
    lossless, lossy = examples
    si_sdr = [ops.convert_to_numpy(metrics.si_sdr(lossless, gain * lossy)) for gain in (1.0, 0.5)]
    np.testing.assert_allclose(si_sdr[0], si_sdr[1], atol=1e-3)
    halved = ops.convert_to_numpy(metrics.snr(lossless, 0.5 * lossless))
    np.testing.assert_allclose(halved, 20 * np.log10(2), atol=1e-3)


@pytest.mark.parametrize("time", [44100, 4096, 2048, 2000, 1])
def test_lsd_agrees_with_scipy(examples, time):
    lossless, lossy = (audio[:, :time] for audio in examples)
    expected = [reference_lsd(true, pred) for true, pred in zip(lossless, lossy, strict=True)]
    np.testing.assert_allclose(ops.convert_to_numpy(metrics.lsd(lossless, lossy)), expected, atol=1e-3)


def test_lsd_hf_agrees_with_scipy_with_a_cutoff_for_each_example(examples):
    lossless, lossy = examples
    cutoffs = [9000.0, 16000.0]
    expected = [reference_lsd(*pair, cutoff) for *pair, cutoff in zip(lossless, lossy, cutoffs, strict=True)]
    found = ops.convert_to_numpy(metrics.lsd_hf(lossless, lossy, cutoffs, SAMPLE_RATE))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found[0] != pytest.approx(ops.convert_to_numpy(metrics.lsd(lossless, lossy))[0], abs=0.1)


def test_a_full_scale_sine_peaks_at_zero():
    # The frequency is the centre of a bin, so the result depends only on the scaling of the window.
    sine = np.sin(2 * np.pi * 100 / 2048 * np.arange(8192)).astype("float32")[None, :, None]
    spectrum = ops.convert_to_numpy(metrics.log_spectrum(sine))
    assert spectrum.shape == (1, 1, 13, 1025)
    np.testing.assert_allclose(spectrum[..., 100], 0.0, atol=1e-4)
    assert spectrum.min() == -10.0


def test_no_bin_above_the_cutoff_gives_zero(examples):
    found = ops.convert_to_numpy(metrics.lsd_hf(*examples, 23000.0, SAMPLE_RATE))
    assert found.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("function", [metrics.snr, metrics.si_sdr, metrics.lsd])
def test_silence_is_finite(function):
    silence, noise = np.zeros((1, 3000, 2), "float32"), np.full((1, 3000, 2), 0.1, "float32")
    for pair in ((silence, silence), (silence, noise), (noise, silence), (noise, noise)):
        assert np.isfinite(ops.convert_to_numpy(function(*pair))).all()
    assert ops.convert_to_numpy(function(silence, silence)).item() == 0.0


def test_silent_reference_punishes_noise():
    silence, noise = np.zeros((1, 3000, 1), "float32"), np.full((1, 3000, 1), 0.1, "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(metrics.snr(silence, noise)), [-100.0], atol=1e-3)


ALL_METRICS = [
    (metrics.SNR, {}, metrics.snr),
    (metrics.SISDR, {}, metrics.si_sdr),
    (metrics.LSD, {}, metrics.lsd),
    (
        metrics.LSDHF,
        {"cutoff": 9000, "sample_rate": SAMPLE_RATE},
        lambda true, pred: metrics.lsd_hf(true, pred, 9000, SAMPLE_RATE),
    ),
]


@pytest.mark.parametrize(("kind", "arguments", "function"), ALL_METRICS)
def test_class_averages_its_function_and_survives_a_round_trip(kind, arguments, function, examples):
    metric = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(kind(**arguments)))
    assert type(metric) is kind
    assert metric.get_config() == kind(**arguments).get_config()
    lossless, lossy = examples
    metric.update_state(lossless[:1], lossy[:1])
    metric.update_state(lossless[1:], lossy[1:])
    expected = ops.convert_to_numpy(function(lossless, lossy)).mean()
    assert float(metric.result()) == pytest.approx(expected, abs=1e-3)


def test_classes_work_in_compile_and_after_loading(tmp_path, examples):
    # The length of the time axis is not fixed, as in the models of this package.
    inputs = keras.Input((None, 1), name="lossy")
    model = keras.Model(inputs, keras.layers.Conv1D(1, 3, padding="same", name="restored")(inputs))
    model.compile("sgd", "mae", metrics=[kind(**arguments) for kind, arguments, _ in ALL_METRICS])
    lossless, lossy = (audio[:, :2000, :1] for audio in examples)
    history = model.fit(lossy, lossless, epochs=1, verbose=0).history
    assert {"snr", "si_sdr", "lsd", "lsd_hf"} <= set(history)
    expected = model.evaluate(lossy, lossless, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.evaluate(lossy, lossless, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, abs=1e-4)


def test_cutoff_must_leave_a_band():
    with pytest.raises(UsageError, match="cutoff must lie in"):
        metrics.LSDHF(cutoff=22050, sample_rate=44100)


def test_definition_says_what_is_computed():
    for part in ("2048", "512", "1e-10", "(sum of window / 2)^2"):
        assert part in metrics.LSD_DEFINITION
