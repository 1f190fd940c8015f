"""Tests `restore` in a pipe: it reads a song, writes the restored song, and keeps its messages apart from the music."""

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.restore import restore


@pytest.fixture(scope="module")
def song(tmp_path_factory, make_music):
    """Returns an M4A, which cannot be read in one pass because its index is at the end."""
    path = tmp_path_factory.mktemp("pipes") / "song.m4a"
    soundfile.write(path.with_suffix(".wav"), make_music(1.5), 44100)
    arguments = ["-c:a", "aac", "-b:a", "96k", "-metadata", "title=Ode"]
    assert run_ffmpeg("-i", str(path.with_suffix(".wav")), *arguments, str(path)).returncode == 0
    return path


def run(*arguments, given=b"", **options):
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("arguments", [["-"], ["-", "-o", "-"], ["-", "-o", "-", "--format", "wav"]])
def test_through_a_pipe(song, tmp_path, arguments):
    restore(song, tmp_path / "x.flac", tiny_export())
    code, music, said = run(*arguments, given=song.read_bytes())
    assert code == 0
    assert said.count("\n") == 1 and said.startswith("standard output  1.5 s") and "x real time" in said
    restored, rate = soundfile.read(io.BytesIO(music))
    assert rate == 44100
    np.testing.assert_array_equal(restored, soundfile.read(tmp_path / "x.flac")[0])


def test_half_a_pipe(song, tmp_path):
    code, music, said = run(song, "-o", "-", "--json")
    assert code == 0 and music[:4] == b"fLaC"
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["restored", "summary"]
    code, said, error = run("-", "-o", tmp_path / "x.wav", given=song.read_bytes())
    assert (code, error) == (0, "")
    assert said.decode().startswith(f"{tmp_path / 'x.wav'}  1.5 s")
    assert soundfile.info(tmp_path / "x.wav").frames == soundfile.info(io.BytesIO(music)).frames


def test_a_lossless_song_passes_a_pipe_as_it_is(song):
    lossless = song.with_suffix(".wav").read_bytes()
    code, music, said = run("-", given=lossless)
    assert code == 0 and "skipped: standard input has nothing to restore" in said
    assert tempfile.gettempdir() not in said
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(music))[0], soundfile.read(io.BytesIO(lossless))[0])


@pytest.mark.parametrize("given", [b"", b"no music", b"\0" * 5000])
def test_a_pipe_gets_a_whole_song_or_nothing(given):
    code, music, said = run("-", given=given)
    assert (code, music) == (1, b"")
    assert said.count("\n") == 1 and said.startswith("keras-audiosr: error: ")
    assert "standard input" in said and tempfile.gettempdir() not in said


@pytest.mark.parametrize("arguments", [["-", "-"], ["-", "a.mp3", "-o", "-"], ["a.mp3", "b.mp3", "-o", "-"]])
def test_one_song_a_pipe(arguments):
    code, music, said = run(*arguments)
    assert (code, music) == (2, b"") and "a pipe carries one song" in said


def test_nobody_at_the_end_of_the_pipe(song):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), str(song), "-o", "-"]
    with os.fdopen(write_end, "wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr


def test_bars_on_a_terminal_only(song, tmp_path):
    """A terminal shows a bar for all songs and one for the current song. The other tests use pipes and see no bars."""
    (tmp_path / "other.m4a").write_bytes(song.read_bytes())
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), "-o", str(tmp_path)]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [*command, str(song), str(tmp_path / "other.m4a")])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    seen = b""
    with contextlib.suppress(OSError):  # Linux raises it when the other end of the terminal is closed
        while part := os.read(terminal, 1 << 16):
            seen += part
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    for bar in (b"restore 2/2: 100%", b"song.m4a: ", b"other.m4a: ", b"2 restored, 0 failed"):
        assert bar in seen, seen
