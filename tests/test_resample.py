"""Tests restoration at other sample rates: only the model's correction is resampled, and it has no lag."""

import numpy as np
import pytest
from equivalence import agree

from keras_audiosr.sound.framing import OverlapSave, process_blocks
from keras_audiosr.sound.resample import CorrectionAtRate, Resampler

RATES = [8000, 11025, 16000, 22050, 32000, 48000, 96000, 192000]


def correct(signal, sample_rate, predict, block_length=4096):
    processor = CorrectionAtRate(OverlapSave(predict, 4096, 512, signal.shape[1]), sample_rate, 44100, signal.shape[1])
    blocks = [signal[start : start + block_length] for start in range(0, len(signal), block_length)]
    parts = list(process_blocks(processor, blocks))
    return np.concatenate(parts) if parts else signal[:0]


def noise(length):
    return (0.1 * np.random.default_rng(0).standard_normal((length, 2))).astype(np.float32)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("length", [1, 7, 999, 30_001])
def test_a_model_that_changes_nothing_leaves_every_bit(sample_rate, length):
    signal = noise(length)
    for channel in (signal[:, :1], signal[:, 1:]):
        np.testing.assert_array_equal(correct(channel, sample_rate, lambda windows: windows), channel)
    # Mid and side can need one bit more than left and right. The difference is at most what float32 rounds off.
    agree(correct(signal, sample_rate, lambda windows: windows), signal, 2**-23)


@pytest.mark.parametrize("sample_rate", RATES)
def test_the_correction_has_no_lag_and_the_right_size(sample_rate):
    # The model doubles its input, so the correction equals the signal, which lies below both Nyquist frequencies.
    time = np.arange(sample_rate) / sample_rate
    signal = sum(np.sin(2 * np.pi * f * time**1.5) for f in (200, 350, 800))[:, None].astype(np.float32) * 0.1
    restored = correct(signal, sample_rate, lambda windows: 2 * windows)
    assert restored.shape == signal.shape
    correction = (restored - signal)[:, 0]
    correlation = np.fft.irfft(np.fft.rfft(correction, 1 << 19) * np.conj(np.fft.rfft(signal[:, 0], 1 << 19)))
    assert np.argmax(correlation) == 0
    inner = slice(len(signal) // 20, -len(signal) // 20)
    # Two conversions of quality HQ need a tolerance of -66 dB. A lag of 0.01 samples at 44.1 kHz would exceed it.
    assert np.abs(correction - signal[:, 0])[inner].max() < 5e-4 * np.abs(signal).max()


def test_block_sizes_do_not_matter():
    signal = noise(20_000)
    outputs = [correct(signal, 48000, lambda windows: 2 * windows, length) for length in (64, 3000, 20_000)]
    for output in outputs[1:]:
        agree(output, outputs[0], 1e-6)


def test_what_lies_above_the_model_stays():
    # A 44.1 kHz model cannot see a tone of 30 kHz at a sample rate of 96 kHz. The tone must stay unchanged, even if the
    # model returns silence.
    time = np.arange(96000) / 96000
    signal = (0.3 * np.sin(2 * np.pi * 30_000 * time))[:, None].astype(np.float32)
    restored = correct(signal, 96000, lambda windows: 0 * windows)
    np.testing.assert_allclose(restored[2000:-2000], signal[2000:-2000], atol=1e-5)


def test_resampler_length():
    resampler = Resampler(48000, 44100, 1)
    length = len(resampler.push(np.zeros((48000, 1)))) + len(resampler.finish())
    assert length == 44100
