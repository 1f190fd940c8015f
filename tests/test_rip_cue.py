"""Tests `rip` with discs that are one file and a CUE sheet, which divides the file into tracks."""

import mutagen.flac
import numpy as np
import pytest
import soundfile
from rips import expected_md5, integers, write

from keras_audiosr.stages.rip import rip

SECTOR = 588
SHEET = """PERFORMER "Band"
TITLE "Live"
REM DATE 1970
REM GENRE Rock
FILE "image.wav" WAVE
  TRACK 01 AUDIO
    TITLE "One"
    ISRC USABC7000001
    INDEX 00 00:00:00
    INDEX 01 00:00:03
  TRACK 02 AUDIO
    TITLE "Two"
    PERFORMER "Guest"
    INDEX 00 00:00:20
    INDEX 01 00:00:31
  TRACK 03 AUDIO
    TITLE "Three"
    INDEX 01 00:01:00
"""


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
@pytest.mark.parametrize("bits", [16, 24])
def test_a_cue_sheet_cuts_at_its_sectors(tmp_path, suffix, bits):
    disc = integers(bits, length=SECTOR * 100 + 77)
    write(tmp_path / "rips/Disc" / f"image{suffix}", disc, bits, f"PCM_{bits}")
    (tmp_path / "rips/Disc/disc.cue").write_text(SHEET)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert not report.failed
    assert [track.lossless for track in report.tracks] == ["Live/01 One.flac", "Live/02 Two.flac", "Live/03 Three.flac"]
    edges = [3 * SECTOR, 31 * SECTOR, 75 * SECTOR, len(disc)]
    cut = [soundfile.read(tmp_path / "out" / track.lossless, dtype="int32")[0] for track in report.tracks]
    for track, samples, start, stop in zip(report.tracks, cut, edges, edges[1:], strict=False):
        np.testing.assert_array_equal(samples >> (32 - bits), disc[start:stop])
        assert track.md5 == expected_md5(disc[start:stop], bits)
    np.testing.assert_array_equal(np.concatenate(cut) >> (32 - bits), disc[3 * SECTOR :])
    # The samples before the first INDEX 01 belong to no track, and the report says so.
    assert list(report.left_out.values()) == ["0.04 s before the first INDEX 01, no track"]
    tags = dict(mutagen.flac.FLAC(tmp_path / "out/Live/02 Two.flac"))
    assert tags == {
        "album": ["Live"], "albumartist": ["Band"], "artist": ["Guest"], "date": ["1970"], "genre": ["Rock"],
        "title": ["Two"], "tracknumber": ["2"],
    }  # fmt: skip
    assert dict(mutagen.flac.FLAC(tmp_path / "out/Live/01 One.flac"))["isrc"] == ["USABC7000001"]
    second = rip(tmp_path / "rips", tmp_path / "out")
    assert second.made == [] and second.tracks == report.tracks
    (tmp_path / "out/Live/02 Two.flac").unlink()
    assert rip(tmp_path / "rips", tmp_path / "out", jobs=2).made == ["Live/02 Two.flac"]


def test_a_sheet_can_be_named_itself_and_several_share_a_folder(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "rips" / f"{name}.flac", integers(16, SECTOR * 100, seed=ord(name)), 16, "PCM_16")
        text = SHEET.replace("image.wav", f"{name}.flac").replace("Live", f"Disc {name}")
        (tmp_path / "rips" / f"{name}.cue").write_text(text)
    assert {track.album for track in rip(tmp_path / "rips/a.cue", tmp_path / "one").tracks} == {"Disc a"}
    report = rip(tmp_path / "rips", tmp_path / "out", jobs=2)
    assert len(report.made) == 6 and {track.album for track in report.tracks} == {"Disc a", "Disc b"}


def test_a_damaged_flac_disc_is_not_cut(tmp_path):
    path = tmp_path / "rips/image.flac"
    write(path, integers(16, SECTOR * 100), 16, "PCM_16")
    whole = path.read_bytes()
    path.write_bytes(whole[:26] + bytes(15) + b"\x01" + whole[42:])
    (tmp_path / "rips/d.cue").write_text(SHEET)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert len(report.failed) == 3 and all("damaged" in reason for reason in report.failed.values())
    assert not list((tmp_path / "out").rglob("*.flac"))


def test_a_sheet_beyond_its_file_fails_that_track_alone(tmp_path):
    write(tmp_path / "rips/image.wav", integers(16, SECTOR * 50), 16, "PCM_16")
    (tmp_path / "rips/d.cue").write_text(SHEET)
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert [track.track for track in report.tracks] == [1]
    assert len(report.failed) == 2 and all("must lie inside" in reason for reason in report.failed.values())


def test_sheets_without_their_file(tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/x.cue").write_text(SHEET)
    assert "image.wav" in next(iter(rip(tmp_path / "alone", tmp_path / "out").failed.values()))
    assert "image.wav" in next(iter(rip(tmp_path / "alone/x.cue", tmp_path / "out").failed.values()))
    # An old sheet next to the tracks that were made from its disc is left out, and does not fail.
    write(tmp_path / "split/01 One.wav", integers(16), 16, "PCM_16")
    (tmp_path / "split/x.cue").write_text(SHEET)
    report = rip(tmp_path / "split", tmp_path / "out")
    assert not report.failed and len(report.made) == 1 and len(report.left_out) == 1


def test_a_broken_sheet_does_not_make_its_disc_one_long_track(tmp_path):
    write(tmp_path / "rips/disc.wav", integers(16), 16, "PCM_16")
    (tmp_path / "rips/disc.cue").write_text("no sheet at all")
    report = rip(tmp_path / "rips", tmp_path / "out")
    assert list(report.failed) == [str(tmp_path / "rips/disc.cue")] and not report.made
