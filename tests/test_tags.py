"""Tests that tags of all formats are copied to FLAC, and that broken tags do no harm."""

import struct

import mutagen
import mutagen.aiff
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import numpy as np
import pytest
import soundfile

from keras_audiosr.files.tags import copy_tags, read_tags, write_tags
from keras_audiosr.processes.ffmpeg import run_ffmpeg

COVER = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
ENCODERS = {
    ".mp3": ["-c:a", "libmp3lame"], ".m4a": ["-c:a", "aac"], ".ogg": ["-c:a", "libvorbis"],
    ".opus": ["-c:a", "libopus"], ".flac": ["-c:a", "flac"], ".wav": [], ".aiff": ["-f", "aiff"],
}  # fmt: skip
WANTED = {
    "TITLE": ["Été 日本"],
    "ARTIST": ["A", "B"],
    "ALBUM": ["The Album"],
    "ALBUMARTIST": ["Various"],
    "DATE": ["1999-12-31"],
    "GENRE": ["Jazz"],
    "TRACKNUMBER": ["3"],
    "TRACKTOTAL": ["12"],
    "DISCNUMBER": ["1"],
    "COMPOSER": ["C"],
    "MOOD X": ["blue"],
}


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "restored.flac"
    soundfile.write(path, np.zeros((4410, 2), np.int16), 44100)
    return path


def encoded(tmp_path, suffix: str):
    path = tmp_path / f"song{suffix}"
    soundfile.write(tmp_path / "plain.wav", np.zeros((24000, 2), np.int16), 48000)
    done = run_ffmpeg("-y", "-i", str(tmp_path / "plain.wav"), *ENCODERS[suffix], str(path))
    assert done.returncode == 0, done.stderr
    return path


def id3_frames():
    yield mutagen.id3.TIT2(3, ["Été 日本"])
    yield mutagen.id3.TPE1(3, ["A", "B"])
    yield mutagen.id3.TALB(1, ["The Album"])
    yield mutagen.id3.TPE2(0, ["Various"])
    yield mutagen.id3.TDRC(0, ["1999-12-31"])
    yield mutagen.id3.TCON(0, ["(8)"])
    yield mutagen.id3.TRCK(0, ["3/12"])
    yield mutagen.id3.TPOS(0, ["1"])
    yield mutagen.id3.TCOM(0, ["C"])
    yield mutagen.id3.TXXX(3, "mood x", ["blue"])
    yield mutagen.id3.TXXX(3, "replaygain_track_gain", ["-6 dB"])
    yield mutagen.id3.TSSE(3, ["LAME"])
    yield mutagen.id3.COMM(3, "eng", "iTunNORM", ["0000"])
    yield mutagen.id3.APIC(3, "image/png", 3, "front", COVER)


def tag(path) -> None:
    """Writes `WANTED`, a cover, and fields that must be dropped, as the file's format stores them."""
    kind = {".mp3": mutagen.mp3.MP3, ".wav": mutagen.wave.WAVE, ".aiff": mutagen.aiff.AIFF}.get(path.suffix)
    if kind is not None:
        file = kind(path)
        if file.tags is None:
            file.add_tags()
        file.tags.clear()
        for frame in id3_frames():
            file.tags.add(frame)
        file.save()
        return
    if path.suffix == ".m4a":
        file = mutagen.mp4.MP4(path)
        file["\xa9nam"], file["\xa9ART"], file["\xa9alb"] = ["Été 日本"], ["A", "B"], ["The Album"]
        file["aART"], file["\xa9day"], file["\xa9gen"], file["\xa9wrt"] = ["Various"], ["1999-12-31"], ["Jazz"], ["C"]
        file["trkn"], file["disk"] = [(3, 12)], [(1, 0)]
        file["----:com.apple.iTunes:mood x"] = [b"blue"]
        file["----:com.apple.iTunes:iTunSMPB"] = [b" 00000000 00000840"]
        file["\xa9too"] = ["encoder"]
        file["covr"] = [mutagen.mp4.MP4Cover(COVER, mutagen.mp4.MP4Cover.FORMAT_PNG)]
        file.save()
        return
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for name, values in WANTED.items():
        file[name] = values
    file["ENCODER"], file["R128_TRACK_GAIN"] = ["Lavc"], ["-256"]
    picture = mutagen.flac.Picture()
    picture.data, picture.mime, picture.type, picture.desc = COVER, "image/png", 3, "front"
    if path.suffix == ".flac":
        file.add_picture(picture)
    else:
        import base64

        file["METADATA_BLOCK_PICTURE"] = [base64.b64encode(picture.write()).decode()]
    file.save()


@pytest.mark.parametrize("suffix", ENCODERS)
def test_tags_and_cover_arrive_from_every_format(tmp_path, target, suffix):
    source = encoded(tmp_path, suffix)
    tag(source)
    said = [(part.what, part.is_loss) for part in copy_tags(source, target)]
    # Measurements of the lossy samples, such as ReplayGain, are dropped. This is reported, but is no loss. The M4A
    # contains no measurements.
    assert said == [("measurements", False)] * (suffix != ".m4a")
    found = mutagen.flac.FLAC(target)
    assert {name.upper(): found[name] for name in found} == WANTED
    (picture,) = found.pictures
    assert (picture.data, picture.mime, picture.type) == (COVER, "image/png", 3)
    audio, _ = soundfile.read(target)
    assert audio.shape == (4410, 2) and not audio.any()


@pytest.mark.parametrize("suffix", ENCODERS)
def test_an_untagged_source_leaves_the_target_alone(tmp_path, target, suffix):
    source = encoded(tmp_path, suffix)
    mutagen.File(source).delete()
    before = target.read_bytes()
    assert copy_tags(source, target) == []
    assert mutagen.flac.FLAC(target).pictures == []
    if not read_tags(source)[0]:
        assert target.read_bytes() == before
    assert read_tags(source)[0].keys() <= {"COMMENT", "DESCRIPTION"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"ID3",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"\xff" * 50,
        b"ID3\x03\x00\x00\x00\x00\x00\x15TIT2\x00\x00\x00\x0b\x00\x00\x01\xff\xfe\xff\xff\x00\xd8\x00",
        b"OggS" + bytes(60),
        b"fLaC" + b"\xff" * 60,
        b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\x7fINFOINAM\xff\xff\xff\xff",
        b"FORM\x00\x00\x00\x08AIFFNAME",
        b"\x00\x00\x00\x18ftypM4A " + b"\xff" * 60,
        bytes(5000),
    ],
)
@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg", ".flac", ".wav", ".aiff", ""])
def test_broken_tags_raise_nothing(tmp_path, target, content, suffix):
    source = tmp_path / f"broken{suffix}"
    source.write_bytes(content)
    before = target.read_bytes()
    copy_tags(source, target)
    if read_tags(source) == ({}, []):
        assert target.read_bytes() == before
    assert soundfile.info(target).frames == 4410


@pytest.mark.parametrize("suffix", ENCODERS)
def test_flipped_bytes_in_tags_raise_nothing(tmp_path, target, suffix):
    source = encoded(tmp_path, suffix)
    tag(source)
    content = source.read_bytes()
    generator = np.random.default_rng(5)
    for _ in range(60):
        mutated = bytearray(content)
        for place in generator.integers(0, min(len(content), 4000), 8):
            mutated[place] = generator.integers(0, 256)
        source.write_bytes(bytes(mutated))
        copy_tags(source, target)
    assert soundfile.info(target).frames == 4410


def test_vorbis_comments_that_are_not_utf_8(tmp_path, target):
    source = encoded(tmp_path, ".flac")
    file = mutagen.flac.FLAC(source)
    file["TITLE"], file["ARTIST"] = ["@@@@"], ["Fine"]
    file.save()
    source.write_bytes(source.read_bytes().replace(b"@@@@", b"\xff\xfe\xe9@"))
    copy_tags(source, target)
    assert mutagen.flac.FLAC(target)["ARTIST"] == ["Fine"]


def test_riff_info_serves_where_there_is_no_id3(tmp_path):
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(100, np.int16), 44100)

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    info = b"INFO" + chunk(b"INAM", "Été".encode("cp1252") + b"\0") + chunk(b"IART", b"Odd") + chunk(b"ITRK", b"4/9\0")
    content = source.read_bytes() + chunk(b"LIST", info)
    source.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    tags, pictures = read_tags(source)
    assert tags == {"TITLE": ["Été"], "ARTIST": ["Odd"], "TRACKNUMBER": ["4"], "TRACKTOTAL": ["9"]}
    assert pictures == []


def test_a_target_of_another_kind_is_left_alone(tmp_path):
    source = encoded(tmp_path, ".flac")
    tag(source)
    other = tmp_path / "out.wav"
    other.write_bytes(b"anything")
    assert [part.what for part in copy_tags(source, other)] == ["tags"]
    assert other.read_bytes() == b"anything"


def test_a_target_that_is_no_flac_is_left_alone(tmp_path):
    fake = tmp_path / "fake.flac"
    fake.write_bytes(b"not FLAC at all")
    assert [part.what for part in write_tags(fake, {"TITLE": ["x"]})] == ["tags"]
    assert fake.read_bytes() == b"not FLAC at all"
