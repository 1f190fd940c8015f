"""Tests what `probe` reports: what a file is, whether it is lossy, and whether it is worth restoring."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.errors import AudioFileError
from keras_audiosr.files import headers
from keras_audiosr.files.verdict import WORTH_BITRATE, is_lossless, judge
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.probe import probe
from keras_audiosr.stages.restore import restore


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_music):
    """A folder with the same two seconds of music in several formats."""
    folder = tmp_path_factory.mktemp("probe")
    soundfile.write(folder / "disc.wav", make_music(2.0), 44100, subtype="PCM_16")
    for name, arguments in {
        "64.mp3": ["-b:a", "64k"],
        "320.mp3": ["-b:a", "320k"],
        "low.mp3": ["-b:a", "32k", "-ar", "22050"],
        "a.m4a": ["-c:a", "aac", "-b:a", "96k"],
        "alac.m4a": ["-c:a", "alac"],
        "a.opus": ["-c:a", "libopus", "-b:a", "64k"],
        "disc.flac": [],
        "upsampled.flac": ["-ar", "96000"],
        "phone.wav": ["-c:a", "pcm_alaw", "-ar", "8000"],
    }.items():
        done = run_ffmpeg("-i", str(folder / "disc.wav"), *arguments, str(folder / name))
        assert done.returncode == 0, done.stderr
    # A transcode is an MP3 that was converted to a lossless format.
    assert run_ffmpeg("-i", str(folder / "64.mp3"), str(folder / "transcode.flac")).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("name", "codec", "kind", "worth"),
    [
        ("64.mp3", "mp3", "lossy", "yes"),
        ("320.mp3", "mp3", "lossy", "no"),
        ("low.mp3", "mp3", "lossy", "yes"),
        ("a.m4a", "aac", "lossy", "yes"),
        ("a.opus", "opus", "lossy", "yes"),
        ("phone.wav", "pcm_alaw", "lossy", "yes"),
        ("disc.wav", "pcm_s16le", "lossless", "no"),
        ("disc.flac", "flac", "lossless", "no"),
        ("alac.m4a", "alac", "lossless", "no"),
        ("upsampled.flac", "flac", "lossless", "no"),
        ("transcode.flac", "flac", "lossy", "yes"),
    ],
)
def test_verdicts(folder, name, codec, kind, worth):
    report = probe(folder / name)
    assert (report.codec, report.kind, report.worth) == (codec, kind, worth), report
    assert report.channels == 2
    assert report.channel_layout == ("" if name.endswith(".wav") else "stereo")  # plain WAV does not state its layout
    assert report.duration == pytest.approx(2.0, abs=0.05)
    assert report.warnings == ()


def test_figures(folder):
    report = probe(folder / "64.mp3")
    assert (report.path, report.container, report.bitrate, report.sample_rate) == (folder / "64.mp3", "mp3", 64, 44100)
    assert 10_500 < report.cutoff < 11_500
    assert 10_500 < probe(folder / "transcode.flac").cutoff < 11_500
    assert probe(folder / "disc.flac").cutoff == 22050.0
    assert "add --min-rate 44100" in probe(folder / "low.mp3").advice
    assert "wall at 11." in probe(folder / "transcode.flac").reason


def test_restore_agrees_with_probe(folder, tmp_path):
    report = restore(folder, tmp_path, tiny_export())
    assert not report.failures
    told = {outcome.source.name: " ".join(outcome.warnings) for outcome in report.restored}
    assert "add --min-rate 44100" in told["low.mp3"]
    assert told["64.mp3"] == ""
    for outcome in report.restored:
        assert probe(outcome.source).worth == "yes"
    assert {skipped.source.name for skipped in report.skipped} == {
        "disc.wav", "disc.flac", "alac.m4a", "upsampled.flac", "320.mp3",
    }  # fmt: skip
    # A restored file says that it was restored, and does not count as a lossless original.
    restored = probe(report.restored[0].target)
    assert (restored.kind, restored.worth) == ("lossy", "no")
    assert restored.reason.startswith("restored from a lossy file by keras_audiosr ")


def test_too_little_to_tell(tmp_path, make_music):
    soundfile.write(tmp_path / "silence.wav", np.zeros((100_000, 1)), 44100)
    soundfile.write(tmp_path / "short.wav", make_music(0.5), 44100)
    for name in ("silence", "short"):
        report = probe(tmp_path / f"{name}.wav")
        assert (report.kind, report.worth, report.cutoff) == ("unknown", "unknown", None)


def test_the_threshold_counts_channels():
    info = headers.AudioInfo("mp3", "mp3", 44100, 2, 1.0, 2 * WORTH_BITRATE)
    assert judge(info).worth == "yes"
    assert judge(replace(info, bitrate=2 * WORTH_BITRATE + 1)).worth == "no"
    assert judge(replace(info, channels=1)).worth == "no"
    assert judge(replace(info, bitrate=0)).worth == "yes"
    assert [is_lossless(codec) for codec in ("flac", "pcm_f32le", "dsd_lsbf", "pcm_mulaw", "mp3")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_command(folder, tmp_path, capsys):
    assert cli.main(["probe", str(folder / "64.mp3")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == str(folder / "64.mp3")
    assert [line.split()[0] for line in lines[1:]] == ["codec", "sound", "bandwidth", "verdict", "restoring"]
    assert "44100 Hz, 2 channels (stereo), 0:02.0" in said.out

    broken = tmp_path / os.fsdecode(b"\xff\n.mp3")
    broken.write_text("no music")
    arguments = [str(folder / "64.mp3"), str(broken), str(tmp_path / "missing"), str(folder / "disc.wav")]
    assert cli.main(["probe", "--json", *arguments]) == 1
    said = capsys.readouterr()
    first, second = map(json.loads, said.out.splitlines())
    assert (first["codec"], first["worth"]) == ("mp3", "yes") and Path(first["path"]).name == "64.mp3"
    assert second["kind"] == "lossless"
    assert said.err.count("\n") == 2
    with pytest.raises(AudioFileError):
        probe(broken)


def test_folders_and_their_count(folder, tmp_path, capsys):
    music = tmp_path / "music"
    (music / "sub").mkdir(parents=True)
    sources = {"a.mp3": "64.mp3", "b.mp3": "320.mp3", "sub/c.flac": "disc.flac", "sub/d.m4a": "a.m4a"}
    for name, source in sources.items():
        (music / name).write_bytes((folder / source).read_bytes())
    (music / "sub" / "broken.mp3").write_text("no music")
    (music / "cover.jpg").write_bytes(b"no music, and not asked")
    assert cli.main(["probe", str(music)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        str(music / "a.mp3"), str(music / "b.mp3"),
        "2 files: 1 worth restoring, 0 lossless, 0 broken, 1 of another kind",
    ]  # fmt: skip
    assert cli.main(["probe", "-r", str(music)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "5 files: 2 worth restoring, 1 lossless, 1 broken, 1 of another kind"
    assert said.err.count("\n") == 1 and "broken.mp3" in said.err
    assert cli.main(["probe", "--json", str(music / "*.mp3"), str(music / "sub" / "c.flac")]) == 0
    assert [json.loads(line)["worth"] for line in capsys.readouterr().out.splitlines()] == ["yes", "no", "no"]
    # A folder without music is wrong usage, and the error message suggests searching subfolders.
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert cli.main(["probe", str(tmp_path / "empty")]) == 2
    assert "add --recursive to search subfolders" in capsys.readouterr().err


def test_a_cut_file_is_told(folder, tmp_path, capsys):
    run_ffmpeg("-stream_loop", "3", "-i", str(folder / "64.mp3"), "-b:a", "64k", str(tmp_path / "a.mp3"))
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2])
    assert cli.main(["probe", str(tmp_path / "a.mp3")]) == 0
    assert "may be cut short" in capsys.readouterr().err


def test_probe_needs_neither_tensorflow_nor_keras(folder):
    code = (
        "import sys; from keras_audiosr import cli; code = cli.main(['probe', sys.argv[1]]);"
        "assert not {'tensorflow', 'keras', 'scipy'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder / "64.mp3")], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
