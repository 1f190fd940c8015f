"""Tests files that are complete although their headers are wrong: all readers agree, and no damage is reported."""

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr.errors import AudioFileError
from keras_audiosr.files import audio_files, headers, pcm, pcm_stream, playback, scan_ogg
from keras_audiosr.files.scan import find_faults
from keras_audiosr.processes import ffmpeg
from keras_audiosr.processes.ffmpeg import find_binary, run_ffmpeg
from keras_audiosr.stages.probe import probe
from keras_audiosr.stages.restore import restore
from keras_audiosr.stages.rip import rip

RATE = 44100


def wav(data: bytes, size: int | None = None, bits: int = 16, channels: int = 2, before=b"", after=b"") -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, RATE, RATE * channels * bits // 8, channels * bits // 8, bits)
    declared = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + before + b"data" + struct.pack("<I", declared) + data + after
    return b"RIFF" + struct.pack("<I", min(len(body) if size is None else size, 0xFFFFFFFF)) + body


@pytest.fixture(scope="module")
def samples(make_music):
    return np.rint(make_music(1.0) * 20000).astype("<i2")


def odd(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def lengths(path) -> dict[str, int]:
    """Returns the number of samples per channel that each reader finds."""
    info = headers.probe(path)
    with playback.open_source(path, None, 4096) as (_, blocks):
        played = sum(map(len, blocks))
    found = {
        "restore": sum(map(len, audio_files.read_blocks(path, info, 1 << 16))),
        "probe": round(probe(path).duration * info.sample_rate),
        "play": played,
        "rip": sum(map(len, pcm.read_pcm(pcm.inspect(path)))),
        "read": len(audio_files.read(path)[0]),
    }
    if path.suffix == ".wav":
        with open(path, "rb") as pipe:
            described, size = pcm_stream.read_wav_header(pipe)
            found["pipe"] = sum(map(len, pcm_stream.read_samples(pipe, described, 4096, size)))
    return found


WAVES = {
    "right": lambda data: wav(data),
    "sox to a pipe": lambda data: wav(data, 0x7FFFF000),
    "0x7fffffff": lambda data: wav(data, 0x7FFFFFFF),
    "0x80000000": lambda data: wav(data, 0x80000000),
    "0xffffffff": lambda data: wav(data, 0xFFFFFFFF),
    "0xffffffd7": lambda data: wav(data, 0xFFFFFFD7),
    "power lost": lambda data: wav(data, 0),
    "odd chunk before": lambda data: wav(data, before=odd(b"junk", b"abcde")),
    "odd chunk before, padded": lambda data: wav(data, before=odd(b"junk", b"abcde\0")),
    "odd chunk before a chunk after": lambda data: wav(
        data, before=odd(b"junk", b"abcde"), after=odd(b"LIST", b"INFO")
    ),
    "odd chunk after": lambda data: wav(data, after=odd(b"LIST", b"INFOx") + odd(b"id3 ", b"abcd")),
}


@pytest.mark.parametrize("kind", WAVES)
def test_every_reader_finds_the_samples_that_are_there(tmp_path, samples, kind):
    path = tmp_path / "a.wav"
    path.write_bytes(WAVES[kind](samples.tobytes()))
    assert set(lengths(path).values()) == {len(samples)}
    assert probe(path).warnings == ()
    assert np.array_equal(np.rint(audio_files.read(path)[0] * 32768), samples)
    report = rip(path, tmp_path / "shelf", include_probably_lossy=True)
    assert report.failed == {} and report.tracks[0].length == len(samples)
    assert np.array_equal(soundfile.read(tmp_path / "shelf" / report.made[0], dtype="int16")[0], samples)


def test_odd_samples_of_8_bits_without_a_pad_byte(tmp_path):
    data = np.random.default_rng(0).integers(0, 256, 44099).astype(np.uint8)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data.tobytes(), bits=8, channels=1, after=odd(b"LIST", b"INFO")))
    assert set(lengths(path).values()) == {44099}
    assert probe(path).warnings == ()


def test_a_cut_wav_is_still_said_to_be_cut(tmp_path, samples):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(samples.tobytes())[:-50000])
    assert "declares" in probe(path).warnings[0]
    with pytest.raises(AudioFileError, match="must be whole"):
        pcm.inspect(path)


def flac_with(path, total: int | None, md5: bool):
    content = bytearray(path.read_bytes())
    if total is not None:
        content[21] = content[21] & 0xF0 | total >> 32 & 15
        content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    if not md5:
        content[26:42] = bytes(16)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("total", "md5"), [(0, False), (0, True), (999_999, True), (None, True)])
def test_a_flac_without_a_right_total(tmp_path, samples, total, md5):
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    path = flac_with(tmp_path / "a.flac", total, md5)
    assert set(lengths(path).values()) == {len(samples)}
    assert probe(path).warnings == ()
    report = rip(path, tmp_path / "shelf", include_probably_lossy=True)
    assert report.failed == {}
    made = tmp_path / "shelf" / report.made[0]
    assert np.array_equal(soundfile.read(made, dtype="int16")[0], samples)


def test_a_damaged_flac_is_blamed_on_the_source(tmp_path, samples):
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    path = flac_with(tmp_path / "a.flac", 999_999, False)
    (reason,) = rip(path, tmp_path / "shelf", include_probably_lossy=True).failed.values()
    assert reason.startswith("a lossless file must be whole") and "declares 999999 samples and holds 44100" in reason
    path = flac_with(path, 0, True)
    content = bytearray(path.read_bytes())
    content[26:42] = bytes(range(16))
    path.write_bytes(content)
    (reason,) = rip(path, tmp_path / "shelf", include_probably_lossy=True).failed.values()
    assert "must match the MD5 in its header" in reason and "a.flac is damaged" in reason


@pytest.mark.parametrize(("bits", "container"), [(20, 24), (12, 16)])
@pytest.mark.parametrize("damage", [False, True])
def test_flac_of_20_and_12_bits(tmp_path, make_music, bits, container, damage):
    flac = shutil.which("flac")
    if flac is None:
        pytest.skip("FLAC of 20 and 12 bits is made by 'flac', which is not installed")
    values = np.rint(make_music(0.5) * (1 << (bits - 1))).astype("<i4") << (container - bits)
    width = container // 8
    data = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 2, RATE, RATE * 2 * width, 2 * width, container, 22, bits, 3)
    form += struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    subprocess.run([flac, "-s", tmp_path / "a.wav", "-o", tmp_path / "a.flac"], check=True, capture_output=True)
    if damage:
        content = bytearray((tmp_path / "a.flac").read_bytes())
        content[26] ^= 1  # a bit of the MD5
        (tmp_path / "a.flac").write_bytes(content)
        (reason,) = rip(tmp_path / "a.flac", tmp_path / "shelf", include_probably_lossy=True).failed.values()
        assert "must match the MD5 in its header" in reason
        return
    report = rip(tmp_path / "a.flac", tmp_path / "shelf", include_probably_lossy=True)
    made = tmp_path / "shelf" / report.made[0]
    assert report.failed == {} and soundfile.info(made).subtype == f"PCM_{container}"
    read = soundfile.read(made, dtype="int32")[0]
    assert np.array_equal(read >> (32 - container), values)


def late_opus(path, hours: int):
    """Adds these hours to the granule positions of an Opus file, as in a recorded stream; returns its path."""
    content, moved, position, number = path.read_bytes(), bytearray(), 0, 0
    while position < len(content):
        segments = content[position + 26]
        length = 27 + segments + sum(content[position + 27 : position + 27 + segments])
        page = bytearray(content[position : position + length])
        granule = int.from_bytes(page[6:14], "little", signed=True)
        if number >= 2 and granule >= 0:
            page[6:14] = (granule + hours * 3600 * 48000).to_bytes(8, "little")
        page[22:26] = scan_ogg._checksum(bytes(page)).to_bytes(4, "little")
        moved += page
        position, number = position + length, number + 1
    path.write_bytes(moved)
    return path


def test_opus_recorded_from_a_stream(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", np.tile(samples, (4, 1)), RATE)
    assert run_ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", "libopus", str(tmp_path / "a.opus")).returncode == 0
    late = late_opus(tmp_path / "a.opus", 157)
    assert abs(headers.probe(late).duration - 4.0) < 0.05
    assert probe(late).warnings == ()
    (done,) = restore(late, tmp_path / "out.wav", tiny_export(), force=True, strict=True).restored
    assert done.target.read_bytes()[:4] == b"RIFF" and done.warnings == ()


@pytest.mark.parametrize("name", ["a.mka", "a.m4a", "a.ogg", "a.oga", "a.nut", "a.asf", "a.mpg", "a.flv", "a.webm"])
def test_containers_that_begin_late(tmp_path, samples, name):
    soundfile.write(tmp_path / "a.wav", np.tile(samples, (3, 1)), RATE)
    codec = {"a.ogg": "libvorbis", "a.oga": "flac", "a.m4a": "aac", "a.mpg": "mp2", "a.webm": "libopus"}.get(
        name, "libmp3lame"
    )
    path = tmp_path / name
    made = run_ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", codec, "-output_ts_offset", "100", str(path))
    assert made.returncode == 0, made.stderr
    assert probe(path).warnings == ()
    assert headers.probe(path).duration < 3.2


def behind() -> dict[str, bytes]:
    v1 = b"TAG" + b"Title".ljust(30, b"\0") + bytes(94) + b"\xff"
    lyrics = b"LYRICSBEGININD0000210LYR00900" + b"x" * 900
    items = b"".join(
        struct.pack("<II", len(value), 0) + name + b"\0" + value
        for name, value in [(b"Title", b"Long " * 20), (b"Artist", b"A")]
    )
    ape = items + b"APETAGEX" + struct.pack("<IIII", 1000, len(items) + 32, 2, 0) + bytes(8)
    found = {
        "lyrics3 v1": b"LYRICSBEGIN" + b"la la la\r\n" * 300 + b"LYRICSEND" + v1,
        "lyrics3 v2": lyrics + b"%06d" % len(lyrics) + b"LYRICS200" + v1,
        "apev1": ape,
        "apev1 and v1": ape + v1,
        "tag+": b"TAG+" + bytes(223) + v1,
    }
    return found | {"all": ape + found["lyrics3 v2"].removesuffix(v1) + found["tag+"]}


@pytest.mark.parametrize("kind", behind())
def test_tags_behind_an_mp3_are_no_damage(tmp_path, samples, kind):
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    path = tmp_path / "a.mp3"
    assert run_ffmpeg("-i", str(tmp_path / "a.wav"), "-c:a", "libmp3lame", str(path)).returncode == 0
    whole = path.read_bytes()
    path.write_bytes(whole + behind()[kind])
    assert probe(path).warnings == ()
    path.write_bytes(whole[: len(whole) // 2] + behind()[kind])
    assert "declares" in probe(path).warnings[0]


def test_a_free_format_mp3_is_called_what_it_is(tmp_path):
    # The file has frame headers without a bitrate, 600 bytes apart.
    (tmp_path / "a.mp3").write_bytes((b"\xff\xfb\x00\x00" + bytes(596)) * 40)
    with pytest.raises(AudioFileError, match="free-format MP3"):
        headers.probe(tmp_path / "a.mp3")


def test_an_mp3_that_turns_from_mono_to_stereo(tmp_path, samples):
    parts = []
    for name, content in (("mono", samples[:, :1]), ("stereo", samples)):
        soundfile.write(tmp_path / f"{name}.wav", content, RATE)
        arguments = ["-i", str(tmp_path / f"{name}.wav"), "-c:a", "libmp3lame", "-b:a", "128k"]
        assert (
            run_ffmpeg(*arguments, "-write_xing", "0", "-id3v2_version", "0", str(tmp_path / f"{name}.mp3")).returncode
            == 0
        )
        parts.append((tmp_path / f"{name}.mp3").read_bytes())
    path = tmp_path / "turns.mp3"
    path.write_bytes(b"".join(parts))
    info = headers.probe(path)
    assert info.channels == 2
    audio = audio_files.read(path)[0]
    mono = audio_files.read(tmp_path / "mono.mp3")[0]
    half = len(mono) - 2304
    assert np.array_equal(audio[:half, 0], audio[:half, 1])
    assert np.abs(audio[:half, :1] - mono[:half]).max() < 1e-6  # the level is unchanged
    assert np.abs(audio[-20000:-5000, 0] - audio[-20000:-5000, 1]).max() > 0.01
    with playback.open_source(path, None, 4096) as (described, blocks):
        assert described.channels == 2 and sum(map(len, blocks)) == len(audio)


def test_the_default_track_and_a_word_on_the_other(tmp_path, samples):
    soundfile.write(tmp_path / "0.wav", samples * 0, RATE)
    soundfile.write(tmp_path / "1.wav", samples, RATE)
    command = ["-i", str(tmp_path / "0.wav"), "-i", str(tmp_path / "1.wav"), "-map", "0", "-map", "1", "-c:a", "flac"]
    command += ["-disposition:a:0", "0", "-disposition:a:1", "default", str(tmp_path / "a.mka")]
    assert run_ffmpeg(*command).returncode == 0
    info = headers.probe(tmp_path / "a.mka")
    assert (info.track, info.tracks) == (1, 2)
    (done,) = restore(tmp_path / "a.mka", tmp_path / "out.flac", tiny_export(), strength=0.0, force=True).restored
    assert np.array_equal(soundfile.read(done.target, dtype="int32")[0] >> 16, samples)
    assert [part.what for part in done.left_out] == ["tracks"] and "track 2 of 2" in done.left_out[0].detail


def test_another_ffmpeg_reads_what_the_usual_one_cannot(tmp_path, samples, monkeypatch):
    """If FFmpeg crashes, as the pinned build of 6.0 does on every MPEG-TS, another FFmpeg on PATH is used."""
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    places = {}
    for folder in ("usual", "other"):
        (tmp_path / folder).mkdir()
        for name in ("ffmpeg", "ffprobe"):
            place = places[folder, name] = tmp_path / folder / name
            dying = "kill -SEGV $$" if folder == "usual" else f'exec "{find_binary(name)}" "$@"'
            place.write_text(f"#!/bin/sh\n{dying}\n")
            place.chmod(0o755)
    monkeypatch.setattr(headers, "find_binary", lambda name: str(places["usual", name]))
    monkeypatch.setattr(headers, "other_binaries", lambda name: [str(places["other", name])])
    info = headers.probe(tmp_path / "a.wav")
    assert info.ffmpeg == str(places["other", "ffmpeg"])
    assert sum(map(len, audio_files.read_blocks(tmp_path / "a.wav", info, 1 << 16))) == len(samples)
    monkeypatch.setattr(headers, "other_binaries", lambda name: [])
    with pytest.raises(AudioFileError, match=r"usual/ffprobe died of signal 11; another FFmpeg on PATH may read it"):
        headers.probe(tmp_path / "a.wav")


def test_other_binaries_are_others(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: ffmpeg.find_binary(name))
    assert ffmpeg.other_binaries("ffprobe") == []
    assert json.dumps(ffmpeg.other_binaries("ffmpeg")) == "[]"


def test_faults_of_a_whole_file_are_none(tmp_path, samples):
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    assert find_faults(tmp_path / "a.flac", headers.probe(tmp_path / "a.flac"), 1.0) == ""
