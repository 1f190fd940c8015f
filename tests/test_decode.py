"""Tests that all decoders return the same aligned samples, and that their errors name the file."""

import sys
import types

import numpy as np
import pytest
import soundfile

from keras_audiosr.codecs.align import MISSING_ALLOWED, measure_delay
from keras_audiosr.datasets import decode as decode_module
from keras_audiosr.datasets.decode import choose_decoder, decode, decode_pair, tensorflow_io_runs
from keras_audiosr.errors import AudioFileError, PairError, UsageError
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.shelf.manifests import Pair

needs_tensorflow_io = pytest.mark.skipif(not tensorflow_io_runs(), reason="tensorflow-io's operations do not run")
ENCODERS = {
    "mp3": ("libmp3lame", "64k"),
    "ogg": ("libvorbis", "96k"),
    "m4a": ("aac", "96k"),
    "opus": ("libopus", "64k"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory, make_music):
    """Returns a folder with two FLAC files of two seconds, and the lossy twins of each by all encoders.

    loud.flac is song.flac three times as loud and clipped. Its lossy twins have peaks above 1.0.
    """
    folder = tmp_path_factory.mktemp("clips")
    audio = make_music(2.0)
    soundfile.write(folder / "song.flac", audio, 44100, subtype="PCM_16")
    soundfile.write(folder / "loud.flac", np.clip(3.0 * audio, -1.0, 1.0), 44100, subtype="PCM_16")
    for stem in ("song", "loud"):
        for suffix, (encoder, bitrate) in ENCODERS.items():
            arguments = ["-i", f"{folder}/{stem}.flac", "-c:a", encoder, "-b:a", bitrate, f"{folder}/{stem}.{suffix}"]
            done = run_ffmpeg(*arguments)
            assert done.returncode == 0, done.stderr
    return folder


def make_pair(lossy: str, **changes) -> Pair:
    values = {
        "lossless": "song.flac", "lossy": lossy, "album": "Album", "track": 1, "title": "Song", "duration": 2.0,
        "length": 88200, "sample_rate": 44100, "channels": 2, "md5": "", "codec": "mp3@64k", "encoder": "LAME",
        "delay": 0, "decoder": "any",
    }  # fmt: skip
    return Pair(**{**values, **changes})


@needs_tensorflow_io
@pytest.mark.parametrize(("name", "subtype"), [("a.flac", "PCM_16"), ("a.flac", "PCM_24"), ("a.wav", "PCM_16"),
                                               ("a.wav", "PCM_24"), ("a.wav", "PCM_32"), ("a.wav", "FLOAT"),
                                               ("a.wav", "PCM_U8"), ("a.flac", "PCM_S8")])  # fmt: skip
def test_lossless_files_decode_to_the_same_samples_bit_for_bit(tmp_path, make_music, name, subtype):
    soundfile.write(tmp_path / name, make_music(0.5), 44100, subtype=subtype)
    expected, _ = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
    for decoder in ("soundfile", "tensorflow-io", "ffmpeg"):
        np.testing.assert_array_equal(decode(tmp_path / name, 44100, decoder), expected, err_msg=decoder)


@pytest.mark.parametrize("stem", ["song", "loud"])
@pytest.mark.parametrize("decoder", ["soundfile", pytest.param("tensorflow-io", marks=needs_tensorflow_io)])
@pytest.mark.parametrize(("suffix", "tolerance"), [("mp3", 1e-5), ("ogg", 1e-5), ("m4a", 0.0), ("opus", 0.0)])
def test_lossy_files_decode_to_the_same_samples(clips, stem, decoder, suffix, tolerance):
    path = clips / f"{stem}.{suffix}"
    expected = decode(path, 44100, "ffmpeg")
    audio = decode(path, 44100, decoder)
    length = 88200
    assert audio.dtype == np.float32
    assert min(len(audio), len(expected)) >= length
    np.testing.assert_allclose(audio[:length], expected[:length], rtol=0, atol=tolerance)
    if stem == "loud":
        assert np.abs(audio).max() > 1.0  # No decoder may clip.


@needs_tensorflow_io
def test_tensorflow_io_is_what_decodes_when_asked(clips, monkeypatch):
    asked = []
    real = decode_module._decode_with_tensorflow_io
    monkeypatch.setattr(
        decode_module, "_decode_with_tensorflow_io", lambda path, *rest: asked.append(path.suffix) or real(path, *rest)
    )
    for suffix in ("flac", "mp3", "ogg"):
        decode(clips / f"song.{suffix}", 44100, "tensorflow-io")
    decode(clips / "song.flac", 44100, "soundfile")
    assert asked == [".flac", ".mp3"]


@needs_tensorflow_io
def test_pairs_that_need_ffmpeg_get_it_for_the_lossy_side(clips, monkeypatch):
    monkeypatch.setattr(decode_module.audio_files, "read", lambda path, rate: (np.ones((88200, 2), "float32"), rate))
    lossless, lossy = decode_pair(make_pair("song.mp3", decoder="ffmpeg"), clips, "tensorflow-io")
    assert lossy.min() == 1.0
    assert lossless.min() < 0.0


def test_a_pair_is_aligned_by_its_delay_and_has_the_sources_length(clips, make_music):
    for suffix in ENCODERS:
        lossless, lossy = decode_pair(make_pair(f"song.{suffix}"), clips)
        assert lossless.shape == lossy.shape == (88200, 2)
        lag = np.argmax(np.correlate(lossy[2000:-2000, 0], lossless[3000:-3000, 0], mode="valid")) - 1000
        assert abs(lag) <= 1, suffix
    whole = decode(clips / "song.mp3", 44100)
    for delay in (0, 7, 4000):
        _, lossy = decode_pair(make_pair("song.mp3", delay=delay), clips)
        expected = whole[delay : delay + 88200]
        np.testing.assert_array_equal(lossy[: len(expected)], expected)
        assert not lossy[len(expected) :].any()
    _, early = decode_pair(make_pair("song.mp3", delay=-5), clips)
    np.testing.assert_array_equal(early[5:], whole[: 88200 - 5])


def test_other_sample_rates_are_resampled(tmp_path, make_music):
    soundfile.write(tmp_path / "slow.wav", make_music(1.0, sample_rate=16000), 16000)
    assert decode(tmp_path / "slow.wav", 44100).shape == (44100, 2)


@pytest.mark.parametrize("decoder", ["soundfile", "ffmpeg", pytest.param("tensorflow-io", marks=needs_tensorflow_io)])
@pytest.mark.parametrize("suffix", ["mp3", "opus"])
def test_a_truncated_twin_is_an_error_that_names_it(clips, tmp_path, decoder, suffix):
    # soundfile and FFmpeg return the first half of such a file without an error.
    (tmp_path / "song.flac").write_bytes((clips / "song.flac").read_bytes())
    data = (clips / f"song.{suffix}").read_bytes()
    (tmp_path / f"half.{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioFileError, match=rf"half\.{suffix}") as caught:
        decode_pair(make_pair(f"half.{suffix}"), tmp_path, decoder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"x", b"words, not music\n" * 50])
def test_a_bad_file_is_an_error_that_names_it(tmp_path, content):
    if content is not None:
        (tmp_path / "bad.mp3").write_bytes(content)
    with pytest.raises(AudioFileError, match=r"bad\.mp3"):
        decode(tmp_path / "bad.mp3", 44100)


@pytest.mark.parametrize("lag", [0, 300])
def test_encode_and_training_accept_the_same_ends(tmp_path, make_music, lag):
    """`encode`, which uses `measure_delay`, and training allow the same number of missing samples at a twin's end."""
    audio = make_music(2.0)
    soundfile.write(tmp_path / "song.flac", audio, 44100, subtype="PCM_16")
    delayed = np.pad(audio, ((lag, 0), (0, 0)))
    for missing, accepted in ((MISSING_ALLOWED, True), (MISSING_ALLOWED + 1, False)):
        soundfile.write(tmp_path / "twin.flac", delayed[: len(delayed) - missing], 44100, subtype="PCM_16")
        lossless, lossy = (decode(tmp_path / name, 44100) for name in ("song.flac", "twin.flac"))
        pair = make_pair("twin.flac", delay=lag)
        if accepted:
            assert measure_delay(lossless, lossy, 44100).delay == lag
            _, twin = decode_pair(pair, tmp_path)
            np.testing.assert_array_equal(twin[:-missing], lossless[:-missing])
            assert not twin[-missing:].any()
        else:
            with pytest.raises(PairError, match="are missing at the end"):
                measure_delay(lossless, lossy, 44100)
            with pytest.raises(AudioFileError, match="may be truncated"):
                decode_pair(pair, tmp_path)


def test_a_source_that_changed_is_an_error(clips):
    with pytest.raises(AudioFileError, match="song.flac.*rip it again"):
        decode_pair(make_pair("song.mp3", length=88000), clips)
    with pytest.raises(AudioFileError, match="song.flac"):
        decode_pair(make_pair("song.mp3", channels=1), clips)


def test_names_that_are_not_utf8_decode(clips, tmp_path):
    for suffix in ("flac", "mp3"):
        path = tmp_path / f"caf\udce9.{suffix}"
        path.write_bytes((clips / f"song.{suffix}").read_bytes())
        for decoder in ("soundfile", "tensorflow-io") if tensorflow_io_runs() else ("soundfile",):
            np.testing.assert_allclose(decode(path, 44100, decoder), decode(clips / f"song.{suffix}", 44100), atol=1e-5)


def test_decoders_are_chosen_by_name(monkeypatch):
    assert choose_decoder(None) == "soundfile"
    with pytest.raises(UsageError, match="soundfile, tensorflow-io, ffmpeg"):
        choose_decoder("sox")
    monkeypatch.setattr(decode_module, "tensorflow_io_runs", lambda: False)
    with pytest.raises(UsageError, match="use 'soundfile'"):
        choose_decoder("tensorflow-io")


def test_the_probe_needs_an_operation_not_only_an_import(monkeypatch):
    # With TensorFlow 2.18 and later the import succeeds, but the first operation raises NotImplementedError.
    def decode_wav(*_, **__):
        raise NotImplementedError

    broken = types.SimpleNamespace(audio=types.SimpleNamespace(decode_wav=decode_wav))
    monkeypatch.setitem(sys.modules, "tensorflow_io", broken)
    tensorflow_io_runs.cache_clear()
    try:
        assert not tensorflow_io_runs()
    finally:
        tensorflow_io_runs.cache_clear()
