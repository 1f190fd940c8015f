"""CUE sheets: times, tags, encodings, and what is refused."""

import pytest

from keras_audiosr.audio.cue import locate, read_cue, samples
from keras_audiosr.errors import AudioFileError

SHEET = """REM GENRE Jazz
REM DATE 1959
REM COMMENT "ExactAudioCopy v1.3"
CATALOG 0724349531000
PERFORMER "The Band"
TITLE "The Disc"
FILE "disc.wav" WAVE
  TRACK 01 AUDIO
    TITLE "First, \u00e9t\u00e9"
    ISRC USABC5900001
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    TITLE "Second"
    PERFORMER "A Guest"
    INDEX 00 00:01:70
    INDEX 01 00:02:10
    INDEX 02 00:02:30
"""


def sheet(tmp_path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "disc.cue"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_tracks_run_from_index_01_to_index_01(tmp_path, encoding, line_end):
    found = read_cue(sheet(tmp_path, SHEET.replace("\n", line_end), encoding))
    first, second = found.tracks
    assert (first.number, first.file, first.start, first.stop) == (1, "disc.wav", 0, 2 * 75 + 10)
    assert (second.number, second.file, second.start, second.stop) == (2, "disc.wav", 2 * 75 + 10, None)
    disc = {"ALBUM": "The Disc", "ALBUMARTIST": "The Band", "DATE": "1959", "GENRE": "Jazz", "BARCODE": "0724349531000"}
    assert first.tags == disc | {
        "ARTIST": "The Band", "TITLE": "First, été", "ISRC": "USABC5900001", "TRACKNUMBER": "1",
    }  # fmt: skip
    assert second.tags == disc | {"ARTIST": "A Guest", "TITLE": "Second", "TRACKNUMBER": "2"}


def test_titles_without_quotation_marks_and_a_file_name_with_spaces(tmp_path):
    text = "TITLE My Disc\nFILE my disc.wav WAVE\nTRACK 1 AUDIO\nTITLE One Two\nINDEX 01 00:00:00\n"
    (track,) = read_cue(sheet(tmp_path, text)).tracks
    assert (track.file, track.tags["TITLE"], track.tags["ALBUM"]) == ("my disc.wav", "One Two", "My Disc")


def test_a_file_for_each_track_with_gaps_appended(tmp_path):
    # What EAC calls non-compliant: INDEX 00 lies at the end of the file before.
    text = (
        'FILE "1.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 AUDIO\nINDEX 00 03:00:00\n'
        'FILE "2.wav" WAVE\nINDEX 01 00:00:00\n'
    )
    first, second = read_cue(sheet(tmp_path, text)).tracks
    assert (first.file, first.start, first.stop) == ("1.wav", 0, None)
    assert (second.file, second.start, second.stop) == ("2.wav", 0, None)


def test_data_tracks_are_named_and_end_the_track_before(tmp_path):
    text = (
        'FILE "d.bin" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\nTRACK 02 MODE1/2352\nINDEX 01 01:00:00\n'
        "TRACK 03 AUDIO\nINDEX 01 02:00:00\n"
    )
    found = read_cue(sheet(tmp_path, text))
    assert [(track.number, track.start, track.stop) for track in found.tracks] == [(1, 0, 4500), (3, 9000, None)]
    assert found.data_tracks == (2,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "TRACK"),
        ("hello there\nthis is no sheet\n", "TRACK"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\n', "INDEX 01"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 00 00:00:00\n', "INDEX 01"),
        ("TRACK 01 AUDIO\nINDEX 01 00:00:00\n", "FILE"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 00:00:75\n', "below 75"),
        ('FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 -1:00:00\n', "mm:ss:ff"),
        ('FILE "a.wav" WAVE\nTRACK one AUDIO\n', "TRACK nn AUDIO"),
        (
            'FILE "a.wav" WAVE\nTRACK 01 AUDIO\nINDEX 01 00:05:00\nTRACK 02 AUDIO\nINDEX 01 00:05:00\n',
            "follow each other",
        ),
    ],
)
def test_a_bad_sheet_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(AudioFileError, match=said) as caught:
        read_cue(sheet(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_disc_image_named_cue_is_not_read(tmp_path):
    (tmp_path / "disc.cue").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(AudioFileError, match="small text"):
        read_cue(tmp_path / "disc.cue")


@pytest.mark.parametrize(
    ("there", "named", "found"),
    [
        ("disc.wav", "disc.wav", "disc.wav"),
        ("Disc.WAV", "disc.wav", "Disc.WAV"),
        ("disc.flac", "disc.wav", "disc.flac"),
        ("sheet.flac", "Artist - Disc.wav", "sheet.flac"),
        ("disc.wav", "C:\\rips\\disc.wav", "disc.wav"),
        ("disc.wav", "../../disc.wav", "disc.wav"),
        ("other.wav", "disc.wav", None),
        ("disc.mp3", "disc.mp3", None),
    ],
)
def test_the_named_file_is_looked_for_beside_the_sheet_only(tmp_path, there, named, found):
    folder = tmp_path / "disc"
    folder.mkdir()
    (folder / there).touch()
    (tmp_path / "disc.wav").touch()
    assert locate(folder / "sheet.cue", named) == (None if found is None else folder / found)


@pytest.mark.parametrize(("rate", "expected"), [(44100, 588), (48000, 640), (96000, 1280), (22050, 294), (8000, 106)])
def test_a_sector_is_a_75th_of_a_second(rate, expected):
    assert samples(1, rate) == expected
    assert samples(75 * 3600, rate) == 3600 * rate
