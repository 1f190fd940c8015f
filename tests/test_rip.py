"""Tests `rip` on generated files: identical samples, tags, names, lossy sources and bad files."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import mutagen.flac
import mutagen.id3
import mutagen.wave
import numpy as np
import pytest
import soundfile
from rips import expected_md5, integers, leftovers, write

from keras_audiosr.errors import AudioFileError, ManifestError, UsageError
from keras_audiosr.files.audio_files import read
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.shelf.manifests import Track, read_manifest
from keras_audiosr.stages.rip import rip


def ffmpeg_md5(path: Path, codec: str) -> str:
    done = run_ffmpeg("-i", f"file:{path}", "-c:a", codec, "-f", "md5", "-")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [
        ("a.wav", "PCM_U8", 8),
        ("a.wav", "PCM_16", 16),
        ("a.wav", "PCM_24", 24),
        ("a.aiff", "PCM_S8", 8),
        ("a.AIF", "PCM_16", 16),
        ("a.aiff", "PCM_24", 24),
        ("a.flac", "PCM_S8", 8),
        ("a.flac", "PCM_16", 16),
        ("a.flac", "PCM_24", 24),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_samples_are_identical(tmp_path, name, subtype, bits, channels):
    samples = integers(bits, channels=channels, length=9000)
    write(tmp_path / "Disc" / name, samples, bits, subtype)
    report = rip(tmp_path / "Disc", tmp_path / "out")
    assert not report.failed
    (track,) = report.tracks
    made = tmp_path / "out" / track.lossless
    wanted = expected_md5(samples, bits)
    assert track.md5 == wanted == f"{mutagen.flac.FLAC(made).info.md5_signature:032x}"
    decoded, rate = soundfile.read(made, dtype="int32", always_2d=True)
    np.testing.assert_array_equal(decoded >> (32 - bits), samples)
    assert (track.sample_rate, track.channels, track.length, rate) == (44100, channels, 9000, 44100)
    codec = {8: "pcm_u8", 16: "pcm_s16le", 24: "pcm_s24le"}[bits]
    assert ffmpeg_md5(made, codec) == ffmpeg_md5(tmp_path / "Disc" / name, codec)


@pytest.mark.parametrize("bits", [16, 24])
def test_wide_files_that_24_bits_hold_exactly_are_taken(tmp_path, bits):
    samples = integers(bits)
    write(tmp_path / "D" / "int.wav", samples, bits, "PCM_32")
    for subtype in ("FLOAT", "DOUBLE"):
        soundfile.write(tmp_path / "D" / f"{subtype}.wav", samples / 2.0 ** (bits - 1), 44100, subtype=subtype)
    report = rip(tmp_path / "D", tmp_path / "out")
    assert not report.failed
    assert [track.md5 for track in report.tracks] == 3 * [expected_md5(samples, bits)]


@pytest.mark.parametrize("value", [1e-9, 1.0, -1.5, np.nan, np.inf, 0.1])
def test_float_files_beyond_24_bits_are_refused(tmp_path, value):
    samples = np.zeros((1000, 1))
    samples[500] = value
    soundfile.write(tmp_path / "f.wav", samples, 44100, subtype="DOUBLE")
    report = rip(tmp_path / "f.wav", tmp_path / "out")
    (reason,) = report.failed.values()
    assert "24 bits" in reason and "\n" not in reason
    assert not report.made and not list((tmp_path / "out").rglob("*.flac"))


def test_full_32_bit_integers_are_refused(tmp_path):
    soundfile.write(tmp_path / "f.wav", np.full((1000, 1), 12345, np.int32), 44100, subtype="PCM_32")
    assert "24 bits" in next(iter(rip(tmp_path / "f.wav", tmp_path / "out").failed.values()))


def test_a_shelf_gives_albums_numbers_titles_and_a_manifest(shelf, tmp_path):
    report = rip(shelf, tmp_path / "out")
    assert report.made == [track.lossless for track in report.tracks] and len(report.made) == 4
    assert [(track.album, track.track, track.title) for track in report.tracks] == [
        ("Album 0", 1, "01 Song"), ("Album 0", 2, "02 Song"), ("Album 1", 1, "01 Song"), ("Album 1", 2, "02 Song"),
    ]  # fmt: skip
    assert report.tracks[0].lossless == "Album 0/01 Song.flac"
    assert read_manifest(report.manifest, Track) == report.tracks
    assert report.tracks[0].duration == 3.0 and report.tracks[0].cutoff > 20000
    # A FLAC whose samples match its MD5 is copied byte for byte.
    assert (tmp_path / "out/Album 0/01 Song.flac").read_bytes() == (shelf / "Album 0/01 Song.flac").read_bytes()
    assert not leftovers(tmp_path / "out")


def test_tags_name_the_track_and_are_kept(tmp_path):
    write(tmp_path / "rips" / "x.wav", integers(16), 16, "PCM_16")
    file = mutagen.wave.WAVE(tmp_path / "rips" / "x.wav")
    file.add_tags()
    for frame in (
        mutagen.id3.TALB(3, ["AC/DC: \u00e9t\u00e9?"]), mutagen.id3.TIT2(3, ["../../Up"]), mutagen.id3.TRCK(3, ["7/9"]),
        mutagen.id3.TSSE(3, ["encoder"]), mutagen.id3.APIC(3, "image/png", 3, "", b"\x89PNGdata"),
    ):  # fmt: skip
        file.tags.add(frame)
    file.save()
    (track,) = rip(tmp_path / "rips", tmp_path / "out").tracks
    assert (track.album, track.track, track.title) == ("AC/DC: été?", 7, "../../Up")
    assert track.lossless == "AC_DC_ été_/07 .._.._Up.flac"
    made = mutagen.flac.FLAC(tmp_path / "out" / track.lossless)
    assert dict(made) == {"album": ["AC/DC: été?"], "title": ["../../Up"], "tracknumber": ["7"], "tracktotal": ["9"]}
    assert made.pictures[0].data == b"\x89PNGdata"


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("..", "07"),
        ("CON", "07 CON"),
        ("a\nb\0c\u2028d", "07 a bc d"),
        ("7 Seconds", "07 7 Seconds"),
        ("é" * 200, "07 " + "é" * 58),
        (".hidden", "07 .hidden"),
    ],
)
def test_names_are_safe(tmp_path, title, stem):
    write(tmp_path / "rips" / "x.flac", integers(16), 16, "PCM_16")
    file = mutagen.flac.FLAC(tmp_path / "rips" / "x.flac")
    file["TITLE"], file["TRACKNUMBER"], file["ALBUM"] = [title], ["7"], ["-.."]
    file.save()
    (track,) = rip(tmp_path / "rips", tmp_path / "out").tracks
    assert track.lossless == f"_-/{stem}.flac"
    assert (tmp_path / "out" / track.lossless).is_file()
    assert read_manifest(tmp_path / "out" / "tracks.jsonl", Track) == [track]


def test_names_that_differ_in_case_only_do_not_collide(tmp_path):
    for number, title in enumerate(["Song", "song", "SONG"]):
        path = tmp_path / "rips" / f"{number}.flac"
        write(path, integers(16, seed=number), 16, "PCM_16")
        file = mutagen.flac.FLAC(path)
        file["TITLE"], file["TRACKNUMBER"], file["ALBUM"] = [title], ["1"], ["A"]
        file.save()
    first = rip(tmp_path / "rips", tmp_path / "out", jobs=3)
    assert first.made == ["A/01 SONG (3).flac", "A/01 Song.flac", "A/01 song (2).flac"]
    for path in first.made:
        (tmp_path / "out" / path).unlink()
    assert rip(tmp_path / "rips", tmp_path / "out").made == first.made


def test_discs_of_an_album_in_folders_are_one_album(tmp_path):
    for disc in ("CD1", "CD 2"):
        write(tmp_path / "shelf" / "Opera" / disc / "01 x.wav", integers(16, seed=len(disc)), 16, "PCM_16")
    report = rip(tmp_path / "shelf", tmp_path / "out")
    assert {track.album for track in report.tracks} == {"Opera"} and len(report.made) == 2


def lossy_wav(tmp_path, make_music, name: str = "fake.wav") -> Path:
    """Writes a WAV file with the samples of a 64 kbit/s MP3; returns its path."""
    path = tmp_path / "rips" / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(tmp_path / "s.wav", make_music(3.0), 44100)
    assert run_ffmpeg("-y", "-i", str(tmp_path / "s.wav"), "-b:a", "64k", str(tmp_path / "s.mp3")).returncode == 0
    audio, rate = read(tmp_path / "s.mp3")
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return path


def test_probably_lossy_sources_are_reported_and_left_out(tmp_path, make_music):
    source = lossy_wav(tmp_path, make_music)
    write(tmp_path / "rips/good.wav", integers(16), 16, "PCM_16")
    for _ in range(2):
        report = rip(tmp_path / "rips", tmp_path / "out")
        assert [track.title for track in report.tracks] == ["good"]
        assert list(report.left_out) == [str(source)]
        assert "probably lossy" in report.left_out[str(source)] and "kHz" in report.left_out[str(source)]
    asked = rip(tmp_path / "rips", tmp_path / "out", include_probably_lossy=True)
    assert [track.title for track in asked.tracks] == ["fake", "good"] and not asked.left_out
    assert 10000 < asked.tracks[0].cutoff < 12000
    again = rip(tmp_path / "rips", tmp_path / "out")
    assert [track.title for track in read_manifest(again.manifest, Track)] == ["good"]
    assert rip(tmp_path / "rips", tmp_path / "out", include_probably_lossy=True).made == []


def test_left_out_albums_leave_no_folder(tmp_path, make_music):
    lossy_wav(tmp_path, make_music)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert not report.tracks and not (tmp_path / "out/rips").exists()


def bad_files(folder: Path) -> int:
    """Writes one bad file of each kind; returns their number."""
    folder.mkdir(parents=True)
    write(folder / "whole.wav", integers(16), 16, "PCM_16")
    wav = (folder / "whole.wav").read_bytes()
    (folder / "whole.wav").unlink()
    write(folder / "whole.aiff", integers(16), 16, "PCM_16")
    aiff = (folder / "whole.aiff").read_bytes()
    (folder / "whole.aiff").unlink()
    write(folder / "whole.flac", integers(16), 16, "PCM_16")
    flac = (folder / "whole.flac").read_bytes()
    (folder / "whole.flac").unlink()
    contents = {
        "empty.wav": b"",
        "byte.wav": b"R",
        "text.flac": b"this is no music\n",
        "header.wav": wav[:44],
        "cut.wav": wav[:5000],
        "cut.aiff": aiff[:5000],
        "cut.flac": flac[:5000],
        "flipped.flac": flac[:50000] + bytes(100) + flac[50100:],
        "md5.flac": flac[:26] + bytes(15) + b"\x01" + flac[42:],
        "forged.wav": wav[:40] + struct.pack("<I", 0x70000000) + wav[44:],
        "law.wav": None,
    }
    for name, content in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
    soundfile.write(folder / "law.wav", np.zeros(100), 8000, subtype="ULAW")
    return len(contents)


def test_bad_files_fail_in_one_line_each_and_stop_nobody(tmp_path):
    count = bad_files(tmp_path / "rips")
    write(tmp_path / "rips/good.wav", integers(16), 16, "PCM_16")
    (tmp_path / "rips/gone.wav").symlink_to("nowhere.wav")
    os.mkfifo(tmp_path / "rips/pipe.wav")
    report = rip(tmp_path / "rips", tmp_path / "out", jobs=2)
    assert [track.title for track in report.tracks] == ["good"]
    assert len(report.failed) == count
    for name, reason in report.failed.items():
        assert "\n" not in reason and reason.count(";") >= 2, (name, reason)
    assert not leftovers(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.flac")] == [Path(report.made[0]).name]


def test_streamed_wavs_without_a_length_are_read(tmp_path):
    write(tmp_path / "rips/a.wav", integers(16), 16, "PCM_16")
    content = (tmp_path / "rips/a.wav").read_bytes()
    place = content.index(b"data") + 4
    (tmp_path / "rips/a.wav").write_bytes(content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :])
    (track,) = rip(tmp_path / "rips", tmp_path / "out").tracks
    assert track.md5 == expected_md5(integers(16), 16)


def test_a_flac_without_md5_or_behind_an_id3_tag_is_encoded_anew(tmp_path):
    path = tmp_path / "rips/1 none.flac"
    write(path, integers(16), 16, "PCM_16")
    whole = path.read_bytes()
    path.write_bytes(whole[:26] + bytes(16) + whole[42:])
    (tmp_path / "rips/2 id3.flac").write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + whole)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert [track.md5 for track in report.tracks] == 2 * [expected_md5(integers(16), 16)]
    assert all((tmp_path / "out" / path).read_bytes()[:4] == b"fLaC" for path in report.made)


def test_paths_with_everything_in_them(tmp_path):
    names = ["-dash.wav", "a b'c\"d.wav", "🎵 emoji.wav", "line\nend.wav", "e\u0301.wav", "x" * 240 + ".wav"]
    for seed, name in enumerate(names):
        write(tmp_path / "rips" / name, integers(16, seed=seed), 16, "PCM_16")
    raw = os.fsencode(tmp_path / "rips") + b"/\xff\xfe.wav"
    shutil.copy(tmp_path / "rips/-dash.wav", raw)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert not report.failed and len(report.made) == len(names) + 1
    assert read_manifest(report.manifest, Track) == report.tracks
    assert rip(tmp_path / "rips", tmp_path / "out").made == []


def test_out_may_lie_in_source_but_not_hold_it(tmp_path):
    write(tmp_path / "rips/A/1.wav", integers(16), 16, "PCM_16")
    for _ in range(2):
        assert len(rip(tmp_path / "rips", tmp_path / "rips/flac").tracks) == 1
    for out in (tmp_path / "rips", tmp_path):
        with pytest.raises(UsageError, match="OUT must not hold SOURCE"):
            rip(tmp_path / "rips", out)


def test_linked_folders_are_not_followed_round(tmp_path):
    write(tmp_path / "rips/A/1.wav", integers(16), 16, "PCM_16")
    (tmp_path / "rips/A/loop").symlink_to(tmp_path / "rips")
    assert len(rip(tmp_path / "rips", tmp_path / "out").tracks) == 1


def test_wrong_usage(tmp_path, shelf):
    (tmp_path / "empty").mkdir()
    (tmp_path / "song.mp3").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/tracks.jsonl").write_text("{")
    for error, said, arguments in (
        (UsageError, "must exist", (tmp_path / "none", tmp_path / "out")),
        (UsageError, "SOURCE must be a folder", (tmp_path / "song.mp3", tmp_path / "out")),
        (UsageError, "OUT must be a folder", (shelf, tmp_path / "song.mp3")),
        (UsageError, "jobs", (shelf, tmp_path / "out", False, 0)),
        (AudioFileError, "has none", (tmp_path / "empty", tmp_path / "out")),
        (ManifestError, "manifest", (shelf, tmp_path / "damaged")),
    ):
        with pytest.raises(error, match=said) as caught:
            rip(*arguments)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' peak memory of a process")
def test_memory_stays_flat(tmp_path):
    # The peak that getrusage returns would include the memory of this process at the time of the fork.
    program = (
        "import sys; from keras_audiosr.stages.rip import rip; assert len(rip(*sys.argv[1:]).made) == 1;"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks = []
    for name, seconds in (("short", 5), ("long", 150)):
        write(tmp_path / name / "1.wav", integers(16, length=44100 * seconds), 16, "PCM_16")
        command = [sys.executable, "-c", program, str(tmp_path / name), str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        peaks.append(int(done.stdout))
    # The peaks are in KiB. 150 s of 16-bit stereo need 25 MiB.
    assert peaks[1] - peaks[0] < 8 * 1024


def test_command_line(tmp_path, shelf, capsys):
    from keras_audiosr.cli import main

    assert main(["rip", str(shelf), str(tmp_path / "out"), "--jobs", "2"]) == 0
    assert "4 made, 0 kept, 0 left out, 0 failed" in capsys.readouterr().out
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.wav").write_bytes(b"no")
    assert main(["rip", str(tmp_path / "bad"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("failed: ")
    assert main(["rip", str(tmp_path / "none"), str(tmp_path / "out")]) == 2


def test_no_tensorflow_is_imported():
    program = (
        "import sys, keras_audiosr.stages.rip;"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.strip() == "[]"
