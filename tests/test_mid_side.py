"""Tests mid/side coding in every Python runtime.

test_c_player and test_web compare the players in C and in the browser with the Python runtimes.
"""

import numpy as np
import pytest
import soundfile
from equivalence import agree
from served import running
from tiny_model import tiny_export, tiny_run, write_run

from keras_audiosr.errors import UsageError
from keras_audiosr.files import audio_files
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners import load_runner
from keras_audiosr.sound.layouts import speakers
from keras_audiosr.sound.mid_side import PAIRS, channel_pairs, layout_pairs, to_left_right, to_mid_side
from keras_audiosr.stages.export import export
from keras_audiosr.stages.play import play
from keras_audiosr.stages.restore import restore

RUNTIMES = ("keras", "saved_model", "litert", "streaming", "served")


def runners_of(run, exported, streams, server):
    paths = {"keras": run, "saved_model": exported / "1", "litert": exported, "streaming": streams, "served": server}
    return {name: load_runner(path, trust=True) for name, path in paths.items() if path is not None}


def served(tmp_path_factory, exported):
    """Returns a context manager that runs a server for an exported model; it needs TensorFlow Serving's stubs."""
    from keras_audiosr.stages.serve import serve

    folder = tmp_path_factory.mktemp("mid_side") / "bundle"
    serve(folder, exported, trust=True)
    return running(folder)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Runners of an odd network: f(-x) = -f(x)."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")
    run = write_run(tmp_path_factory.mktemp("odd"), use_bias=False)
    exported = export(run, tmp_path_factory.mktemp("models"), stream=[1024])
    with served(tmp_path_factory, exported) as server:
        yield runners_of(run, exported, exported / "stream_1024.tflite", server.url("grpc"))


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    """Runners of a network that is not odd and whose output for silence is not silent."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api, the official stubs")
    streams = export(tiny_run(), tmp_path_factory.mktemp("streams"), stream=[1024]) / "stream_1024.tflite"
    with served(tmp_path_factory, tiny_export()) as server:
        yield runners_of(tiny_run(), tiny_export(), streams, server.url("grpc"))


@pytest.fixture(scope="module")
def song(make_music):
    return make_music(duration=0.7)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_is_the_network_of_mid_and_side(biased, song, runtime):
    runner = biased[runtime]
    mid, side = (runner.run(coded[:, None]) for coded in to_mid_side(song, [(0, 1)]).T)
    restored = runner.run(song)
    assert np.abs(restored - song).max() > 1e-3  # the model changes the signal
    agree(restored, np.concatenate([mid + side, mid - side], axis=1), 1e-6)
    channels = np.concatenate([runner.run(channel[:, None]) for channel in song.T], axis=1)
    assert np.abs(restored - channels).max() > 1e-4  # the result differs from that for left and right


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_equal_channels_stay_equal_and_are_mono_twice(biased, song, runtime):
    mono = song[:, :1]
    restored = biased[runtime].run(np.concatenate([mono, mono], axis=1))
    np.testing.assert_array_equal(restored[:, 0], restored[:, 1])
    np.testing.assert_array_equal(restored[:, :1], biased[runtime].run(mono))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_a_silent_channel_stays_silent(biased, song, runtime, silent, sample_rate):
    audio = song.copy()
    audio[:, silent] = 0.0
    restored = biased[runtime].run(audio, sample_rate)
    assert not restored[:, silent].any()
    assert np.abs(restored - audio).max() > 1e-3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_channel_that_falls_silent_is_silent_there(biased, song, runtime):
    runner, audio = biased[runtime], song.copy()
    audio[5000:20_000, 0] = 0.0
    audio[9000:20_000, 1] = 0.0
    restored = runner.run(audio)
    reach = max(runner.context, getattr(runner, "latency", 0))
    for channel, begin in ((0, 5000), (1, 9000)):
        assert not restored[begin + reach : 20_000 - reach, channel].any()
    # The other channel is still restored where only one is silent.
    assert np.abs(restored - audio)[5000 + reach : 9000 - reach, 1].max() > 1e-3
    assert not runner.run(np.zeros((9000, 2), np.float32)).any()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_left_and_right_swapped_give_the_same_swapped(odd, song, runtime):
    restored = odd[runtime].run(song)
    assert np.abs(restored - song).max() > 1e-3
    agree(odd[runtime].run(np.ascontiguousarray(song[:, ::-1])), restored[:, ::-1], 1e-7)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_surround_goes_in_pairs(biased, make_music, runtime):
    runner, audio = biased[runtime], make_music(duration=0.3, channels=6)
    restored = runner.run(audio)
    for places in ([0, 1], [2], [3], [4, 5]):
        agree(restored[:, places], runner.run(np.ascontiguousarray(audio[:, places])), 1e-6, f"channels {places}")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_layout_can_name_its_pairs(biased, make_music, runtime):
    runner, audio = biased[runtime], make_music(duration=0.3, channels=4)  # quad has a front and a back pair
    processor = runner.processor(4, pairs=[(0, 1), (2, 3)])
    restored = np.concatenate([processor.push(audio), processor.finish()])
    for places in ([0, 1], [2, 3]):
        agree(restored[:, places], runner.run(np.ascontiguousarray(audio[:, places])), 1e-6, f"channels {places}")


@pytest.mark.parametrize(
    ("layout", "pairs"),
    [
        ("mono", ()),
        ("stereo", ((0, 1),)),
        ("3.0", ((0, 1),)),
        ("quad", ((0, 1), (2, 3))),
        ("4.1", ((0, 1),)),
        ("5.1(side)", ((0, 1), (4, 5))),
        ("6.0", ((0, 1), (4, 5))),
        ("7.0", ((0, 1), (3, 4), (5, 6))),
        ("7.1(wide)", ((0, 1), (4, 5), (6, 7))),
        ("FC+FL+FR+LFE", ((1, 2),)),
        ("FL+BR", ()),
        ("downmix", ((0, 1),)),
    ],
)
def test_a_layout_has_its_pairs(layout, pairs):
    assert layout_pairs(len(speakers(layout)), layout) == pairs


def test_an_unknown_layout_has_the_usual_pairs():
    for layout in ("", "unknown", "stereo", "6 channels"):
        assert layout_pairs(6, layout) == PAIRS[6]
    # The usual pairs are those of FFmpeg's default layout for each number of channels.
    usual = ("stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
    assert [layout_pairs(len(speakers(layout)), layout) for layout in usual] == list(PAIRS.values())


def test_restore_and_play_go_by_the_layout(tmp_path, make_music):
    audio = make_music(duration=0.5, channels=4)
    soundfile.write(tmp_path / "four.wav", audio, 44100, subtype="FLOAT")
    done = run_ffmpeg("-i", str(tmp_path / "four.wav"), "-af", "channelmap=0|1|2|3:quad", str(tmp_path / "quad.wv"))
    assert done.returncode == 0, done.stderr
    quad, _ = audio_files.read(tmp_path / "quad.wv")
    runner = load_runner(tiny_export())
    expected = np.concatenate([runner.run(np.ascontiguousarray(quad[:, pair])) for pair in ([0, 1], [2, 3])], axis=1)
    restore(tmp_path / "quad.wv", tmp_path / "restored.wav", tiny_export(), subtype="FLOAT", clip="none", force=True)
    agree(audio_files.read(tmp_path / "restored.wav")[0], expected, 1e-6, "restore")
    play(tmp_path / "quad.wv", tmp_path / "played.wav", tiny_export())
    agree(audio_files.read(tmp_path / "played.wav")[0], expected, 1e-6, "play")


def test_it_comes_back():
    generator = np.random.default_rng(0)
    pcm = (generator.integers(-(2**15), 2**15, (5000, 8)) / 2**15).astype(np.float32)
    music = generator.uniform(-1, 1, (5000, 8)).astype(np.float32)
    for channels in range(1, 9):
        pairs = channel_pairs(channels)
        np.testing.assert_array_equal(to_left_right(to_mid_side(pcm[:, :channels], pairs), pairs), pcm[:, :channels])
        agree(to_left_right(to_mid_side(music[:, :channels], pairs), pairs), music[:, :channels], 2**-23)


def test_pairs_are_checked():
    assert channel_pairs(1) == channel_pairs(9) == ()
    for channels, pairs in PAIRS.items():
        assert channel_pairs(channels, pairs) == pairs
    for pairs in ([(0, 2)], [(-1, 0)], [(0, 1), (1, 0)], [(0, 0)]):
        with pytest.raises(UsageError, match="pairs must be indices of the 2 channels"):
            channel_pairs(2, pairs)
