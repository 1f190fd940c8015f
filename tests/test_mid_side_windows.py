"""Tests that training windows contain mid and side, in the way in which all runtimes use them (`test_mid_side`)."""

import numpy as np
import pytest
import soundfile
from test_pipeline import collect

from keras_audiosr.datasets import Pair, build_dataset, write_manifest
from keras_audiosr.datasets.decode import decode_mid_side, decode_pair
from keras_audiosr.files import headers
from keras_audiosr.measures.pairs import Worker
from keras_audiosr.presets.facts import ModelFacts
from keras_audiosr.processes.ffmpeg import run_ffmpeg
from keras_audiosr.runners.base import Runner
from keras_audiosr.sound.framing import OverlapSave
from keras_audiosr.sound.mid_side import layout_pairs

RATE = 44100
LENGTH = 1000


def write_pair(folder, lossless, lossy, layout="") -> Pair:
    """Writes two signals `(time, channels)` without loss as a pair, and a manifest. Both files get the layout."""
    for name, audio in (("lossless", lossless), ("lossy", lossy)):
        soundfile.write(folder / f"{name}.flac", audio, RATE, subtype="PCM_16")
        if layout:
            order = "|".join(str(place) for place in range(audio.shape[1]))
            source, target = folder / f"{name}.flac", folder / f"{name}.wv"
            done = run_ffmpeg("-i", str(source), "-af", f"channelmap={order}:{layout}", str(target))
            assert done.returncode == 0, done.stderr
            assert headers.probe(target).channel_layout == layout
    suffix = "wv" if layout else "flac"
    pair = Pair(
        f"lossless.{suffix}", f"lossy.{suffix}", "Album", 1, "Song", len(lossless) / RATE, len(lossless), RATE,
        lossless.shape[1], "", "any", "none", 0, "any",
    )  # fmt: skip
    write_manifest(folder / "pairs.jsonl", [pair])
    return pair


def windows_of(signal: np.ndarray) -> np.ndarray:
    return signal[: len(signal) // LENGTH * LENGTH].reshape(-1, LENGTH)


def cut(folder, **arguments) -> tuple[np.ndarray, np.ndarray]:
    return collect(build_dataset(folder / "pairs.jsonl", window_length=LENGTH, shuffle=False, **arguments))


def test_both_sides_are_mid_then_side(tmp_path, make_music):
    write_pair(tmp_path, make_music(0.2), make_music(0.2, seed=1))
    for name, found in zip(("lossy", "lossless"), cut(tmp_path), strict=True):
        left, right = soundfile.read(tmp_path / f"{name}.flac", dtype="float32")[0].T
        np.testing.assert_array_equal(found[:8], windows_of((left + right) / 2))
        np.testing.assert_array_equal(found[8:], windows_of((left - right) / 2))


def test_an_mp3_is_made_mid_and_side_like_its_source(tmp_path, make_music):
    pair = write_pair(tmp_path, make_music(0.5), make_music(0.5))
    done = run_ffmpeg("-i", str(tmp_path / "lossless.flac"), "-b:a", "256k", str(tmp_path / "lossy.mp3"))
    assert done.returncode == 0, done.stderr
    write_manifest(tmp_path / "pairs.jsonl", [Pair(**(vars(pair) | {"lossy": "lossy.mp3"}))])
    lossy, lossless = cut(tmp_path)
    decoded, _ = soundfile.read(tmp_path / "lossy.mp3", dtype="float32")
    side = (decoded[: pair.length, 0] - decoded[: pair.length, 1]) / 2
    np.testing.assert_array_equal(lossy[22:], windows_of(side))
    # The decoded side resembles the lossless side, and not the lossless mid.
    kept = [float(np.corrcoef(lossy[22:].ravel(), other.ravel())[0, 1]) for other in (lossless[22:], lossless[:22])]
    assert kept[0] > 0.9 and abs(kept[1]) < 0.5


def test_one_silent_channel_gives_halves(tmp_path, make_music):
    music = make_music(0.1, channels=1)
    write_pair(tmp_path, np.hstack([music, 0 * music]), np.hstack([0 * music, music]))
    halves = windows_of(soundfile.read(tmp_path / "lossless.flac", dtype="float32")[0][:, 0] / 2)
    lossy, lossless = cut(tmp_path)
    np.testing.assert_array_equal(lossless, np.concatenate([halves, halves]))
    np.testing.assert_array_equal(lossy, np.concatenate([halves, -halves]))


def test_the_side_of_equal_channels_is_silence_and_left_out_as_such(tmp_path, make_music):
    music = make_music(0.2, channels=1)
    write_pair(tmp_path, np.hstack([music, music]), make_music(0.2, seed=1))
    mono = windows_of(soundfile.read(tmp_path / "lossless.flac", dtype="float32")[0][:, 0])
    _, lossless = cut(tmp_path)
    np.testing.assert_array_equal(lossless, np.concatenate([mono, 0 * mono]))
    # Only the lossless signal counts for `min_level`. The side of the lossy file is loud here.
    lossy, lossless = cut(tmp_path, min_level=-60.0)
    np.testing.assert_array_equal(lossless, mono)
    left, right = soundfile.read(tmp_path / "lossy.flac", dtype="float32")[0].T
    np.testing.assert_array_equal(lossy, windows_of((left + right) / 2))


def test_a_faint_side_is_measured_by_itself(tmp_path, make_music):
    """The channels are loud, but the side is at -66 dB (0.0005 of full scale). A lower `min_level` keeps it."""
    music, square = make_music(0.1, channels=1) * 0.5, np.where(np.arange(4410) % 2, 1e-3, -1e-3)[:, None]
    write_pair(tmp_path, np.hstack([music, music - square]), np.hstack([music, music]))
    assert [len(cut(tmp_path, min_level=level)[1]) for level in (-65.0, -67.0)] == [4, 8]


def test_gain_undone_and_random_is_that_of_both_signals(tmp_path, make_music):
    music = make_music(0.2)
    write_pair(tmp_path, music, music)
    plain, _ = cut(tmp_path)
    lossy, lossless = cut(tmp_path, gain=(-20.0, 6.0), polarity=True, seed=1)
    np.testing.assert_array_equal(lossy, lossless)
    factors = np.sum(lossy * plain, axis=1) / np.sum(plain**2, axis=1)
    np.testing.assert_allclose(lossy, plain * factors[:, None], atol=1e-6)
    assert len(np.unique(np.round(np.abs(factors), 3))) > 10


@pytest.mark.parametrize(
    ("layout", "channels", "pairs"),
    [
        ("mono", 1, []),
        ("2.1", 3, [(0, 1)]),
        ("4.0", 4, [(0, 1)]),
        ("quad", 4, [(0, 1), (2, 3)]),
        ("5.1", 6, [(0, 1), (4, 5)]),
        ("7.1", 8, [(0, 1), (4, 5), (6, 7)]),
    ],
)
def test_surround_is_paired_as_a_runtime_pairs_it(tmp_path, make_music, layout, channels, pairs):
    pair = write_pair(tmp_path, make_music(0.1, channels=channels), make_music(0.1, channels=channels, seed=1), layout)
    heard = []

    def predict(windows: np.ndarray) -> np.ndarray:
        heard.append(windows[..., 0])
        return windows

    for audio, coded, found in zip(
        decode_pair(pair, tmp_path), decode_mid_side(pair, tmp_path), cut(tmp_path)[::-1], strict=True
    ):
        expected = audio.T.copy()
        for left, right in pairs:
            expected[left], expected[right] = (audio[:, left] + audio[:, right]) / 2, audio[:, left] - audio[:, right]
            expected[right] /= 2
        np.testing.assert_array_equal(coded, expected)
        np.testing.assert_array_equal(found, np.concatenate([windows_of(signal) for signal in expected]))
        # A runtime passes the same samples to its network.
        heard.clear()
        OverlapSave(predict, LENGTH, 0, channels, pairs=layout_pairs(channels, layout)).push(audio)
        np.testing.assert_array_equal(np.stack(heard, axis=1).reshape(-1, LENGTH), found)


class Recorder(Runner):
    """A model that changes nothing and records the windows that it receives."""

    def __init__(self):
        super().__init__(ModelFacts("recorder", RATE, LENGTH, 0, 1))
        self.heard = []

    def predict(self, windows: np.ndarray) -> np.ndarray:
        self.heard.append(windows[..., 0])
        return windows


def test_evaluate_pairs_surround_by_the_layout_of_the_lossy_file(tmp_path, make_music):
    """Channels 2 and 3 are a pair in layout quad, but not in 4.0, which has as many channels."""
    pair = write_pair(tmp_path, make_music(0.1, channels=4), make_music(0.1, channels=4, seed=1), "quad")
    runner = Recorder()
    Worker(tmp_path, None, {}, None, visqol=False, runner=runner).signals(pair)
    expected = decode_mid_side(pair, tmp_path)[1]
    found = np.stack(runner.heard, axis=1).reshape(4, -1)
    np.testing.assert_array_equal(found[:, : 4 * LENGTH], expected[:, : 4 * LENGTH])
