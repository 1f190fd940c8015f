"""Tests the layers and the loss of the network on bands, against NumPy and for properties such as oddness."""

import keras
import numpy as np
import pytest

from keras_audiosr.layers import (
    BandEmbedding,
    BandFeatures,
    BandMix,
    BandPower,
    BandResidualUnit,
    Distortion,
    Excitation,
    FrameConv2D,
    FramePower,
    InverseSubframeSTFT,
    RunningMean,
    SubframeSTFT,
)
from keras_audiosr.losses import SpectralDistance
from keras_audiosr.models import build_model

TINY = {
    "filters": 8,
    "frame_length": 256,
    "hop_length": 64,
    "num_bands": 8,
    "mean_frames": 4,
    "dilation_rates": [1, 2, 4, 8],
}


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture
def waveform():
    return 0.1 * np.random.default_rng(0).standard_normal((2, 64 * 40, 1)).astype("float32")


@pytest.fixture(scope="module")
def network():
    model = build_model("paired_resnet_bands", **TINY)
    generator = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(array(weight) + 0.1 * generator.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("row_length", [64, 512])
def test_short_frames_equal_numpy(row_length):
    waveform = np.random.default_rng(0).standard_normal((1, row_length * 6, 1)).astype("float32")
    real, imag = map(array, SubframeSTFT(row_length)(waveform))
    assert real.shape == (1, 9, 2, row_length // 2)
    hop = row_length // 2
    padded = np.pad(waveform[0, :, 0].astype("float64"), 2 * row_length)
    window = np.sin(np.pi * np.arange(row_length) / row_length)
    for row in range(9):
        for frame in range(2):
            start = row * row_length + frame * hop
            expected = np.fft.rfft(window * padded[start : start + row_length]) / np.sqrt(row_length)
            assert np.abs(real[0, row, frame, 1:] - expected.real[1:-1]).max() < 3e-6
            assert np.abs(imag[0, row, frame, 1:] - expected.imag[1:-1]).max() < 3e-6


@pytest.mark.parametrize(("row_length", "overlap"), [(64, 4), (64, 2), (512, 4)])
def test_short_frames_inverse_is_exact(row_length, overlap):
    waveform = np.random.default_rng(0).standard_normal((2, row_length * 7, 1)).astype("float32")
    spectra = SubframeSTFT(row_length, overlap)(waveform)
    assert spectra[0].shape[1] == 7 + overlap - 1
    back = array(InverseSubframeSTFT(row_length, overlap)(*spectra))
    assert back.shape == waveform.shape
    assert np.abs(back - waveform).max() < 5e-6


@pytest.mark.parametrize(("size", "ahead"), [(1, 0), (4, 1), (8, 0), (16, 15)])
def test_running_mean(size, ahead):
    frames = np.random.default_rng(0).standard_normal((2, 20, 3, 2)).astype("float32")
    before = size - 1 - ahead
    expected = [frames[:, max(0, index - before) : index + ahead + 1].mean(axis=1) for index in range(20)]
    expected = np.stack(expected, axis=1)
    assert np.allclose(array(RunningMean(size, ahead)(frames)), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "ahead"), [(3, 0), (0, 0), (4, 4), (4, -1)])
def test_running_mean_says_what_it_needs(size, ahead):
    with pytest.raises(ValueError, match="received"):
        RunningMean(size, ahead)


def test_distortion_equals_its_formula(waveform):
    samples = waveform[0, :, 0].astype("float64")
    high = samples
    for _ in range(2):
        high = high - 0.95 * np.concatenate([[0.0], high[:-1]])
    ceiling = np.abs(np.concatenate([[0.0], high[:-1]]))
    expected = np.clip(high, -ceiling, ceiling)
    assert np.allclose(array(Distortion()(waveform))[0, :, 0], expected, atol=1e-6)


def test_excitation_is_level_wherever_the_music_is_not():
    generator = np.random.default_rng(2)
    noise = generator.standard_normal(64 * 400)
    # The noise is 60 dB louder in its second half, and its spectrum falls by 40 dB towards the highs.
    spectrum = np.fft.rfft(noise) * np.geomspace(1.0, 0.01, len(noise) // 2 + 1)
    samples = np.fft.irfft(spectrum) * np.where(np.arange(len(noise)) < len(noise) / 2, 1e-4, 1e-1)
    short = SubframeSTFT(64)(samples[None, :, None].astype("float32"))
    power = RunningMean(4, 1)(BandPower(8)(*short))
    real, imag, log_power = map(array, Excitation()(*short, power))
    assert real.shape == (1, 403, 8, 8)
    level = np.mean(np.square(real) + np.square(imag), axis=(0, 3))
    for part in (slice(20, 180), slice(220, 380)):
        # The first and the last band are not tested: bin 0 is left out of the first, and each has only one neighbour.
        assert np.abs(10.0 * np.log10(level[part, 1:-1].mean(axis=0))).max() < 1.5
    assert log_power.min() >= 0.125 * np.log(1e-4) - 1e-5


def test_frame_convolution_shares_its_weights(waveform):
    bands = waveform.reshape(2, 40, 8, 8)
    layer = FrameConv2D(4, 3, 2, "causal")
    result = array(layer(bands))
    assert result.shape == (2, 40, 8, 4)
    later = bands.copy()
    later[:, 25:] = 0.0
    assert np.array_equal(array(layer(later))[:, :25], result[:, :25]), "a causal convolution must not look ahead"
    turned = array(layer(bands[:, :, ::-1]))
    assert np.allclose(turned[:, :, ::-1], result, atol=1e-6), "every band must have the same weights"


@pytest.mark.parametrize(
    "layer", [BandEmbedding(), BandMix(), BandResidualUnit(4, dilation_rate=2), FrameConv2D(4, padding="causal")]
)
def test_layers_come_back_from_their_config(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    inputs = np.random.default_rng(0).standard_normal((1, 9, 8, 4)).astype("float32")
    layer(inputs), copy(inputs)
    copy.set_weights([array(weight) + 0.1 for weight in layer.weights])
    layer.set_weights(copy.get_weights())
    assert np.array_equal(array(layer(inputs)), array(copy(inputs)))


def test_features_do_not_depend_on_loudness():
    generator = np.random.default_rng(0)
    real, imag = generator.standard_normal((2, 1, 12, 64)).astype("float32")
    found = []
    for scale in (1.0, 0.001):
        power = FramePower()(scale * real, scale * imag)
        found.append(array(BandFeatures(8)(scale * real, scale * imag, power, RunningMean(4, 2)(power))))
    assert found[0].shape == (1, 12, 8, 9)
    assert np.allclose(*found, atol=1e-4)


def test_network_is_odd_and_indifferent_to_loudness(network, waveform):
    restored = array(network(waveform))
    assert np.abs(restored - waveform).max() > 0.01, "the network must do something to be tested"
    assert np.array_equal(array(network(-waveform)), -restored)
    assert np.allclose(array(network(0.125 * waveform)), 0.125 * restored, atol=1e-6)


def test_folded_transforms_change_nothing(network, waveform):
    folded = build_model("paired_resnet_bands", **TINY, folded=True)
    folded.set_weights(network.get_weights())
    assert np.allclose(array(folded(waveform)), array(network(waveform)), atol=2e-6)


def test_silence_stays_silent(network):
    assert not array(network(np.zeros((1, 64 * 20, 1), "float32"))).any()


def test_fill_does_not_sound_long_before_an_attack(network):
    """After silence, filled-in content must not begin more than a short frame (64 samples) before an attack."""
    attack = np.zeros((1, 64 * 40, 1), "float32")
    attack[0, 64 * 20 :, 0] = 0.1 * np.random.default_rng(3).standard_normal(64 * 20)
    filling = keras.models.clone_model(network)
    filling.set_weights(network.get_weights())
    # Gains work on long frames, which may begin earlier, so they are turned off. Each band has 16 gains, followed by 8
    # levels of its excitation.
    for name in ("output", "output_bias"):
        layer = filling.get_layer(name)
        layer.set_weights([np.where(np.arange(weight.shape[-1]) < 16, 0.0, weight) for weight in layer.get_weights()])
    difference = np.abs(array(filling(attack)) - attack)[0, :, 0]
    assert difference[64 * 20 :].max() > 1e-5
    assert difference[: 64 * 20 - 64].max() < 1e-3 * difference[64 * 20 :].max()


def test_untrained_network_adds_what_cannot_be_heard(waveform):
    model = build_model("paired_resnet_bands", **TINY)
    error = array(model(waveform)) - waveform
    level = 10.0 * np.log10(np.mean(np.square(error)) / np.mean(np.square(waveform)))
    assert level < -60.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_bands": 5},
        {"num_units": 3},
        {"dilation_rates": [1]},
        {"arrangement": "star"},
        {"lookahead": -1},
        {"hop_length": 32},
    ],
)
def test_network_says_what_it_needs(wrong):
    from keras_audiosr.errors import UsageError

    with pytest.raises(UsageError, match="received"):
        build_model("paired_resnet_bands", **{**TINY, **wrong})


@pytest.mark.parametrize("term", ["log_weight", "convergence_weight", "band_weight", "bias_weight", "snr_weight"])
def test_loss_keeps_to_what_is_known(term):
    """In each term, differences below the cutoff must count, and differences above it must not."""
    weights = dict.fromkeys(["log_weight", "convergence_weight", "band_weight", "bias_weight", "snr_weight"], 0.0)
    loss = SpectralDistance(**{**weights, term: 1.0})
    generator = np.random.default_rng(0)
    true = 0.1 * generator.standard_normal((1, 16384, 1)).astype("float32")
    spectrum = np.fft.rfft(true[0, :, 0])
    frequencies = np.fft.rfftfreq(16384, 1 / 44100)
    high = np.fft.irfft(np.where(frequencies > 16000, 9.0 * spectrum, spectrum))[None, :, None].astype("float32")
    low = np.fft.irfft(np.where(frequencies < 5000, 9.0 * spectrum, spectrum))[None, :, None].astype("float32")
    cutoff = np.array([15000.0], "float32")
    least = array(loss.call(true, true, cutoff))[0]
    # The side lobes of the Hann window leak a little of the difference above the cutoff to below it.
    assert array(loss.call(true, high, cutoff))[0] - least < 0.05 * (array(loss.call(true, high))[0] - least)
    assert array(loss.call(true, low, cutoff))[0] - least > 0.3


def test_loss_of_levels_is_the_difference_in_decibels():
    weights = {"log_weight": 0.0, "convergence_weight": 0.0, "snr_weight": 0.0}
    true = 0.1 * np.random.default_rng(0).standard_normal((2, 16384, 1)).astype("float32")
    for weight in ("band_weight", "bias_weight"):
        loss = SpectralDistance(**weights, **{"band_weight": 0.0, "bias_weight": 0.0, weight: 1.0})
        # Twice the amplitude is 6.02 dB more, which is 0.602 in log10 of power.
        assert np.allclose(array(loss.call(true, 2.0 * true)), 0.602, atol=0.003)


def test_loss_does_not_look_into_a_codecs_holes():
    true = 0.1 * np.random.default_rng(0).standard_normal(16384)
    spectrum, frequencies = np.fft.rfft(true), np.fft.rfftfreq(16384, 1 / 44100)
    hole = np.fft.irfft(np.where((frequencies > 8000) & (frequencies < 14000), 0.0, spectrum))
    loss = SpectralDistance(convergence_weight=0.0, snr_weight=0.0)
    true, hole = (signal[None, :, None].astype("float32") for signal in (true, hole))
    near, lossless = (array(loss.call(hole, true, np.array([cutoff], "float32")))[0] for cutoff in (20000.0, 22050.0))
    assert lossless > 2.0
    # What leaks over the edges of the hole is above the floor, so it still counts.
    assert near < 0.3 * lossless


def test_loss_is_finite_on_silence():
    silent = np.zeros((1, 8192, 1), "float32")
    assert np.isfinite(array(SpectralDistance().call(silent, silent))).all()
    assert np.isfinite(array(SpectralDistance().call(silent, silent + 1e-3))).all()
