"""Tests how CUE sheets are read: times, tags and encodings, and which sheets are refused."""

import mutagen.flac
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audiosr.errors import AudioFileError
from keras_audiosr.shelf.cue import find_audio, read_cue, samples
from keras_audiosr.stages.rip import rip

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
    # The ripper EAC calls such a sheet non-compliant. INDEX 00 lies at the end of the previous file.
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
    assert find_audio(folder / "sheet.cue", named) == (None if found is None else folder / found)


@pytest.mark.parametrize(("rate", "expected"), [(44100, 588), (48000, 640), (96000, 1280), (22050, 294), (8000, 106)])
def test_a_sector_is_a_75th_of_a_second(rate, expected):
    assert samples(1, rate) == expected
    assert samples(75 * 3600, rate) == 3600 * rate


TEXTS = {
    "cp932": ("坂本龍一", "戦場のメリークリスマス", "禁じられた色彩"),
    "cp1251": ("Кино", "Группа крови", "Закрой за мной дверь, я ухожу"),
    "latin-1": ("Björk", "Début", "Crying à la française"),
    "cp1250": ("Žbirka", "Čakanie šťastia", "Důl"),
    "euc_kr": ("방탄소년단", "화양연화", "봄날"),
    "big5": ("周杰倫", "七里香", "我的地盤"),
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_is_detected_or_named(tmp_path, encoding):
    performer, title, track = TEXTS[encoding]
    text = f'PERFORMER "{performer}"\nTITLE "{title}"\nFILE "{title}.wav" WAVE\n'
    text += f'TRACK 01 AUDIO\nTITLE "{track}"\nINDEX 01 00:00:00\n'
    path = sheet(tmp_path, text, encoding)
    for found in (read_cue(path), read_cue(path, encoding)):
        assert found.encoding and found.tracks[0].file == f"{title}.wav"
        assert (found.tracks[0].tags["ARTIST"], found.tracks[0].tags["TITLE"]) == (performer, track)
    assert read_cue(sheet(tmp_path, text), encoding).encoding == read_cue(sheet(tmp_path, text)).encoding == ""


WORDS = {
    "Björk": "cp1252", "Sigur Rós": "cp1252", "Queensrÿche": "cp1252", "Édith Piaf": "cp1252", "Blue Öyster": "cp1252",
    "ДДТ": "cp1251", "Кино": "cp1251", "さくら": "cp932",
}  # fmt: skip


@pytest.mark.parametrize(("name", "encoding"), WORDS.items())
def test_one_word_that_is_not_ascii_is_enough(tmp_path, name, encoding):
    text = f'PERFORMER "{name}"\nTITLE "Best"\nFILE "a.wav" WAVE\nTRACK 01 AUDIO\nTITLE "One"\nINDEX 01 00:00:00\n'
    assert read_cue(sheet(tmp_path, text, encoding)).tracks[0].tags["ARTIST"] == name


def test_a_named_encoding_that_does_not_fit_is_one_line(tmp_path):
    for encoding in ("ascii", "no-such"):
        with pytest.raises(AudioFileError, match="in the encoding that was named"):
            read_cue(sheet(tmp_path, SHEET, "cp1252"), encoding)


QUOTED = [
    ('"Concerto in D "for the left hand", M.82"', 'Concerto in D "for the left hand", M.82'),
    ('""Heroes""', '"Heroes"'),
    ('"', ""),
    ('"open', "open"),
    ('plain "quoted" words', 'plain "quoted" words'),
    ('"a" ', "a"),
]


@pytest.mark.parametrize(("written", "read"), QUOTED)
def test_the_last_quotation_mark_ends_a_value(tmp_path, written, read):
    text = f'PERFORMER {written}\nTITLE "x"\nFILE "The "Big" One.wav" WAVE\n'
    text += f"TRACK 01 AUDIO\nTITLE {written}\nINDEX 01 00:00:00\n"
    (track,) = read_cue(sheet(tmp_path, text)).tracks
    assert track.file == 'The "Big" One.wav'
    assert track.tags.get("TITLE", "") == read and track.tags.get("ALBUMARTIST", "") == read


# Any text of one line without spaces around it, because a value in a CUE sheet cannot contain the end of a line, and
# spaces around it are removed.
texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40)
titles = texts.map(str.strip).filter(bool)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    disc=st.tuples(titles, titles, titles),
    tracks=st.lists(st.tuples(titles, titles, st.integers(1, 75 * 600)), min_size=1, max_size=12),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_sheet_is_read_as_it_was_written(tmp_path_factory, disc, tracks, encoding, line_end):
    performer, album, file = disc
    lines = [f'PERFORMER "{performer}"', f'TITLE "{album}"', f'REM GENRE "{album}"', f'FILE "{file}" WAVE']
    position, starts = 0, []
    for number, (title, artist, length) in enumerate(tracks, start=1):
        minutes, rest = divmod(position, 75 * 60)
        lines += [f"  TRACK {number:02d} AUDIO", f'    TITLE "{title}"', f'    PERFORMER "{artist}"']
        lines += [f"    INDEX 01 {minutes:02d}:{rest // 75:02d}:{rest % 75:02d}"]
        starts.append(position)
        position += length
    path = tmp_path_factory.mktemp("sheet") / "disc.cue"
    path.write_bytes((line_end.join(lines) + line_end).encode(encoding))
    found = read_cue(path)
    assert [track.start for track in found.tracks] == starts
    assert [track.stop for track in found.tracks] == [*starts[1:], None]
    for track, (title, artist, _) in zip(found.tracks, tracks, strict=True):
        assert (track.file, track.tags["ALBUM"], track.tags["ALBUMARTIST"]) == (file, album, performer)
        assert (track.tags["TITLE"], track.tags["ARTIST"], track.tags["GENRE"]) == (title, artist, album)


def test_a_sheet_inside_a_flac_cuts_it(tmp_path, make_music):
    samples = np.rint(make_music(4.0) * 20000).astype("<i2")
    text = 'PERFORMER "A"\nTITLE "D"\nFILE "x.wav" WAVE\nTRACK 01 AUDIO\nTITLE ""One""\nINDEX 01 00:00:00\n'
    text += 'TRACK 02 AUDIO\nTITLE "Two"\nINDEX 01 00:02:00\n'
    for kind in ("comment", "block", "of another disc"):
        folder = tmp_path / kind
        folder.mkdir()
        soundfile.write(folder / "disc.flac", samples, 44100)
        file = mutagen.flac.FLAC(folder / "disc.flac")
        if kind == "block":
            # As in RFC 9639, section 8.7: catalogue number, lead-in and flags, then the tracks with an index each, then
            # the lead-out.
            content = bytes(128) + (88200).to_bytes(8, "big") + b"\x80" + bytes(258) + b"\3"
            for number, start in ((1, 0), (2, 88200), (170, 176400)):
                content += start.to_bytes(8, "big") + bytes([number]) + bytes(12 + 1 + 13)
                content += b"\0" if number == 170 else b"\1" + bytes(8) + b"\1" + bytes(3)
            file.cuesheet = mutagen.flac.CueSheet(content)
            file.metadata_blocks.append(file.cuesheet)
        else:
            file["CUESHEET"] = text if kind == "comment" else text.replace("00:02:00", "10:02:00")
        file.save()
        report = rip(folder, tmp_path / f"shelf {kind}", include_probably_lossy=True)
        assert report.failed == {} and len(report.notes) == 1
        parts = [soundfile.read(report.manifest.parent / track, dtype="int16")[0] for track in report.made]
        assert len(parts) == (1 if kind == "of another disc" else 2)
        assert np.array_equal(np.concatenate(parts), samples)
        if kind == "comment":
            assert sorted(track.title for track in report.tracks) == ['"One"', "Two"]
