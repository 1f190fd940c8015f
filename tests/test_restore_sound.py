"""Tests how `restore` treats the sound: strength, sample rates, peaks, dither, silence and the stereo image."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from levels import true_peak
from tiny_model import tiny_export

from keras_audiosr.errors import UsageError
from keras_audiosr.files.writers import Writer
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner
from keras_audiosr.sound.blend import Blend, channel_strengths
from keras_audiosr.sound.dither import Dither
from keras_audiosr.sound.framing import process_blocks
from keras_audiosr.sound.limiter import Limiter
from keras_audiosr.sound.resample import RateConverter
from keras_audiosr.stages.restore import restore


def restored(tmp_path, audio, sample_rate=44100, suffix=".flac", **options):
    """Writes `audio` to a file and restores it; returns the samples and the sample rate of the output."""
    source, target = tmp_path / "in.wav", tmp_path / f"out{suffix}"
    soundfile.write(source, audio, sample_rate, subtype="FLOAT")
    restore(source, target, options.pop("model", tiny_export()), overwrite=True, force=True, **options)
    return soundfile.read(target, always_2d=True)


def snr(reference, signal):
    return 10 * np.log10(np.sum(reference**2.0) / np.sum((signal - reference) ** 2.0))


def test_strength_blends(tmp_path, make_music):
    audio = make_music(1.0)
    full = load_runner(tiny_export()).run(audio) - audio
    for strength in (0.0, 0.25, 1.0):
        out, _ = restored(tmp_path, audio, strength=strength)
        # The tolerance is half an LSB of 24 bits plus the rounding of float32.
        np.testing.assert_allclose(out, audio + strength * full, atol=1.3e-7)
    restore(tmp_path / "in.wav", tmp_path / "out.wav", tiny_export(), subtype="FLOAT", force=True, strength=0.0)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "out.wav")[0], audio)


def test_a_low_frequency_channel_is_left_alone(tmp_path, make_music):
    audio = make_music(0.5, channels=6)
    soundfile.write(tmp_path / "in.wav", audio, 44100, subtype="FLOAT")
    assert (
        run_ffmpeg("-i", str(tmp_path / "in.wav"), "-c:a", "ac3", "-b:a", "448k", str(tmp_path / "a.ac3")).returncode
        == 0
    )
    restore(tmp_path / "a.ac3", tmp_path / "out.flac", tiny_export())
    restore(tmp_path / "a.ac3", tmp_path / "same.flac", tiny_export(), strength=0.0)
    changed = soundfile.read(tmp_path / "out.flac")[0] != soundfile.read(tmp_path / "same.flac")[0]
    assert changed.any(axis=0).tolist() == [True, True, True, False, True, True]
    assert channel_strengths(3, 0.5, "2.1").tolist() == [0.5, 0.5, 0.0]
    assert channel_strengths(6, 1.0).tolist() == [1.0] * 6


@pytest.mark.parametrize("blocks", [1, 7, 1000])
def test_blend_does_not_depend_on_the_blocks(make_music, blocks):
    audio = make_music(0.4)
    whole = Blend(load_runner(tiny_export()).processor(2), channel_strengths(2, 0.3))
    expected = np.concatenate(list(process_blocks(whole, [audio])))
    pieces = Blend(load_runner(tiny_export()).processor(2), channel_strengths(2, 0.3))
    found = np.concatenate(list(process_blocks(pieces, np.array_split(audio, blocks))))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sample_rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_rates(tmp_path, make_music, sample_rate, rate):
    audio = make_music(0.61, sample_rate)
    out, found = restored(tmp_path, audio, sample_rate, rate=rate, strength=0.0)
    assert (found, len(out)) == (rate, round(len(audio) * rate / sample_rate))
    # The output is converted back and compared in the band that both rates have. An error below -45 dB also shows that
    # nothing is shifted.
    back = RateConverter(rate, sample_rate, 2)
    back = np.concatenate([back.push(out.astype(np.float32)), back.finish()])[: len(audio)]
    band = np.fft.rfftfreq(len(back), 1 / sample_rate) < 0.4 * min(rate, sample_rate)
    spectra = [np.fft.rfft(signal[: len(back)], axis=0)[band] for signal in (audio, back)]
    assert 10 * np.log10(np.sum(abs(spectra[0]) ** 2) / np.sum(abs(spectra[1] - spectra[0]) ** 2)) > 45


def test_a_model_gets_room_before_it_is_asked(tmp_path, make_music):
    # A file at 22.05 kHz with an output at 44.1 kHz is resampled before it is restored, so the upper half is not empty.
    audio = make_music(1.0, 22050)
    out, _ = restored(tmp_path, audio, 22050, rate=44100)
    same, _ = restored(tmp_path, audio, 22050, rate=44100, strength=0.0)
    upper = slice(int(0.6 * 22050), None)
    powers = [np.sum(abs(np.fft.rfft(signal[:44100, 0])[upper]) ** 2) for signal in (out, same)]
    assert powers[0] > 100 * powers[1]


def test_silence_stays_silence(tmp_path, make_music):
    audio = np.concatenate([make_music(0.5), np.zeros((44100, 2), np.float32)])
    for options in ({}, {"suffix": ".wav"}, {"rate": 48000}):
        out, rate = restored(tmp_path, audio, **options)
        assert not np.round(out[int(0.9 * rate) :] * 2**15).any()
    out, _ = restored(tmp_path, np.zeros((44100, 2)), suffix=".wav")
    assert not out.any()


def test_polarity_level_and_image_stay(tmp_path):
    """The bundled model keeps polarity, level and image of a clip whose right channel is delayed and 6 dB quieter."""
    clip, rate = soundfile.read(Path(__file__).parent / "data" / "loop_tabla.mp3", dtype="float32", always_2d=True)
    clip = clip[: 3 * rate, 0]
    song = 0.5 * np.stack([clip, 0.5 * np.roll(clip, 20)], axis=1)
    out, _ = restored(tmp_path, song, rate, suffix=".wav", model=None)
    swapped, _ = restored(tmp_path, song[:, ::-1], rate, suffix=".wav", model=None)
    quieter, _ = restored(tmp_path, song / 8, rate, suffix=".wav", model=None)
    assert snr(out, 8 * quieter) > 60
    # Swapping left and right inverts the side. The network is an odd function, so the output is swapped too.
    np.testing.assert_array_equal(out, swapped[:, ::-1])
    for sign in (1, -1):
        out, _ = restored(tmp_path, sign * song, rate, suffix=".wav", model=None)
        assert snr(sign * song, out) > 10
    # The level may change by 0.5 dB, its difference between the channels by 0.1 dB, and their correlation by 0.01.
    levels = [10 * np.log10(np.mean(signal**2.0, axis=0)) for signal in (song, out)]
    assert np.abs(levels[1] - levels[0]).max() < 0.5
    assert abs(np.diff(levels[1]) - np.diff(levels[0])) < 0.1
    assert abs(np.corrcoef(song.T)[0, 1] - np.corrcoef(out.T)[0, 1]) < 0.01


def hot():
    """Returns one second of a sine at a quarter of the sample rate, sampled between its peaks.

    In a burst of 100 ms its samples reach 0.92, but its true peaks reach 1.3.
    """
    time = np.arange(44100)
    level = np.full(44100, 0.2)
    level[20000:24410] += 1.1 * np.hanning(4410)
    tone = np.sin(np.pi / 2 * time + np.pi / 4) * level
    return np.stack([tone, 0.1 * tone], axis=1).astype(np.float32)


def test_true_peaks_are_seen_between_samples():
    audio = hot()
    assert np.abs(audio).max() < 0.93
    assert true_peak(audio, 44100) == pytest.approx(1.3, abs=0.01)


@pytest.mark.parametrize("pieces", [1, 3, 997])
def test_the_limiter_turns_down_true_peaks_and_nothing_else(pieces):
    audio = hot()
    limiter = Limiter(44100, 2)
    out = np.concatenate(list(process_blocks(limiter, np.array_split(audio, pieces))))
    assert out.shape == audio.shape and out.dtype == np.float32
    # 0.1 dB over full scale is allowed, because the gain changes within the length of the interpolation filter.
    assert true_peak(out, 44100) < 1.012
    assert limiter.reduction == pytest.approx(20 * np.log10(1.3), abs=0.1)
    # True peaks exceed full scale for over 30 ms, and the gain also changes in the 10 ms before and after.
    changed = (out != audio).any(axis=1)
    assert 0.03 < changed.mean() < 0.06
    assert limiter.limited == pytest.approx(changed.sum(), abs=20)  # the smallest reductions change no float32 sample
    # Both channels have the same gain.
    np.testing.assert_allclose(out[:, 1], 0.1 * out[:, 0], atol=1e-7)
    expected = np.concatenate(list(process_blocks(Limiter(44100, 2), [audio])))
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_the_limiter_leaves_what_is_under_full_scale_bit_for_bit(make_music):
    audio = make_music(0.5)
    limiter = Limiter(44100, 2)
    np.testing.assert_array_equal(np.concatenate(list(process_blocks(limiter, [audio]))), audio)
    assert (limiter.limited, limiter.reduction) == (0, 0.0)
    for length in (0, 1, 50):
        assert len(list(process_blocks(Limiter(44100, 1), [audio[:length, :1]]))) == (length > 0)


def test_clip_is_explicit(tmp_path):
    audio = np.full((30_000, 1), 0.5, np.float32)
    audio[15_000:15_010] = 1.5
    same = {"strength": 0.0}
    clamped, _ = restored(tmp_path, audio, **same)
    assert clamped.max() == 1 - 2**-23 and np.count_nonzero(clamped != audio) == 10
    limited, _ = restored(tmp_path, audio, clip="limit", **same)
    assert limited.max() <= 1 - 2**-23 and 10 < np.count_nonzero(limited != audio) < 1500
    source, target = tmp_path / "in.wav", tmp_path / "float.wav"
    for clip, peak in ((None, 1.5), ("none", 1.5), ("clamp", 1.0)):
        (told,) = restore(
            source, target, tiny_export(), subtype="FLOAT", clip=clip, overwrite=True, force=True, **same
        ).restored
        assert soundfile.read(target)[0].max() == peak
        assert told.clipped == (10 if clip == "clamp" else 0)
    with pytest.raises(UsageError, match="only floating point"):
        restore(source, tmp_path / "x.flac", tiny_export(), clip="none")
    (told,) = restore(source, target, tiny_export(), clip="limit", overwrite=True, force=True, **same).restored
    assert "peaks were turned down by up to 4." in told.warnings[0]


def written(audio, bits):
    blocks = []
    writer = Writer(blocks.append, bits)
    for block in np.array_split(audio, 5):
        writer.write(block)
    return np.concatenate(blocks) / 2.0**31


def test_sixteen_bits_are_dithered():
    # Plain rounding would remove a tone of a quarter LSB. With dither it remains, within noise.
    tone = (0.25 / 2**15 * np.sin(2 * np.pi * 1000 * np.arange(1 << 17) / 44100))[:, None].astype(np.float32)
    out = written(tone, 16)
    assert abs(np.vdot(out, tone) / np.vdot(tone, tone) - 1.0) < 0.05
    error = (out - tone) * 2**15
    # The power of dither (TPDF) and rounding together is a quarter of a squared LSB, whatever the music.
    assert np.mean(error**2) == pytest.approx(0.25, rel=0.05)
    assert abs(np.mean(error)) < 0.01
    assert np.abs(error).max() < 1.5
    np.testing.assert_array_equal(out, written(tone, 16))


def test_what_sixteen_bits_hold_gets_no_dither():
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (10_000, 2)) / 2.0**15
    np.testing.assert_array_equal(written(samples.astype(np.float32), 16), samples)
    assert not Dither(16)(np.zeros((100, 1))).any()
