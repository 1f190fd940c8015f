"""Tests that each degradation keeps the alignment and level of the music, and that windows are cut correctly."""

import json

import numpy as np
import pytest
import soundfile

from keras_audiosr.codecs.align import measure_delay
from keras_audiosr.sound.bandwidth import estimate_cutoff
from keras_audiosr.training import degradations
from keras_audiosr.training.collection import Collection
from keras_audiosr.training.degradations import CODECS, ExampleMaker, cut, degrade, round_trip
from keras_audiosr.training.variations import Variations

RATE = 44100


@pytest.fixture(scope="module")
def pcm(make_music):
    return np.rint(32767 * 1.6 * make_music(4.0)).astype(np.int16)


def level(lossless: np.ndarray, lossy: np.ndarray, highest: float = 3500.0) -> float:
    """Returns the factor between the levels of two signals below a frequency."""
    low = [np.fft.rfft(signal[RATE // 2 : -RATE // 2, 0])[: round(highest * 3)] for signal in (lossless, lossy)]
    return float(np.real(np.vdot(low[0], low[1])) / np.real(np.vdot(low[0], low[0])))


@pytest.mark.parametrize("codec", [codec for _, codecs in CODECS for codec in codecs])
def test_round_trips_have_no_lag_and_the_level_of_the_music(codec, pcm, tmp_path):
    lossy, gain = round_trip(pcm, codec, tmp_path)
    lossless = pcm.astype(np.float32) / 32768.0
    assert lossy.shape == lossless.shape
    assert measure_delay(lossless, lossy, RATE).delay == 0
    if codec.startswith("mp3"):
        # LAME itself changes the level by 0.95, and the gain must undo this.
        assert 0.97 < level(lossless, lossy / gain) < 1.03
    else:
        assert gain == 1.0


@pytest.mark.parametrize("codec", degradations._THRIFTY)
def test_an_encoder_can_be_told_to_leave_nothing_above(codec, pcm, tmp_path):
    lossy, gain = round_trip(pcm, codec, tmp_path, cutoff=5000.0)
    assert measure_delay(pcm / 32768.0, lossy, RATE).delay == 0
    # AAC drops whole bands of a few hundred Hz to 1 kHz.
    assert 4000.0 < estimate_cutoff(lossy, RATE) < 6500.0
    if codec.startswith("mp3"):
        assert 0.95 < level(pcm / 32768.0, lossy / gain) < 1.05


class Fixed:
    """A random generator whose first draw is given, because this draw chooses the degradation."""

    def __init__(self, first: float, seed: int):
        self._first = [first]
        self._rng = np.random.default_rng(seed)

    def random(self) -> float:
        return self._first.pop() if self._first else self._rng.random()

    def __getattr__(self, name):
        return getattr(self._rng, name)


@pytest.mark.parametrize(
    ("first", "words"),
    [(0.0, "up to"), (0.1, " at "), (0.16, " of "), (0.9, "@")],
    ids=["low cutoff", "low rate", "twice", "once"],
)
def test_each_way_is_aligned_and_says_what_was_done(first, words, pcm, tmp_path):
    lossless = pcm.astype(np.float32) / 32768.0
    for seed in range(6):
        lossy, done = degrade(pcm, Fixed(first, seed), tmp_path)
        assert words in done
        assert lossy.shape == lossless.shape and lossy.dtype == np.float32
        assert measure_delay(lossless, lossy, RATE).delay == 0, done
        # A wrong gain changes the level by 0.95 or 1 / 0.95. If LAME encodes the music twice, there is another 0.95.
        # AAC loses 15 % of the noise in this music.
        assert (0.75 if "aac" in done else 0.86) < level(lossless, lossy) < 1.09, done


def test_low_rates_and_cutoffs_leave_nothing_above(pcm, tmp_path):
    for seed in range(6):
        lossy, done = degrade(pcm, Fixed(0.0, seed), tmp_path)
        assert estimate_cutoff(lossy, RATE) < 1500.0 + float(done.split(" Hz")[0].split()[-1]), done
        lossy, done = degrade(pcm, Fixed(0.1, seed), tmp_path)
        assert estimate_cutoff(lossy, RATE) < 500.0 + float(done.split(" Hz")[0].split()[-1]) / 2.0, done


def test_gains_are_wrong_and_samples_rounded_as_often_as_stated(pcm, tmp_path, monkeypatch):
    monkeypatch.setattr(degradations, "round_trip", lambda pcm, *_, **__: (pcm / np.float32(32769.0), 0.95))
    said = []
    for seed in range(400):
        lossy, done = degrade(pcm[:2000], Fixed(0.9, seed), tmp_path)
        said.append(done)
        rounded = np.array_equal(lossy * 32768.0, np.rint(lossy * 32768.0))
        assert rounded == ("16 bits" in done)
        # The result is pcm / 32769, divided by the right gain of 0.95 or by a wrong gain of 1.
        assert np.abs(lossy).max() == pytest.approx(
            np.abs(pcm[:2000]).max() / 32769.0 / (1.0 if "gain 1 for" in done else 0.95), rel=2e-3, abs=2e-5
        )
    assert 0.06 < np.mean(["gain" in done for done in said]) < 0.14
    assert 0.24 < np.mean(["16 bits" in done for done in said]) < 0.36


def test_windows_are_middle_and_side_of_the_same_moments():
    rng = np.random.default_rng(0)
    pcm = rng.integers(-9000, 9000, (20000, 2)).astype(np.int16)
    lossy = rng.standard_normal((20000, 2)).astype(np.float32)
    found = cut(lossy, pcm, 18000.0, length=3000, offset=700)
    assert found.lossy.shape == found.lossless.shape == (6, 3000)
    np.testing.assert_array_equal(found.cutoffs, np.full(6, 18000.0, np.float32))
    begin = 4608 + 700
    for number in range(3):
        piece = slice(begin + 3000 * number, begin + 3000 * (number + 1))
        for side, sign in enumerate((1.0, -1.0)):
            expected = 0.5 * (lossy[piece, 0] + sign * lossy[piece, 1])
            np.testing.assert_allclose(found.lossy[2 * number + side], expected, atol=1e-6)
            expected = 0.5 * (pcm[piece, 0] + sign * pcm[piece, 1]) / 32768.0
            np.testing.assert_allclose(found.lossless[2 * number + side], expected, atol=1e-6)


def test_windows_without_sound_are_left_out():
    pcm = np.random.default_rng(0).integers(-9000, 9000, (20000, 1)).astype(np.int16)
    mono = np.repeat(pcm, 2, axis=1)
    assert len(cut(mono.astype(np.float32), mono, 22050.0, length=5000).cutoffs) == 2
    assert len(cut(mono.astype(np.float32), 0 * mono, 22050.0, length=5000).cutoffs) == 0
    assert cut(mono.astype(np.float32), mono, 22050.0, length=50000).lossy.shape == (0, 50000)


def test_examples_come_of_a_collection(pcm, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "train" / name / "song.flac", pcm, RATE)
    lines = [
        {
            "path": f"train/{name}/song.flac",
            "split": "train",
            "album": name,
            "kind": kind,
            "seconds": 4.0,
            "cutoff": end,
        }
        for name, kind, end in (("a", "lossless", None), ("b", "near", 17000))
    ]
    (tmp_path / "catalog.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    collection = Collection.gather(tmp_path / "catalog.jsonl", tmp_path / "collection")
    maker = ExampleMaker(Variations(collection, 3.5, collection.tracks[0].split), 16384)
    found = maker(np.random.default_rng(0), tmp_path)
    assert 4 <= len(found) <= 16
    errors = []
    for lossy, lossless, cutoff in found:
        assert lossy.shape == lossless.shape == (16384,)
        assert 10000.0 < cutoff <= 22050.0
        errors.append(np.mean(np.square(lossy - lossless)) / np.mean(np.square(lossless)))
    # If the side channel is quiet, an encoder may replace it with something else, so some windows have large errors.
    assert np.median(errors) < 0.5 and max(errors) < 2.0
