"""Tests that the stages write the same bytes on Apache Beam, with two worker processes, as with the local runner."""

import builtins
import importlib.util
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import soundfile
from conftest import music

from keras_audiosr import encode, rip, window
from keras_audiosr.cli import main
from keras_audiosr.errors import AudioFileError, AudioSRError, UsageError
from keras_audiosr.processes import beam

ROOT = Path(__file__).parents[1]
needs_beam = pytest.mark.skipif(
    not importlib.util.find_spec("apache_beam"), reason="needs apache_beam (pip install '.[beam]')"
)


@pytest.fixture(autouse=True)
def workers_find_the_package(monkeypatch):
    """Lets Beam's workers import the package and the tests. They are new processes that see only the environment."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the contents of all files, also hidden ones, but without the lock and the file that has file times."""
    skipped = (".encode.lock", ".rip.json")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in skipped)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def process_of(number: int):
    time.sleep(0.3)
    if number < 0:
        raise AudioFileError(f"not {number}")
    yield number, os.getpid()
    yield -number, os.getpid()


@needs_beam
def test_two_processes_share_the_work_and_results_keep_the_order(tmp_path):
    found = beam.flat_map(process_of, range(1, 9), tmp_path, jobs=2)
    assert [number for number, _ in found] == [number for n in range(1, 9) for number in (n, -n)]
    processes = {process for _, process in found}
    assert len(processes) == 2 and os.getpid() not in processes
    assert not list(tmp_path.iterdir())


@needs_beam
def test_an_error_of_the_work_comes_back_as_it_was(tmp_path):
    with pytest.raises(AudioFileError, match="not -2"):
        beam.flat_map(process_of, [1, -2, 3, -4], tmp_path, ["--direct_running_mode=in_memory"])
    with pytest.raises(AudioSRError, match="must end well") as caught:
        beam.flat_map(process_of, ["word"], tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@needs_beam
def test_the_road_to_windows_is_the_same_to_the_byte(tmp_path, shelf):
    # Two tracks of one album have the same name, so one of them must be renamed to "(2)".
    discs = tmp_path / "discs"
    shutil.copytree(shelf, discs)
    (discs / "Album 0" / "CD 2").mkdir()
    soundfile.write(discs / "Album 0" / "CD 2" / "01 Song.flac", music(seed=99), 44100, subtype="PCM_16")
    (discs / "Album 1" / "03 Noise.flac").write_bytes(b"no music")
    reports = {}
    for runner in ("local", "beam"):
        out = tmp_path / runner
        ripped = rip(discs, out / "shelf", jobs=2, runner=runner)
        encoded = encode(out / "shelf" / "tracks.jsonl", out / "pairs", ["mp3@64k", "opus@48k"], jobs=2, runner=runner)
        cut = {"window_length": 3000, "hop_length": 2000, "shard_size": 100, "runner": runner, "jobs": 2}
        window(out / "pairs" / "pairs.jsonl", out / "all", **cut)
        # `min_level` needs two pipelines: one counts windows and one writes them. They run in this process, which has
        # loaded TensorFlow already.
        here = "--direct_running_mode=in_memory --direct_num_workers=1" if runner == "beam" else ""
        window(out / "pairs" / "pairs.jsonl", out / "loud", **cut, min_level=-22.0, beam_options=here)
        reports[runner] = (ripped.made, ripped.left_out, ripped.failed, encoded.made, encoded.rejected, encoded.failed)
    assert reports["local"] == reports["beam"]
    assert len(reports["beam"][0]) == 5 and len(reports["beam"][2]) == 1 and reports["beam"][3] == 10
    local, distributed = contents(tmp_path / "local"), contents(tmp_path / "beam")
    assert local.keys() == distributed.keys()
    assert [name for name in local if local[name] != distributed[name]] == []
    loud, everything = (json.loads(local[f"{name}/index.json"])["windows"] for name in ("loud", "all"))
    assert 0 < loud < everything
    # A second run has nothing left to do.
    again = rip(discs, tmp_path / "beam" / "shelf", runner="beam")
    assert again.made == [] and len(again.kept) == 5
    again = encode(tmp_path / "beam/shelf/tracks.jsonl", tmp_path / "beam/pairs", ["mp3@64k"], runner="beam")
    assert (again.made, again.kept) == (0, 5)


@needs_beam
def test_a_place_that_is_taken_gives_the_next_name_and_stays(tmp_path, shelf):
    names = {}
    for runner in ("local", "beam"):
        out = tmp_path / runner
        (out / "Album 0").mkdir(parents=True)
        soundfile.write(out / "Album 0" / "01 Song.flac", music(1.0, seed=5), 44100, subtype="PCM_16")
        before = (out / "Album 0" / "01 Song.flac").read_bytes()
        names[runner] = rip(shelf / "Album 0", out, runner=runner).made
        assert (out / "Album 0" / "01 Song.flac").read_bytes() == before
    assert names["local"] == names["beam"]
    assert "Album 0/01 Song (2).flac" in names["beam"]


@needs_beam
def test_the_command_line_hands_beam_its_options(tmp_path, shelf, capsys):
    words = ["rip", str(shelf), str(tmp_path / "out"), "--runner", "beam"]
    assert main([*words, "--beam-options", "--direct_num_workers=1 --direct_running_mode=in_memory"]) == 0
    assert "4 made" in capsys.readouterr().out
    words[2] = str(tmp_path / "other")
    assert main([*words, "--beam-options=--direct_num_workers=many"]) == 2
    assert "must know its options" in capsys.readouterr().err


def test_options_without_beam_are_refused(tmp_path, shelf, monkeypatch):
    with pytest.raises(UsageError, match="use 'beam'"):
        rip(shelf, tmp_path / "out", beam_options="--runner=FlinkRunner")
    with pytest.raises(UsageError, match="'spark'"):
        encode(tmp_path / "tracks.jsonl", tmp_path / "out", ["mp3@64k"], runner="spark")
    real = builtins.__import__

    def without(name, *arguments):
        if name == "apache_beam":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"\[beam\]"):
        rip(shelf, tmp_path / "out", runner="beam")
    assert not (tmp_path / "out").exists()
