"""Tests `restore` on a music library: inputs, outputs, skipped files, messages and exit codes."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.errors import OutputExistsError, UsageError
from keras_audiosr.library.plan import plan_library
from keras_audiosr.library.provenance import RESTORATION, read_record
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.restore import restore


@pytest.fixture(scope="module")
def lossy(tmp_path_factory, make_music):
    """One second of music as MP3."""
    path = tmp_path_factory.mktemp("lossy") / "song.mp3"
    soundfile.write(path.with_suffix(".wav"), make_music(1.0), 44100)
    tags = ["-metadata", "title=Ode", "-metadata", "replaygain_track_gain=-3 dB", "-metadata", "Acoustid Id=abc"]
    assert run_ffmpeg("-i", str(path.with_suffix(".wav")), "-b:a", "64k", *tags, str(path)).returncode == 0
    return path


@pytest.fixture
def music(tmp_path, lossy, make_music):
    """A library of lossy songs in folders, with a lossless song, a broken one, and files that are not music."""
    root = tmp_path / "music"
    for name in ("a.mp3", "pop/b.mp3", "pop/live/c.mp3", os.fsdecode(b"pop/\xff.mp3")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lossy.read_bytes())
    soundfile.write(root / "pop" / "disc.flac", make_music(2.0), 44100)
    (root / "pop" / "broken.mp3").write_text("no music")
    (root / "pop" / "cover.jpg").write_bytes(b"\xff\xd8")
    (root / "pop" / "._b.mp3").write_bytes(b"Apple")
    (root / ".trash").mkdir()
    (root / ".trash" / "x.mp3").write_bytes(lossy.read_bytes())
    return root


def run(*arguments, capsys=None):
    code = cli.main(["restore", *map(str, arguments), "--model", str(tiny_export())])
    return code, capsys.readouterr() if capsys else None


def names(plan):
    return [(song.source, song.target) for song in plan.songs]


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_library_in_one_command(music, tmp_path, capsys):
    out = tmp_path / "out"
    code, said = run(music, "-r", "-o", out, capsys=capsys)
    assert code == 1
    assert tree(out) == [
        "a.flac", "pop/b.flac", "pop/live/c.flac", os.fsdecode(b"pop/\xff.flac"),
    ]  # fmt: skip
    *lines, last = said.out.splitlines()
    assert len(lines) == 5
    assert sum("disc.flac has nothing to restore (flac, full band, no wall" in line for line in lines) == 1
    assert last.startswith("4 restored, 1 lossless, 1 failed; 0.1 min of music in ")
    assert re.search(r" s, \d+ kB; measurements left out of 4$", last)
    assert sum("without REPLAYGAIN_TRACK_GAIN, measured on other samples" in line for line in lines) == 4
    # A failure is reported when it occurs, and again at the end.
    error, head, again = said.err.splitlines()
    assert error.startswith("keras-audiosr: error: ") and "broken.mp3" in error
    assert head == "keras-audiosr: 1 failed:" and again == error.replace("keras-audiosr: error:", " ")
    # A second run has nothing left to do except the broken file, and changes no output.
    before = {path: path.read_bytes() for path in out.rglob("*.flac")}
    code, said = run(music, "-r", "-o", out, "--jobs", "2", capsys=capsys)
    assert code == 1
    assert said.out.splitlines()[-1] == "0 restored, 4 done already, 1 lossless, 1 failed"
    assert {path: path.read_bytes() for path in out.rglob("*.flac")} == before
    # Without the broken file, the exit code is 0.
    (music / "pop" / "broken.mp3").unlink()
    assert run(music, "-r", "-o", out, capsys=capsys)[0] == 0


def test_done_means_this_source_this_model_these_settings(music, tmp_path, capsys):
    (music / "pop" / "broken.mp3").unlink()
    out = tmp_path / "out"
    folder = [music / "pop", "-o", out]
    assert run(*folder, capsys=capsys)[0] == 0
    # With other settings, existing outputs must neither be replaced nor count as done.
    code, said = run(*folder, "--strength", "0.5", capsys=capsys)
    assert code == 3
    assert "was made with another strength; add --overwrite" in said.err
    # The same holds if the source has changed.
    content = bytearray((music / "pop" / "b.mp3").read_bytes())
    (music / "pop" / "b.mp3").write_bytes(content + b"\0")
    code, said = run(*folder, capsys=capsys)
    assert code == 3
    assert "b.flac was made with another source_sha256" in said.err.splitlines()[0]
    # The same holds for a file that `restore` did not make.
    (out / "b.flac").write_bytes(b"mine")
    assert run(*folder, capsys=capsys)[0] == 3
    assert (out / "b.flac").read_bytes() == b"mine"
    code, said = run(*folder, "--overwrite", capsys=capsys)
    assert code == 0 and said.out.splitlines()[-1].startswith("2 restored, 1 lossless, 0 failed")
    # If the input is a single song, an existing output is an error, even if it was made with the same settings.
    with pytest.raises(OutputExistsError, match="is done already"):
        restore(music / "pop" / "b.mp3", out, tiny_export())


def test_the_record_and_the_tags(lossy, tmp_path):
    target = tmp_path / "x.flac"
    restore(lossy, target, tiny_export(), strength=0.5)
    tags = FLAC(target)
    assert tags["title"] == ["Ode"]
    assert tags["acoustid_id"] == ["abc"]
    assert not {"replaygain_track_gain", "encoder"} & {name.lower() for name in tags}
    assert tags["restored_by"][0].startswith("keras_audiosr 0.") and " with tiny " in tags["restored_by"][0]
    record = json.loads(tags[RESTORATION][0])
    assert record == read_record(target)
    assert record["model"] == "tiny" and len(record["model_version"]) == 12 and len(record["source_sha256"]) == 64
    assert (record["strength"], record["rate"], record["clip"], record["subtype"]) == (0.5, "keep", "clamp", "PCM_24")
    # A restored file is restored again only with `force`.
    report = restore([target], tmp_path / "again", tiny_export())
    assert [skipped.reason for skipped in report.skipped] == ["restored"]
    assert len(restore([target], tmp_path / "again", tiny_export(), force=True).restored) == 1


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".m4a", ".wv", ".mp3"])
def test_every_format_holds_its_record(lossy, tmp_path, suffix):
    arguments = ([lossy], tmp_path, tiny_export(), suffix)
    assert len(restore(*arguments).restored) == 1
    assert [skipped.reason for skipped in restore(*arguments).skipped] == ["done"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_dry_run_writes_nothing(music, tmp_path, capsys):
    out = tmp_path / "out"
    code, said = run(music, "-r", "-o", out, "--dry-run", capsys=capsys)
    assert code == 1
    assert said.out.count("would restore ") == 4
    # One second of 44.1 kHz stereo in 24-bit FLAC is estimated as 44100 * 2 samples of 20 bits, which is 220 kB. The
    # upper bound is higher because FFmpeg's duration of an MP3 includes the padding.
    sizes = [int(size) for size in re.findall(r"\(about (\d+) kB\)", said.out)]
    assert len(sizes) == 4 and all(220 <= size <= 232 for size in sizes)
    last = re.fullmatch(r"4 to restore, 1 lossless, 1 failed; about (\d+) kB", said.out.splitlines()[-1])
    assert abs(int(last[1]) - sum(sizes)) <= 4
    assert not out.exists()
    report = restore(music, out, tiny_export(), dry_run=True)
    assert [(song.source, song.target) for song in report.planned] == [(music / "a.mp3", out / "a.flac")]


def test_json_lines(music, tmp_path, capsys):
    code, said = run(music, "-r", "-o", tmp_path / "out", "--json", capsys=capsys)
    assert (code, said.err) == (1, "")
    *events, summary = map(json.loads, said.out.splitlines())
    assert sorted(event["event"] for event in events) == ["failed", *["restored"] * 4, "skipped"]
    restored = next(event for event in events if event["source"] == str(music / "a.mp3"))
    assert restored["target"] == str(tmp_path / "out" / "a.flac")
    assert (restored["duration"], restored["clipped"], restored["warnings"]) == (1.0, 0, [])
    failed = next(event for event in events if event["event"] == "failed")
    assert failed["exit_code"] == 1 and "broken.mp3" in failed["error"]
    assert summary["event"] == "summary"
    assert (summary["restored"], summary["skipped"], summary["failed"]) == (4, 1, 1)
    assert summary["reasons"] == {"done": 0, "lossless": 1, "bitrate": 0, "restored": 0}
    # A path that is not UTF-8 can be read back from the JSON.
    assert os.fsdecode(b"\xff.mp3") in {Path(event["source"]).name for event in events}


def test_what_a_folder_gives(music, tmp_path):
    assert names(plan_library([music], None, ".flac")) == [(music / "a.mp3", music / "a.restored.flac")]
    # Outputs are not taken as inputs, whether they are next to their inputs or in a subfolder.
    for name in ("a.restored.flac", "pop/b.restored.flac", "done/z.mp3"):
        (music / name).parent.mkdir(exist_ok=True)
        (music / name).write_bytes(b"x")
    found = [song.source for song in plan_library([music], music / "done", ".flac", recursive=True).songs]
    assert [str(path.relative_to(music)) for path in found] == [
        "a.mp3", "pop/b.mp3", "pop/broken.mp3", "pop/disc.flac", os.fsdecode(b"pop/\xff.mp3"), "pop/live/c.mp3",
    ]  # fmt: skip
    (music / "loop").symlink_to(music)
    assert len(plan_library([music], music / "done", ".flac", recursive=True).songs) == 6
    empty = tmp_path / "empty"
    (empty / "sub").mkdir(parents=True)
    ((path, error),) = plan_library([empty], None, ".flac").problems
    assert path == empty and "--recursive" in str(error)
    ((path, error),) = restore([empty], model=tiny_export(), recursive=True).failures
    assert path == empty and "and its subfolders have none" in str(error)


def test_patterns(music):
    out = music.parent / "out"
    plan = plan_library([f"{music}/**/*.mp3"], out, ".wav")
    assert (music / "pop/live/c.mp3", out / "pop/live/c.wav") in names(plan)
    assert names(plan_library([f"{music}/[a]*.mp3"], out, ".wav")) == [(music / "a.mp3", out / "a.wav")]
    # An existing file with brackets in its name is not taken for a pattern.
    (music / "x [live].mp3").write_bytes(b"x")
    assert len(plan_library([music / "x [live].mp3"], out, ".wav").songs) == 1
    assert plan_library([f"{music}/*.none"], out, ".wav").songs[0].source == Path(f"{music}/*.none")


def test_two_songs_of_one_name_in_a_folder_keep_their_suffixes(music):
    (music / "a.m4a").write_bytes(b"x")
    targets = [song.target.name for song in plan_library([music], None, ".flac").songs]
    assert targets == ["a.m4a.restored.flac", "a.mp3.restored.flac"]


def test_planned_outputs(tmp_path):
    def targets(paths, out, suffix):
        return [song.target for song in plan_library(paths, out, suffix).songs]

    a, b = tmp_path / "a.mp3", tmp_path / "b.tar.mp3"
    assert targets([a, b], None, ".flac") == [tmp_path / "a.restored.flac", tmp_path / "b.tar.restored.flac"]
    assert targets([a, b], tmp_path / "out", ".wav")[0] == tmp_path / "out" / "a.wav"
    assert targets([a], tmp_path / "x.wav", ".flac") == [tmp_path / "x.wav"]
    with pytest.raises(UsageError, match="several inputs need a folder"):
        targets([a, b], tmp_path / "x.wav", ".flac")
    with pytest.raises(UsageError, match="both give"):
        targets([a, tmp_path / "a.m4a"], None, ".flac")
    with pytest.raises(UsageError, match="never written to"):
        targets([tmp_path / "a.flac"], tmp_path / "sub" / ".." / "a.flac", ".flac")
    with pytest.raises(UsageError, match="output format"):
        targets([a], None, ".docx")


def test_strict_makes_a_cut_file_a_failure(lossy, tmp_path, capsys):
    run_ffmpeg("-stream_loop", "3", "-i", str(lossy), "-b:a", "64k", str(tmp_path / "a.mp3"))
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2])
    code, said = run(tmp_path / "a.mp3", "--strict", capsys=capsys)
    assert code == 1 and "may be cut short" in said.err and said.err.count("\n") == 1
    assert tree(tmp_path) == ["a.mp3"]


def test_nothing_to_restore_is_said_and_no_failure(tmp_path, make_music, capsys):
    soundfile.write(tmp_path / "a.wav", make_music(2.0), 44100)
    code, said = run(tmp_path / "a.wav", capsys=capsys)
    assert (code, said.err) == (0, "")
    assert said.out == (
        f"skipped: {tmp_path / 'a.wav'} has nothing to restore (pcm_s16le, full band, no wall in the spectrum);"
        " add --force to restore it nevertheless\n"
    )
    assert tree(tmp_path) == ["a.wav"]
    assert run(tmp_path / "a.wav", "--force", capsys=capsys)[0] == 0
    assert np.abs(soundfile.read(tmp_path / "a.restored.flac")[0] - soundfile.read(tmp_path / "a.wav")[0]).max() > 0


def test_a_cut_lossless_file_is_told_too(tmp_path, make_music, capsys):
    soundfile.write(tmp_path / "a.flac", make_music(4.0), 44100)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    code, said = run(tmp_path / "a.flac", capsys=capsys)
    assert code == 0 and "declares 4.0 s and holds 2.0 s" in said.out
    code, said = run(tmp_path / "a.flac", "--strict", capsys=capsys)
    assert code == 1 and "with --strict only complete files are restored" in said.err
