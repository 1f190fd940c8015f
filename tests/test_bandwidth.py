"""Tests the measured cutoff and brick wall, on noise with known low-passes and on the output of real codecs."""

import numpy as np
import pytest

from keras_audiosr.files.audio_files import read, write
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.sound.bandwidth import SpectrumMeter, brick_wall, estimate_cutoff


def noise(cutoff: float | None, sample_rate: int = 44100, duration: float = 4.0, channels: int = 2, gain: float = 0.1):
    """Returns white noise after an ideal low-pass, rounded to 16 bits: array `(time, channels)`."""
    length = int(duration * sample_rate)
    audio = np.random.default_rng(7).standard_normal((length, channels))
    if cutoff is not None:
        spectrum = np.fft.rfft(audio, axis=0)
        spectrum[int(cutoff * duration) :] = 0.0
        audio = np.fft.irfft(spectrum, n=length, axis=0)
    return (np.round(gain * audio * 32767) / 32768).astype(np.float32)


@pytest.mark.parametrize("cutoff", [4000, 8000, 11000, 16000, 19000])
@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_finds_a_low_pass_to_within_100_hz(cutoff, sample_rate):
    audio = noise(cutoff, sample_rate)
    assert estimate_cutoff(audio, sample_rate) == pytest.approx(cutoff, abs=100)
    assert brick_wall(audio, sample_rate) == pytest.approx(cutoff, abs=100)


@pytest.mark.parametrize("sample_rate", [8000, 22050, 32000, 44100, 96000, 192000])
def test_a_full_band_has_no_cutoff_and_no_wall(sample_rate):
    audio = noise(None, sample_rate, duration=2.0)
    assert estimate_cutoff(audio, sample_rate) == sample_rate / 2
    assert brick_wall(audio, sample_rate) is None


def test_the_converters_own_filter_is_no_wall():
    assert brick_wall(noise(20500), 44100) is None
    assert estimate_cutoff(noise(20500), 44100) == pytest.approx(20500, abs=100)


def test_a_high_rate_file_of_low_rate_origin_has_a_wall():
    assert brick_wall(noise(16000, 96000), 96000) == pytest.approx(16000, abs=100)


def test_blocks_give_what_the_whole_gives():
    audio = noise(11000, duration=3.0)
    meter = SpectrumMeter(44100)
    for start in range(0, len(audio), 1000):
        meter.add(audio[start : start + 1000])
    assert meter.cutoff() == estimate_cutoff(audio, 44100)
    assert meter.brick_wall() == brick_wall(audio, 44100)


def tones(*frequencies: float) -> np.ndarray:
    time = np.arange(4 * 44100) / 44100
    return np.stack([0.2 * sum(np.sin(2 * np.pi * f * time) for f in frequencies)] * 2, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("silence", np.zeros((44100 * 4, 2))),
        ("dither", np.random.default_rng(0).integers(-1, 2, (44100 * 4, 2)) / 32768),
        ("quiet", noise(11000, gain=1e-5)),
        ("too short", noise(11000)[:40000]),
        ("one sample", np.ones((1, 1))),
        ("empty", np.zeros((0, 2))),
        ("tones only", tones(440.0, 1000.0, 5000.0, 9000.0)),
        ("constant", np.full((44100 * 4, 1), 0.5)),
        ("not a number", np.full((44100 * 4, 1), np.nan)),
    ],
)
def test_what_shows_no_wall_is_not_called_lossy(name, audio):
    assert brick_wall(audio, 44100) is None, name
    assert 0.0 <= estimate_cutoff(audio, 44100) <= 22050.0


def test_silence_counts_as_full_band():
    assert estimate_cutoff(np.zeros((44100, 1)), 44100) == 22050.0


def test_mono_arrays_need_no_channel_axis():
    audio = noise(8000, channels=1)
    assert estimate_cutoff(audio[:, 0], 44100) == estimate_cutoff(audio, 44100)


def test_a_slow_natural_decay_is_no_wall():
    # Above 1.5 kHz the spectrum falls by 36 dB an octave, which is as steep as the spectra of instruments get. Near
    # 10 kHz it reaches the rounding noise of 16 bits.
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(44100 * 4))
    frequency = np.arange(len(spectrum)) / 4
    audio = np.fft.irfft(spectrum / (1 + (frequency / 1500) ** 6))
    audio = np.round(0.5 * audio / np.abs(audio).max() * 32767) / 32768
    assert brick_wall(audio, 44100) is None
    assert estimate_cutoff(audio, 44100) < 20000


@pytest.mark.parametrize(
    ("suffix", "arguments", "low", "high"),
    [
        # The bounds contain the low-pass that LAME chooses for joint stereo, and that of FFmpeg's AAC encoder.
        (".mp3", ["-c:a", "libmp3lame", "-b:a", "32k"], 5000, 6500),
        (".mp3", ["-c:a", "libmp3lame", "-b:a", "64k"], 10500, 11500),
        (".mp3", ["-c:a", "libmp3lame", "-b:a", "96k"], 14500, 15700),
        (".m4a", ["-c:a", "aac", "-b:a", "64k"], 11900, 13000),
    ],
)
def test_a_real_codecs_low_pass_is_found_and_called_lossy(tmp_path, make_music, suffix, arguments, low, high):
    write(tmp_path / "lossless.wav", make_music(4.0), 44100)
    lossy = tmp_path / f"lossy{suffix}"
    assert run_ffmpeg("-i", str(tmp_path / "lossless.wav"), *arguments, str(lossy)).returncode == 0
    audio, sample_rate = read(lossy)
    assert low < estimate_cutoff(audio, sample_rate) < high
    rounded = np.round(audio * 32767) / 32768
    assert low < brick_wall(rounded, sample_rate) < high
    assert brick_wall(make_music(4.0), 44100) is None
