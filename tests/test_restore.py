"""Tests `restore` on real files: nothing is lost, shifted or overwritten, and no temporary file is left."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export, write_records, write_run

from keras_audiosr import cli
from keras_audiosr.errors import AudioFileError, OutputExistsError
from keras_audiosr.files import audio_files, headers
from keras_audiosr.files.writers import Writer, to_pcm
from keras_audiosr.library import batch
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner
from keras_audiosr.runners.litert import LiteRTRunner
from keras_audiosr.stages.export import export
from keras_audiosr.stages.restore import restore


@pytest.fixture(scope="module")
def songs(tmp_path_factory, make_music):
    """Returns a folder with the same song as WAV, MP3, M4A and Opus."""
    folder = tmp_path_factory.mktemp("songs")
    soundfile.write(folder / "song.wav", make_music(duration=1.5), 44100, subtype="PCM_16")
    for name, arguments in {
        "mp3": ["-c:a", "libmp3lame", "-b:a", "64k", "-metadata", "title=Ode", "-metadata", "artist=Anon"],
        "m4a": ["-c:a", "aac", "-b:a", "96k"],
        "opus": ["-c:a", "libopus", "-b:a", "64k"],
    }.items():
        done = run_ffmpeg("-y", "-i", str(folder / "song.wav"), *arguments, str(folder / f"song.{name}"))
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Returns the tiny model, exported with windows of three seconds like the bundled models."""
    run = write_run(tmp_path_factory.mktemp("run"))
    write_records(run, "wide", 131072, {})
    return export(run, tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_one_song_takes_all_cores_and_comes_out_the_same(tmp_path, make_music, monkeypatch, wide, cores):
    """The number of cores does not change the samples, and finished windows are written while others are computed.

    With several cores, all windows but the first wait here until something has been written.
    """
    soundfile.write(tmp_path / "song.wav", np.tile(make_music(3.0), (5, 1)), 44100, subtype="PCM_16")
    restore(tmp_path / "song.wav", tmp_path / "alone.flac", load_runner(wide), force=True)
    written, late = threading.Event(), []
    predict, write = LiteRTRunner.predict, Writer.write

    def waiting(self, windows):
        # Only the first window begins with silence, and it does not wait.
        if cores > 1 and windows[:, : self.context].any() and not written.wait(30):
            late.append(windows)
        return predict(self, windows)

    monkeypatch.setattr(batch.threads, "cores", lambda: cores)
    monkeypatch.setattr(LiteRTRunner, "predict", waiting)
    monkeypatch.setattr(Writer, "write", lambda self, block: write(self, block) or written.set())
    restore(tmp_path / "song.wav", tmp_path / "out.flac", wide, force=True)
    assert not late
    alone, out = (soundfile.read(tmp_path / name)[0] for name in ("alone.flac", "out.flac"))
    np.testing.assert_array_equal(out, alone)


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.m4a", "song.opus"])
def test_same_rate_channels_and_length(songs, tmp_path, name):
    target = tmp_path / "out.flac"
    report = restore(songs / name, out=target, model=tiny_export(), force=True)
    lossy, sample_rate = audio_files.read(songs / name)
    info = soundfile.info(target)
    assert (info.samplerate, info.channels, info.frames) == (sample_rate, lossy.shape[1], len(lossy))
    assert (info.format, info.subtype) == ("FLAC", "PCM_24")
    expected = load_runner(tiny_export()).run(lossy, sample_rate)
    # The tolerance is half an LSB of 24 bits.
    np.testing.assert_allclose(soundfile.read(target)[0], np.clip(expected, -1, 1), atol=6.1e-8)
    (restored,) = report.restored
    assert restored.target == target
    assert restored.duration == pytest.approx(len(lossy) / sample_rate)
    assert restored.clipped == 0
    assert restored.warnings == ()


def test_beside_the_input_with_its_tags(songs, capsys):
    before = (songs / "song.mp3").read_bytes()
    assert cli.main(["restore", str(songs / "song.mp3"), "--model", str(tiny_export())]) == 0
    captured = capsys.readouterr()
    target = songs / "song.restored.flac"
    assert captured.out.startswith(f"{target}  1.5 s  ")
    assert captured.out.endswith("x real time\n")
    assert captured.err == ""
    from mutagen.flac import FLAC

    assert FLAC(target)["title"] == ["Ode"]
    assert (songs / "song.mp3").read_bytes() == before
    # A second run is refused and leaves the output unchanged.
    content = target.read_bytes()
    assert cli.main(["restore", str(songs / "song.mp3"), "--model", str(tiny_export())]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--overwrite" in error
    assert target.read_bytes() == content
    assert cli.main(["restore", str(songs / "song.mp3"), "--model", str(tiny_export()), "--overwrite"]) == 0
    target.unlink()


@pytest.mark.parametrize(
    ("name", "subtype", "codec"),
    [
        ("a.wav", None, "pcm_s24le"),
        ("a.wav", "PCM_16", "pcm_s16le"),
        ("a.WAV", "float", "pcm_f32le"),
        ("a.aiff", None, "pcm_s24be"),
        ("a.flac", "PCM_16", "flac"),
        ("a.m4a", None, "alac"),
        ("a.wv", None, "wavpack"),
        ("a.mp3", None, "mp3"),
    ],
)
def test_output_formats(songs, tmp_path, name, subtype, codec):
    restore(songs / "song.mp3", out=tmp_path / name, model=tiny_export(), subtype=subtype)
    info = headers.probe(tmp_path / name)
    assert (info.codec, info.sample_rate, info.channels) == (codec, 44100, 2)
    if codec != "mp3":
        expected = load_runner(tiny_export()).run(audio_files.read(songs / "song.mp3")[0])
        # The tolerance is half an LSB of 24 bits plus rounding, or one and a half of 16 bits because of the dither.
        tolerance = 4.6e-5 if subtype == "PCM_16" else 1.3e-7
        np.testing.assert_allclose(audio_files.read(tmp_path / name)[0], np.clip(expected, -1, 1), atol=tolerance)


@pytest.mark.parametrize("sample_rate", [8000, 22050, 48000, 96000])
def test_what_the_model_leaves_alone_stays_bit_for_bit(tmp_path, make_music, monkeypatch, sample_rate):
    monkeypatch.setattr("keras_audiosr.runners.litert.LiteRTRunner.predict", lambda self, windows: windows)
    soundfile.write(tmp_path / "a.wav", make_music(0.7, sample_rate), sample_rate, subtype="PCM_16")
    restore(tmp_path / "a.wav", model=tiny_export())
    before, after = soundfile.read(tmp_path / "a.wav")[0], soundfile.read(tmp_path / "a.restored.flac")[0]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("length", [1, 100, 511, 4097])
def test_short_files(tmp_path, length):
    soundfile.write(tmp_path / "a.wav", np.full((length, 1), 0.25), 44100)
    restore(tmp_path / "a.wav", model=tiny_export())
    assert soundfile.info(tmp_path / "a.restored.flac").frames == length


@pytest.mark.parametrize("channels", [1, 6])
def test_mono_and_surround(tmp_path, make_music, channels):
    soundfile.write(tmp_path / "a.wav", make_music(0.3, channels=channels), 44100)
    restore(tmp_path / "a.wav", model=tiny_export())
    assert soundfile.info(tmp_path / "a.restored.flac").channels == channels


def test_digital_silence_stays(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((20_000, 2)), 44100)
    restore(tmp_path / "a.wav", model=tiny_export())
    assert not soundfile.read(tmp_path / "a.restored.flac")[0].any()


def test_beyond_full_scale_is_clamped_and_told(tmp_path, capsys):
    audio = np.full((10_000, 1), 0.5)
    audio[5000:5010] = 1.5
    soundfile.write(tmp_path / "a.wav", audio, 44100, subtype="FLOAT")
    assert cli.main(["restore", str(tmp_path / "a.wav"), "--model", str(tiny_export())]) == 0
    assert "samples beyond full scale were clamped" in capsys.readouterr().err
    restored = soundfile.read(tmp_path / "a.restored.flac")[0]
    assert restored.max() == 1 - 2**-23
    assert np.count_nonzero(restored == restored.max()) >= 8


def test_to_pcm_is_exact_and_counts():
    samples = np.arange(-(1 << 15), 1 << 15, dtype=np.float32)[:, None] / (1 << 15)
    for bits in (16, 24):
        pcm, clipped = to_pcm(samples, bits)
        np.testing.assert_array_equal(pcm[:, 0], np.arange(-(1 << 15), 1 << 15) << 16)
        assert clipped == 0
    pcm, clipped = to_pcm(np.array([[1.5], [-1.5], [1.0], [-1.0]], np.float32), 24)
    assert pcm[:, 0].tolist() == [(2**23 - 1) << 8, -(2**31), (2**23 - 1) << 8, -(2**31)]
    assert clipped == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, value):
    audio = np.zeros((44100, 2), np.float32)
    audio[22050, 1] = value
    soundfile.write(tmp_path / "a.wav", audio, 44100, subtype="FLOAT")
    with pytest.raises(AudioFileError, match=r"NaN or infinity at 0\.500 s"):
        restore(tmp_path / "a.wav", model=tiny_export())
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_one_bad_file_does_not_stop_the_others(songs, tmp_path, capsys):
    names = ["song.wav", "song.mp3", "song.m4a"]
    folder = tmp_path / "in put"
    folder.mkdir()
    for index, name in enumerate(names):
        (folder / f"{index} {name}").write_bytes((songs / name).read_bytes())
    (folder / "text.mp3").write_text("no music")
    (folder / "empty.mp3").write_bytes(b"")
    inputs = [*sorted(folder.iterdir()), folder / "missing\nfile.mp3"]
    for jobs in ("1", "3"):
        out = tmp_path / f"out{jobs}"
        code = cli.main(
            ["restore", *map(str, inputs), "-o", str(out), "--model", str(tiny_export()), "--jobs", jobs, "--force"]
        )
        captured = capsys.readouterr()
        assert code == 1
        assert captured.out.count("\n") == 4
        assert captured.out.splitlines()[-1].startswith("3 restored, 3 failed; 0.1 min of music in ")
        # The failures are listed again at the end if a song finished after one of them. With three jobs, the order in
        # which the songs finish varies.
        assert captured.err.count("\n") == (7 if "keras-audiosr: 3 failed:" in captured.err else 3)
        assert captured.err.count("keras-audiosr: error: ") == 3
        assert sorted(path.name for path in out.iterdir()) == [f"{i} song.flac" for i in range(3)]
    for path in (tmp_path / "out1").iterdir():
        assert path.read_bytes() == (tmp_path / "out3" / path.name).read_bytes()
    report = restore(inputs, out=tmp_path / "again", model=tiny_export(), force=True)
    assert len(report.restored) == len(report.failures) == 3


def test_truncated_file_is_told(songs, tmp_path, capsys):
    run_ffmpeg("-y", "-stream_loop", "3", "-i", str(songs / "song.wav"), "-b:a", "64k", str(tmp_path / "a.mp3"))
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2])
    assert cli.main(["restore", str(tmp_path / "a.mp3"), "--model", str(tiny_export())]) == 0
    assert "may be cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--subtype", "PCM_99"], 2),
        (["--subtype", "FLOAT"], 2),
        (["--format", "docx"], 2),
        (["--jobs", "0"], 2),
        (["--strength", "1.5"], 2),
        (["--strength", "nan"], 2),
        (["--clip", "none"], 2),
        (["--subtype", "FLOAT", "--format", "m4a"], 2),
        (["-o", "SONG"], 2),
        (["-o", "/proc/nowhere/x.flac"], 1),
        (["-o", "BLOCKED/x.flac"], 1),
    ],
)
def test_bad_arguments_leave_nothing(songs, tmp_path, capsys, arguments, code):
    song = tmp_path / "song.flac"
    song.write_bytes((songs / "song.mp3").read_bytes())
    (tmp_path / "blocked").write_text("a file")
    places = {"SONG": str(song), "BLOCKED/x.flac": str(tmp_path / "blocked" / "x.flac")}
    arguments = [places.get(argument, argument) for argument in arguments]
    assert cli.main(["restore", str(song), "--model", str(tiny_export()), *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocked", "song.flac"]


def test_a_name_of_255_bytes(songs, tmp_path):
    stem = "\N{MUSICAL SYMBOL G CLEF}" * 60 + "x"
    source = tmp_path / f"{stem}.mp3"
    source.write_bytes((songs / "song.mp3").read_bytes())
    restore(source, model=tiny_export())  # 241 + 14 bytes, which just fits
    assert (tmp_path / f"{stem}.restored.flac").exists()
    longer = tmp_path / f"{stem}yyyyyyyyyy.mp3"
    longer.write_bytes(source.read_bytes())
    with pytest.raises(AudioFileError):
        restore(longer, model=tiny_export())
    assert len(list(tmp_path.iterdir())) == 3


def test_a_name_that_is_not_utf8(songs, tmp_path):
    source = os.fsencode(tmp_path) + b"/\xff -x'\".mp3"
    Path(os.fsdecode(source)).write_bytes((songs / "song.mp3").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), source],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(os.fsdecode(source.replace(b".mp3", b".restored.flac"))).exists()


def test_no_tensorflow_and_no_keras(songs, tmp_path):
    code = (
        "import sys; from keras_audiosr import cli;"
        f"code = cli.main(['restore', {str(songs / 'song.mp3')!r}, '-o', {str(tmp_path)!r},"
        f" '--model', {str(tiny_export())!r}]);"
        "sys.exit(repr({'tensorflow', 'keras', 'jax', 'scipy'} & set(sys.modules))"
        " if {'tensorflow', 'keras'} & set(sys.modules) else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_existing_output_raises_for_one_input(songs, tmp_path):
    (tmp_path / "x.flac").write_text("mine")
    with pytest.raises(OutputExistsError):
        restore(songs / "song.mp3", out=tmp_path / "x.flac", model=tiny_export())
    assert (tmp_path / "x.flac").read_text() == "mine"
