"""Tests unusual paths and large batches: each song gets its output, or one line that says why not."""

import os
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.errors import UsageError
from keras_audiosr.library import batch
from keras_audiosr.library.outcome import RestoredFile
from keras_audiosr.library.plan import plan_library
from keras_audiosr.library.settings import Settings
from keras_audiosr.processes import ffmpeg
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.probe import probe


@pytest.fixture(scope="module")
def song(tmp_path_factory, make_music) -> bytes:
    """Returns the bytes of a short MP3."""
    folder = tmp_path_factory.mktemp("song")
    soundfile.write(folder / "a.wav", make_music(0.3), 44100)
    assert run_ffmpeg("-i", str(folder / "a.wav"), "-b:a", "64k", str(folder / "a.mp3")).returncode == 0
    return (folder / "a.mp3").read_bytes()


def restore(*arguments) -> int:
    return cli.main(["restore", "--model", str(tiny_export()), *map(str, arguments)])


NAMES = [
    "two words.mp3", "'single' and \"double\".mp3", "\N{MULTIPLE MUSICAL NOTES}\N{VICTORY HAND}.mp3", "line\nbreak.mp3",
    "tab\there.mp3", "-o.mp3", "--overwrite.mp3", "a;b|c&d$(e)`f`.mp3", "%d %s %05d.mp3", "[1] *.mp3", "a:b.mp3",
    "file:x.mp3", "http.mp3", "back\\slash.mp3", ".hidden.mp3", "no_suffix", "UPPER.MP3", "dots...mp3",
    " leading and trailing .mp3",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(song, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(song)
    # A user in that folder writes `--` before a name that looks like an option.
    assert restore("-o", "out.flac", "--", name) == 0
    said = capsys.readouterr()
    assert said.err == "" and said.out.count("\n") == 1
    assert soundfile.info("out.flac").frames == soundfile.info("out.flac").samplerate * 3 // 10
    assert restore("--", name) == 0
    assert Path(Path(name).stem + ".restored.flac").read_bytes() == Path("out.flac").read_bytes()
    assert cli.main(["probe", "--", name]) == 0
    assert capsys.readouterr().err == ""


def test_composed_and_decomposed_names_are_two_songs(song, tmp_path, capsys):
    names = [unicodedata.normalize(form, "Café.mp3") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / name).write_bytes(song)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system takes both names for the same one")
    assert restore(tmp_path, "-o", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {name[:-4] + ".flac" for name in names}


def a_loop(folder):
    (folder / "a.mp3").symlink_to(folder / "b.mp3")
    (folder / "b.mp3").symlink_to(folder / "a.mp3")
    return folder / "a.mp3"


def a_broken_link(folder):
    (folder / "a.mp3").symlink_to(folder / "gone.mp3")
    return folder / "a.mp3"


def a_fifo(folder):
    os.mkfifo(folder / "a.mp3")
    return folder / "a.mp3"


def a_folder(folder):
    (folder / "a.mp3").mkdir()
    return folder / "a.mp3"


def below_a_file(folder):
    (folder / "a").write_text("a file")
    return folder / "a" / "b.mp3"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (a_loop, 1), (a_broken_link, 1), (a_fifo, 1), (a_folder, 1), (below_a_file, 1),
        (lambda folder: folder / "missing.mp3", 1), (lambda folder: Path("/dev/null"), 1),
        (lambda folder: folder / ("x" * 300 + ".mp3"), 1), (lambda folder: Path("/proc/self/mem"), 1),
    ],
)  # fmt: skip
def test_what_is_no_file(tmp_path, capsys, make, code):
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    tiny_export()
    started = time.monotonic()
    assert restore(path, "-o", tmp_path / "out.flac") == code
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "Traceback" not in said.err and said.out.count("\n") <= 1
    assert sorted(tmp_path.rglob("*")) == before
    # A FIFO must not be opened, because that would wait until another process writes to it.
    assert time.monotonic() - started < 60


def test_a_message_names_a_path_once(song, tmp_path, capsys):
    broken = tmp_path / os.fsdecode(b"a: b \xff\n.mp3")
    broken.write_text("no music")
    cut = tmp_path / "cut short.mp3"
    cut.write_bytes(song[:60])
    good = tmp_path / "good.mp3"
    good.write_bytes(song)
    for arguments, path in [
        ([broken], "a: b "), ([cut], "cut short.mp3"), ([good, "-o", "/proc/nowhere/x.flac"], "nowhere"),
        ([good, "-o", tmp_path / "good.mp3" / "x.flac"], "x.flac"),
        (["https://example.com/music/a.mp3?b=c"], "https://example.com/music/a.mp3?b=c is a URL; download it first"),
    ]:  # fmt: skip
        assert restore(*arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error.count(path) == 1, error
        assert "file:" not in error and "Errno" not in error, error


def test_an_unreadable_file(song, tmp_path):
    """A file without read permission fails alone. Root may read every file, so the process gives up that capability."""
    for name, mode in (("a.mp3", 0), ("b.mp3", 0o644)):
        (tmp_path / name).write_bytes(song)
        (tmp_path / name).chmod(mode)
    code = (
        "import ctypes, os, sys; from keras_audiosr import cli\n"
        "if os.geteuid() == 0:\n"
        "    libc = ctypes.CDLL(None, use_errno=True)\n"
        "    for capability in (1, 2): assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP: DAC_*\n"
        "    os.execv(sys.executable, [sys.executable, '-m', 'keras_audiosr', *sys.argv[1:]])\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    arguments = ["restore", "--model", str(tiny_export()), str(tmp_path), "-o", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    error = done.stderr.splitlines()[0]
    assert "a.mp3" in error and "Permission denied" in error and error.count("; ") >= 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.flac"]


def test_a_link_to_a_song_is_a_song_and_stays(song, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.mp3").write_bytes(song)
    (tmp_path / "link.mp3").symlink_to(tmp_path / "store" / "a.mp3")
    assert restore(tmp_path / "link.mp3") == 0
    assert (tmp_path / "link.restored.flac").is_file() and (tmp_path / "link.mp3").is_symlink()
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["a.mp3"]


def test_outputs_that_are_not_free(song, tmp_path, capsys):
    (tmp_path / "a.mp3").write_bytes(song)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mp3").write_bytes(song)
    (tmp_path / "link.flac").symlink_to(tmp_path / "a.mp3")
    os.mkfifo(tmp_path / "fifo.flac")
    (tmp_path / "dangling.flac").symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    for arguments, code in [
        ([tmp_path / "a.mp3", "-o", tmp_path / "link.flac"], 2),  # the input under another name
        ([tmp_path / "a.mp3", tmp_path / "sub" / "a.mp3", "-o", tmp_path], 2),  # two inputs, one output
        ([tmp_path / "a.mp3", "-o", tmp_path / "fifo.flac"], 3),
        ([tmp_path / "a.mp3", "-o", tmp_path / "dangling.flac"], 3),
        ([tmp_path / "a.mp3", "-o", "/proc/out.flac"], 1),
        ([tmp_path / "a.mp3", "-o", tmp_path / "a.mp3" / "out.flac"], 1),
    ]:
        assert restore(*arguments) == code, arguments
        assert capsys.readouterr().err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        assert (tmp_path / "a.mp3").read_bytes() == song


@pytest.fixture
def read_only(tmp_path):
    """Mounts a read-only file system and returns its folder."""
    place = tmp_path / "read only"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", place]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_read_only_target(song, tmp_path, read_only, capsys):
    (tmp_path / "a.mp3").write_bytes(song)
    assert restore(tmp_path / "a.mp3", "-o", read_only / "a.flac") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "the output must be writable" in error and "permissions" in error


def run(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)


def test_closed_standard_streams(song, tmp_path):
    (tmp_path / "a.mp3").write_bytes(song)
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), str(tmp_path / "a.mp3")]
    for number, closed in enumerate(("<&-", ">&-", "2>&-")):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *command, "-o", str(tmp_path / f"{number}.flac")],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / f"{number}.flac").is_file()


def test_without_ffmpeg(song, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.mp3").write_bytes(song)
    ffmpeg.find_binary.cache_clear()
    try:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert restore(tmp_path / "a.mp3") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "install FFmpeg" in error
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]
        with pytest.raises(UsageError):
            probe(tmp_path / "a.mp3")
    finally:
        ffmpeg.find_binary.cache_clear()


def test_sixty_songs_ten_of_them_bad(tmp_path, make_music, song):
    """One run restores the 50 good songs and prints one line for each of the 10 bad ones."""
    folder = tmp_path / "music"
    folder.mkdir()
    damaged = {number: kind for kind, number in enumerate(range(4, 60, 6))}
    assert len(damaged) == 10
    tone = make_music(0.1)
    for number in range(60):
        path = folder / f"{number:04}.mp3"
        if number not in damaged:
            path.write_bytes(song)
            continue
        kind = damaged[number] % 5
        if kind == 4:
            samples = np.where(np.arange(len(tone))[:, None] == 10, np.nan, tone)
            soundfile.write(path, samples, 44100, format="WAV", subtype="FLOAT")
        else:
            path.write_bytes([b"", b"no music", song[:1], bytes(len(song))][kind])
    done = run(folder, "-o", tmp_path / "out", "--jobs", "2")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    errors, (head, *again) = lines[:10], lines[10:]
    assert all(line.startswith("keras-audiosr: error: ") for line in errors), done.stderr
    # The errors are repeated at the end, so that users need not search for them among other lines.
    assert head == "keras-audiosr: 10 failed:"
    assert again == [line.replace("keras-audiosr: error:", " ") for line in errors]
    for number in damaged:
        assert sum(f"{number:04}.mp3" in line for line in errors) == 1
    assert "50 restored, 10 failed" in done.stdout.splitlines()[-1]
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [f"{number:04}.flac" for number in range(60) if number not in damaged]
    # STREAMINFO, which ends with the MD5 of the samples: the songs are equal.
    assert len({path.read_bytes()[:42] for path in (tmp_path / "out").iterdir()}) == 1


def test_ten_thousand_songs_are_planned_and_counted(tmp_path, monkeypatch):
    """Apart from the restoration itself, 10,000 songs take less than a minute, and no file or thread is left open."""
    for number in range(10_000):
        (tmp_path / f"{number}.mp3").touch()
    monkeypatch.setattr(
        batch, "restore_song", lambda song, *rest: RestoredFile(song.source, song.target, 1.0, 0.1, 0, ())
    )
    started = time.monotonic()
    before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    plan = plan_library([tmp_path], None, ".flac")
    outcomes = list(batch.restore_each(plan, tiny_export(), Settings(), jobs=2))
    assert len({outcome.target for outcome in outcomes}) == 10_000
    assert time.monotonic() - started < 60
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert threading.active_count() <= threads + 1
