"""Tests that files that are not music give a one-line error and no output, and that unusual music keeps its length."""

import struct

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.files import audio_files, headers
from keras_audiosr.processes.ffmpeg import run_ffmpeg


def ffmpeg(*arguments) -> None:
    done = run_ffmpeg("-y", *map(str, arguments))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory, make_music):
    """Returns a folder with one second of music as WAV, MP3, M4A, FLAC, Ogg and Matroska."""
    folder = tmp_path_factory.mktemp("good")
    soundfile.write(folder / "song.wav", make_music(1.0), 44100, subtype="PCM_16")
    for name, codec in [("mp3", "libmp3lame"), ("m4a", "aac"), ("flac", "flac"), ("ogg", "libvorbis"), ("mka", "aac")]:
        ffmpeg("-i", folder / "song.wav", "-c:a", codec, folder / f"song.{name}")
    return folder


def wav_header(declared: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, 2, 44100, 176400, 4, 16)
    sizes = [struct.pack("<I", size) for size in (36 + declared, 16, declared)]
    return b"RIFF" + sizes[0] + b"WAVEfmt " + sizes[1] + form + b"data" + sizes[2]


def floats(folder, value):
    audio = np.full((4410, 2), 0.1, np.float32)
    audio[1000, 1] = value
    soundfile.write(folder / "a.wav", audio, 44100, subtype="FLOAT")
    return (folder / "a.wav").read_bytes()


def silent_film(folder):
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=0.2:size=64x64", "-c:v", "mpeg4", folder / "film.mp4")
    return (folder / "film.mp4").read_bytes()


def still_cover(folder):
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=0.1:size=64x64:rate=10", "-frames:v", "1", folder / "a.png")
    return (folder / "a.png").read_bytes()


def protected(good):
    """Returns a file that is marked like Apple's protected music. Random bytes stand for its encrypted samples."""
    content = (good / "song.m4a").read_bytes().replace(b"mp4a", b"drms")
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    return content[:start] + np.random.default_rng(0).bytes(end - start) + content[end:]


ID3 = b"ID3\x04\0\0\0\0\x01\0TIT2\0\0\0\x04\0\0\x03Ode" + bytes(113)
# Name -> function that returns the bytes of a file that cannot be restored. Its arguments are the folder of good files
# and an empty folder.
BAD = {
    "0_bytes.mp3": lambda good, folder: b"",
    "1_byte.mp3": lambda good, folder: b"\xff",
    "text.mp3": lambda good, folder: b"This is no music.\n" * 100,
    "zeros.mp3": lambda good, folder: bytes(10_000),
    "zeros.flac": lambda good, folder: bytes(10_000),
    "id3_only.mp3": lambda good, folder: ID3,
    "header_only.wav": lambda good, folder: wav_header(0),
    "header_only.flac": lambda good, folder: (good / "song.flac").read_bytes()[:42],
    "header_only.ogg": lambda good, folder: (good / "song.ogg").read_bytes()[:58],
    "header_only.m4a": lambda good, folder: (good / "song.m4a").read_bytes()[:40],
    "header_only.mp3": lambda good, folder: b"\xff\xfb\x90\x00",
    "index_missing.m4a": lambda good, folder: (good / "song.m4a").read_bytes()[:5000],
    "0_samples.wav": lambda good, folder: soundfile.write(folder / "a.wav", np.zeros((0, 2)), 44100)
    or (folder / "a.wav").read_bytes(),
    "0_samples.flac": lambda good, folder: soundfile.write(folder / "a.flac", np.zeros((0, 2)), 44100)
    or (folder / "a.flac").read_bytes(),
    "forged_length.wav": lambda good, folder: wav_header(0xFFFFFF00),
    "nan.wav": lambda good, folder: floats(folder, np.nan),
    "inf.wav": lambda good, folder: floats(folder, -np.inf),
    "channels.wav": lambda good, folder: many_channels(good),
    "no_sound.mp4": lambda good, folder: silent_film(folder),
    "picture.mp3": lambda good, folder: still_cover(folder),
    "protected.m4a": lambda good, folder: protected(good),
    "unknown_codec.mka": lambda good, folder: (good / "song.mka").read_bytes().replace(b"A_AAC", b"A_XYZ"),
    "program.flac": lambda good, folder: b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20,
}  # fmt: skip


def many_channels(good):
    """Returns a WAV file whose header declares 32,770 channels. Fuzzing found that its blocks would take gigabytes."""
    content = (good / "song.wav").read_bytes()
    return content[:22] + (32_770).to_bytes(2, "little") + content[24:]


NO_SAMPLES = ("header_only.wav", "header_only.flac", "0_samples.wav", "forged_length.wav")


@pytest.fixture(scope="module")
def bad(good, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, make in BAD.items():
        (folder / name).write_bytes(make(good, tmp_path_factory.mktemp("made")))
    return folder


def require_one_clear_line(error: str, name: str) -> None:
    """Asserts that an error is one line, names the file, and has three parts: the rule, what was received, the fix."""
    assert error.count("\n") == 1, error
    assert error.startswith("keras-audiosr: error: ")
    assert name in error
    parts = error.removeprefix("keras-audiosr: error: ").strip().split("; ")
    assert len(parts) >= 3 and len(parts[0].split()) >= 3 and len(parts[-1].split()) >= 2, error


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_restored(good, bad, tmp_path, capsys, name):
    out = tmp_path / "out"
    options = ["--model", str(tiny_export()), "--force", "-o", str(out)]
    assert cli.main(["restore", str(bad / name), *options]) == 1
    said = capsys.readouterr()
    require_one_clear_line(said.err, name)
    assert ("holds no samples" in said.err) == (name in NO_SAMPLES)
    assert said.out == ""
    assert not out.exists() or not list(out.iterdir())
    # The other files of a batch are still restored.
    assert cli.main(["restore", str(bad / name), str(good / "song.mp3"), *options]) == 1
    error, *again = capsys.readouterr().err.splitlines(keepends=True)
    require_one_clear_line(error, name)
    assert again == ["keras-audiosr: 1 failed:\n", error.replace("keras-audiosr: error:", " ")]
    assert [path.name for path in out.iterdir()] == ["song.flac"]


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_probed(bad, capsys, name):
    code = cli.main(["probe", str(bad / name)])
    said = capsys.readouterr()
    if name in ("nan.wav", "inf.wav"):  # These files have a valid header and samples.
        assert code == 0 and "NaN or infinity" in said.err and said.err.count("\n") == 1
        return
    assert code == 1 and said.out == ""
    require_one_clear_line(said.err, name)


def junk_before(good, folder):
    return np.random.default_rng(0).integers(0, 255, 5000, np.uint8).tobytes() + (good / "song.mp3").read_bytes()


def film(good, folder):
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc=duration=1:size=64x64", "-i", good / "song.m4a",
        "-c:v", "mpeg4", "-c:a", "copy", folder / "film.mp4",
    )  # fmt: skip
    return (folder / "film.mp4").read_bytes()


def wild_tags(good, folder):
    content = (good / "song.mp3").read_bytes()
    assert content[:3] == b"ID3"
    # The title is marked as UTF-8, but its bytes are not valid UTF-8.
    frame = b"TIT2" + (5).to_bytes(4, "big") + b"\0\0" + b"\x03\xff\xfe\xfd\x80"
    return b"ID3\x04\0\0" + bytes([0, 0, 0, len(frame)]) + frame + content[10 + content[9] + 128 * content[8] :]


# Name -> (function that returns the bytes; number of samples in the output, or None for as many as FFmpeg decodes;
# words of the expected warning).
ODD = {
    "mp3_named.flac": (lambda good, folder: (good / "song.mp3").read_bytes(), 44100, ""),
    "wav_named.mp3": (lambda good, folder: (good / "song.wav").read_bytes(), 44100, ""),
    "flac_without_suffix": (lambda good, folder: (good / "song.flac").read_bytes(), 44100, ""),
    "junk_before.mp3": (junk_before, None, "does not begin with its first frame"),
    "film.mp4": (film, None, ""),
    "wild_tags.mp3": (wild_tags, 44100, ""),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_music(good, tmp_path, capsys, name):
    make, samples, warning = ODD[name]
    (tmp_path / "made").mkdir()
    path = tmp_path / name
    path.write_bytes(make(good, tmp_path / "made"))
    assert (
        cli.main(["restore", str(path), "-o", str(tmp_path / "o.flac"), "--model", str(tiny_export()), "--force"]) == 0
    )
    error = capsys.readouterr().err
    assert (warning in error and error.count("\n") == 1) if warning else error == ""
    decoded = sum(len(block) for block in audio_files.read_blocks(path, headers.probe(path), 1 << 16))
    assert soundfile.info(tmp_path / "o.flac").frames == (samples or decoded) == decoded


def square(time):
    return np.where(np.sin(2 * np.pi * 441 * time) >= 0, 1.0, -1.0)


SIGNALS = {
    "denormals": lambda time: np.full(time.shape, 1e-40),
    "dc": lambda time: np.full(time.shape, 0.5),
    "full_scale_square": square,
    "one_click": lambda time: np.eye(1, len(time), 5000)[0],
    "silence": lambda time: np.zeros(time.shape),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_odd_signals(tmp_path, name):
    audio = SIGNALS[name](np.arange(22050) / 44100)[:, None].astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, 44100, subtype="FLOAT")
    arguments = ["restore", str(tmp_path / "a.wav"), "-o", str(tmp_path / "o.wav"), "--model", str(tiny_export())]
    assert cli.main([*arguments, "--force", "--subtype", "FLOAT"]) == 0
    restored = soundfile.read(tmp_path / "o.wav", dtype="float32", always_2d=True)[0]
    assert restored.shape == audio.shape and np.isfinite(restored).all()
    # The tiny model adds the tanh of a convolution, so it cannot change a sample by more than 1.
    assert np.abs(restored - audio).max() <= 1.0
    if name == "silence":
        assert not restored.any()


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192_000])
@pytest.mark.parametrize(("codec", "bits"), [("pcm_u8", 8), ("pcm_s16le", 16), ("pcm_s32le", 24), ("pcm_f64le", 24)])
def test_rates_and_widths(tmp_path, make_music, sample_rate, codec, bits):
    """With a strength of 0, the output equals the input, as far as its 24 bits can represent it."""
    soundfile.write(tmp_path / "m.wav", make_music(0.3, sample_rate), sample_rate, subtype="PCM_24")
    ffmpeg("-i", tmp_path / "m.wav", "-c:a", codec, tmp_path / "a.wav")
    arguments = ["restore", str(tmp_path / "a.wav"), "-o", str(tmp_path / "o.flac"), "--model", str(tiny_export())]
    assert cli.main([*arguments, "--force", "--strength", "0"]) == 0
    info = soundfile.info(tmp_path / "o.flac")
    expected = soundfile.read(tmp_path / "a.wav", dtype="float64")[0]
    assert (info.samplerate, info.frames, info.channels) == (sample_rate, len(expected), 2)
    # An input of more than 16 bits may be rounded by half a step of 24 bits.
    tolerance = 0.0 if bits <= 16 else 2.0**-24
    np.testing.assert_allclose(
        soundfile.read(tmp_path / "o.flac", dtype="float64")[0], expected, atol=tolerance, rtol=0
    )
