"""Tests the round trip through every codec: no lag, the exact length, and the same bytes each time.

Also tests lossy files that the user brings.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import music

from keras_audiosr.codecs import CodecSpec, encode_file, measure_delay
from keras_audiosr.codecs.round_trip import encoder_of, fit_length, same_samples
from keras_audiosr.datasets.decode import decode_twin
from keras_audiosr.errors import AudioFileError, UsageError
from keras_audiosr.files import audio_files, headers
from keras_audiosr.processes.ffmpeg import find_binary
from keras_audiosr.shelf.manifests import Pair

DATA = Path(__file__).parent / "data"
RATES = [22050, 32000, 44100, 48000, 96000]


def ffmpeg(*arguments) -> None:
    subprocess.run([find_binary("ffmpeg"), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def lag(lossless: np.ndarray, lossy: np.ndarray, reach: int = 3000) -> int:
    """Returns the lag as found by `np.correlate` on the middle of all channels, independently of `measure_delay`."""
    reach = min(reach, len(lossless) // 3)
    products = sum(
        np.correlate(lossy[: len(lossless), channel].astype(float), lossless[reach:-reach, channel].astype(float))
        for channel in range(lossless.shape[1])
    )
    return int(np.argmax(products)) - reach


def aligned_twin(path: Path, delay: int, length: int, rate: int, channels: int, decoder: str = "ffmpeg") -> np.ndarray:
    """Returns the samples that training reads from a twin."""
    line = {"lossless": "", "album": "", "track": 1, "title": "", "duration": length / rate, "md5": "", "codec": ""}
    pair = Pair(lossy=path.name, encoder="", length=length, sample_rate=rate, channels=channels, delay=delay,
                decoder=decoder, **line)  # fmt: skip
    return decode_twin(pair, path.parent)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """0.8 s in 16-bit FLAC for each sample rate and number of channels: `{(rate, channels): path}`."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for rate in RATES:
        for channels in (1, 2):
            found[rate, channels] = folder / f"{rate}_{channels}.flac"
            soundfile.write(found[rate, channels], music(0.8, rate, channels), rate, subtype="PCM_16")
    return found


CODECS = "mp3@24k mp3@32k mp3@128k mp3@V9 mp3@V2 mp3@V6-stereo aac@48k aac@128k vorbis@64k vorbis@128k"
CODECS += " opus@64k opus@96k lowpass@8k downsample@16k"
# Combinations of codec, sample rate in Hz and channels that libvorbis does not support.
NO_MODE = {(f"vorbis@{bitrate}k", 96000, channels) for bitrate in (64, 128) for channels in (1, 2)}
NO_MODE |= {("vorbis@128k", 22050, 1)}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("codec", CODECS.split())
def test_there_and_back(sources, tmp_path, codec, rate, channels):
    source = sources[rate, channels]
    lossless, _ = audio_files.read(source)
    spec = CodecSpec.parse(codec)
    path = tmp_path / f"twin.{spec.suffix}"
    if (codec, rate, channels) in NO_MODE:
        with pytest.raises(AudioFileError, match=f"must suit the track; {rate} Hz, {channels} channels.*; try another"):
            encode_file(source, path, spec)
        assert not list(tmp_path.iterdir())
        return
    encode_file(source, path, spec)
    decoded, _ = audio_files.read(path, rate)
    delay = measure_delay(lossless, decoded, rate).delay
    assert delay == 0
    aligned = aligned_twin(path, delay, len(lossless), rate, channels)
    assert aligned.shape == lossless.shape
    assert aligned.dtype == np.float32
    assert lag(lossless, aligned) == 0
    assert not np.array_equal(aligned, lossless), "a twin has lost something"
    if rate > 48000:
        return  # MP3 is stored at 48 kHz here, so its bitrate may differ and libsndfile decodes it at another rate
    if spec.codec == "mp3" and not spec.vbr:
        assert headers.probe(path).bitrate == spec.bitrate
    # At 48 kHz, FFmpeg drops the last 128 samples of a Vorbis file as short as this one.
    if spec.bitrate >= 32 and (spec.codec == "mp3" or (spec.codec == "vorbis" and rate == 44100)):
        assert same_samples(path, decoded, rate, delay, len(lossless))
        assert np.abs(aligned_twin(path, delay, len(lossless), rate, channels, "any") - aligned).max() <= 1e-4


BYTES = ["mp3@64k", "mp3@V6", "mp3@64k-stereo", "aac@64k", "vorbis@64k", "opus@48k", "lowpass@8k", "downsample@16k"]


@pytest.mark.parametrize("codec", BYTES)
def test_again_gives_the_same_bytes(sources, tmp_path, codec):
    spec = CodecSpec.parse(codec)
    paths = [tmp_path / f"{name}.{spec.suffix}" for name in "ab"]
    for path in paths:
        encode_file(sources[44100, 2], path, spec)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [p.name for p in paths], "no partial file is left"


def test_constant_bitrate(tmp_path):
    """Over 10 s, the bitrate must be right within 3 % for Opus, 8 % for Vorbis and 10 % for AAC.

    `test_there_and_back` checks the bitrate of MP3 in its header.
    """
    soundfile.write(tmp_path / "long.flac", music(10.0), 44100)
    for codec, tolerance in (("opus@64k", 0.03), ("vorbis@64k", 0.08), ("aac@64k", 0.10)):
        path = tmp_path / codec
        encode_file(tmp_path / "long.flac", path, CodecSpec.parse(codec))
        assert path.stat().st_size * 8 / 10.0 / 1000 == pytest.approx(64, rel=tolerance)


def frame_headers(path: Path) -> list[tuple[int, int]]:
    """Returns `(bitrate in kbit/s, stereo mode)` of each frame of an MPEG-1 Layer III file.

    The stereo mode is 0 for left and right and 1 for joint stereo.
    """
    rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    data, found = path.read_bytes(), []
    at = data.index(b"\xff\xfb")
    while at + 4 <= len(data) and data[at : at + 2] == b"\xff\xfb":
        rate = rates[data[at + 2] >> 4]
        found.append((rate, data[at + 3] >> 6))
        at += 144_000 * rate // 44100 + (data[at + 2] >> 1 & 1)
    assert at == len(data)
    return found[1:]  # the first holds the Xing tag


def test_modes_of_mp3(tmp_path):
    """The frames must have the bitrates and the stereo mode of the spec. A higher V must give a smaller file."""
    soundfile.write(tmp_path / "song.flac", music(3.0), 44100)
    found = {}
    for codec in ("mp3@64k", "mp3@64k-stereo", "mp3@V9", "mp3@V6", "mp3@V6-stereo", "mp3@V0"):
        encode_file(tmp_path / "song.flac", tmp_path / codec, CodecSpec.parse(codec))
        bitrates, modes = map(set, zip(*frame_headers(tmp_path / codec), strict=True))
        found[codec] = len(bitrates) > 1, modes == {1}
    assert found == {codec: ("V" in codec, "-stereo" not in codec) for codec in found}
    sizes = [(tmp_path / codec).stat().st_size for codec in ("mp3@V9", "mp3@V6", "mp3@V0")]
    assert sizes[0] < 0.9 * sizes[1] < 0.8 * sizes[2]
    assert (tmp_path / "mp3@64k").read_bytes() != (tmp_path / "mp3@64k-stereo").read_bytes()


def band_level(audio: np.ndarray, rate: int, low: float, high: float) -> float:
    """Returns the mean power between two frequencies in dB."""
    power = np.abs(np.fft.rfft(audio[:, 0] * np.hanning(len(audio)))) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / rate)
    return 10 * np.log10(power[(frequencies >= low) & (frequencies < high)].mean())


@pytest.mark.parametrize("codec", ["lowpass@8k", "downsample@16k"])
def test_lowpass_keeps_what_is_below_and_nothing_above(tmp_path, codec):
    noise = 0.1 * np.random.default_rng(0).standard_normal((100_000, 1)).clip(-4, 4)
    soundfile.write(tmp_path / "noise.flac", noise, 44100, subtype="PCM_24")
    encode_file(tmp_path / "noise.flac", tmp_path / "low.flac", CodecSpec.parse(codec))
    low, _ = audio_files.read(tmp_path / "low.flac")
    assert band_level(low, 44100, 100, 7000) == pytest.approx(band_level(noise, 44100, 100, 7000), abs=0.01)
    assert band_level(low, 44100, 8400, 22050) < band_level(noise, 44100, 8400, 22050) - 75
    # Below the cutoff, not only the level but also the samples must be the same (linear phase, no delay).
    spectrum = np.fft.rfft(noise, axis=0)
    spectrum[int(7000 / 44100 * len(noise)) :] = 0
    kept = np.fft.irfft(np.fft.rfft(low, axis=0) * (spectrum != 0), len(low), axis=0)
    expected = np.fft.irfft(spectrum, len(noise), axis=0)
    np.testing.assert_allclose(kept[2000:-2000], expected[2000:-2000], atol=2e-4)


def test_24_bits_reach_the_encoder(tmp_path):
    """A 24-bit sound must reach the encoder exactly, even if its peak is only 2 LSB of 16 bits.

    If pydub read the file itself, it would add noise or remove the lowest bits.
    """
    quiet = 2.0**-14 * music(1.0, 44100, 1) / 0.5
    soundfile.write(tmp_path / "quiet.flac", quiet, 44100, subtype="PCM_24")
    encode_file(tmp_path / "quiet.flac", tmp_path / "quiet.mp3", CodecSpec.parse("mp3@320k"))
    decoded = aligned_twin(tmp_path / "quiet.mp3", 0, len(quiet), 44100, 1)
    error = np.sum((decoded - quiet) ** 2) / np.sum(quiet**2)
    assert 10 * np.log10(error) < -15  # rounding to 16 bits alone would leave an error of about -2 dB


@pytest.mark.parametrize("length", [1, 7, 300, 1152, 5000])
@pytest.mark.parametrize("codec", ["mp3@64k", "aac@64k", "vorbis@64k", "opus@48k", "lowpass@8k", "downsample@16k"])
def test_very_short_files(tmp_path, codec, length):
    if length < 300 and codec[:4] in ("aac@", "opus"):
        pytest.skip("FFmpeg decodes no samples from files of this codec with fewer than about 300 samples")
    audio = music(0.2, 44100, 2)[:length]
    soundfile.write(tmp_path / "short.flac", audio, 44100, subtype="PCM_16")
    path = tmp_path / f"twin.{CodecSpec.parse(codec).suffix}"
    encode_file(tmp_path / "short.flac", path, CodecSpec.parse(codec))
    decoded, _ = audio_files.read(path, 44100)
    assert measure_delay(audio, decoded, 44100, expected=0).delay == 0
    assert aligned_twin(path, 0, length, 44100, 2).shape == (length, 2)


@pytest.mark.parametrize("codec", ["mp3@64k", "aac@64k", "vorbis@64k", "opus@48k", "lowpass@8k"])
def test_silence_stays_silence(tmp_path, codec):
    soundfile.write(tmp_path / "silence.flac", np.zeros((30000, 2)), 44100, subtype="PCM_16")
    path = tmp_path / f"twin.{CodecSpec.parse(codec).suffix}"
    encode_file(tmp_path / "silence.flac", path, CodecSpec.parse(codec))
    decoded = aligned_twin(path, 0, 30000, 44100, 2)
    assert np.abs(decoded).max() < 1e-4


def brought(kind: str, source: Path, folder: Path) -> Path:
    """Makes a lossy file of a kind that users have; returns its path."""
    if kind == "untagged mp3":
        path = folder / "twin.mp3"
        ffmpeg("-i", source, "-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0", path)
    elif kind == "adts":
        path = folder / "twin.aac"
        ffmpeg("-i", source, "-b:a", "64k", path)
    elif kind == "junk":
        brought("untagged mp3", source, folder)
        path = folder / "junk.mp3"
        path.write_bytes(b"not an MPEG frame " * 40 + (folder / "twin.mp3").read_bytes())
    elif kind == "matroska":
        path = folder / "twin.mka"
        ffmpeg("-i", source, "-c:a", "libmp3lame", "-b:a", "64k", path)
    else:
        path = folder / "twin.m4a"
        ffmpeg("-i", source, "-c:a", "aac", "-b:a", "64k", path)
    return path


@pytest.mark.parametrize(("kind", "expected"), [("untagged mp3", 1105), ("adts", 1024), ("junk", None), ("m4a", 0)])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1)])
def test_files_brought_by_the_user(sources, tmp_path, kind, expected, rate, channels):
    lossless, _ = audio_files.read(sources[rate, channels])
    path = brought(kind, sources[rate, channels], tmp_path)
    decoded, _ = audio_files.read(path, rate)
    delay = measure_delay(lossless, decoded, rate).delay
    assert delay == expected or (expected is None and delay in range(0, 4000))
    aligned = aligned_twin(path, delay, len(lossless), rate, channels)
    assert aligned.shape == lossless.shape
    assert lag(lossless, aligned) == 0


def test_libshine():
    """A twin by libshine must be measured with a lag of 528 samples and then be aligned.

    Debian's FFmpeg 5.1 encoded it (`-c:a libshine -b:a 64k`) from tests/data/libshine.flac, which `music` made.
    """
    lossless, rate = audio_files.read(DATA / "libshine.flac")
    decoded, _ = audio_files.read(DATA / "libshine.mp3")
    delay = measure_delay(lossless, decoded, rate).delay
    assert delay == 528
    assert lag(lossless, aligned_twin(DATA / "libshine.mp3", delay, len(lossless), rate, lossless.shape[1])) == 0


def test_a_twin_that_lost_its_end_is_not_filled_with_silence(sources, tmp_path):
    path = tmp_path / "a.mp3"
    encode_file(sources[44100, 2], path, CodecSpec.parse("mp3@64k"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    length = soundfile.info(sources[44100, 2]).frames
    for decoder in ("ffmpeg", "any"):
        with pytest.raises(AudioFileError, match="may be truncated"):
            aligned_twin(path, 0, length, 44100, 2, decoder)


def test_fit_length():
    audio = np.arange(1.0, 6.0)[:, None]
    for delay, length, expected in [
        (0, 5, [1, 2, 3, 4, 5]),
        (2, 5, [3, 4, 5, 0, 0]),
        (-2, 5, [0, 0, 1, 2, 3]),
        (9, 2, [0, 0]),
        (-9, 2, [0, 0]),
        (0, 0, []),
    ]:
        np.testing.assert_array_equal(fit_length(audio, delay, length)[:, 0], expected)


def test_encoder_of(sources, tmp_path):
    encode_file(sources[44100, 2], tmp_path / "a.ogg", CodecSpec.parse("vorbis@64k"))
    assert encoder_of(tmp_path / "a.ogg") == "Lavc libvorbis"
    (tmp_path / "text.mp3").write_text("no music")
    assert encoder_of(tmp_path / "text.mp3") == "unknown"


def test_encoder_that_refuses_is_an_error_of_one_line_and_leaves_nothing(sources, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with pytest.raises(AudioFileError, match=r"vorbis@400k must suit the track; 44100 Hz, 1 channels") as caught:
        encode_file(sources[44100, 1], tmp_path / "a.ogg", CodecSpec.parse("vorbis@400k"))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert not list(scratch.iterdir())


def test_cutoff_must_be_below_the_track(sources, tmp_path):
    with pytest.raises(UsageError, match=r"below 22\.05k"):
        encode_file(sources[44100, 1], tmp_path / "a.flac", CodecSpec.parse("lowpass@24k"))
    with pytest.raises(UsageError, match=r"below 44\.1k"):
        encode_file(sources[44100, 1], tmp_path / "a.flac", CodecSpec.parse("downsample@48k"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["-dash.flac", "a b'\"é😀.flac", "http:colon.flac"])
def test_odd_names(sources, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sources[44100, 1], tmp_path / name)
    encode_file(Path(name), Path(name).with_suffix(".mp3"), CodecSpec.parse("mp3@64k"))
    assert aligned_twin(Path(name).with_suffix(".mp3"), 0, 100, 44100, 1).shape == (100, 1)


def test_not_a_lossless_file(tmp_path):
    (tmp_path / "a.flac").write_text("no music")
    for codec in ("mp3@64k", "lowpass@8k"):
        with pytest.raises(AudioFileError):
            encode_file(tmp_path / "a.flac", tmp_path / "b", CodecSpec.parse(codec))
    assert not (tmp_path / "b").exists()
