"""Tests `encode`: each track gets its twins, a new run makes only missing ones, and bad files do not stop a run."""

import argparse
import dataclasses
import importlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import music

from keras_audiosr.codecs import measure_delay
from keras_audiosr.datasets.decode import decode_pair, decode_twin
from keras_audiosr.errors import ManifestError, UsageError
from keras_audiosr.processes.ffmpeg import find_binary
from keras_audiosr.shelf import encode_track
from keras_audiosr.shelf.manifests import Pair, Track, read_manifest, write_manifest
from keras_audiosr.stages.encode import encode

# The module itself. Its function has the same name and is imported above.
verb = importlib.import_module("keras_audiosr.stages.encode")

DATA = Path(__file__).parent / "data"


def make_track(root: Path, album: str, title: str, audio: np.ndarray, rate: int = 44100) -> Track:
    """Writes a FLAC file as `rip` does, and returns its line of the manifest."""
    path = root / "tracks" / album / f"{title}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return Track(
        lossless=path.relative_to(root).as_posix(),
        album=album,
        track=1,
        title=title,
        duration=len(audio) / rate,
        length=len(audio),
        sample_rate=rate,
        channels=audio.shape[1],
        md5=path.read_bytes()[26:42].hex(),
        cutoff=20000.0,
        source="ripped.wav",
    )


@pytest.fixture
def shelf(tmp_path):
    """Returns a folder with three tracks on two albums, and `tracks.jsonl`. Two of the tracks have the same name."""
    root = tmp_path / "shelf"
    tracks = [
        make_track(root, "One", "01 Song", music(1.5, 44100, 2, seed=1)),
        make_track(root, "One", "02 Other", music(1.5, 48000, 1, seed=2), 48000),
        make_track(root, "Two", "01 Song", music(1.5, 44100, 2, seed=3)),
    ]
    write_manifest(root / "tracks.jsonl", tracks)
    return root


def stamps(root: Path) -> dict:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name[0] != "."}


def test_twins_of_every_track_and_codec(shelf):
    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k", "aac@64k", "opus@48k"], jobs=2)
    assert (report.made, report.kept, report.rejected, report.failed) == (9, 0, (), ())
    pairs = read_manifest(report.manifest, Pair)
    assert len(pairs) == 9
    for pair in pairs:
        lossless, twin = decode_pair(pair, shelf)
        assert twin.shape == lossless.shape == (pair.length, pair.channels)
        assert pair.delay == 0
        assert measure_delay(lossless, twin, pair.sample_rate).delay == 0
        assert pair.decoder == ("any" if pair.codec == "mp3@64k" else "ffmpeg")
    first = next(pair for pair in pairs if pair.codec == "mp3@64k")
    assert first.lossless == "tracks/One/01 Song.flac"
    assert first.lossy == "mp3@64k/tracks/One/01 Song.mp3"
    assert "Lavc" in first.encoder
    assert {pair.encoder.split()[-1] for pair in pairs} == {"libmp3lame", "aac", "libopus"}


def test_modes_of_mp3_are_twins_of_their_own(shelf):
    codecs = ["mp3@V6", "mp3@64k", "mp3@64k-stereo"]
    report = encode(shelf / "tracks.jsonl", shelf, codecs)
    assert (report.made, report.rejected, report.failed) == (9, (), ())
    pairs = read_manifest(report.manifest, Pair)
    assert {pair.codec for pair in pairs} == set(codecs)
    assert {pair.delay for pair in pairs} == {0}
    assert (shelf / "mp3@V6/tracks/One/01 Song.mp3").is_file()
    assert encode(shelf / "tracks.jsonl", shelf, codecs).kept == 9


def test_each_track_draws_its_own_codecs(shelf, tmp_path):
    codecs = [f"lowpass@{cutoff}k" for cutoff in (4, 6, 8, 10, 12)]
    report = encode(shelf / "tracks.jsonl", tmp_path / "out", codecs, draw=2)
    drawn: dict = {}
    for pair in read_manifest(report.manifest, Pair):
        drawn.setdefault(pair.lossless, set()).add(pair.codec)
    assert report.made == 6 and all(len(codecs) == 2 for codecs in drawn.values())
    assert len({frozenset(codecs) for codecs in drawn.values()}) > 1
    # The choice does not depend on the order of the codecs, so every twin exists already.
    again = encode(shelf / "tracks.jsonl", tmp_path / "out", codecs[::-1], draw=2)
    assert (again.made, again.kept) == (0, 6)


def test_running_again_makes_only_what_is_missing(shelf):
    encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    before = stamps(shelf)
    manifest = (shelf / "pairs.jsonl").read_bytes()
    again = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert (again.made, again.kept) == (0, 3)
    changed = {path for path, stamp in stamps(shelf).items() if before[path] != stamp}
    assert changed <= {shelf / "pairs.jsonl"}

    lost = shelf / "mp3@64k/tracks/Two/01 Song.mp3"
    content = lost.read_bytes()
    lost.unlink()
    again = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert (again.made, again.kept) == (1, 2)
    assert lost.read_bytes() == content
    assert (shelf / "pairs.jsonl").read_bytes() == manifest

    # Another codec is added to the same manifest.
    more = encode(shelf / "tracks.jsonl", shelf, ["vorbis@64k"])
    assert more.made == 3
    assert {pair.codec for pair in read_manifest(more.manifest, Pair)} == {"mp3@64k", "vorbis@64k"}


def test_a_track_ripped_anew_gets_new_twins(shelf):
    encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    tracks = read_manifest(shelf / "tracks.jsonl", Track)
    tracks[0] = make_track(shelf, "One", "01 Song", music(1.5, 44100, 2, seed=9))
    write_manifest(shelf / "tracks.jsonl", tracks)
    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert (report.made, report.kept, report.rejected) == (1, 2, ())
    assert tracks[0].md5 in {pair.md5 for pair in read_manifest(report.manifest, Pair)}


def test_tracks_outside_the_output_are_brought_in(shelf, tmp_path):
    out = tmp_path / "elsewhere" / "pairs"
    report = encode(shelf / "tracks.jsonl", out, ["mp3@64k"])
    pairs = read_manifest(report.manifest, Pair)
    assert {pair.lossless.split("/")[0] for pair in pairs} == {"lossless"}
    assert (out / "lossless/tracks/One/01 Song.flac").samefile(shelf / "tracks/One/01 Song.flac")
    shutil.move(out, tmp_path / "moved")
    shutil.rmtree(shelf)
    assert decode_twin(pairs[0], tmp_path / "moved").shape == (pairs[0].length, pairs[0].channels)


def test_one_bad_track_does_not_stop_the_others(shelf):
    (shelf / "tracks/One/01 Song.flac").write_bytes(b"fLaC, not quite")
    (shelf / "tracks/One/02 Other.flac").unlink()
    tracks = read_manifest(shelf / "tracks.jsonl", Track)
    surround = make_track(shelf, "Two", "5.1", np.tile(music(1.0, 44100, 2), (1, 3)))
    tiny = make_track(shelf, "Two", "tiny", music(1.0)[:1])
    write_manifest(shelf / "tracks.jsonl", [*tracks, surround, tiny])
    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k", "aac@64k"])
    # Two twins of the intact track, one of "5.1" (MP3 has only two channels), and one of "tiny" (FFmpeg's AAC returns
    # nothing for a single sample).
    assert report.made == 2 + 1 + 1
    failed = {(Path(path).parts[-4], Path(path).stem): reason for path, reason in report.failed}
    assert "is missing" in failed["mp3@64k", "02 Other"]
    assert ("aac@64k", "01 Song") in failed
    assert ("aac@64k", "tiny") in failed
    assert [Path(path).stem for path, _ in report.rejected] == ["5.1"]
    assert "same channels" in report.rejected[0][1]
    assert all("\n" not in reason for _, reason in (*report.failed, *report.rejected))
    listed = {pair.lossy for pair in read_manifest(report.manifest, Pair)}
    there = {path.relative_to(shelf).as_posix() for folder in shelf.glob("*@*") for path in folder.rglob("*.*")}
    assert there == listed, "what has no line has no file, and the other way round"


def test_a_track_that_changed_since_the_rip_is_refused(shelf):
    soundfile.write(shelf / "tracks/One/01 Song.flac", music(1.5, 44100, 2, seed=77), 44100, subtype="PCM_16")
    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert report.made == 2
    assert "as its manifest says" in report.failed[0][1]


def compress(source: Path, target: Path, *arguments: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [find_binary("ffmpeg"), "-nostdin", "-v", "error", "-y", "-i", str(source), *arguments, str(target)]
    subprocess.run(command, check=True)


def test_twins_brought_by_the_user(shelf, tmp_path):
    twins = tmp_path / "my music"
    untagged = ("-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0")
    compress(shelf / "tracks/One/01 Song.flac", twins / "one/01 song.mp3", *untagged)
    compress(shelf / "tracks/One/02 Other.flac", twins / "02 Other.aac", "-b:a", "96k")
    compress(shelf / "tracks/One/01 Song.flac", twins / "Two/01 Song.mp3")  # the wrong song
    compress(shelf / "tracks/One/01 Song.flac", twins / "01 Song.ogg")  # both albums have this track
    compress(shelf / "tracks/One/01 Song.flac", twins / "Nameless.mp3")
    (twins / "one/cover.jpg").write_bytes(b"ignored")
    (twins / "Two/01 Song.m4a").write_bytes(b"no music")

    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@96k"], twins=twins)
    assert report.made == 3 + 2
    reasons = {Path(path).relative_to(twins).as_posix(): reason for path, reason in report.rejected}
    assert set(reasons) == {"01 Song.ogg", "Nameless.mp3", "Two/01 Song.mp3"}
    assert "2 tracks have" in reasons["01 Song.ogg"]
    assert "no track has" in reasons["Nameless.mp3"]
    assert [Path(path).name for path, _ in report.failed] == ["01 Song.m4a"]

    mine = {pair.lossy: pair for pair in read_manifest(report.manifest, Pair) if pair.lossy.startswith("twins/")}
    assert mine["twins/one/01 song.mp3"].delay == 1105
    assert mine["twins/one/01 song.mp3"].codec == "mp3@64k"
    assert mine["twins/one/01 song.mp3"].album == "One"
    assert mine["twins/02 Other.aac"].delay == 1024
    assert mine["twins/02 Other.aac"].codec.startswith("aac@")
    assert mine["twins/02 Other.aac"].decoder == "ffmpeg"
    for pair in mine.values():
        lossless, twin = decode_pair(pair, shelf)
        assert measure_delay(lossless, twin, pair.sample_rate).delay == 0
    assert not (shelf / "twins/Two/01 Song.mp3").exists()
    assert (twins / "Two/01 Song.mp3").exists(), "the user's own file stays"

    again = encode(shelf / "tracks.jsonl", shelf, ["mp3@96k"], twins=twins)
    assert (again.made, again.kept) == (0, 5)
    # A twin that was replaced is measured again.
    (twins / "one/01 song.mp3").unlink()
    compress(shelf / "tracks/One/01 Song.flac", twins / "one/01 song.mp3", "-b:a", "128k")
    again = encode(shelf / "tracks.jsonl", shelf, ["mp3@96k"], twins=twins)
    assert again.made == 1
    pairs = {pair.lossy: pair for pair in read_manifest(again.manifest, Pair)}
    assert pairs["twins/one/01 song.mp3"].codec == "mp3@128k"


def test_twin_by_libshine(tmp_path):
    audio, _ = soundfile.read(DATA / "libshine.flac", dtype="int16", always_2d=True)
    write_manifest(tmp_path / "tracks.jsonl", [make_track(tmp_path, "Album", "libshine", audio)])
    (tmp_path / "twins").mkdir()
    shutil.copy(DATA / "libshine.mp3", tmp_path / "twins")
    report = encode(tmp_path / "tracks.jsonl", tmp_path, twins=tmp_path / "twins")
    (pair,) = read_manifest(report.manifest, Pair)
    assert (pair.lossy, pair.delay, pair.codec) == ("twins/libshine.mp3", 528, "mp3@64k")
    assert decode_twin(pair, tmp_path).shape == audio.shape


def test_rejected_twin_inside_the_output_stays(shelf):
    compress(shelf / "tracks/One/01 Song.flac", shelf / "twins/Two/01 Song.mp3")
    report = encode(shelf / "tracks.jsonl", shelf, twins=shelf / "twins")
    assert len(report.rejected) == 1
    assert (shelf / "twins/Two/01 Song.mp3").is_file()
    assert not report.manifest.exists(), "no pair, no manifest"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "a codec or a folder of twins"),
        ({"codecs": ["mp3@63k"]}, "'mp3@64k'"),
        ({"codecs": ["mp3@64k"], "jobs": 0}, "1 or more"),
        ({"codecs": ["mp3@64k"], "draw": 2}, "1 to 1, the number of codecs; received 2"),
        ({"twins": "nowhere"}, "must be a folder"),
        ({"twins": "."}, "folder of their own"),
    ],
)
def test_usage(shelf, monkeypatch, arguments, reason):
    monkeypatch.chdir(shelf)
    with pytest.raises(UsageError, match=reason):
        encode("tracks.jsonl", "out", **arguments)
    assert not Path("out").exists()


def test_output_is_a_file_or_manifest_missing(shelf):
    with pytest.raises(UsageError, match="is a file"):
        encode(shelf / "tracks.jsonl", shelf / "tracks.jsonl", ["mp3@64k"])
    with pytest.raises(ManifestError, match="'keras-audiosr rip' makes one"):
        encode(shelf / "nothing.jsonl", shelf, ["mp3@64k"])


def test_one_run_at_a_time(shelf):
    with verb._locked(shelf), pytest.raises(UsageError, match="another encode is writing"):
        encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"]).made == 3


def test_an_interrupt_keeps_what_is_done(shelf, monkeypatch):
    """After Ctrl-C, finished pairs are listed and no partial file is left. The next run makes the other twins."""
    real, calls = encode_track.make_twin, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(encode_track, "make_twin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert not list(shelf.rglob("*.partial*"))
    done = len(read_manifest(shelf / "pairs.jsonl", Pair))
    assert done >= 1
    monkeypatch.setattr(encode_track, "make_twin", real)
    report = encode(shelf / "tracks.jsonl", shelf, ["mp3@64k"])
    assert (report.made, report.kept) == (3 - done, done)


def test_command_line(shelf, capsys):
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    arguments = [str(shelf / "tracks.jsonl"), str(shelf), "--codec", "mp3@64k", "--codec", "mp3@128k", "--jobs", "2"]
    assert verb.run(parser.parse_args(arguments)) == 0
    assert capsys.readouterr().out.startswith("6 made, 0 kept, 0 rejected, 0 failed; pairs in")
    (shelf / "tracks/One/01 Song.flac").unlink()
    (shelf / "mp3@64k/tracks/One/01 Song.mp3").unlink()
    assert verb.run(parser.parse_args(arguments)) == 1
    printed = capsys.readouterr()
    # The twin at 128 kbit/s still exists, but it is not a pair without its lossless file.
    assert printed.out.startswith("0 made, 4 kept, 0 rejected, 2 failed")
    assert len(printed.err.splitlines()) == 2


def test_manifest_is_json_lines_of_pairs(shelf):
    report = encode(shelf / "tracks.jsonl", shelf, ["lowpass@8k"])
    lines = [json.loads(line) for line in report.manifest.read_text("utf-8").splitlines()]
    names = {field.name for field in dataclasses.fields(Pair)}
    assert all(set(line) == names for line in lines)
    assert {line["encoder"] for line in lines} == {"keras_audiosr lowpass"}
    assert {line["decoder"] for line in lines} == {"any"}
