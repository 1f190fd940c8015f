"""Tests that an exported step restores the same samples as the whole model, for blocks of any length."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from equivalence import agree
from tiny_model import HOP, tiny_streams, write_frame_run

from keras_audiosr import cli
from keras_audiosr.errors import ArtifactError, UsageError
from keras_audiosr.exporting.conversion import convert
from keras_audiosr.runners import litert, load_runner
from keras_audiosr.runners.litert import LiteRTRunner
from keras_audiosr.runners.streaming import StreamingRunner
from keras_audiosr.stages.export import export

HOPS = (512, 1024, 2048)
# The largest difference allowed, relative to full scale. The measured one is 0, because both use the same kernels on
# the same numbers.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def streams():
    return {hop: load_runner(tiny_streams() / f"stream_{hop}.tflite") for hop in HOPS}


@pytest.fixture(scope="module")
def song(make_music):
    """Returns two channels that begin at different times, with digital silence before, within and after the music."""
    audio = make_music(duration=1.5)
    audio[: 3 * HOP + 17] = 0
    audio[20_000:45_000] = 0
    audio[-900:] = 0
    audio[:9000, 1] = 0
    return audio


@pytest.fixture(scope="module")
def expected(song):
    restored = load_runner(tiny_streams()).run(song)
    assert np.abs(restored - song).max() > 1e-3  # the model changes the music
    return restored


def assert_same(restored, expected, what):
    assert restored.dtype == np.float32
    agree(restored, expected, TOLERANCE, what)


def in_blocks(restorer, audio, lengths):
    """Pushes the audio in blocks whose lengths repeat `lengths`; returns the output with its tail."""
    parts, start = [], 0
    while start < len(audio):
        for length in lengths:
            parts.append(restorer.push(audio[start : start + length]))
            start += length
    return np.concatenate([*parts, restorer.finish()])


@pytest.mark.parametrize("hop", HOPS)
def test_a_file(hop, streams, song, expected):
    assert isinstance(streams[hop], StreamingRunner)
    assert isinstance(load_runner(tiny_streams() / "model.tflite"), LiteRTRunner)
    assert_same(streams[hop].run(song), expected, f"hop {hop}")
    # A mono signal whose length is not a multiple of a hop.
    whole = load_runner(tiny_streams())
    assert_same(streams[hop].run(song[:12_345, :1]), whole.run(song[:12_345, :1]), f"hop {hop}, mono")


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_matter(threads, streams, song):
    """The samples are the same bit for bit with any number of threads, also with more channels than threads."""
    runner = StreamingRunner(tiny_streams(), "stream_512.tflite", num_threads=threads)
    for audio in (song, song[:12_345, :1], np.hstack([song, song[::-1], 0 * song[:, :1]])):
        np.testing.assert_array_equal(runner.run(audio), streams[512].run(audio))
    restorer = runner.restorer(channels=2)
    restored = in_blocks(restorer, song, (700, 1, 4096))
    np.testing.assert_array_equal(restored, streams[512].run(song))


def test_rows_are_computed_at_the_same_time_while_the_caller_goes_on(song):
    runner, together = StreamingRunner(tiny_streams(), "stream_2048.tflite", num_threads=2), threading.Barrier(3)
    runner._silence()  # wait for it, because it uses one of the interpreters
    pool, count = runner.networks(channels=2)
    assert count == 2

    def waiting(network):
        def run(**inputs):
            together.wait(30)  # fails unless two rows and the caller are here at the same time
            return network(**inputs)

        return run

    for network in [pool.free.get() for _ in range(count)]:
        pool.free.put(waiting(network))
    restorer = runner.restorer(channels=2)
    assert len(restorer.push(song[50_000:52_048])) == 0
    together.wait(30)


@pytest.mark.parametrize(
    ("threads", "channels", "interpreters", "threads_each"),
    [(1, 1, 1, 1), (1, 2, 1, 1), (2, 1, 1, 2), (2, 2, 2, 1), (2, 6, 2, 1), (4, 1, 1, 4), (4, 2, 2, 2), (4, 6, 4, 1)],
)
def test_interpreters_share_the_threads(monkeypatch, threads, channels, interpreters, threads_each):
    runner, opened = StreamingRunner(tiny_streams(), "stream_2048.tflite", num_threads=threads), []
    runner._pools.clear()
    honest = litert._open_network

    def open_network(path, content, num_threads):
        opened.append(num_threads)
        return honest(path, content, num_threads)

    monkeypatch.setattr(litert, "_open_network", open_network)
    assert runner.networks(channels)[1] == interpreters
    assert opened == [threads_each] * interpreters
    runner.networks(channels)
    assert len(opened) == interpreters, "they were opened again"


def test_a_song_that_breaks_off_in_a_thread_says_why(song):
    runner = StreamingRunner(tiny_streams(), "stream_2048.tflite", num_threads=2)
    audio = song.copy()
    audio[60_000] = np.nan
    with pytest.raises(ArtifactError, match="must return finite samples"):
        runner.run(audio)


@pytest.mark.parametrize("hop", HOPS)
def test_blocks_of_any_length(hop, streams, song, expected):
    generator = np.random.default_rng(hop)
    restorer = streams[hop].restorer(channels=2)
    for lengths in ([hop], [1, 0, 977], generator.integers(0, 5000, size=9)):
        # The restorer is used again, because `finish` has reset it.
        assert_same(in_blocks(restorer, song, lengths), expected, f"hop {hop}, blocks of {lengths}")


@pytest.mark.parametrize("start", [1, HOP, 7777, 44_100])
def test_from_any_start(start, streams, song):
    expected = load_runner(tiny_streams()).run(song[start:])
    assert_same(streams[1024].run(song[start:]), expected, f"from {start}")


@pytest.mark.parametrize("length", [0, 1, 100, HOP, 1023, 1024, 1025, 5000])
def test_length_in_is_length_out(length, streams, song):
    piece = song[2000 : 2000 + length]
    for hop in HOPS:
        assert streams[hop].run(piece).shape == piece.shape
        assert_same(streams[hop].run(piece), load_runner(tiny_streams()).run(piece), f"hop {hop}, {length} samples")


def test_two_streams_side_by_side(streams, song, expected):
    other = song[::-1].copy()
    first, second = (streams[1024].restorer(channels=2) for _ in range(2))
    parts = [], []
    for start in range(0, len(song), 1500):
        parts[0].append(first.push(song[start : start + 1500]))
        parts[1].append(second.push(other[start : start + 1500]))
    parts[0].append(first.finish())
    parts[1].append(second.finish())
    assert_same(np.concatenate(parts[0]), expected, "first of two")
    assert_same(np.concatenate(parts[1]), load_runner(tiny_streams()).run(other), "second of two")


def test_reset_is_as_new(streams, song):
    restorer = streams[512].restorer(channels=2)
    for block in song[:8192].reshape(-1, 512, 2):
        restorer.step(block)
    restorer.push(song[:700])
    restorer.reset()
    new = streams[512].restorer(channels=2)
    for block in song[8192:16384].reshape(-1, 512, 2):
        np.testing.assert_array_equal(restorer.step(block), new.step(block))


@pytest.mark.parametrize("hop", HOPS)
def test_steps_are_late_by_the_latency(hop, streams, song, expected):
    restorer = streams[hop].restorer(channels=2)
    described = json.loads((tiny_streams() / "metadata.json").read_text())["streaming"][f"stream_{hop}.tflite"]
    assert restorer.latency == described["latency"] == 11 * HOP  # the network looks 8 frames ahead, and the STFT 3
    assert described["algorithmic_latency"] == 11 * HOP + hop
    assert described["algorithmic_latency_ms"] == pytest.approx(1000 * (11 * HOP + hop) / 44100, abs=0.05)
    assert described["state_bytes"] == 4 * np.prod(described["states"][0]["shape"])
    count = len(song) // hop
    steps = np.concatenate([restorer.step(block) for block in song[: count * hop].reshape(count, hop, 2)])
    assert_same(steps[restorer.latency :], expected[: len(steps) - restorer.latency], f"steps of {hop}")


def test_digital_silence_stays_and_costs_nothing(streams, song, monkeypatch):
    runner, calls = streams[1024], []
    step = runner.step
    monkeypatch.setattr(runner, "step", lambda *arguments: calls.append(1) or step(*arguments))
    restorer = runner.restorer(channels=2)
    assert not restorer.push(np.zeros((50_000, 2), np.float32)).any()
    assert not calls
    # After music and then silence, the network runs until its states no longer depend on the music.
    restorer.push(song[10_000:12_000])
    restorer.push(np.zeros((50_000, 2), np.float32))
    asked = len(calls)
    assert 0 < asked < 2 * 20
    assert not restorer.push(np.zeros((50_000, 2), np.float32)).any()
    assert len(calls) == asked


def test_another_sample_rate_goes_through(streams, make_music):
    audio = make_music(duration=0.5, sample_rate=48000)
    expected = load_runner(tiny_streams()).run(audio, 48000)
    assert_same(streams[512].run(audio, 48000), expected, "48 kHz")


def test_parity_is_recorded_and_files_are_hashed():
    metadata = json.loads((tiny_streams() / "metadata.json").read_text())
    assert list(metadata["streaming"]) == [f"stream_{hop}.tflite" for hop in HOPS]
    for hop in HOPS:
        assert metadata["worst_difference"][f"stream_{hop}"] < 1e-4
        assert f"stream_{hop}.tflite" in metadata["files"]
    card = (tiny_streams() / "MODEL_CARD.md").read_text()
    assert f"| stream_512.tflite | 512 | {11 * HOP} samples | 75.5 ms |" in card


def test_one_delegate_takes_the_whole_step():
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(tiny_streams() / "stream_1024.tflite"))
    interpreter.allocate_tensors()
    (delegate,) = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
    # The delegate has the step's inputs and outputs, so nothing outside it is computed.
    assert sorted(delegate["outputs"]) == sorted(detail["index"] for detail in interpreter.get_output_details())
    assert set(delegate["inputs"]) >= {detail["index"] for detail in interpreter.get_input_details()}


def test_a_short_look_ahead_is_a_short_latency(tmp_path, song):
    (tmp_path / "run").mkdir()
    run = write_frame_run(tmp_path / "run", lookahead=3)
    folder = export(run, tmp_path, stream=[512])
    metadata = json.loads((folder / "metadata.json").read_text())
    # The network uses past frames instead of the future ones, so the windows of the whole model need more context.
    assert metadata["context"] > json.loads((tiny_streams() / "metadata.json").read_text())["context"]
    entry = metadata["streaming"]["stream_512.tflite"]
    assert entry["latency"] == (3 + 3) * HOP
    assert entry["algorithmic_latency_ms"] < 50
    assert_same(load_runner(folder / "stream_512.tflite").run(song), load_runner(folder).run(song), "short look-ahead")


def test_hops_are_checked(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    run = write_frame_run(tmp_path / "run")
    for hop, near in ((0, 256), (-512, 256)):
        with pytest.raises(UsageError, match=rf"multiple of the model's hop, 256 samples; received {hop}; try {near}"):
            convert(run, tmp_path, str(hop))
    # In `export` the error comes from a child process.
    assert cli.main(["export", str(run), str(tmp_path), "--stream", "1000"]) == 2
    assert "multiple of the model's hop, 256 samples; received 1000; try 1024" in capsys.readouterr().err


def test_shape_is_checked(streams):
    with pytest.raises(UsageError, match=r"\(512, 2\); received \(512, 1\)"):
        streams[512].restorer(channels=2).step(np.zeros((512, 1), np.float32))


@pytest.mark.parametrize("what", ["not described", "no latency", "other state", "one bit"])
def test_damaged_artifact_is_refused_in_one_line(what, tmp_path):
    folder = shutil.copytree(tiny_streams(), tmp_path / "model")
    metadata = json.loads((folder / "metadata.json").read_text())
    entry = metadata["streaming"]["stream_512.tflite"]
    if what == "not described":
        del metadata["streaming"]
    elif what == "no latency":
        del entry["latency"]
    elif what == "other state":
        entry["states"][0]["shape"] = [1, 5]
    else:
        content = bytearray((folder / "stream_512.tflite").read_bytes())
        content[5000] ^= 1
        (folder / "stream_512.tflite").write_bytes(content)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ArtifactError) as caught:
        StreamingRunner(folder, "stream_512.tflite")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; from keras_audiosr.runners.streaming import StreamingRunner; import numpy as np;"
        f"StreamingRunner({str(tiny_streams())!r}, 'stream_512.tflite').run(np.ones((9000, 1), np.float32));"
        "sys.exit(sorted({'tensorflow', 'keras', 'jax', 'scipy', 'soxr'} & set(sys.modules)).__repr__()"
        " if {'tensorflow', 'keras', 'scipy', 'soxr'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
