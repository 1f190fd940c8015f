"""Tests `play`: blocks give the samples of the whole song, the bypass is in time, and late blocks are counted."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from equivalence import agree
from levels import true_peak
from tiny_model import write_frame_run

from keras_audiosr.errors import AudioFileError, OutputExistsError, UsageError
from keras_audiosr.files import pcm_stream
from keras_audiosr.processes.real_time import Pace
from keras_audiosr.runners import load_runner
from keras_audiosr.sound.bypass import FADE, Bypass
from keras_audiosr.sound.framing import process_blocks
from keras_audiosr.sound.limiter import Limiter
from keras_audiosr.sound.oversampling import OVERSAMPLING, Oversampler
from keras_audiosr.stages.export import export
from keras_audiosr.stages.play import play

ROOT = Path(__file__).parents[1]
RATE = 44100
# The header of a WAV that declares 65535 channels, which would need a lot of memory.
FORGED = pcm_stream.wav_header(pcm_stream.PcmFormat("s32le", RATE, 2)).replace(b"\x02\0\x44\xac", b"\xff\xff\x44\xac")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Returns an exported model with steps of 1024 samples."""
    return export(write_frame_run(tmp_path_factory.mktemp("run")), tmp_path_factory.mktemp("models"), stream=[1024])


def in_blocks(processor, audio, length=1000):
    blocks = [audio[start : start + length] for start in range(0, len(audio), length)]
    return np.concatenate(list(process_blocks(processor, blocks)))


def restored_through_pipe(model, audio, **options):
    """Returns the samples that `play` writes to a pipe in floating point, and its report."""
    sent = io.BytesIO(audio.astype("<f4").tobytes())
    received = io.BytesIO()
    raw = f"f32le:{RATE}:{audio.shape[1]}"
    report = play(sent, received, model, raw=raw, pipe_format="f32le", **options)
    return np.frombuffer(received.getvalue(), "<f4").reshape(-1, audio.shape[1]), report


@pytest.mark.parametrize("channels", [1, 2])
def test_a_pipe_gives_what_the_whole_song_gives(model, make_music, channels):
    audio = make_music(duration=1.3, channels=channels)
    played, report = restored_through_pipe(model, audio)
    expected = load_runner(model).run(audio)
    assert np.abs(expected - audio).max() > 1e-3
    # Below full scale the limiter does nothing.
    agree(played, expected, 1e-5)
    assert (report.length, report.channels, report.sample_rate) == (len(audio), channels, RATE)
    assert report.block_length == 1024
    assert 0 < report.step_p50 <= report.step_p99
    assert (report.underruns, report.limited) == (0, 0)


def test_an_mp3_becomes_a_file(model, tmp_path):
    clip = ROOT / "tests" / "data" / "loop_tabla.mp3"
    play(clip, tmp_path / "out.wav", model)
    played, rate = soundfile.read(tmp_path / "out.wav", always_2d=True)
    assert (rate, soundfile.info(tmp_path / "out.wav").subtype) == (RATE, "PCM_24")
    lossy, _ = soundfile.read(clip, dtype="float32")
    restored = load_runner(model).run(lossy)
    assert np.abs(restored).max() > 1
    np.testing.assert_allclose(played, in_blocks(Limiter(RATE, 2, Oversampler(2)), restored), atol=2e-5)
    with pytest.raises(OutputExistsError):
        play(clip, tmp_path / "out.wav", model)
    play(clip, tmp_path / "out.wav", model, overwrite=True)


def test_the_bypass_is_the_music_itself_in_step(model, make_music):
    audio = make_music(duration=1.5)
    untouched, _ = restored_through_pipe(model, audio, bypass=True)
    np.testing.assert_array_equal(untouched, audio)
    restored, _ = restored_through_pipe(model, audio)
    switched, report = restored_through_pipe(model, audio, bypass=lambda at: 0.5 <= at < 1.0)
    # `bypass` is called when a block arrives. The samples that are returned at that moment are `latency` older.
    late = report.latency / RATE
    for begin, end, expected in [(0, 0.5, restored), (0.5 + FADE, 1.0, audio), (1.0 + FADE, 1.5, restored)]:
        part = slice(round(begin * RATE), round((end - late) * RATE))
        np.testing.assert_array_equal(switched[part], expected[part])
    # During the cross-fades too, each sample is between the original and the restored one.
    low, high = np.minimum(audio, restored), np.maximum(audio, restored)
    assert ((switched >= low - 1e-6) & (switched <= high + 1e-6)).all()


def test_a_switch_fades(make_music):
    class Twice:
        def push(self, block):
            return 2 * block

        def finish(self):
            return np.zeros((0, 1), np.float32)

    bypass = Bypass(Twice(), 1000, 1)
    ones = np.ones((8, 1), np.float32)
    heard = [bypass.push(ones)]
    bypass.active = True
    heard += [bypass.push(ones), bypass.push(ones)]
    # The cross-fade of 10 ms has ten equal steps at 1000 Hz, and continues across the end of a block.
    np.testing.assert_allclose(np.concatenate(heard)[:, 0], [2] * 8 + [2 - k / 10 for k in range(1, 11)] + [1] * 6)


@pytest.mark.parametrize("frequency", [1000.0, 11025.0, 17000.0])
def test_the_oversampler_finds_what_lies_between_samples(frequency):
    phases = 2 * np.pi * frequency * np.arange(4000) / RATE + np.pi / 4
    fine = 2 * np.pi * frequency * np.arange(16000) / (4 * RATE) + np.pi / 4
    found = in_blocks(Oversampler(1), np.sin(phases).astype(np.float32)[:, None], 700)
    assert len(found) == OVERSAMPLING * 4000
    # The error must be within 0.1 dB up to 0.4 of the sample rate.
    np.testing.assert_allclose(found[200:-200, 0], np.sin(fine)[200:-200], atol=0.012)


def test_its_limiter_needs_no_soxr_and_holds_true_peaks(make_music):
    audio = 2.5 * make_music(duration=0.5)
    limiter = Limiter(RATE, 2, Oversampler(2))
    limited = in_blocks(limiter, audio)
    assert true_peak(audio, RATE) > 1.1
    assert np.abs(limited).max() <= 1
    # The music has noise up to half the sample rate. Just below it, oversampling by four measures peaks too low.
    assert true_peak(limited, RATE) < 10 ** (0.5 / 20)
    assert limiter.limited > 0
    quiet = audio / 10
    np.testing.assert_array_equal(in_blocks(Limiter(RATE, 2, Oversampler(2)), quiet), quiet)


class Clock:
    """A clock that advances only when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_pace_counts_what_comes_too_late():
    clock = Clock()
    pace = Pace(1.0, 2, clock=clock, sleep=clock.sleep)
    for work in (0.5, 0.5, 1.9, 1.2, 0.1, 3.0, 0.5):
        pace.begin()
        clock.now += work
        pace.end()
    # The buffer of 2 blocks absorbs the 1.9 s, but not the 1.2 s after them, and not the 3.0 s. After an underrun the
    # later blocks are due later, so the last one is in time.
    assert pace.underruns == 2
    assert pace.percent(0.5) == pytest.approx(50)
    assert pace.percent(1.0) == pytest.approx(300)


def test_the_pace_waits_for_the_clock_and_for_nobody_else():
    clock = Clock()
    pace = Pace(1.0, 1, clock=clock, sleep=clock.sleep)
    came = []
    for source in (0.0, 0.9, 5.0, 0.0):
        clock.now += source
        pace.begin()
        came.append(clock.now)
        pace.end()
    # A block that arrives late is not an underrun, and the next block is due one block duration after it.
    assert came == [1.0, 2.0, 7.0, 8.0]
    assert pace.underruns == 0


def test_real_time_takes_real_time(model, make_music):
    begun = time.perf_counter()
    _, report = restored_through_pipe(model, make_music(duration=0.5), realtime=True, buffer=1000)
    assert time.perf_counter() - begun > 0.49
    assert report.underruns == 0


@pytest.mark.parametrize("name", pcm_stream.RAW_FORMATS)
def test_wav_through_a_pipe(name, make_music):
    audio = make_music(duration=0.1)
    described = pcm_stream.PcmFormat(name, RATE, 2)
    bits = 8 * pcm_stream.RAW_FORMATS[name][1]
    samples = audio if name == "f32le" else (np.rint(audio * 2.0 ** (bits - 1)).astype(np.int64) << (32 - bits))
    if name != "f32le":
        samples = samples.astype(np.int32)
    stream = io.BytesIO(pcm_stream.wav_header(described) + pcm_stream.to_bytes(samples, name))
    found, size = pcm_stream.read_wav_header(stream)
    assert (found, size) == (described, None)
    blocks = list(pcm_stream.read_samples(stream, found, 1000))
    assert [len(block) for block in blocks] == [1000] * 4 + [410]
    np.testing.assert_allclose(np.concatenate(blocks), audio, atol=2.0**-bits)


def test_wav_files_of_others_are_read_as_streams(make_music):
    audio = make_music(duration=0.1, channels=4)
    for form, subtype in [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "PCM_24"), ("WAVEX", "FLOAT")]:
        file = io.BytesIO()
        soundfile.write(file, audio, RATE, subtype=subtype, format=form)
        file.write(b"LIST\0\0\0\0")  # a chunk after the samples, which must not be read as music
        file.seek(0)
        described, size = pcm_stream.read_wav_header(file)
        blocks = list(pcm_stream.read_samples(file, described, 333, size))
        file.seek(0)
        np.testing.assert_array_equal(np.concatenate(blocks), soundfile.read(file, dtype="float32")[0])


@pytest.mark.parametrize(
    ("content", "options", "error", "says"),
    [
        (b"", {}, AudioFileError, "must carry WAV"),
        (b"ID3 and so on, an MP3", {}, AudioFileError, "decode it first"),
        (b"RIFF\0\0\0\0WAVEfmt ", {}, AudioFileError, "ended within its header"),
        (b"", {"raw": "s16le:44100:2"}, AudioFileError, "no samples"),
        (b"", {"raw": "s17le:44100:2"}, UsageError, "s16le:44100:2"),
        (b"", {"raw": "s16le:44100:65535"}, UsageError, "s16le:44100:2"),
        (b"", {"raw": "s16le:0:2"}, UsageError, "s16le:44100:2"),
        (FORGED, {}, AudioFileError, "65535"),
        (np.float32([0.1, np.nan]).tobytes(), {"raw": "f32le:44100:1"}, AudioFileError, "finite"),
        (b"", {"pipe_format": "mp3"}, UsageError, "use wav"),
        (b"", {"buffer": 0}, UsageError, "use 1"),
    ],
)
def test_wrong_input_is_refused_in_one_line(model, content, options, error, says):
    with pytest.raises(error, match=says) as caught:
        play(io.BytesIO(content), io.BytesIO(), model, **options)
    assert "\n" not in str(caught.value)


def test_another_rate_needs_soxr(model, monkeypatch, make_music):
    audio = make_music(duration=0.3, sample_rate=48000)
    raw = {"raw": "f32le:48000:2", "pipe_format": "f32le"}
    received = io.BytesIO()
    play(io.BytesIO(audio.tobytes()), received, model, **raw)
    expected = load_runner(model).run(audio, 48000)
    np.testing.assert_allclose(np.frombuffer(received.getvalue(), "<f4").reshape(-1, 2), expected, atol=1e-5)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="soxr"):
        play(io.BytesIO(audio.tobytes()), io.BytesIO(), model, **raw)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1")
def test_a_signal_switches_on_the_command_line(model, make_music):
    audio = np.tile(make_music(duration=1.0), (2, 1))
    command = [sys.executable, "-m", "keras_audiosr", "play", "-", "--model", str(model)]
    command += ["--raw", f"f32le:{RATE}:2", "--format", "f32le", "--bypass"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    received = bytearray()

    def receive():
        while chunk := process.stdout.read1(1 << 16):
            received.extend(chunk)

    reader = threading.Thread(target=receive)
    reader.start()
    half = len(audio) // 2
    process.stdin.write(audio[:half].tobytes())
    process.stdin.flush()
    while not received:  # waits for the first samples
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGUSR1)
    process.stdin.write(audio[half:].tobytes())
    process.stdin.close()
    reader.join()
    report = process.stderr.read().decode()
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 0
    assert "p99" in report
    played = np.frombuffer(bytes(received), "<f4").reshape(-1, 2)
    assert len(played) == len(audio)
    np.testing.assert_array_equal(played[: half // 4], audio[: half // 4])
    np.testing.assert_allclose(played[-half // 4 :], load_runner(model).run(audio)[-half // 4 :], atol=1e-5)


def test_it_imports_nothing_that_a_player_does_not_have(model, tmp_path, make_music):
    """NumPy, soundfile and LiteRT suffice. `tools/test.sh wheel` tests this where no other package is installed."""
    soundfile.write(tmp_path / "song.wav", make_music(duration=0.2), RATE)
    song, out = tmp_path / "song.wav", tmp_path / "out.flac"
    code = f"""
import sys
for name in ("soxr", "pydub", "mutagen", "tqdm", "tensorflow", "keras", "scipy", "ffmpeg"):
    sys.modules[name] = None
from keras_audiosr.cli import main
sys.exit(main(["play", {str(song)!r}, "-o", {str(out)!r}, "--model", {str(model)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(out).frames == round(0.2 * RATE)
