"""Tests folders whose names are not UTF-8, a terminal that closes, nohup, and a system without Unix features."""

import os
import signal
import subprocess
import sys

import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr.stages.play import play
from keras_audiosr.stages.restore import restore
from keras_audiosr.stages.rip import rip

FOLDERS = {"latin-1": "Été", "shift_jis": "音楽", "cp1251": "Музыка"}


@pytest.mark.parametrize("encoding", FOLDERS)
def test_a_folder_whose_name_is_not_utf_8(tmp_path, make_music, encoding):
    folder = tmp_path / os.fsdecode(FOLDERS[encoding].encode(encoding))
    folder.mkdir()
    source = folder / "song.wav"
    with open(source, "wb") as file:
        soundfile.write(file, make_music(0.5), 44100, format="WAV")
    for suffix in ("flac", "wav", "aiff", "m4a", "wv", "mp3"):
        (done,) = restore(source, folder / f"out.{suffix}", tiny_export(), force=True).restored
        assert done.target.stat().st_size > 1000
    play(source, folder / "played.flac", str(tiny_export()))
    report = rip(source, folder / "shelf", include_probably_lossy=True)
    assert report.failed == {} and len(report.made) == 1


def test_nohup_stays_what_it_is():
    """A program that is started with SIGHUP ignored keeps ignoring it. Otherwise the program handles the signal."""
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.{}); from keras_audiosr import cli, probe;"
        "probe_module = sys.modules['keras_audiosr.stages.probe'];"
        "probe_module.run = lambda args: print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN) or 0;"
        "sys.exit(cli.main(['probe', 'x']))"
    )
    for handler, said in (("SIG_IGN", "True\n"), ("SIG_DFL", "False\n")):
        command = [sys.executable, "-c", code.format(handler)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == said


def test_a_closing_terminal_is_129():
    code = (
        # If the tests run under nohup, the new process inherits that SIGHUP is ignored, so this is undone.
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
        "from keras_audiosr import cli, probe; module = sys.modules['keras_audiosr.stages.probe'];"
        "module.run = lambda args: os.kill(os.getpid(), signal.SIGHUP) or 0; sys.exit(cli.main(['probe', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGHUP and "Traceback" not in done.stderr


def test_what_listeners_use_runs_without_fcntl(tmp_path, make_music):
    """The commands for listeners work without `fcntl` and without these signals, as on Windows.

    Without locks, a run cannot know whether another process still writes a partial file, so such a file must be kept.
    """
    song, out = tmp_path / "song.wav", tmp_path / "song.restored.flac"
    soundfile.write(song, make_music(0.5), 44100)
    left = tmp_path / ".0123456789abcdef.partial.flac"
    left.write_bytes(b"half")
    model = str(tiny_export())
    commands = [
        ["restore", str(song), "-o", str(out), "--model", model, "--force"],
        ["probe", str(song)],
        ["report", str(song), str(out), "-o", str(tmp_path / "page.html")],
        ["play", str(song), "-o", str(tmp_path / "played.flac"), "--model", model],
    ]
    code = (
        "import signal, sys; sys.modules['fcntl'] = None;"
        "[delattr(signal, name) for name in ('SIGHUP', 'SIGPIPE', 'SIGUSR1')];"
        "from keras_audiosr import cli; codes = [cli.main(words) for words in " + repr(commands) + "];"
        "print(codes, file=sys.stderr); sys.exit(max(codes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("song.restored.flac", "played.flac", "page.html"):
        assert (tmp_path / name).stat().st_size > 1000, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == [left.name]
