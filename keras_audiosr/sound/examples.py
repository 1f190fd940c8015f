"""Synthetic sounds with which models are tested."""

import numpy as np


def example_windows(window_length: int, sample_rate: int) -> np.ndarray:
    """Makes four test windows: noise, tones low-passed at 11 kHz, the same 60 dB lower, and the same half silent.

    Args:
        window_length: samples per window.
        sample_rate: Hz.

    Returns:
        Array `(4, window_length, 1)` float32.
    """
    generator = np.random.default_rng(0)
    time = np.arange(window_length) / sample_rate
    noise = 0.3 * generator.standard_normal(window_length)
    music = 0.02 * generator.standard_normal(window_length)
    for frequency in 110.0 * 2 ** (generator.integers(0, 60, size=12) / 12):
        music += 0.05 * np.exp(-3 * (time % 0.25)) * np.sin(2 * np.pi * frequency * time)
    spectrum = np.fft.rfft(music)
    spectrum[np.fft.rfftfreq(window_length, 1 / sample_rate) > 11_000] = 0
    music = np.fft.irfft(spectrum, window_length)
    half = np.where(np.arange(window_length) < window_length // 2, music, 0.0)
    return np.stack([noise, music, 1e-3 * music, half])[:, :, None].astype(np.float32)
