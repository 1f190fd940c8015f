"""Tests that every field of Picard's published mapping is written to and read from every format.

Chapters, ratings and covers are tested too.
"""

import json
import subprocess

import mutagen
import mutagen.apev2
import mutagen.asf
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.errors import AudioFileError
from keras_audiosr.files import headers, tag_names
from keras_audiosr.files.metadata import Chapter, Metadata
from keras_audiosr.files.tag_writers import write_metadata
from keras_audiosr.files.tags import copy_tags, read_metadata, read_tags
from keras_audiosr.library import song as song_module
from keras_audiosr.processes.ffmpeg import find_binary, run_ffmpeg
from keras_audiosr.stages.restore import restore
from keras_audiosr.stages.rip import rip

FORMATS = ["mp3", "m4a", "flac", "ogg", "opus", "wv", "aiff", "wav"]
WRITTEN = ["mp3", "m4a", "flac", "wv", "aiff", "wav"]
# Values of the fields that need a certain form. All other fields take any text.
VALUES = {
    "TRACKNUMBER": "3", "DISCNUMBER": "1", "MOVEMENT": "2", "MOVEMENTTOTAL": "4", "BPM": "120", "COMPILATION": "1",
    "SHOWMOVEMENT": "1", "PODCAST": "1", "DATE": "1999-12-31", "ORIGINALDATE": "1975-01-02",
    "RELEASEDATE": "2001-02-03", "ORIGINALYEAR": "1975", "LICENSE": "http://example.org/l",
    "WEBSITE": "http://example.org/w", "LANGUAGE": "eng",
    "MUSICBRAINZ_TRACKID": "0f5e-ab", "KEY": "Am", "ITUNESADVISORY": "4", "ITUNESMEDIATYPE": "1",
    "GAPLESSPLAYBACK": "1", "FINGERPRINT": "MusicMagic FingerprintAQIA", "ENCODEDBY": "Jane Doe",
}  # fmt: skip
PICARD = {name: [VALUES.get(name, f"Été {name}")] for name in tag_names._VORBIS} | {
    "TRACKTOTAL": ["12"], "DISCTOTAL": ["2"], "ARRANGER": ["A1", "A2"], "ENGINEER": ["E"], "PRODUCER": ["P"],
    "DJMIXER": ["D"], "MIXER": ["M"], "PERFORMER": ["Joe Barr (Piano)", "Ann (voice)", "Nobody"],
    "ARTIST": ["One", "Two"],
    "RATING:a@b.c": ["0.7686"], "PLAYCOUNT:a@b.c": ["7"], "PLAYCOUNT": ["12"], "URL:Shop": ["http://example.org/s"],
    "COMMENT": ["plain", "said (why)"], "SYNCEDLYRICS": ["[00:01.00]one\n[01:02.50]two"], "ANY OTHER": ["x"],
}  # fmt: skip
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))
CHAPTERS = [Chapter(0.0, 0.5, "Eins"), Chapter(0.5, 0.75, "Zwei = 2; #x"), Chapter(0.75, 1.0, "")]


@pytest.fixture
def song(tmp_path):
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "song.wav", 0.1 * generator.standard_normal((44100, 2)), 44100)
    return tmp_path / "song.wav"


def encoded(song, suffix: str):
    path = song.with_name(f"encoded.{suffix}")
    codec = {"m4a": ["-c:a", "alac"], "wv": ["-c:a", "wavpack"], "ogg": ["-c:a", "libvorbis"]}.get(suffix, [])
    assert run_ffmpeg("-y", "-i", str(song), *codec, str(path)).returncode == 0
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_field_of_the_mapping_there_and_back(song, suffix):
    path = encoded(song, suffix)
    if suffix in WRITTEN:
        assert write_metadata(path, Metadata(dict(PICARD))) == []
    else:
        file = mutagen.File(path)
        file.update(PICARD)
        file.save()
    found = read_metadata(path)
    assert found.unread == []
    assert {name: sorted(values) for name, values in found.tags.items()} == {
        name: sorted(values) for name, values in PICARD.items()
    }
    # The tags are also copied to a FLAC file that is made from it.
    soundfile.write(song.with_name("out.flac"), np.zeros(100), 44100)
    assert copy_tags(path, song.with_name("out.flac")) == []
    assert read_tags(song.with_name("out.flac"))[0] == found.tags


def test_what_picard_writes_into_an_mp3(song):
    """Frames and descriptions that Picard's page lists are read, even if this package writes different ones."""
    path = encoded(song, "mp3")
    file = mutagen.mp3.MP3(path)
    file.tags.clear()
    named = {
        "MusicBrainz Album Id": "MUSICBRAINZ_ALBUMID", "MusicBrainz Artist Id": "MUSICBRAINZ_ARTISTID",
        "MusicBrainz Album Artist Id": "MUSICBRAINZ_ALBUMARTISTID",
        "MusicBrainz Release Group Id": "MUSICBRAINZ_RELEASEGROUPID",
        "MusicBrainz Release Track Id": "MUSICBRAINZ_RELEASETRACKID", "MusicBrainz Album Type": "RELEASETYPE",
        "MusicBrainz Album Status": "RELEASESTATUS", "MusicBrainz Album Release Country": "RELEASECOUNTRY",
        "Acoustid Id": "ACOUSTID_ID", "Acoustid Fingerprint": "ACOUSTID_FINGERPRINT", "MusicIP PUID": "MUSICIP_PUID",
    }  # fmt: skip
    for number, description in enumerate(named):
        file.tags.add(mutagen.id3.TXXX(3, description, [f"id {number}"]))
    file.tags.add(mutagen.id3.UFID("http://musicbrainz.org", b"recording"))
    file.tags.add(mutagen.id3.TIPL(3, [["producer", "P"], ["engineer", "E"], ["cook", "C"]]))
    file.tags.add(mutagen.id3.TMCL(3, [["Guitar", "G"]]))
    file.tags.add(mutagen.id3.TRCK(3, ["B2/4"]))
    file.tags.add(mutagen.id3.GEOB(3, "text/x", "f", "d", b"x"))
    file.tags.add(mutagen.id3.PRIV("WM/X", b"x"))
    file.save()
    expected = {vorbis: [f"id {number}"] for number, vorbis in enumerate(named.values())} | {
        "MUSICBRAINZ_TRACKID": ["recording"], "PRODUCER": ["P"], "ENGINEER": ["E"],
        "PERFORMER": ["C (cook)", "G (Guitar)"],
        "TRACKNUMBER": ["B2"], "TRACKTOTAL": ["4"],
    }  # fmt: skip
    found = read_metadata(path)
    assert {name: sorted(values) for name, values in found.tags.items()} == expected
    assert sorted(found.unread) == ["GEOB", "PRIV"]
    target = encoded(song, "flac")
    (said,) = copy_tags(path, target)
    assert said.what == "tags" and "GEOB, PRIV" in said.detail


def test_what_picard_writes_into_an_m4a(song):
    path = encoded(song, "m4a")
    file = mutagen.mp4.MP4(path)
    names = ("MusicBrainz Album Id", "MusicBrainz Track Id", "MusicBrainz Album Type", "initialkey")
    for freeform in (*names, "Acoustid Id", "Acoustid Fingerprint", "MusicIP PUID"):
        file[f"----:com.apple.iTunes:{freeform}"] = [freeform.encode()]
    file.save()
    assert read_tags(path)[0] == {
        "MUSICBRAINZ_ALBUMID": ["MusicBrainz Album Id"], "MUSICBRAINZ_TRACKID": ["MusicBrainz Track Id"],
        "RELEASETYPE": ["MusicBrainz Album Type"], "KEY": ["initialkey"], "ACOUSTID_ID": ["Acoustid Id"],
        "ACOUSTID_FINGERPRINT": ["Acoustid Fingerprint"], "MUSICIP_PUID": ["MusicIP PUID"],
    }  # fmt: skip


def test_the_fingerprint_of_musicip(song):
    """The fingerprint keeps its name, which ID3 stores in the frame's description and other formats in the value."""
    path = encoded(song, "mp3")
    file = mutagen.mp3.MP3(path)
    file.tags.add(mutagen.id3.TXXX(3, "MusicMagic Fingerprint", ["AQIA"]))
    file.save()
    for suffix in ("flac", "aiff"):
        target = encoded(song, suffix)
        assert copy_tags(path, target) == []
        assert read_tags(target)[0]["FINGERPRINT"] == ["MusicMagic FingerprintAQIA"]
    assert mutagen.File(target).tags["TXXX:MusicMagic Fingerprint"].text == ["AQIA"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_was_measured_on_other_samples_is_told_and_no_loss(song, suffix, capsys):
    source = encoded(song, suffix)
    source = source.rename(song.with_name(f"source.{suffix}"))
    names = ["REPLAYGAIN_ALBUM_GAIN", "REPLAYGAIN_TRACK_GAIN", "REPLAYGAIN_TRACK_PEAK"]
    file = mutagen.File(source)
    if suffix in ("mp3", "aiff", "wav"):
        if file.tags is None:
            file.add_tags()
        for name in names:
            file.tags.add(mutagen.id3.TXXX(3, name.lower(), ["-6.00 dB"]))
        file.tags.add(mutagen.id3.RVA2("track", 1, -6.0, 0.9))
        file.tags.add(mutagen.id3.COMM(3, "eng", "iTunNORM", ["0000"]))
        names = ["ITUNNORM", *names, "RVA2"]
    else:
        for name in names:
            value = b"-6.00 dB" if suffix == "m4a" else "-6.00 dB"
            file[f"----:com.apple.iTunes:{name.lower()}" if suffix == "m4a" else name] = value
    file.save()
    arguments = ["restore", str(source), "--model", str(tiny_export()), "--force", "--strict", "--json"]
    assert cli.main([*arguments, "-o", str(song.with_name("out.flac"))]) == 0
    done, summary = map(json.loads, capsys.readouterr().out.splitlines())
    detail = f"{', '.join(names)}, measured on other samples than its own"
    assert done["left_out"] == [{"what": "measurements", "detail": detail}]
    assert summary["left_out"] == {"measurements": 1}
    assert not {"replaygain_track_gain", "rva2"} & set(mutagen.flac.FLAC(song.with_name("out.flac")))


def test_rip_keeps_what_was_measured_for_its_samples_are_the_same(song, tmp_path):
    source = encoded(song, "aiff")
    file = mutagen.File(source)
    if file.tags is None:
        file.add_tags()
    file.tags.add(mutagen.id3.TXXX(3, "REPLAYGAIN_TRACK_GAIN", ["-6.00 dB"]))
    file.save()
    report = rip(source, tmp_path / "shelf", include_probably_lossy=True)
    (made,) = report.made
    assert mutagen.flac.FLAC(tmp_path / "shelf" / made)["REPLAYGAIN_TRACK_GAIN"] == ["-6.00 dB"]
    assert report.notes == {}


def test_frames_and_chunks_without_a_place_are_told(song):
    path = encoded(song, "mp3")
    file = mutagen.mp3.MP3(path)
    file.tags.add(mutagen.id3.PRIV("TRAKTOR4", b"cues"))
    file.tags.add(mutagen.id3.MCDI(b"toc"))
    file.tags.add(mutagen.id3.COMM(3, "eng", "Songs-DB_Custom1", ["mine"]))
    file.tags.add(mutagen.id3.TSSE(3, ["LAME"]))
    file.save()
    (said,) = copy_tags(path, encoded(song, "flac"))
    assert said.is_loss and said.detail.startswith("its tags have MCDI, PRIV,")
    assert read_tags(path)[0] == {"COMMENT": ["mine (Songs-DB_Custom1)"]}
    content = song.read_bytes() + b"bext" + (602).to_bytes(4, "little") + bytes(602)
    song.write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    (said,) = copy_tags(song, encoded(song, "flac"))
    assert said.is_loss and "a bext chunk" in said.detail


def test_programs_are_no_people(song):
    path = encoded(song, "mp3")
    for said, kept in (("Jane Doe", ["Jane Doe"]), ("Lavf60.3.100", None), ("iTunes 12.1.2", None)):
        file = mutagen.mp3.MP3(path)
        file.tags.add(mutagen.id3.TENC(3, [said]))
        file.save()
        assert read_tags(path)[0].get("ENCODEDBY") == kept


def test_what_strict_refuses_is_refused_before_the_song_is_computed(song, monkeypatch):
    source = encoded(song, "mp3")
    metadata = Metadata({"TITLE": ["x"]})
    metadata.add_picture(b"GIF89a" + bytes(100), "image/gif")
    assert write_metadata(source, metadata) == []
    monkeypatch.setattr(song_module, "_blocks", lambda *arguments: pytest.fail("decoded before it was refused"))
    with pytest.raises(AudioFileError, match=r"with --strict .*encoded.mp3: M4A cannot hold a picture of image/gif"):
        restore(source, song.with_name("out.m4a"), tiny_export(), force=True, strict=True)
    assert not list(song.parent.glob("*out.m4a*"))


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize(("number", "total"), [("A1", None), ("B2", "4")])
def test_numbers_of_a_record(song, suffix, number, total):
    path = encoded(song, suffix)
    tags = {"TRACKNUMBER": [number], "DISCNUMBER": ["A"], **({"TRACKTOTAL": [total]} if total else {})}
    assert write_metadata(path, Metadata(dict(tags))) == []
    assert read_tags(path)[0] == tags


def test_mp3_with_apev2(song):
    path = encoded(song, "mp3")
    mutagen.mp3.MP3(path).delete()
    ape = mutagen.apev2.APEv2()
    long = "A title that is much longer than the thirty letters of ID3v1"
    ape["Title"], ape["Artist"], ape["Track"], ape["MUSICBRAINZ_ALBUMTYPE"] = [long], ["One", "Two"], ["3/9"], ["live"]
    ape.save(path)
    whole = {
        "TITLE": [long], "ARTIST": ["One", "Two"], "TRACKNUMBER": ["3"], "TRACKTOTAL": ["9"], "RELEASETYPE": ["live"],
    }  # fmt: skip
    assert read_tags(path)[0] == whole
    # ID3v1 cuts text at 30 characters, so it ranks last.
    old = b"TAG" + long.encode()[:30] + bytes(30) + b"Album".ljust(30, b"\0") + bytes(34) + b"\xff"
    path.write_bytes(path.read_bytes() + old)
    assert read_tags(path)[0] == whole | {"ALBUM": ["Album"]}
    # ID3v2 ranks first, even if it has fewer fields.
    id3 = mutagen.id3.ID3()
    id3.add(mutagen.id3.TPE1(3, ["ID3"]))
    id3.save(path, v1=0)
    tags = read_tags(path)[0]
    assert (tags["ARTIST"], tags["TITLE"], tags["TRACKTOTAL"]) == (["ID3"], [long], ["9"])


@pytest.mark.parametrize("suffix", WRITTEN)
def test_chapters_from_and_to_every_format(song, suffix):
    source = song.with_name("book.mp3")
    encoded(song, "mp3").rename(source)
    assert write_metadata(source, Metadata({"TITLE": ["Book"]}, [], CHAPTERS)) == []
    assert [chapter.title for chapter in read_metadata(source).chapters] == ["Eins", "Zwei = 2; #x", ""]
    (done,) = restore(source, song.with_name(f"out.{suffix}"), tiny_export(), force=True).restored
    assert done.left_out == ()
    found = read_metadata(done.target, headers.probe(done.target)).chapters
    assert [chapter.title for chapter in found] == ["Eins", "Zwei = 2; #x", ""]
    assert np.allclose([chapter.start for chapter in found], [0.0, 0.5, 0.75], atol=1e-3)
    if suffix == "flac":
        comments = mutagen.flac.FLAC(done.target)
        assert comments["CHAPTER002"] == ["00:00:00.500"] and comments["CHAPTER002NAME"] == ["Zwei = 2; #x"]


@pytest.mark.parametrize("suffix", ["m4b", "mka", "ogg"])
def test_chapters_of_books_and_matroska(song, tmp_path, suffix):
    lines = ";FFMETADATA1\ntitle=T\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={start + 400}\ntitle=C{start}\n" for start in (0, 400)
    )
    (tmp_path / "chapters.txt").write_text(lines)
    codec = {"m4b": ["-c:a", "aac", "-f", "ipod"], "mka": ["-c:a", "libmp3lame"], "ogg": ["-c:a", "libvorbis"]}[suffix]
    command = [
        find_binary("ffmpeg"),
        "-v",
        "error",
        "-i",
        str(song),
        "-i",
        str(tmp_path / "chapters.txt"),
        "-map",
        "0:a",
    ]
    command += ["-map_chapters", "1", "-map_metadata", "1", *codec, str(tmp_path / f"in.{suffix}")]
    subprocess.run(command, check=True)
    if suffix == "ogg":  # FFmpeg writes no chapters to Ogg, so comments are added
        file = mutagen.File(tmp_path / "in.ogg")
        file.update({"CHAPTER001": "00:00:00.000", "CHAPTER002": "00:00:00.400", "CHAPTER002NAME": "C400"})
        file.save()
    (done,) = restore(tmp_path / f"in.{suffix}", tmp_path / "out.flac", tiny_export(), force=True).restored
    tags = mutagen.flac.FLAC(done.target)
    assert tags["TITLE"] == ["T"] and tags["CHAPTER002"] == ["00:00:00.400"] and tags["CHAPTER002NAME"] == ["C400"]


def test_a_large_cover_is_kept_where_it_fits_and_told_where_not(song, capsys):
    source = song.with_name("large.mp3")
    encoded(song, "mp3").rename(source)
    cover = JPEG + bytes(18_800_000)
    metadata = Metadata({"TITLE": ["x"]})
    metadata.add_picture(cover, "image/jpeg")
    assert write_metadata(source, metadata) == []
    for suffix in ("m4a", "wv"):
        (done,) = restore(source, song.with_name(f"out.{suffix}"), tiny_export(), force=True).restored
        assert done.left_out == () and read_tags(done.target)[1][0].data == cover
    arguments = [
        "restore",
        str(source),
        "-o",
        str(song.with_name("out.flac")),
        "--model",
        str(tiny_export()),
        "--force",
    ]
    assert cli.main(arguments) == 0
    assert "FLAC cannot hold a picture of 18.8 MB" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite", "--strict"]) == 1


def test_a_picture_that_is_a_link_stays_one(song):
    source = song.with_name("link.mp3")
    encoded(song, "mp3").rename(source)
    file = mutagen.mp3.MP3(source)
    file.tags.add(mutagen.id3.APIC(3, "-->", 3, "", b"http://example.org/cover.jpg"))
    file.save()
    for suffix in ("flac", "mp3"):
        target = encoded(song, suffix)
        assert copy_tags(source, target) == []
        (picture,) = read_tags(target)[1]
        assert (picture.mime, picture.data) == ("-->", b"http://example.org/cover.jpg")
    for suffix in ("m4a", "wv"):
        (said,) = copy_tags(source, encoded(song, suffix))
        assert said.what == "pictures" and "link" in said.detail


def test_rip_keeps_chapters_and_tells_what_a_flac_cannot_hold(song, tmp_path):
    metadata = Metadata({"TITLE": ["Book"]}, [], CHAPTERS)
    metadata.add_picture(JPEG + bytes(18_800_000), "image/jpeg")
    assert write_metadata(song, metadata) == []
    report = rip(song, tmp_path / "shelf", include_probably_lossy=True)
    (made,) = report.made
    assert [part.title for part in read_metadata(tmp_path / "shelf" / made).chapters] == [
        part.title for part in CHAPTERS
    ]
    assert list(report.notes.values()) == ["left out: FLAC cannot hold a picture of 18.8 MB"]


def test_what_picard_writes_into_a_wma(song):
    path = song.with_name("song.wma")
    assert run_ffmpeg("-y", "-i", str(song), "-c:a", "wmav2", str(path)).returncode == 0
    file = mutagen.File(path)
    file.clear()
    named = {
        "Title": "TITLE", "Author": "ARTIST", "WM/AlbumTitle": "ALBUM", "WM/AlbumArtist": "ALBUMARTIST",
        "WM/Genre": "GENRE", "WM/Composer": "COMPOSER", "MusicBrainz/Album Id": "MUSICBRAINZ_ALBUMID",
        "WM/CatalogNo": "CATALOGNUMBER", "Acoustid/Id": "ACOUSTID_ID",
    }  # fmt: skip
    for name, vorbis in named.items():
        file[name] = [f"of {vorbis}"]
    file["WM/TrackNumber"], file["WM/PartOfSet"], file["WM/EncodingSettings"] = ["3/9"], ["1"], ["Lavf"]
    mime = "image/jpeg".encode("utf-16-le") + bytes(2)
    picture = b"\x03" + len(JPEG).to_bytes(4, "little") + mime + "front".encode("utf-16-le") + bytes(2) + JPEG
    file["WM/Picture"] = [mutagen.asf.ASFByteArrayAttribute(picture)]
    file.save()
    found = read_metadata(path)
    numbers = {"TRACKNUMBER": ["3"], "TRACKTOTAL": ["9"], "DISCNUMBER": ["1"]}
    assert found.tags == {vorbis: [f"of {vorbis}"] for vorbis in named.values()} | numbers
    assert [(part.data, part.desc, part.type) for part in found.pictures] == [(JPEG, "front", 3)]
    assert found.unread == []
