"""Tests channel layouts: channels and their speakers stay unchanged, or a message says what was not kept."""

import io
import itertools
import json
import subprocess

import numpy as np
import pytest
import soundfile
from tiny_model import tiny_export

from keras_audiosr import cli
from keras_audiosr.codecs.round_trip import encode_file
from keras_audiosr.codecs.spec import CodecSpec
from keras_audiosr.errors import AudioFileError, PairError
from keras_audiosr.files import audio_files, headers, pcm_stream
from keras_audiosr.files.formats import FORMATS, held_layout
from keras_audiosr.processes.ffmpeg import find_binary
from keras_audiosr.runners import load_runner
from keras_audiosr.shelf.manifests import Track, read_manifest
from keras_audiosr.sound import layouts
from keras_audiosr.stages.play import play
from keras_audiosr.stages.restore import restore
from keras_audiosr.stages.rip import rip

RATE = 48000
# All layouts of up to 8 channels for which FFmpeg has a name.
LAYOUTS = sorted(
    (name for name, said in layouts._named().items() if len(said) <= 8), key=lambda n: len(layouts.speakers(n))
)
CODECS = {
    "wavpack": "wv", "flac": "flac", "pcm_s16le": "wav", "alac": "m4a", "pcm_s16be": "aiff", "aac": "m4a", "ac3": "ac3",
    "eac3": "eac3", "libvorbis": "ogg", "libopus": "opus", "dca": "dts", "pcm_s24le": "caf", "tta": "tta",
}  # fmt: skip
# Layouts and codecs from bug reports.
REPORTED = [
    ("3.0", "ac3"), ("3.0", "aac"), ("3.0", "libvorbis"), ("3.1", "ac3"), ("3.1", "wavpack"), ("4.0", "aac"),
    ("quad", "libvorbis"), ("quad", "flac"), ("quad(side)", "dca"), ("4.1", "wavpack"), ("6.0", "wavpack"),
    ("7.0", "wavpack"), ("7.1(wide)", "flac"), ("2.1", "pcm_s16le"), ("6.1(front)", "pcm_s16be"),
    ("7.1(wide)", "alac"), ("5.1(side)", "eac3"), ("7.1", "libopus"),
]  # fmt: skip


@pytest.fixture(scope="module")
def runner():
    return load_runner(tiny_export())


def make(path, layout: str, codec: str):
    """Writes 0.2 s of noise, different in each channel. Returns `None` if the file does not get this layout."""
    channels = len(layouts.speakers(layout))
    noise = np.random.default_rng(channels).standard_normal((RATE // 5, channels)) * 3000
    mapping = f"channelmap=map={'|'.join(map(str, range(channels)))}:channel_layout={layout}"
    command = [find_binary("ffmpeg"), "-v", "error", "-y", "-f", "s16le", "-ar", str(RATE), "-ac", str(channels)]
    command += ["-i", "pipe:0", "-af", mapping, "-c:a", codec, "-strict", "-2", str(path)]
    done = subprocess.run(command, input=noise.astype("<i2").tobytes(), capture_output=True, check=False)
    if done.returncode:
        return None
    # These tests do not use files that declare another layout. Mono and stereo need no declaration.
    return path if layouts.same_layout(headers.probe(path).channel_layout, layout) or channels <= 2 else None


def by_ffmpeg(path) -> np.ndarray:
    """Returns what FFmpeg decodes if no layout is requested, as 24-bit integers."""
    command = [find_binary("ffmpeg"), "-v", "error", "-i", f"file:{path}", "-f", "f32le", "-c:a", "pcm_f32le", "pipe:1"]
    done = subprocess.run(command, capture_output=True, check=True)
    scaled = np.rint(np.frombuffer(done.stdout, "<f4").astype(float) * (1 << 23))
    return np.clip(scaled, -(1 << 23), (1 << 23) - 1).astype(int)


def require_same(source, suffixes: list[str], runner, tmp_path) -> None:
    info, expected = headers.probe(source), by_ffmpeg(source)
    for suffix in suffixes:
        (done,) = restore(source, tmp_path / f"out{suffix}", runner, strength=0.0, force=True, overwrite=True).restored
        found = headers.probe(done.target)
        assert np.array_equal(by_ffmpeg(done.target), expected)
        usual = found.channels in layouts.USUAL and not layouts.speakers(info.channel_layout)
        kept = usual or layouts.same_layout(found.channel_layout, info.channel_layout)
        unsaid = found.channel_layout in ("", "unknown") and info.channel_layout in ("mono", "stereo")
        assert kept or unsaid or [part.what for part in done.left_out] == ["channels"]


@pytest.mark.parametrize(("layout", "codec"), REPORTED)
def test_the_layouts_of_the_reports(tmp_path, runner, layout, codec):
    source = make(tmp_path / f"in.{CODECS[codec]}", layout, codec)
    require_same(source, [".flac"], runner, tmp_path)
    assert not restore(source, tmp_path / "b.flac", runner, strength=0.0, force=True).restored[0].left_out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_decoded_as_it_is(tmp_path, layout):
    source = make(tmp_path / "in.wv", layout, "wavpack")
    info = headers.probe(source)
    blocks = list(audio_files.read_blocks(source, info, 1 << 16, sample_type="i4"))
    assert np.array_equal(np.concatenate(blocks).ravel() >> 8, by_ffmpeg(source))


@pytest.mark.parametrize(
    ("layout", "suffix"),
    list(zip(LAYOUTS, itertools.cycle([".flac", ".wav", ".aiff", ".wv", ".m4a"]), strict=False)),
)
def test_each_layout_in_one_format(tmp_path, runner, layout, suffix):
    require_same(make(tmp_path / "in.w64", layout, "pcm_s16le"), [suffix], runner, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_every_layout_in_every_codec_to_every_format(tmp_path, runner, codec):
    tried = 0
    for layout in LAYOUTS:
        source = make(tmp_path / f"in.{CODECS[codec]}", layout, codec)
        if source:
            suffixes = [".flac", ".wav", ".aiff", ".m4a", ".wv"]
            require_same(source, suffixes, runner, tmp_path)
            tried += len(suffixes)
    assert tried >= 5 * 6
    print(f"{codec}: {tried} exact")


def test_what_mp3_mixes_down_is_said_and_refused_with_strict(tmp_path, capsys):
    source = make(tmp_path / "in.wv", "5.1", "wavpack")
    arguments = ["restore", str(source), "-o", str(tmp_path / "out.mp3"), "--model", str(tiny_export()), "--force"]
    assert cli.main([*arguments, "--strict"]) == 1
    assert "5.1 was mixed down" in capsys.readouterr().err and not (tmp_path / "out.mp3").exists()
    assert cli.main(arguments) == 0
    assert "MP3 holds stereo, so 5.1 was mixed down" in capsys.readouterr().err
    assert headers.probe(tmp_path / "out.mp3").channels == 2


def test_what_is_left_out_is_counted_and_is_data(tmp_path, capsys):
    folder = tmp_path / "music"
    folder.mkdir()
    make(folder / "a.wv", "5.1", "wavpack")
    make(folder / "b.wv", "stereo", "wavpack")
    arguments = ["restore", str(folder), "--model", str(tiny_export()), "--force", "--format", "mp3"]
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "2 restored, 0 failed, channels left out of 1" in said.out and said.err.count("left out of") == 1
    assert cli.main([*arguments, "-o", str(tmp_path / "json"), "--json"]) == 0
    first, second, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["left_out"] == [{"what": "channels", "detail": "MP3 holds stereo, so 5.1 was mixed down"}]
    assert second["left_out"] == [] and summary["left_out"] == {"channels": 1}
    assert cli.main([*arguments, "-o", str(tmp_path / "strict"), "--strict"]) == 1
    assert [path.name for path in (tmp_path / "strict").iterdir()] == ["b.mp3"]


def test_too_many_channels_are_one_line(tmp_path, runner):
    soundfile.write(tmp_path / "in.wav", np.zeros((4800, 10)), RATE)
    with pytest.raises(AudioFileError, match="FLAC holds up to 8 channels; received 10 channels without a layout"):
        restore(tmp_path / "in.wav", tmp_path / "out.flac", runner, force=True)
    assert restore(tmp_path / "in.wav", tmp_path / "out.wav", runner, force=True).restored


@pytest.mark.parametrize("layout", ["2.1", "4.0", "7.1(wide)"])
def test_rip_play_and_pipes_keep_the_layout(tmp_path, layout):
    source = make(tmp_path / "in.wav", layout, "pcm_s16le")
    report = rip(source, tmp_path / "shelf")
    ripped = report.manifest.parent / report.made[0]
    assert layouts.same_layout(headers.probe(ripped).channel_layout, layout)
    assert np.array_equal(by_ffmpeg(ripped), by_ffmpeg(source))
    assert read_manifest(report.manifest, Track)[0].channels == len(layouts.speakers(layout))
    for suffix in (".wav", ".flac", ".aiff"):
        play(source, tmp_path / f"played{suffix}", str(tiny_export()), bypass=True)
        assert layouts.same_layout(headers.probe(tmp_path / f"played{suffix}").channel_layout, layout)
        assert np.array_equal(by_ffmpeg(tmp_path / f"played{suffix}"), by_ffmpeg(source))
    out = io.BytesIO()
    with open(source, "rb") as pipe:
        play(pipe, out, str(tiny_export()), bypass=True)
    out.seek(0)
    described, _ = pcm_stream.read_wav_header(out)
    assert layouts.same_layout(described.channel_layout, layout)
    (tmp_path / "piped.wav").write_bytes(out.getvalue())
    assert layouts.same_layout(headers.probe(tmp_path / "piped.wav").channel_layout, layout)


def test_a_twin_has_its_tracks_channels_or_is_refused(tmp_path):
    source = make(tmp_path / "in.wav", "3.0", "pcm_s16le")
    encode_file(source, tmp_path / "twin.m4a", CodecSpec.parse("aac@192k"))
    assert headers.probe(tmp_path / "twin.m4a").channel_layout == "3.0"
    with pytest.raises(PairError, match=r"same channels; mp3 turns 3.0 into"):
        encode_file(source, tmp_path / "twin.mp3", CodecSpec.parse("mp3@192k"))
    with pytest.raises(PairError, match=r"vorbis turns 2.1 into 3.0"):
        encode_file(make(tmp_path / "b.wav", "2.1", "pcm_s16le"), tmp_path / "twin.ogg", CodecSpec.parse("vorbis@192k"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_there_and_back(layout):
    assert layouts.speakers(layouts.mask_layout(layouts.layout_mask(layout))) == layouts.speakers(layout)
    assert layouts.layout_name(layouts.speakers(layout)) == layout


@pytest.mark.parametrize("said", ["", "unknown", "4 channels", "ambisonic 1", "nonsense"])
def test_a_layout_that_is_not_known_has_no_speakers(said):
    assert layouts.speakers(said) == () and layouts.layout_mask(said) == 0
    assert layouts.remixless(4, said) == ["-ac", "4"]
    assert all(held_layout(suffix, 2, said) == ("stereo", None) for suffix in FORMATS)


def test_speakers_that_are_listed():
    assert layouts.speakers("2 channels (FC+LFE)") == ("FC", "LFE")
    assert layouts.layout_mask("FR+FL") == 0  # a mask can express only one order
    assert layouts.mask_layout(0x80000000) == ""
