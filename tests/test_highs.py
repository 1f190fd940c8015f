"""Tests the envelope line and the crest error against SciPy, and on signals whose values are known."""

import numpy as np
import pytest
import scipy.signal

from keras_audiosr.measures.highs import CREST_DEFINITION, ENVELOPE_DEFINITION, crest_error, envelope_line

SAMPLE_RATE = 44100


def noise(duration=6.0, channels=1, seed=0, sample_rate=SAMPLE_RATE):
    return 0.1 * np.random.default_rng(seed).standard_normal((int(duration * sample_rate), channels))


def pulses(frequency, sample_rate=SAMPLE_RATE, duration=6.0):
    """Returns noise with regular clicks. Overlapping frames that all have the same phase sound like this."""
    audio = noise(duration, sample_rate=sample_rate)
    audio[:: round(sample_rate / frequency)] += 2.0 * sample_rate / SAMPLE_RATE
    return audio


def band_of(audio, sample_rate=SAMPLE_RATE):
    filters = scipy.signal.butter(8, (13000, 19000), "bandpass", output="sos", fs=sample_rate)
    return scipy.signal.sosfiltfilt(filters, audio, axis=0)


def reference_line(audio):
    """Computes the envelope line with SciPy: recursive band-pass, Hilbert transform, Welch's method."""
    spectra = []
    for channel in np.abs(scipy.signal.hilbert(band_of(audio), axis=0)).T:
        for start in range(0, len(channel) - 16384 + 1, 8192):
            segment = channel[start : start + 16384]
            frequencies, power = scipy.signal.periodogram(segment / segment.mean(), SAMPLE_RATE, "hann")
            spectra.append(power)
    power = np.mean(spectra, axis=0)
    lines = []
    for index in np.flatnonzero((frequencies >= 40) & (frequencies <= 700)):
        away = np.abs(frequencies - frequencies[index])
        neighbours = power[(away > 6) & (away < 41) & (frequencies > 0)]
        lines.append(10 * np.log10(power[index] / np.median(neighbours)))
    return max(lines)


@pytest.mark.parametrize("channels", [1, 2])
def test_envelope_line_agrees_with_scipy(make_music, channels):
    for audio in (make_music(duration=6.0, channels=channels), pulses(86.13), noise(channels=channels)):
        assert envelope_line(audio, SAMPLE_RATE) == pytest.approx(reference_line(audio), abs=0.7)


def test_noise_has_no_line_and_a_pulse_train_has():
    assert envelope_line(noise(channels=2), SAMPLE_RATE) < 3.5
    # This is the rate of frames of 512 samples at 44.1 kHz, at which version 0.1.0 buzzed.
    assert envelope_line(pulses(86.13), SAMPLE_RATE) > 15.0


@pytest.mark.parametrize("depth", [0.1, 0.2, 0.4])
def test_line_of_modulated_noise_is_what_theory_says(depth):
    # The modulation lies in bin 32 of a segment of N samples. With a Hann window the power of the line is
    # depth^2 N^2 / 16, and the power of the noise around it is 3 N / 8 times the density. The relative power of the
    # noise in a Rayleigh envelope, 4 / pi - 1, is spread over 6 kHz, so the density is that power divided by 6,000 and
    # multiplied by the sample rate.
    audio = noise(12.0)
    time = np.arange(len(audio)) / SAMPLE_RATE
    audio *= (1.0 + depth * np.sin(2 * np.pi * 32 * SAMPLE_RATE / 16384 * time))[:, None]
    length, density = 16384, (4 / np.pi - 1) / 6000 * SAMPLE_RATE
    expected = 10 * np.log10(depth**2 * length**2 / 16 / (3 / 8 * length * density))
    assert envelope_line(audio, SAMPLE_RATE) == pytest.approx(expected, abs=1.2)


@pytest.mark.parametrize("sample_rate", [32000, 48000, 96000])
def test_other_sample_rates(sample_rate):
    assert envelope_line(noise(sample_rate=sample_rate), sample_rate) < 3.5
    assert envelope_line(pulses(93.75, sample_rate), sample_rate) > 12.0


def test_level_does_not_matter_until_it_is_silent():
    audio = pulses(86.13)
    assert envelope_line(0.01 * audio, SAMPLE_RATE) == pytest.approx(envelope_line(audio, SAMPLE_RATE), abs=1e-3)
    assert envelope_line(1e-5 * audio, SAMPLE_RATE) is None


def test_silent_parts_do_not_count():
    audio = np.concatenate([noise(), np.zeros((6 * SAMPLE_RATE, 1))])
    # The two segments at the seam contain a step from noise to silence, which must not count as a line.
    assert envelope_line(audio, SAMPLE_RATE) < 3.5


def test_what_cannot_be_judged():
    low = scipy.signal.sosfilt(scipy.signal.butter(12, 8000, output="sos", fs=SAMPLE_RATE), noise(), axis=0)
    assert envelope_line(low, SAMPLE_RATE) is None
    assert envelope_line(np.zeros((SAMPLE_RATE * 3, 2)), SAMPLE_RATE) is None
    assert envelope_line(noise(1.0), SAMPLE_RATE) is None
    assert envelope_line(noise(sample_rate=22050), 22050) is None
    assert envelope_line(noise(0.001), SAMPLE_RATE) is None
    assert crest_error(low, noise(), SAMPLE_RATE) is None
    assert crest_error(noise(), low, SAMPLE_RATE) is None
    assert crest_error(noise(), noise(), SAMPLE_RATE, limit=15000.0) is None
    assert crest_error(noise(0.05), noise(0.05), SAMPLE_RATE) is None


def reference_crest_error(true, pred):
    blocks = [band_of(audio).T for audio in (true, pred)]
    blocks = [audio[:, : audio.shape[1] // 256 * 256].reshape(-1, 256) for audio in blocks]
    levels = [np.sqrt((audio**2).mean(axis=1)) for audio in blocks]
    crests = [20 * np.log10(np.abs(audio).max(axis=1) / level) for audio, level in zip(blocks, levels, strict=True)]
    louder = levels[0] >= np.median(levels[0])
    return (crests[1] - crests[0])[louder].mean()


def test_crest_error_agrees_with_scipy(make_music):
    true = make_music(duration=3.0).astype(np.float64)
    clicks = true.copy()
    clicks[::2000] += 0.3
    for pred in (clicks, true + noise(3.0, 2)):
        assert crest_error(true, pred, SAMPLE_RATE) == pytest.approx(reference_crest_error(true, pred), abs=0.15)


def test_crest_of_a_sine_and_of_a_copy():
    true = noise()
    sine = np.sin(2 * np.pi * 16000 / SAMPLE_RATE * np.arange(len(true)))[:, None]
    assert crest_error(true, true, SAMPLE_RATE) == 0.0
    assert crest_error(true, 0.1 * true, SAMPLE_RATE) == pytest.approx(0.0, abs=1e-4)
    # The crest factor of a sine is 3.01 dB. It is not met exactly here, because a period has only 2.8 samples.
    assert crest_error(sine, sine + 1e-9, SAMPLE_RATE) == pytest.approx(0.0, abs=1e-3)
    tone = np.sin(2 * np.pi * 15000 / SAMPLE_RATE * np.arange(len(true)))[:, None]
    assert crest_error(sine, tone, SAMPLE_RATE) == pytest.approx(0.0, abs=0.1)
    assert crest_error(true, sine, SAMPLE_RATE) < -4.0
    assert crest_error(sine, true, SAMPLE_RATE) > 4.0


def test_only_the_louder_half_counts():
    true = noise(4.0)
    true[len(true) // 2 :] *= 0.1
    pred = true.copy()
    pred[len(true) // 2 + 1000 :: 500] += 0.5
    assert abs(crest_error(true, pred, SAMPLE_RATE)) < 0.1


def test_definitions_say_what_is_computed():
    for part in ("13 to 19 kHz", "16384", "40 to 700 Hz", "-100 dB"):
        assert part in ENVELOPE_DEFINITION
    assert "256" in CREST_DEFINITION
