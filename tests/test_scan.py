"""Tests that cut, joined and damaged files are detected, so that no output is too short without a warning."""

import json

import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.files import audio_files, headers
from keras_audiosr.files.scan import find_faults
from keras_audiosr.files.scan_chunks import scan_iff
from keras_audiosr.files.scan_mpeg import scan_mpeg
from keras_audiosr.files.scan_ogg import scan_ogg
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.stages.probe import probe

DRESSES = {
    "lame.mp3": ["-b:a", "64k"],
    "vbr.mp3": ["-q:a", "5"],
    "bare.mp3": ["-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0"],
    "tagged.mp3": ["-b:a", "64k", "-write_xing", "0", "-write_id3v1", "1", "-metadata", "title=Ode"],
    "ape.mp3": ["-b:a", "64k"],
    "mono.mp3": ["-b:a", "32k", "-ac", "1", "-ar", "8000"],
    "low.mp3": ["-b:a", "24k", "-ar", "22050"],
    "layer2.mp2": ["-c:a", "mp2", "-b:a", "128k"],
    "adts.aac": ["-c:a", "aac", "-b:a", "64k"],
    "a.m4a": ["-c:a", "aac", "-b:a", "64k"],
    "fast.m4a": ["-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart"],
    "fragments.m4a": ["-c:a", "aac", "-b:a", "64k", "-movflags", "+frag_keyframe+empty_moov"],
    "a.ogg": ["-c:a", "libvorbis", "-b:a", "64k"],
    "a.opus": ["-c:a", "libopus", "-b:a", "64k"],
    "flac.ogg": ["-c:a", "flac"],
    "a.flac": [],
    "a.wav": [],
    "float.wav": ["-c:a", "pcm_f32le"],
    "a.aiff": [],
    "a.wv": ["-c:a", "wavpack"],
    "a.mka": ["-c:a", "libopus", "-b:a", "64k"],
    "a.wma": ["-c:a", "wmav2", "-b:a", "64k"],
    "a.ac3": ["-c:a", "ac3", "-b:a", "96k"],
}  # fmt: skip


@pytest.fixture(scope="module")
def dressed(tmp_path_factory, make_music):
    """Returns a folder with three seconds of music in every format."""
    folder = tmp_path_factory.mktemp("scan")
    soundfile.write(folder / "disc.wav", make_music(3.0), 44100, subtype="PCM_16")
    for name, arguments in DRESSES.items():
        done = run_ffmpeg("-y", "-i", str(folder / "disc.wav"), *arguments, str(folder / name))
        assert done.returncode == 0, (name, done.stderr)
    ape = folder / "ape.mp3"
    from mutagen.apev2 import APEv2

    tags = APEv2()
    tags["Title"] = "Ode" * 300
    tags.save(ape)
    return folder


def faults(path) -> str:
    info = headers.probe(path)
    complaints: list[str] = []
    length = sum(len(block) for block in audio_files.read_blocks(path, info, 1 << 16, complaints=complaints))
    return find_faults(path, info, length / info.sample_rate, complaints)


@pytest.mark.parametrize("name", DRESSES)
def test_a_whole_file_is_whole(dressed, name):
    assert faults(dressed / name) == ""


@pytest.mark.parametrize("share", [0.5, 0.9])
# AC-3 is left out because it does not declare its length, and a.m4a because it cannot be read without its index.
@pytest.mark.parametrize("name", [name for name in DRESSES if name not in ("a.m4a", "a.ac3")])
def test_a_cut_file_is_noticed(dressed, tmp_path, name, share):
    if share > 0.5 and name in ("a.mka", "a.wma"):
        pytest.skip("these formats declare a length that is exact only to half a second, which hides a small cut")
    content = (dressed / name).read_bytes()
    # Five bytes are added so that the cut is not between two frames, which is not detectable in an MP3 without a Xing
    # header.
    (tmp_path / name).write_bytes(content[: int(share * len(content)) + 5])
    assert "may be cut short" in faults(tmp_path / name)


@pytest.mark.parametrize("tail", [7, 300])
@pytest.mark.parametrize("name", ["lame.mp3", "bare.mp3", "a.ogg", "a.opus", "adts.aac", "a.wav", "fast.m4a"])
def test_a_lost_tail_is_noticed(dressed, tmp_path, name, tail):
    content = (dressed / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-tail])
    if tail == 7 and name in ("lame.mp3", "a.wav"):
        pytest.skip("7 bytes cost at most one frame of an MP3 or 64 bytes of a WAV, and such differences are allowed")
    assert "may be cut short" in faults(tmp_path / name)


@pytest.mark.parametrize("name", ["lame.mp3", "bare.mp3", "adts.aac"])
def test_a_lost_head_is_noticed(dressed, tmp_path, name):
    content = (dressed / name).read_bytes()
    (tmp_path / name).write_bytes(content[len(content) // 2 + 5 :])
    assert "does not begin with its first frame" in faults(tmp_path / name)


@pytest.mark.parametrize(
    "names",
    [
        ("lame.mp3", "lame.mp3"), ("lame.mp3", "bare.mp3"), ("tagged.mp3", "bare.mp3"), ("tagged.mp3", "tagged.mp3"),
        ("vbr.mp3", "lame.mp3"), ("lame.mp3", "low.mp3"), ("a.ogg", "a.ogg"), ("a.opus", "a.opus"),
        ("a.wav", "a.wav"), ("a.aiff", "a.aiff"), ("a.flac", "a.flac"), ("a.m4a", "a.m4a"), ("a.wv", "a.wv"),
    ],
)  # fmt: skip
def test_joined_files_are_noticed(dressed, tmp_path, names):
    joined = tmp_path / f"joined.{names[0].partition('.')[2]}"
    joined.write_bytes(b"".join((dressed / name).read_bytes() for name in names))
    assert "joined" in faults(joined)


@pytest.mark.parametrize("name", ["lame.mp3", "bare.mp3", "adts.aac", "a.ogg", "a.opus", "a.m4a", "a.flac"])
def test_a_hole_is_noticed(dressed, tmp_path, name):
    content = bytearray((dressed / name).read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    (tmp_path / name).write_bytes(content)
    assert "damaged" in faults(tmp_path / name)


def test_ogg_pages(dressed, tmp_path):
    content = (dressed / "a.opus").read_bytes()
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    assert len(pages) >= 4
    path = tmp_path / "a.opus"
    for changed, fault in [
        (pages, []),
        (pages[:2] + pages[3:], ["lacks 1 pages"]),
        ([*pages[:2], pages[2][:-1] + bytes([pages[2][-1] ^ 1]), *pages[3:]], ["lacks 1 pages", "has 1 damaged pages"]),
        (pages[:-1], ["has no last page"]),
        (pages + pages, ["is 2 files in one"]),
        ([*pages[:2], b"junk", *pages[2:]], ["has 4 bytes between its pages that belong to no page"]),
        ([*pages, b"a tag"], []),
    ]:
        path.write_bytes(b"".join(changed))
        assert scan_ogg(path) == fault


def test_frames_are_counted(dressed):
    # 3 s at 44.1 kHz are 132,300 samples. They need at least 115 frames of 1,152 samples, and with the padding that
    # encoders add at most 118.
    held, found = scan_mpeg(dressed / "lame.mp3")
    assert found == []
    assert 115 <= round(held * 44100 / 1152, 6) <= 118
    assert scan_mpeg(dressed / "a.wav") == (0.0, [])


@pytest.mark.parametrize("name", ["lame.mp3", "bare.mp3", "a.opus", "a.ogg", "adts.aac"])
def test_probe_restore_and_strict_agree(dressed, tmp_path, capsys, name):
    content = (dressed / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: len(content) // 2 + 5])
    (warning,) = probe(path).warnings
    arguments = ["restore", str(path), "--model", str(tiny_export()), "-o", str(tmp_path / "out.flac")]
    assert cli.main(arguments) == 0
    assert warning in capsys.readouterr().err
    (tmp_path / "out.flac").unlink()
    assert cli.main([*arguments, "--strict"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and warning in said.err and said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["warnings"] == [warning]


def test_what_an_edit_list_leaves_out_is_told(dressed, tmp_path):
    """A file whose edit list keeps only a small part of the sound is reported.

    Fuzzing found this case: with a larger time scale in `mvhd`, the edit list keeps 0.1 s.
    """
    content = bytearray((dressed / "fast.m4a").read_bytes())
    scale = content.index(b"mvhd") + 16
    assert content[scale : scale + 4] == (1000).to_bytes(4, "big")
    content[scale : scale + 4] = (32_000).to_bytes(4, "big")
    (tmp_path / "a.m4a").write_bytes(content)
    assert "declares 3.0 s and holds 0.1 s" in faults(tmp_path / "a.m4a")
    content[4] = 0xFF  # damages the name of the first atom, which FFmpeg does not need
    (tmp_path / "a.m4a").write_bytes(content)
    assert "declares 3.0 s and holds 0.1 s" in faults(tmp_path / "a.m4a")
    # Data of another kind after the last atom are not a fault.
    (tmp_path / "a.m4a").write_bytes((dressed / "fast.m4a").read_bytes() + b"\xff\xfe" * 300)
    assert faults(tmp_path / "a.m4a") == ""


def test_an_mp4_that_declares_no_length_is_told(dressed, tmp_path):
    content = bytearray((dressed / "fast.m4a").read_bytes())
    length = content.index(b"mdhd") + 20
    content[length : length + 4] = bytes(4)
    (tmp_path / "a.m4a").write_bytes(content)
    assert "does not say how long it is" in faults(tmp_path / "a.m4a")


def test_matroska_whose_elements_do_not_fit_is_told(dressed, tmp_path):
    content = bytearray((dressed / "a.mka").read_bytes())
    content[content.index(b"\x63\xa2") + 2] = 0xFE  # the size of CodecPrivate, which then exceeds its track's element
    (tmp_path / "a.mka").write_bytes(content)
    assert "exceeds containing master element" in faults(tmp_path / "a.mka")


def test_a_tag_longer_than_the_file_hides_no_frames(dressed, tmp_path):
    content = bytearray((dressed / "lame.mp3").read_bytes())
    assert content[:3] == b"ID3"
    content[7] = 0x7F
    (tmp_path / "a.mp3").write_bytes(content)
    held, found = scan_mpeg(tmp_path / "a.mp3")
    assert held == scan_mpeg(dressed / "lame.mp3")[0] and found == ["does not begin with its first frame"]


def test_a_length_that_no_file_has(tmp_path):
    """RF64 lengths have 64 bits, of which `seek` accepts only 63. The largest one must not raise an error."""
    sizes = (2**64 - 1).to_bytes(8, "little")
    content = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + 3 * sizes + bytes(4) + b"data\xff\xff\xff\xff" + bytes(400)
    (tmp_path / "a.wav").write_bytes(content)
    assert scan_iff(tmp_path / "a.wav") == [f"declares {2**64 - 1} bytes of sound and holds 400"]
    (tmp_path / "a.wav").write_bytes(content.replace(b"data", b"LIST").replace(b"ds64", b"data", 1))
    scan_iff(tmp_path / "a.wav")
