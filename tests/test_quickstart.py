"""Tests that the commands which the quickstart suggests work outside its environment and with any file name."""

import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
import soundfile

from keras_audiosr import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture
def quickstart():
    return runpy.run_path(str(ROOT / "tools" / "quickstart.py"))


def test_what_it_advises_for_a_lossless_song_works_as_it_stands(quickstart, tmp_path, make_music, monkeypatch, capsys):
    song = tmp_path / "it's lossless.wav"
    soundfile.write(song, make_music(2.0), 44100)
    monkeypatch.setitem(quickstart["main"].__globals__, "ROOT", tmp_path)
    quickstart["main"](song)
    first, _, command = capsys.readouterr().out.strip().split("\n")
    assert first.startswith("it's lossless.wav is lossless, so there is nothing to restore.")
    program, *arguments = shlex.split(command)
    assert Path(program) == ROOT / ".venv" / "bin" / "keras-audiosr"
    assert cli.main(arguments) == 0
    assert soundfile.info(tmp_path / "demo" / "it's lossless.restored.flac").frames == 88200


def test_two_songs_are_refused_with_the_program_that_takes_more():
    done = subprocess.run(
        [str(ROOT / "tools" / "quickstart.sh"), "a", "b"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"'{ROOT / '.venv' / 'bin' / 'keras-audiosr'} restore'" in done.stderr
