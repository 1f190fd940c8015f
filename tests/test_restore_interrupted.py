"""Tests that an interrupted `restore` leaves only old outputs, and that its memory does not grow with the song."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

SLOW = (
    # The children of a background job ignore SIGINT, so its handler is installed again.
    "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from keras_audiosr import cli; from keras_audiosr.runners.litert import LiteRTRunner;"
    "LiteRTRunner.predict = lambda self, windows: time.sleep(0.02) or windows;"
    "sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupted_leaves_no_litter(tmp_path, make_music, number, code, jobs):
    inputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in inputs:
        soundfile.write(path, np.tile(make_music(2.0), (30, 1)), 44100)
    (tmp_path / "a.restored.flac").write_text("the old one")
    arguments = ["restore", *map(str, inputs), "--model", str(tiny_export()), "--overwrite", "--force"]
    arguments += ["--jobs", str(jobs)]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".*.partial.flac")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == code, error
    assert "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.restored.flac", "a.wav", "b.wav"]
    assert (tmp_path / "a.restored.flac").read_text() == "the old one"


def test_memory_does_not_grow_with_the_song(tmp_path, make_music):
    # ru_maxrss cannot be used, because a forked child begins with the value of its parent, which is this process.
    code = (
        "import re, sys; from keras_audiosr import cli; assert cli.main(sys.argv[1:]) == 0;"
        "sys.exit(re.search('VmHWM:.*', open('/proc/self/status').read())[0].split()[1])"
    )
    peaks = []
    for minutes in (0.25, 4):
        path = tmp_path / "a.wav"
        soundfile.write(path, np.tile(make_music(1.0), (int(60 * minutes), 1)), 44100, subtype="PCM_16")
        arguments = ["restore", "--overwrite", "--force", str(path), "--model", str(tiny_export())]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        peaks.append(int(done.stderr) / 1024)
    # The unit is MB. Four minutes of stereo in float32 would need 85 MB.
    assert peaks[1] - peaks[0] < 8, peaks
