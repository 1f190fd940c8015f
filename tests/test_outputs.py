"""Tests that outputs are complete and never replace the files of others, even if a run is killed or the disk fails."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.codecs import CodecSpec
from keras_audiosr.codecs.round_trip import encode_file
from keras_audiosr.datasets.decode import decode
from keras_audiosr.errors import AudioFileError, OutputExistsError
from keras_audiosr.files import audio_files
from keras_audiosr.files.flac_header import streaminfo_md5
from keras_audiosr.files.pcm import inspect, pcm_md5
from keras_audiosr.library import song as song_module
from keras_audiosr.processes import partial_files
from keras_audiosr.processes.partial_files import remove_abandoned
from keras_audiosr.stages.restore import restore

FORMATS = ["flac", "wav", "aiff", "m4a", "wv", "mp3"]


@pytest.fixture
def song(tmp_path, make_music):
    soundfile.write(tmp_path / "a.wav", make_music(1.0), 44100)
    return tmp_path / "a.wav"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Makes each test search its folders for abandoned files again, as a new process does."""
    monkeypatch.setattr(partial_files, "_swept", set())


def run(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


@pytest.mark.parametrize(
    ("suffix", "harm"),
    # Only the length of an MP3 is compared.
    [(suffix, harm) for suffix in FORMATS for harm in ("flipped", "cut") if (suffix, harm) != ("mp3", "flipped")],
)
def test_what_the_disk_gives_back_wrong_is_no_output(song, tmp_path, monkeypatch, capsys, suffix, harm):
    # Simulates a faulty disk: the file changes after it was written and before it is read back.
    honest = song_module.require_written

    def lying(partial, *rest):
        content = bytearray(partial.read_bytes())
        if harm == "flipped":
            content[len(content) // 2] ^= 0x10
        else:
            del content[2 * len(content) // 3 :]
        partial.write_bytes(content)
        honest(partial, *rest)

    monkeypatch.setattr(song_module, "require_written", lying)
    target = tmp_path / f"out.{suffix}"
    target.write_text("the old one")
    arguments = ["restore", str(song), "-o", str(target), "--model", str(tiny_export()), "--overwrite", "--force"]
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "what was written must be read" in said
    assert target.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", f"out.{suffix}"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_partial_is_locked_from_first_to_last(song, tmp_path, monkeypatch, suffix):
    """While an output of any format is being written, another run does not remove its temporary file as abandoned."""
    honest = song_module.require_written

    def another_run(partial, *rest):
        monkeypatch.setattr(partial_files, "_swept", set())
        remove_abandoned(partial.parent)
        assert partial.exists()
        honest(partial, *rest)

    monkeypatch.setattr(song_module, "require_written", another_run)
    report = restore(song, tmp_path / f"out.{suffix}", tiny_export(), force=True)
    assert report.restored[0].target.exists()


def test_what_is_abandoned_is_removed_and_nothing_else(tmp_path):
    abandoned = [tmp_path / ".0123456789abcdef.partial.flac", tmp_path / ".0123456789abcdef.partial"]
    for path in abandoned:
        path.write_text("half")
    folder = tmp_path / ".fedcba9876543210.partial"
    folder.mkdir()
    (folder / "half.txt").write_text("half")
    link = tmp_path / ".00000000deadbeef.partial.flac"
    link.symlink_to(tmp_path / "mine.flac")
    kept = [tmp_path / name for name in ("mine.flac", ".hidden", "a.partial.flac", ".0123456789abcdef.partial.a.b")]
    for path in kept:
        path.write_text("mine")
    with partial_files.atomic_output(tmp_path / "new.flac") as partial:
        assert not any(path.exists() for path in [*abandoned, folder])
        remove_abandoned(tmp_path)
        partial.write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, link, tmp_path / "new.flac"])


def test_a_folder_at_work_is_not_abandoned(tmp_path, monkeypatch):
    with partial_files.atomic_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("a")
        monkeypatch.setattr(partial_files, "_swept", set())
        remove_abandoned(tmp_path)
        assert (partial / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_many_runs_begin_at_once(tmp_path):
    """No temporary file is lost if it is created while another thread searches for abandoned ones."""
    stop = threading.Event()

    def sweep():
        while not stop.is_set():
            with partial_files._sweeping:
                partial_files._swept.clear()
            remove_abandoned(tmp_path)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(200):
            with partial_files.atomic_output(tmp_path / "a.txt") as partial:
                partial.write_text(str(number))
            assert (tmp_path / "a.txt").read_text() == str(number)
    finally:
        stop.set()
        sweeper.join()


@pytest.mark.parametrize("links", [True, False])
def test_what_another_run_made_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(PermissionError("no links here")))
    target = tmp_path / "a.txt"
    with (
        pytest.raises(OutputExistsError, match="another run made"),
        partial_files.atomic_output(target, replace=False) as partial,
    ):
        partial.write_text("late")
        target.write_text("early")
    assert target.read_text() == "early"
    target.unlink()
    with partial_files.atomic_output(target, replace=False) as partial:
        partial.write_text("late")
    assert target.read_text() == "late"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_two_runs_on_one_output(song, tmp_path):
    """Of several runs with the same output, the first to finish writes it completely, and the others fail."""
    arguments = [song, "-o", tmp_path / "out.flac", "--force"]
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), *map(str, arguments)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in runs]
    assert sorted(process.returncode for process in runs) == [0, 3, 3], said
    assert soundfile.info(tmp_path / "out.flac").frames == 44100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "out.flac"]


def test_in_a_library_another_runs_song_is_done(song, tmp_path, monkeypatch):
    other = tmp_path / "other"
    restore([song, song.parent / "missing.mp3"], other, tiny_export(), force=True)
    made = (other / "a.flac").read_bytes()
    out = tmp_path / "out"
    honest = song_module.require_written

    def slow(partial, *rest):
        honest(partial, *rest)
        (out / "a.flac").write_bytes(made)

    monkeypatch.setattr(song_module, "require_written", slow)
    report = restore([song, song.parent / "missing.mp3"], out, tiny_export(), force=True)
    assert [skipped.reason for skipped in report.skipped] == ["done"]
    assert (out / "a.flac").read_bytes() == made


# A program that restores slowly, so that it can be killed in the middle of a song.
SLOW = (
    "import sys, time; from keras_audiosr import cli; from keras_audiosr.runners.litert import LiteRTRunner;"
    "LiteRTRunner.predict = lambda self, windows: time.sleep(0.02) or windows; sys.exit(cli.main(sys.argv[1:]))"
)


def test_killed_while_writing(tmp_path, make_music):
    soundfile.write(tmp_path / "a.wav", np.tile(make_music(2.0), (15, 1)), 44100)
    target = tmp_path / "a.restored.flac"
    target.write_text("the old one")
    arguments = ["restore", str(tmp_path / "a.wav"), "--model", str(tiny_export()), "--overwrite", "--force"]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".*.partial.flac")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert target.read_text() == "the old one"
    assert len(list(tmp_path.glob(".*.partial.flac"))) == 1
    # The next run removes the temporary file.
    assert cli.main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.restored.flac", "a.wav"]
    assert soundfile.info(target).frames == 30 * 44100


# A program that sends a signal to itself when it calls the function `name` of the module or class `owner`.
SIGNALLED = """
import importlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from keras_audiosr import cli
module, _, owner = {owner!r}.partition(":")
owner = getattr(importlib.import_module(module), owner) if owner else importlib.import_module(module)
honest = getattr(owner, {name!r})
def signalled(*arguments, **options):
    os.kill(os.getpid(), {number})
    return honest(*arguments, **options)
setattr(owner, {name!r}, signalled)
sys.exit(cli.main(sys.argv[1:]))
"""
PLACES = [
    ("keras_audiosr.library.batch", "load_runners"),  # before the first song
    ("keras_audiosr.library.song", "source_hash"),  # at the beginning of a song
    ("keras_audiosr.files.writers:Writer", "write"),  # in the middle of the music
    ("keras_audiosr.library.song", "write_metadata"),  # after the music has been written
    ("keras_audiosr.library.song", "require_written"),  # before the output is read back
    ("keras_audiosr.processes.partial_files", "sync"),  # just before the output is renamed
]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
def test_interrupted_at_any_point(song, tmp_path, place, number, code):
    (tmp_path / "a.restored.flac").write_text("the old one")
    arguments = ["restore", str(song), "--model", str(tiny_export()), "--overwrite", "--force"]
    script = SIGNALLED.format(owner=place[0], name=place[1], number=int(number))
    # If the tests run under nohup, the program would otherwise inherit that SIGHUP is ignored.
    script = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "a.restored.flac").read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.restored.flac", "a.wav"]


@pytest.fixture
def small_disk(tmp_path):
    """Yields the folder of a file system with 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk(tmp_path, make_music, small_disk, suffix):
    soundfile.write(tmp_path / "a.wav", np.tile(make_music(2.0), (10, 1)), 44100)
    soundfile.write(tmp_path / "b.wav", make_music(0.05), 44100)
    target = small_disk / f"a.{suffix}"
    target.write_text("the old one")
    inputs = [tmp_path / "a.wav", tmp_path / "b.wav"]
    done = run(*inputs, "-o", small_disk, "--format", suffix, "--overwrite", "--force")
    assert done.returncode == 1, done.stderr
    # The error is printed when it occurs, and listed again at the end.
    error, head, again = done.stderr.splitlines()
    assert "space" in error and head.endswith("1 failed:") and again.strip() in error, done.stderr
    assert target.read_text() == "the old one"
    assert sorted(path.name for path in small_disk.iterdir()) == [target.name, f"b.{suffix}"]


def limited(headroom: int) -> str:
    """Returns a program that may use `headroom` more bytes of address space than it uses when its model is loaded."""
    return (
        "import re, resource, sys; from keras_audiosr import cli; from keras_audiosr.library import batch;"
        # These modules would be imported after the limit is set, and this test is not about imports that fail.
        "import soundfile, soxr, tqdm, mutagen.flac, keras_audiosr.library.reporter; honest = batch.load_runners\n"
        "def load(*arguments):\n"
        "    runners = honest(*arguments)\n"
        "    used = 1024 * int(re.search('VmSize:\\\\s*(\\\\d+)', open('/proc/self/status').read())[1])\n"
        f"    resource.setrlimit(resource.RLIMIT_AS, (used + {headroom}, used + {headroom}))\n"
        "    return runners\n"
        "batch.load_runners = load; sys.exit(cli.main(sys.argv[1:]))"
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("megabytes", [1, 4, 16, 256])
def test_little_memory(tmp_path, make_music, megabytes):
    soundfile.write(tmp_path / "a.wav", make_music(4.0), 44100)
    soundfile.write(tmp_path / "b.wav", make_music(0.1, channels=8), 44100)
    (tmp_path / "a.restored.flac").write_text("the old one")
    arguments = ["restore", *map(str, sorted(tmp_path.glob("*.wav"))), "--model", str(tiny_export())]
    code = limited(megabytes << 20)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--overwrite", "--force"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if line.startswith("keras-audiosr: error: ")]
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if errors else 0), done.stderr
    assert megabytes > 1 or len(errors) == 2
    assert megabytes < 256 or not errors
    assert {path.name for path in tmp_path.iterdir()} <= {"a.wav", "b.wav", "a.restored.flac", "b.restored.flac"}
    for name in ("a", "b"):
        restored = tmp_path / f"{name}.restored.flac"
        if any(f"{tmp_path}/{name}." in line for line in errors):
            assert not restored.exists() or restored.read_text() == "the old one"
        else:
            assert soundfile.info(restored).frames == soundfile.info(tmp_path / f"{name}.wav").frames


def test_a_limit_on_the_size_of_files(song, tmp_path):
    """If the system cuts off a write at the limit, `restore` fails with one line. Python ignores the signal SIGXFSZ."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run(song, "-o", tmp_path / "out.wav", "--force", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_forged_lengths_take_no_memory(tmp_path, make_music):
    soundfile.write(tmp_path / "a.flac", make_music(0.5), 44100)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F  # the number of samples in STREAMINFO, which has 36 bits
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(content)
    assert soundfile.info(tmp_path / "a.flac").frames == 2**36 - 1
    audio, _ = audio_files.read(tmp_path / "a.flac")
    assert audio.shape == (22050, 2)
    assert decode(tmp_path / "a.flac", 44100).shape == (22050, 2)
    # `encode` refuses the file because of the wrong length. `rip` accepts it, because the MD5 proves it complete.
    with pytest.raises(AudioFileError):
        encode_file(tmp_path / "a.flac", tmp_path / "a.mp3", CodecSpec.parse("mp3@64k"))
    assert inspect(tmp_path / "a.flac").length == 22050
    assert pcm_md5(inspect(tmp_path / "a.flac")) == streaminfo_md5(tmp_path / "a.flac")
