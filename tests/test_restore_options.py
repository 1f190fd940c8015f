"""Tests the options of `restore`: each is declared once, and each has its effect on a library."""

import contextlib
import dataclasses
import io
import json
import re
import sys
import typing
from pathlib import Path

import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.errors import UsageError
from keras_audiosr.files import headers
from keras_audiosr.files.formats import FORMATS
from keras_audiosr.library.outcome import RestoredFile, SkippedFile
from keras_audiosr.library.plan import Song, plan_library
from keras_audiosr.library.progress import show_progress
from keras_audiosr.library.settings import RestoreOptions, Settings
from keras_audiosr.library.sizes import estimated_size, in_words
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.restore import restore


@pytest.fixture(scope="module")
def songs(tmp_path_factory, make_music):
    """The bytes of three files: a second of music as MP3, the same as MP3 at 22.05 kHz, and two seconds as FLAC."""
    folder = tmp_path_factory.mktemp("songs")
    soundfile.write(folder / "disc.flac", make_music(2.0), 44100)
    for name, arguments in {"a.mp3": ["-b:a", "64k"], "low.mp3": ["-b:a", "32k", "-ar", "22050"]}.items():
        assert run_ffmpeg("-i", str(folder / "disc.flac"), "-t", "1", *arguments, str(folder / name)).returncode == 0
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def music(tmp_path, songs):
    """A library with a lossy song, a lossless song of the same name, another lossless song, and other files."""
    root = tmp_path / "music"
    (root / "album").mkdir(parents=True)
    (root / "album" / "a.mp3").write_bytes(songs["a.mp3"])
    (root / "album" / "a.flac").write_bytes(songs["disc.flac"])
    (root / "album" / "disc.flac").write_bytes(songs["disc.flac"])
    (root / "album" / "Cover.JPG").write_bytes(b"\xff\xd8 a picture")
    (root / "album" / "notes.txt").write_text("no art")
    (root / "scans").mkdir()
    (root / "scans" / "back.png").write_bytes(b"no music beside it")
    return root


def run(capsys, *arguments):
    code = cli.main(["restore", *map(str, arguments), "--model", str(tiny_export())])
    return code, capsys.readouterr()


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_option_is_declared_once():
    """`RestoreOptions` has the same types as `Settings`, and the command line has the same options and defaults."""
    fields = {field.name: field for field in dataclasses.fields(Settings) if field.metadata}
    hints = typing.get_type_hints(Settings)
    assert typing.get_type_hints(RestoreOptions) == {name: hints[name] for name in fields}
    parser = cli.build_parser("restore")
    defaults = vars(parser.parse_args(["restore", "a.mp3"]))
    for name, field in fields.items():
        assert defaults[name] == field.default
        assert f"{name}:" in Settings.__doc__


def test_a_lowest_rate_only_raises(tmp_path, songs, make_music, capsys):
    (tmp_path / "low.mp3").write_bytes(songs["low.mp3"])
    (tmp_path / "a.mp3").write_bytes(songs["a.mp3"])
    soundfile.write(tmp_path / "b.wav", make_music(1.0, 48000), 48000)
    assert run_ffmpeg("-i", str(tmp_path / "b.wav"), "-b:a", "64k", str(tmp_path / "b.mp3")).returncode == 0
    (tmp_path / "b.wav").unlink()
    out = tmp_path / "out"
    code, said = run(capsys, tmp_path, "-o", out, "--min-rate", "44100")
    assert (code, said.err) == (0, "")
    rates = {path.name: soundfile.info(path).samplerate for path in out.iterdir()}
    assert rates == {"low.flac": 44100, "a.flac": 44100, "b.flac": 48000}
    code, said = run(capsys, tmp_path, "-o", out, "--min-rate", "44100")
    assert code == 0 and "3 done already" in said.out
    assert run(capsys, tmp_path, "-o", out)[0] == 3  # the outputs were made with another rate
    with pytest.raises(UsageError, match="either a rate or a lowest rate"):
        restore(tmp_path, out, tiny_export(), rate=44100, min_rate=44100)


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".APE", ".wma"])
def test_an_output_file_of_a_format_that_is_not_written(tmp_path, songs, capsys, suffix):
    (tmp_path / "a.mp3").write_bytes(songs["a.mp3"])
    code, said = run(capsys, tmp_path / "a.mp3", "-o", tmp_path / f"out{suffix}")
    assert code == 2 and said.err.count("\n") == 1
    assert all(form in said.err for form in FORMATS) and "try out.flac" in said.err
    assert tree(tmp_path) == ["a.mp3"]
    # An existing folder may have any name. A new name without an audio suffix also becomes a folder.
    (tmp_path / f"out{suffix}").mkdir()
    plan = plan_library([tmp_path / "a.mp3"], tmp_path / f"out{suffix}", ".flac")
    assert plan.songs[0].target == tmp_path / f"out{suffix}" / "a.flac"
    assert plan_library([tmp_path / "a.mp3"], tmp_path / "vol. 2", ".flac").songs[0].target.parent.name == "vol. 2"


@pytest.mark.parametrize("way", ["copy", "link"])
def test_others_come_along(music, tmp_path, capsys, way):
    out = tmp_path / "out"
    code, said = run(capsys, music, "-r", "-o", out, "--others", way, "--dry-run")
    assert code == 0 and not out.exists()
    assert said.out.count(f"would {way} ") == 3
    assert f"1 to restore, 2 lossless, 3 to {way}, 0 failed; about " in said.out
    code, said = run(capsys, music, "-r", "-o", out, "--others", way)
    assert (code, said.err) == (0, "")
    # The library has a.mp3 and a.flac, so the output of a.mp3 keeps this suffix in its name. A copy always has the name
    # of its source.
    assert tree(out) == ["album/Cover.JPG", "album/a.flac", "album/a.mp3.flac", "album/disc.flac"]
    assert "1 restored, 2 lossless, 3 included unchanged, 0 failed; " in said.out
    for name in ("album/Cover.JPG", "album/a.flac", "album/disc.flac"):
        assert (out / name).read_bytes() == (music / name).read_bytes()
        assert (out / name).samefile(music / name) == (way == "link")
    # A second run changes nothing, with or without the option, and recognizes the existing outputs and copies.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    for options in (["--others", way], []):
        code, said = run(capsys, music, "-r", "-o", out, *options)
        assert (code, said.err) == (0, "")
        assert said.out.splitlines()[-1] == "0 restored, 1 done already, 2 lossless, 0 failed"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    # A different file with that name is replaced only with --overwrite.
    (out / "album" / "Cover.JPG").unlink()
    (out / "album" / "Cover.JPG").write_text("mine")
    code, said = run(capsys, music, "-r", "-o", out, "--others", way)
    assert code == 3 and "Cover.JPG is another file" in said.err
    assert (out / "album" / "Cover.JPG").read_text() == "mine"
    assert run(capsys, music, "-r", "-o", out, "--others", way, "--overwrite")[0] == 0
    assert (out / "album" / "Cover.JPG").read_bytes() == (music / "album" / "Cover.JPG").read_bytes()
    assert tree(music) == ["album/Cover.JPG", "album/a.flac", "album/a.mp3", "album/disc.flac", "album/notes.txt",
                           "scans/back.png"]  # fmt: skip


def test_a_copy_is_not_replaced_by_force(music, tmp_path, capsys):
    out = tmp_path / "out"
    run(capsys, music / "album" / "disc.flac", "-o", out, "--others", "copy")
    before = (out / "disc.flac").read_bytes()
    code, said = run(capsys, music / "album" / "disc.flac", "-o", out, "--force")
    assert code == 3 and "is a copy of its source; add --overwrite" in said.err
    assert (out / "disc.flac").read_bytes() == before


def test_others_need_a_folder_apart(music, tmp_path, capsys):
    for place in ([], ["-o", music], ["-o", music / "album"], ["-o", tmp_path]):
        code, said = run(capsys, music / "album", *place, "--others", "copy")
        assert code == 2 and said.err.count("\n") == 1 and "others need an output folder" in said.err
    report = restore(music / "album", tmp_path / "out", tiny_export(), others="copy")
    assert [copied.target.name for copied in report.copied] == ["a.flac", "disc.flac", "Cover.JPG"]
    with pytest.raises(UsageError, match="others must be one of copy, link; received 'move'"):
        restore(music, tmp_path / "out", tiny_export(), others="move")


def test_names_in_a_folder_apart_and_in_one_that_holds_inputs(music, tmp_path):
    def name(out):
        (song, *_) = plan_library([music / "album" / "a.mp3"], out, ".flac").songs
        return str(song.target.relative_to(tmp_path))

    assert name(None) == "music/album/a.restored.flac"
    assert name(music / "album") == "music/album/a.restored.flac"
    assert name(music) == "music/a.restored.flac"
    assert name(music / "album" / "restored") == "music/album/restored/a.flac"
    assert name(tmp_path / "out") == "out/a.flac"
    # A second run ignores the outputs that the first one wrote inside the library.
    inside = music / "restored"
    first = plan_library([f"{music}/*/*.mp3"], inside, ".mp3").songs
    assert first == [Song(music / "album/a.mp3", inside / "album/a.mp3", inside / "album/a.mp3")]
    (inside / "album").mkdir(parents=True)
    for name in ("restored/x.mp3", "restored/album/a.mp3"):
        (music / name).write_bytes(b"x")
    assert plan_library([f"{music}/*/*.mp3"], inside, ".mp3").songs == first


def test_a_library_with_all_its_music_in_the_output_folder_says_so(tmp_path):
    (tmp_path / "music" / "album").mkdir(parents=True)
    (tmp_path / "music" / "album" / "a.mp3").write_bytes(b"x")
    plan = plan_library([tmp_path / "music"], tmp_path / "music" / "album", ".flac", recursive=True)
    assert plan.songs == []
    ((_, error),) = plan.problems
    assert f"has none outside the output folder, {tmp_path}/music/album; choose another" in str(error)


def test_quiet_and_verbose(music, tmp_path, capsys):
    (music / "album" / "b.mp3").write_text("no music")
    code, said = run(capsys, music, "-r", "-o", tmp_path / "quiet", "-q")
    assert (code, said.out) == (1, "")
    assert said.err.count("\n") == 1 and "b.mp3" in said.err
    code, said = run(capsys, music, "-r", "-o", tmp_path / "verbose", "-v")
    lines = said.out.splitlines()
    at = next(number for number, line in enumerate(lines) if "a.mp3.flac" in line)
    assert lines[at + 1] == f"  from {music / 'album' / 'a.mp3'}: mp3, 64 kbit/s, 44100 Hz, 2 channels"
    assert re.match("  with source_sha256 [0-9a-f]{64}, model tiny, model_version [0-9a-f]{12}, format ", lines[at + 2])
    with pytest.raises(SystemExit):
        cli.main(["restore", "a.mp3", "-q", "-v"])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_the_estimate_is_near_what_comes_out(tmp_path, make_music, suffix, subtype):
    form = FORMATS[suffix]
    if (subtype == "FLOAT" and not form.floating) or (subtype == "PCM_16" and form.encoder):
        pytest.skip("this format does not have this subtype")
    wanted = None if form.encoder else subtype
    soundfile.write(tmp_path / "a.wav", make_music(3.0), 44100)
    report = restore(tmp_path / "a.wav", tmp_path / f"b{suffix}", tiny_export(), subtype=wanted, force=True, rate=48000)
    (made,) = report.restored
    assert made.size == made.target.stat().st_size
    info = headers.probe(tmp_path / "a.wav")
    estimate = estimated_size(info, suffix, Settings(subtype=wanted, rate=48000))
    lossless_coding = form.encoder or suffix == ".flac"
    assert estimate == pytest.approx(made.size, rel=0.35 if lossless_coding else 0.05)


def test_sizes_in_words():
    assert [in_words(size) for size in (900, 220_500, 4_400_000, 68_040_000_000)] == [
        "1 kB", "220 kB", "4.4 MB", "68.0 GB",
    ]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_bar_has_an_estimate_in_the_first_song(monkeypatch, jobs):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    names = [Path(f"{number}.mp3") for number in range(4)]
    progress = show_progress(dict.fromkeys(names, 1000), jobs)
    bar = progress._all
    monkeypatch.setattr(bar, "_time", lambda: bar.start_t + 10.0)
    song = Song(names[0], names[0])
    with progress.song(song) as advance:
        advance(15.0, 60.0)
        # A quarter of the first of four equal songs took 10 s, so 150 s remain.
        assert bar.n == 250.0 and bar.total == 4000
        bar.refresh()
        assert "restore 0/4:   6%" in terminal.getvalue() and "00:10<02:30" in terminal.getvalue()
        advance(1000.0, 60.0)  # the file is longer than it declares
    progress.finished(RestoredFile(names[0], names[0], 60.0, 1.0, 0, ()))
    assert bar.n == 1000
    # A skipped song takes no time, so its bytes are removed from the total.
    progress.finished(SkippedFile(names[1], names[1], "lossless", ""))
    assert (bar.n, bar.total) == (1000, 3000)
    assert "restore 2/4" in terminal.getvalue()
    progress.close()


@pytest.mark.parametrize(("stream", "bars"), [(Terminal(), False), (io.StringIO(), True)])
def test_without_bars_nothing_is_shown(monkeypatch, stream, bars):
    monkeypatch.setattr(sys, "stderr", stream)
    name = Path("a.mp3")
    with contextlib.closing(show_progress({name: 1000}, 1, bars)) as progress:
        with progress.song(Song(name, name)) as advance:
            advance(15.0, 60.0)
        progress.finished(SkippedFile(name, name, "lossless", ""))
    assert stream.getvalue() == ""


def test_json_has_sizes_and_copies(music, tmp_path, capsys):
    code, said = run(capsys, music, "-r", "-o", tmp_path / "out", "--others", "copy", "--json")
    *events, summary = map(json.loads, said.out.splitlines())
    assert code == 0 and summary["copied"] == 3
    (restored,) = [event for event in events if event["event"] == "restored"]
    assert restored["size"] == Path(restored["target"]).stat().st_size == summary["size"]
    assert restored["record"]["model"] == "tiny" and restored["coding"].startswith("mp3, 64 kbit/s")
    assert [event["size"] for event in events if event["event"] == "copied"][-1] == len(b"\xff\xd8 a picture")
