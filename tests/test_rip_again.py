"""Tests repeated runs of `rip`: finished tracks are kept, and missing, damaged or unfinished ones are made again."""

import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mutagen.flac
import pytest
import soundfile
from rips import expected_md5, integers, leftovers, write

from keras_audiosr.shelf.manifests import Track, read_manifest
from keras_audiosr.shelf.rip_file import rip_file
from keras_audiosr.stages.rip import rip

rip_module = importlib.import_module("keras_audiosr.stages.rip")


def test_a_second_run_decodes_nothing(shelf, tmp_path, monkeypatch):
    first = rip(shelf, tmp_path / "out")
    manifest = (tmp_path / "out/tracks.jsonl").read_bytes()

    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("keras_audiosr.shelf.rip_file.inspect", decode)
    monkeypatch.setattr("keras_audiosr.shelf.track_folder.holds", decode)
    second = rip(shelf, tmp_path / "out")
    assert (second.made, sorted(second.kept), second.failed) == ([], first.made, {})
    assert second.tracks == first.tracks
    assert (tmp_path / "out/tracks.jsonl").read_bytes() == manifest


@pytest.mark.parametrize("harm", ["missing", "truncated", "flipped", "emptied", "other audio"])
def test_a_missing_or_damaged_track_alone_is_made_again(shelf, tmp_path, harm):
    first = rip(shelf, tmp_path / "out")
    victim = tmp_path / "out" / first.made[1]
    whole = victim.read_bytes()
    if harm == "missing":
        victim.unlink()
    elif harm == "truncated":
        victim.write_bytes(whole[: len(whole) // 2])
    elif harm == "flipped":
        victim.write_bytes(whole[:60000] + bytes([whole[60000] ^ 255]) + whole[60001:])
    elif harm == "emptied":
        victim.write_bytes(b"")
    else:
        shutil.copy(tmp_path / "out" / first.made[0], victim)
    second = rip(shelf, tmp_path / "out")
    assert second.made == [first.made[1]] and len(second.kept) == 3 and not second.failed
    assert victim.read_bytes() == whole
    assert second.tracks == first.tracks


def test_a_retagged_track_is_kept(shelf, tmp_path):
    first = rip(shelf, tmp_path / "out")
    file = mutagen.flac.FLAC(tmp_path / "out" / first.made[0])
    file["COMMENT"] = ["mine"]
    file.save()
    assert rip(shelf, tmp_path / "out").made == []
    assert mutagen.flac.FLAC(tmp_path / "out" / first.made[0])["COMMENT"] == ["mine"]


def test_a_changed_source_is_made_again(tmp_path):
    write(tmp_path / "rips/1.wav", integers(16, seed=1), 16, "PCM_16")
    first = rip(tmp_path / "rips", tmp_path / "out")
    write(tmp_path / "rips/1.wav", integers(16, length=30001, seed=2), 16, "PCM_16")
    second = rip(tmp_path / "rips", tmp_path / "out")
    assert second.made == first.made
    assert second.tracks[0].md5 == expected_md5(integers(16, length=30001, seed=2), 16)
    assert read_manifest(second.manifest, Track) == second.tracks


def test_a_moved_source_makes_no_twins(shelf, tmp_path):
    shutil.copytree(shelf, tmp_path / "here")
    first = rip(tmp_path / "here", tmp_path / "out")
    (tmp_path / "here").rename(tmp_path / "there")
    second = rip(tmp_path / "there", tmp_path / "out")
    assert [track.lossless for track in second.tracks] == [track.lossless for track in first.tracks]
    assert len(read_manifest(second.manifest, Track)) == 4


def test_further_discs_join_the_shelf(shelf, tmp_path):
    rip(shelf / "Album 0", tmp_path / "out")
    report = rip(shelf / "Album 1", tmp_path / "out")
    assert len(report.tracks) == 2 and len(read_manifest(report.manifest, Track)) == 4


def test_somebodys_own_file_is_not_replaced(tmp_path):
    write(tmp_path / "rips/01 x.wav", integers(16, seed=1), 16, "PCM_16")
    write(tmp_path / "out/rips/01 x.flac", integers(16, seed=2), 16, "PCM_16")
    mine = (tmp_path / "out/rips/01 x.flac").read_bytes()
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert report.made == ["rips/01 x (2).flac"]
    assert (tmp_path / "out/rips/01 x.flac").read_bytes() == mine


def test_without_its_memory_the_folder_is_put_right(shelf, tmp_path):
    first = rip(shelf, tmp_path / "out")
    (tmp_path / "out/.rip.json").write_text("{broken")
    (tmp_path / "out/tracks.jsonl").unlink()
    second = rip(shelf, tmp_path / "out")
    assert second.made == first.made and second.tracks == first.tracks


def test_an_interrupt_keeps_what_is_done(tmp_path, shelf, monkeypatch):
    def interrupted(ripper, sources, jobs, on_track):
        for outcome in rip_file(sources[0]):
            ripper.enter(outcome)
        raise KeyboardInterrupt

    monkeypatch.setattr(rip_module, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rip(shelf, tmp_path / "out")
    monkeypatch.undo()
    assert len(read_manifest(tmp_path / "out/tracks.jsonl", Track)) == 1
    report = rip(shelf, tmp_path / "out")
    assert len(report.kept) == 1 and len(report.made) == 3


PROGRAM = "import sys; from keras_audiosr.stages.rip import rip; print('go', flush=True); rip(*sys.argv[1:], jobs=2)"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_leaves_no_half_file_and_the_next_one_ends_it(tmp_path, kind):
    for number in range(6):
        write(tmp_path / "rips" / f"{number}.wav", integers(16, length=500000, seed=number), 16, "PCM_16")
    for delay in (0.05, 0.2, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "rips"), str(tmp_path / "out")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(kind)
        process.wait()
        process.stdout.close()
        finished = [path for path in (tmp_path / "out").rglob("*.flac") if "partial" not in path.name]
        for path in finished:
            assert soundfile.read(path)[0].shape == (500000, 2)
        if kind == signal.SIGINT and (tmp_path / "out/tracks.jsonl").exists():
            assert not leftovers(tmp_path / "out")
            lines = (tmp_path / "out/tracks.jsonl").read_text().splitlines()
            listed = {json.loads(line)["lossless"] for line in lines}
            assert listed == {str(path.relative_to(tmp_path / "out")) for path in finished}
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert len(report.tracks) == 6 and not report.failed
    assert sorted(track.title for track in report.tracks) == [str(number) for number in range(6)]
