"""Tests the fixed transform against NumPy's FFT, and the layers that are built on it."""

import keras
import numpy as np
import pytest

from keras_audiosr import layers
from keras_audiosr.layers import STFT, InverseSTFT, ResidualUnit, SpectralFeatures, SpectralGainAndFill


@pytest.fixture
def waveform():
    return np.random.default_rng(0).standard_normal((2, 256 * 12, 1)).astype("float32")


def as_numpy(tensors):
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize(
    ("frame_length", "hop_length"), [(16, 8), (64, 16), (512, 128), (1024, 256), (1024, 512), (2048, 256)]
)
def test_stft_equals_numpy(waveform, frame_length, hop_length):
    real, imag = as_numpy(STFT(frame_length, hop_length)(waveform))
    more = frame_length - hop_length
    padded = np.pad(waveform[1, :, 0].astype("float64"), more)
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_length) / frame_length))
    starts = range(0, len(padded) - frame_length + 1, hop_length)
    expected = np.stack([np.fft.rfft(window * padded[start : start + frame_length]) for start in starts])
    expected /= np.sqrt(frame_length)
    assert real.shape[1] == len(expected)
    worst = max(
        np.abs(real[1, :, 1:] - expected.real[:, 1:-1]).max(),
        np.abs(imag[1, :, 1:] - expected.imag[:, 1:-1]).max(),
        np.abs(real[1, :, 0] - expected.real[:, 0]).max(),
        np.abs(imag[1, :, 0] - expected.real[:, -1]).max(),
    )
    assert worst < 3e-6, worst


@pytest.mark.parametrize(("frame_length", "hop_length"), [(16, 8), (64, 16), (1024, 256), (1024, 512), (2048, 256)])
def test_inverse_is_exact(waveform, frame_length, hop_length):
    spectrum = STFT(frame_length, hop_length)(waveform)
    (back,) = as_numpy([InverseSTFT(frame_length, hop_length)(*spectrum)])
    assert back.shape == waveform.shape
    assert np.abs(back - waveform).max() < 5e-6


@pytest.mark.parametrize(("frame_length", "hop_length"), [(16, 8), (512, 256), (2048, 512)])
def test_folded_transforms_are_the_same(waveform, frame_length, hop_length):
    plain, folded = (as_numpy(STFT(frame_length, hop_length, folded)(waveform)) for folded in (False, True))
    assert max(np.abs(one - other).max() for one, other in zip(plain, folded, strict=True)) < 5e-6
    # The inverse must agree for any spectrum, so this one is random and not the transform of a waveform.
    spectrum = np.random.default_rng(1).standard_normal((2, *plain[0].shape)).astype("float32")
    plain, folded = (as_numpy([InverseSTFT(frame_length, hop_length, folded)(*spectrum)]) for folded in (False, True))
    assert np.abs(plain[0] - folded[0]).max() < 1e-5


def test_inverse_equals_numpy_for_any_spectrum():
    generator = np.random.default_rng(1)
    real, imag = generator.standard_normal((2, 1, 9, 32)).astype("float32")
    (output,) = as_numpy([InverseSTFT(64, 16)(real, imag)])
    full = np.zeros((9, 33), complex)
    full[:, :32] = real[0] + 1j * imag[0]
    full[:, 0] = real[0, :, 0]
    full[:, 32] = imag[0, :, 0]
    window = np.sin(np.pi * np.arange(64) / 64)
    frames = np.fft.irfft(full, axis=-1) * np.sqrt(64) * window / 2
    expected = np.zeros(64 + 8 * 16)
    for index, frame in enumerate(frames):
        expected[index * 16 : index * 16 + 64] += frame
    assert np.abs(output[0, :, 0] - expected[48:-48]).max() < 5e-6


@pytest.mark.parametrize("lengths", [(1000, 250), (8, 4), (1024, 1024), (1024, 300)])
def test_unfit_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="try"):
        STFT(*lengths)


def test_features_do_not_depend_on_loudness(waveform):
    spectrum = STFT()(waveform)
    features = SpectralFeatures()
    loud, quiet = as_numpy([features(*spectrum), features(*(0.01 * part for part in spectrum))])
    assert np.abs(loud - quiet).max() < 1e-3
    assert np.isfinite(as_numpy([features(*STFT()(np.zeros_like(waveform)))])[0]).all()


def test_zero_answer_changes_nothing_and_silence_stays(waveform):
    real, imag = STFT()(waveform)
    layer = SpectralGainAndFill()
    answer = np.zeros((*real.shape[:2], 2048), "float32")
    for before, after in zip(as_numpy([real, imag]), as_numpy(layer(real, imag, answer)), strict=True):
        assert np.array_equal(before, after)
    wild = np.random.default_rng(2).normal(0, 30, answer.shape).astype("float32")
    silent = np.zeros(real.shape, "float32")
    for part in as_numpy(layer(silent, silent, wild)):
        assert np.abs(part).max() < 1e-6


def test_gain_and_fill_do_what_the_formula_says():
    real, imag = np.full((1, 1, 4), 0.6, "float32"), np.full((1, 1, 4), 0.8, "float32")
    answer = np.concatenate([np.full((1, 1, 4), value, "float32") for value in (0.5, 6.0, 3.0, -4.0)], axis=-1)
    new_real, new_imag = as_numpy(SpectralGainAndFill()(real, imag, answer))
    gain, added = 1 + np.tanh(0.5), np.exp(6.0 - 7.0)
    np.testing.assert_allclose(new_real, 0.6 * gain + added * 0.6, rtol=1e-5)
    np.testing.assert_allclose(new_imag, 0.8 * gain - added * 0.8, rtol=1e-5)


def test_gate_scales_the_whole_correction():
    generator = np.random.default_rng(5)
    real, imag = generator.standard_normal((2, 1, 3, 8)).astype("float32")
    answer = generator.standard_normal((1, 3, 32)).astype("float32")
    layer = SpectralGainAndFill()
    whole = as_numpy(layer(real, imag, answer))
    opening = np.array([[[0.0], [0.25], [1.0]]], "float32")
    for before, full, gated in zip((real, imag), whole, as_numpy(layer(real, imag, answer, opening)), strict=True):
        np.testing.assert_allclose(gated, before + opening * (full - before), atol=1e-5)


@pytest.mark.parametrize("batch_normalization", [True, False])
def test_residual_unit_is_its_equation(batch_normalization):
    unit = ResidualUnit(4, 3, batch_normalization)
    inputs = np.random.default_rng(3).standard_normal((2, 10, 4)).astype("float32")
    first = np.random.default_rng(4).standard_normal((2, 10, 4)).astype("float32")
    (output,) = as_numpy([unit(inputs, first)])

    def convolve(values, kernel, bias):
        padded = np.pad(values, ((0, 0), (1, 1), (0, 0)))
        taps = [np.einsum("btc,cf->btf", padded[:, tap : tap + 10], kernel[tap]) for tap in range(3)]
        return sum(taps) + bias

    scale = 1 / np.sqrt(1 + 1e-3) if batch_normalization else 1.0  # the moving mean is 0 and the variance 1
    convolutions = [step for step in unit.steps if isinstance(step, keras.layers.Conv1D)]
    expected = inputs
    for convolution in convolutions:
        kernel, bias = as_numpy(convolution.weights)
        expected = convolve(np.maximum(scale * expected, 0), kernel, bias)
    np.testing.assert_allclose(output, first + expected, atol=1e-5)
    (plain,) = as_numpy([unit(inputs)])
    np.testing.assert_allclose(plain, inputs + expected, atol=1e-5)


def test_units_share_weights_when_called_twice():
    unit = ResidualUnit(4)
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, unit(unit(inputs, inputs), inputs))
    assert model.count_params() == 2 * (3 * 4 * 4 + 4) + 2 * 4 * 4


def test_subpixel_takes_maps_for_steps():
    inputs = np.arange(24, dtype="float32").reshape(1, 3, 8)
    outputs = np.asarray(layers.SubPixel(4)(inputs))
    assert outputs.shape == (1, 12, 2)
    assert np.array_equal(outputs.reshape(-1), inputs.reshape(-1))
    with pytest.raises(ValueError, match="divide by scale"):
        layers.SubPixel(3)(inputs)


def test_recursive_supervision_is_the_errors_of_all_predictions_less_that_of_their_mean():
    generator = np.random.default_rng(0)
    predictions = generator.standard_normal((2, 50, 3)).astype("float32")
    y_true = generator.standard_normal((2, 50, 1)).astype("float32")
    layer = layers.RecursiveSupervision(0.5)
    layer.build(predictions.shape)
    layer.logits.assign([0.3, -1.0, 0.5])
    mean = np.asarray(layer(predictions, training=True))
    weights = np.exp([0.3, -1.0, 0.5]) / np.exp([0.3, -1.0, 0.5]).sum()
    assert np.allclose(mean[..., 0], predictions @ weights, atol=1e-6)
    each = ((y_true - predictions) ** 2).mean(axis=(0, 1)) @ weights
    of_mean = ((y_true - mean) ** 2).mean()
    assert float(layer.losses[0]) == pytest.approx(0.5 * (each - of_mean), rel=1e-5)


def test_scattering_tells_carrier_and_modulation():
    sample_rate, time = 44100, np.arange(16384) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 5000 * time)
    slow = tone * (1 + 0.8 * np.sin(2 * np.pi * 400 * time))
    layer = layers.Scattering()
    steady, moving = np.asarray(layer(np.stack([tone, slow])[..., None].astype("float32")))
    bands = layer.num_octaves * layer.num_filters
    centres = sample_rate / 2 * 2.0 ** (-(np.arange(bands) + 0.5) / layer.num_filters)
    assert abs(np.log2(centres[steady[:bands].argmax()] / 5000)) <= 1 / layer.num_filters
    # The part of a sine with positive frequencies has a modulus of half the amplitude, which is 0.25 here. It is
    # smaller if the frequency lies between two bands.
    assert 0.17 < steady[:bands].max() < 0.26
    second = slice(bands + 4 * steady[:bands].argmax(), bands + 4 * steady[:bands].argmax() + 4)
    assert moving[second].max() > 5 * steady[second].max()
    rates = sample_rate / layer.stride * 0.35 * 2.0 ** -np.arange(4)
    assert abs(np.log2(rates[moving[second].argmax()] / 400)) <= 1.0


def test_self_connection_begins_as_the_identity():
    kernel = np.asarray(layers.SelfConnection()((5, 3, 3)))
    assert np.array_equal(kernel[2], np.eye(3))
    assert kernel.sum() == 3
