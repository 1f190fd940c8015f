"""Tests writing to network shares and other file systems.

Some of them cannot sync, lock, link or set permissions, and some do not allow every file name.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr.errors import AudioFileError
from keras_audiosr.files.pcm import inspect, pcm_md5
from keras_audiosr.processes import file_systems

SOURCE = Path(__file__).parent / "share" / "share.c"
MODES = ["readonly_sync", "badf_sync", "no_sync", "mandatory", "no_lock", "no_links", "no_rights"]
MODES += ["readonly_sync mandatory no_links no_rights", "no_sync no_lock no_links no_rights"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("an emulated share needs Linux and a C compiler")
    built = tmp_path_factory.mktemp("share") / "share.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(built), str(SOURCE), "-ldl"], check=True)
    return built


@pytest.fixture
def share(tmp_path):
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


def on_share(library, share, mode: str, *arguments, script: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, *(["-c", script] if script else ["-m", "keras_audiosr"]), *map(str, arguments)]
    surroundings = {**os.environ, "LD_PRELOAD": str(library), "SHARE_ROOT": str(share), "SHARE_MODE": mode}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=120)


# A program without special treatment of shares. It shows that the emulated operations really fail; otherwise the tests
# below would prove nothing.
NAIVE = """
import fcntl, os, sys
path = sys.argv[1] + "/naive"
with open(path, "w") as file:
    file.write("x")
for name, act in {
    "fsync": lambda: os.fsync(os.open(path, os.O_RDONLY)),
    "flock": lambda: fcntl.flock(open(path), fcntl.LOCK_EX),
    "link": lambda: os.link(path, path + "2"),
    "chmod": lambda: os.chmod(path, 0o600),
    "utime": lambda: os.utime(path),
}.items():
    try:
        act()
        print(name, "works")
    except OSError as error:
        print(name, error.errno)
holder = open(path)
try:
    fcntl.flock(holder, fcntl.LOCK_EX)
    os.write(os.open(path, os.O_WRONLY), b"y")
    print("write works")
except OSError as error:
    print("write", error.errno)
"""


def test_the_emulation_does_what_it_says(library, share):
    def said(mode: str) -> dict[str, str]:
        lines = on_share(library, share, mode, share, script=NAIVE).stdout.splitlines()
        for path in share.iterdir():
            path.unlink()
        return dict(line.split() for line in lines)

    fine = {"fsync": "works", "flock": "works", "link": "works", "chmod": "works", "utime": "works", "write": "works"}
    assert said("") == fine
    assert said("readonly_sync") == fine | {"fsync": "13"}
    assert said("badf_sync") == fine | {"fsync": "9"}
    assert said("no_sync") == fine | {"fsync": "22"}
    assert said("mandatory") == fine | {"write": "13"}
    assert said("no_lock") == fine | {"flock": "95", "write": "95"}
    assert said("no_links")["link"] == "1" and said("no_rights")["chmod"] == "1" and said("no_rights")["utime"] == "1"


@pytest.mark.parametrize("mode", MODES)
def test_everything_is_written(library, share, tmp_path, make_music, mode):
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", make_music(1.0, seed=number), 44100)
    songs = [str(tmp_path / "0.wav"), str(tmp_path / "1.wav")]
    restoring = ["--model", str(tiny_export()), "--force"]
    verbs = [
        ["restore", *songs, "-o", str(share), *restoring],
        ["rip", songs[0], str(share / "shelf"), "--include-probably-lossy"],
        ["encode", str(share / "shelf" / "tracks.jsonl"), str(share / "twins"), "--codec", "mp3@64k"],
    ]
    others = ("m4a", "wv", "wav", "mp3") if mode == MODES[-2] else ()
    verbs += [["restore", songs[0], "-o", str(share / f"out.{suffix}"), *restoring] for suffix in others]
    # All commands run in one process, because a process for each of them would take longer.
    script = f"import sys; from keras_audiosr.cli import main; sys.exit(sum(main(verb) for verb in {verbs!r}))"
    done = on_share(library, share, mode, script=script)
    assert done.returncode == 0, done.stderr
    made = {"0.flac", "1.flac", "shelf", "twins", *(f"out.{suffix}" for suffix in others)}
    assert {path.name for path in share.iterdir()} == made
    (track,) = (share / "shelf").rglob("*.flac")
    assert pcm_md5(inspect(track)) == pcm_md5(inspect(songs[0]))
    assert soundfile.info(share / "0.flac").frames == 44100
    names = [path.name for path in share.rglob("*")]
    assert not [name for name in names if "partial" in name], names


@pytest.mark.parametrize("mode", ["readonly_sync mandatory no_links", "no_sync no_lock"])
def test_a_report_is_written(library, share, tmp_path, make_music, mode):
    soundfile.write(tmp_path / "a.flac", make_music(2.0), 44100)
    page = share / "page.html"
    done = on_share(library, share, mode, "report", tmp_path / "a.flac", tmp_path / "a.flac", "-o", page)
    assert done.returncode == 0, done.stderr
    assert page.stat().st_size > 1000


def test_what_is_not_synced_for_lack_of_room_is_an_error(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file_systems.sync(tmp_path / "a")


@pytest.fixture
def card(tmp_path):
    """The folder of a mounted, real exFAT file system."""
    make, mount = shutil.which("mkfs.exfat"), shutil.which("mount.exfat-fuse")
    if make is None or mount is None or os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("an exFAT card needs mkfs.exfat, mount.exfat-fuse, /dev/fuse and root")
    image, place = tmp_path / "card.img", tmp_path / "card"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run([make, str(image)], check=True, capture_output=True)
    loop = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, check=False)
    if loop.returncode:
        pytest.skip(f"no loop device here: {loop.stderr.strip()}")
    try:
        mounted = subprocess.run([mount, loop.stdout.strip(), str(place)], capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"exFAT cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "-d", loop.stdout.strip()], check=True)


def restore(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "keras_audiosr", "restore", "--model", str(tiny_export()), "--force"]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def library_of_names(tmp_path, make_music):
    folder = tmp_path / "music" / "AC: DC?"
    folder.mkdir(parents=True)
    for name in ("What?", 'Say "Hi"', "A<B>|C*\\", "Plain"):
        soundfile.write(folder / f"{name}.wav", make_music(0.5), 44100)
    return tmp_path / "music"


def test_names_that_exfat_cannot_hold_are_made_to_fit_the_same_way_in_every_run(card, library_of_names):
    arguments = [library_of_names, "-r", "-o", card / "out: all"]
    assert restore(*arguments).returncode == 0
    made = ["A_B__C__.flac", "Plain.flac", "Say _Hi_.flac", "What_.flac"]
    assert sorted(path.name for path in (card / "out_ all" / "AC_ DC_").iterdir()) == made
    again = restore(*arguments)
    assert again.returncode == 0 and "4 done already" in again.stdout, again


def test_a_name_that_was_given_is_refused_with_one_that_would_do(card, library_of_names):
    done = restore(library_of_names / "AC: DC?" / "Plain.wav", "-o", card / "a?.flac")
    assert done.returncode == 1 and f"name it {card / 'a_.flac'}" in done.stderr and done.stderr.count("\n") == 1
    assert list(card.iterdir()) == []


def test_songs_that_differ_by_case_on_a_card_are_not_written_over_each_other(card, tmp_path, make_music):
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("song.wav", "Song.wav", "other.wav"):
        soundfile.write(folder / name, make_music(0.5, seed=len(name)), 44100)
    done = restore(folder, "-o", card / "out", "--overwrite")
    assert done.returncode == 1
    assert "are one file" in done.stderr and "2 restored" in done.stdout
    assert restore(folder, "-o", tmp_path / "out", "--overwrite").returncode == 0


@pytest.mark.parametrize("name", ["a?", "a:b", 'a"', "a*", "a<", "a>", "a|", "a\\b", "a.", "a ", "...", "a\x01"])
def test_a_name_is_made_to_fit(name):
    fitting = file_systems.name_that_fits(name)
    assert fitting and fitting != name and file_systems.name_that_fits(fitting) == fitting


def test_names_stay_where_the_disk_holds_them(tmp_path):
    path = tmp_path / "AC: DC?" / 'Say "Hi".flac'
    assert file_systems.fitting_path(path) == path
    file_systems.require_name(path)
    assert not file_systems.ignores_case(tmp_path) and list(tmp_path.iterdir()) == []


def test_a_refused_name_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(file_systems, "_holds", lambda folder, marks: False)
    with pytest.raises(AudioFileError, match=r"name it .*a_b\.flac"):
        file_systems.require_name(tmp_path / "a?b.flac")
