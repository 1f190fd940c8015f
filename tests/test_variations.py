"""Tests the excerpts for training: they differ, have the right cutoffs, and are as loud and bright as records."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from keras_audiosr.datasets import split_albums
from keras_audiosr.sound.bandwidth import estimate_cutoff
from keras_audiosr.training.collection import Collection
from keras_audiosr.training.variations import Variations

RATE = 44100


def noise(seconds: float, cutoff: float | None, seed: int, channels: int = 2) -> np.ndarray:
    """Returns noise that falls by 3 dB an octave and ends at a cutoff."""
    rng = np.random.default_rng(seed)
    size = round(seconds * RATE)
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    spectrum = rng.standard_normal((len(frequencies), channels)) + 1j * rng.standard_normal(
        (len(frequencies), channels)
    )
    spectrum /= np.sqrt(np.maximum(frequencies, 20.0))[:, None]
    if cutoff is not None:
        spectrum[frequencies > cutoff] = 0.0
    audio = np.fft.irfft(spectrum, size, axis=0)
    return 0.5 * audio / np.abs(audio).max()


def album_names(split: str, count: int) -> list[str]:
    """Returns names of albums that belong to a split."""
    names = [f"album-{number}" for number in range(200)]
    return [name for name, found in split_albums(names).items() if found == split][:count]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Writes a catalog. Returns its path and the album of its track for validation.

    For training it has a lossless track, two nearly lossless ones and a voice. The other tracks are one for validation,
    one that is too short, and one for measuring.
    """
    folder = tmp_path_factory.mktemp("catalog")
    train, held_out = sorted(album_names("train", 3)), album_names("validation", 1)[0]
    plan = [
        *((train[0], "lossless", "train", None, 2, 5.0), (train[0], "near", "train", 16000, 2, 8.0)),
        *((train[1], "near", "train", 16000, 2, 5.0), (train[2], "voice", "train", None, 1, 3.0)),
        *((held_out, "lossless", "train", None, 2, 5.0), (train[1], "lossless", "train", None, 1, 1.0)),
        ("measured", "near", "real", 20000, 2, 5.0),
    ]
    lines = []
    for number, (album, kind, split, cutoff, channels, seconds) in enumerate(plan):
        path = f"{split}/{album}/{number}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / path, noise(seconds, cutoff, number, channels), RATE)
        line = {"path": path, "split": split, "album": album, "kind": kind, "cutoff": cutoff, "seconds": seconds}
        lines.append(json.dumps(line))
    (folder / "catalog.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "catalog.jsonl", held_out


@pytest.fixture(scope="module")
def collection(catalog, tmp_path_factory):
    return Collection.gather(catalog[0], tmp_path_factory.mktemp("collection"))


def test_gathers_what_is_for_training_and_splits_by_album(collection, catalog):
    assert {track.album for track in collection.of("validation")} == {catalog[1]}
    # The track for measuring and the one that is too short are left out.
    assert len(collection.tracks) == 5
    assert [track.cutoff for track in collection.tracks if track.kind == "near"] == [16000.0, 16000.0]
    assert {track.cutoff for track in collection.tracks if track.kind != "near"} == {22050.0}
    samples = np.load(collection.path)
    for number, track in enumerate(collection.of("train")[:2]):
        original = noise((5.0, 8.0)[number], (None, 16000)[number], number)
        found = samples[track.start : track.start + track.length] / 32768.0
        np.testing.assert_allclose(found, original, atol=1.1 / 32768)


def test_a_collection_comes_back_from_its_folder(collection):
    assert Collection.load(Path(collection.path).parent) == collection


def test_each_excerpt_is_another_and_a_seed_gives_the_same(collection):
    draw = pickle.loads(pickle.dumps(Variations(collection, 2.0)))
    first = [draw(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(first[0][0], first[1][0])
    assert first[0][0].dtype == np.int16 and first[0][0].shape[1] == 2
    assert not np.array_equal(first[0][0][:RATE], first[2][0][:RATE])


def test_cutoffs_follow_speed_and_what_is_mixed_in(collection):
    """Nothing is missing just below an excerpt's cutoff: the level falls by at most 8 dB over the last 3 kHz."""
    draw = Variations(collection, 2.5)
    rng = np.random.default_rng(3)
    cutoffs = []
    for _ in range(40):
        pcm, cutoff = draw(rng)
        cutoffs.append(cutoff)
        if cutoff < 19000.0:
            power = np.square(np.abs(np.fft.rfft(pcm.astype(np.float64), axis=0))).sum(axis=1)
            frequencies = np.fft.rfftfreq(len(pcm), 1 / RATE)
            level = [
                10 * np.log10(power[(frequencies > low) & (frequencies < low + 300.0)].mean())
                for low in (cutoff - 400.0, cutoff - 3000.0)
            ]
            assert level[0] > level[1] - 8.0
    assert min(cutoffs) < 15000.0 < max(cutoffs) == 22050.0
    assert 0.2 < np.mean(np.array(cutoffs) == 22050.0) < 0.7


def test_music_ends_at_the_cutoff_it_is_given_where_nothing_was_clipped(collection):
    near = Collection(collection.path, tuple(track for track in collection.of("train") if track.kind == "near"))
    rng = np.random.default_rng(5)
    off = []
    for _ in range(12):
        pcm, cutoff = Variations(near, 3.0)(rng)
        off.append(estimate_cutoff(pcm / 32768.0, RATE) / cutoff)
    # Only some excerpts must match, because clipping adds signal above the cutoff, and a second piece at another speed
    # may reach higher.
    assert np.mean(np.abs(np.array(off) - 1.0) < 0.03) >= 0.4


def test_loudness_and_crest_factors_are_those_of_records(collection):
    draw = Variations(collection, 3.0)
    rng = np.random.default_rng(7)
    peaks, crests = [], []
    for _ in range(40):
        audio = draw(rng)[0] / 32768.0
        peak, rms = np.abs(audio).max(), np.sqrt(np.mean(np.square(audio)))
        peaks.append(peak)
        crests.append(20 * np.log10(peak / rms))
    assert max(peaks) <= 1.0
    assert np.mean(np.array(peaks) > 0.88) > 0.5
    assert 8.0 < np.median(crests) < 16.0
    assert np.min(crests) > 5.0


def test_highs_are_tilted_up_on_the_whole_and_differ_in_width(collection):
    lossless = tuple(track for track in collection.of("train") if track.kind == "lossless")
    draw = Variations(Collection(collection.path, lossless), 3.0)
    rng = np.random.default_rng(11)
    tilts, correlations = [], []
    filters = [signal.butter(4, band, "bandpass", fs=RATE, output="sos") for band in ((2000, 4000), (12000, 18000))]
    original = np.load(collection.path)[lossless[0].start :][: lossless[0].length] / 32768.0

    def levels(audio):
        return [10 * np.log10(np.mean(np.square(signal.sosfilt(sos, audio, axis=0)))) for sos in filters]

    before = levels(original)
    for _ in range(80):
        audio = draw(rng)[0] / 32768.0
        low, high = levels(audio)
        tilts.append(high - low - before[1] + before[0])
        highs = signal.sosfilt(filters[1], audio, axis=0)
        correlations.append(float(np.corrcoef(highs.T)[0, 1]))
    # Three of ten excerpts are tilted, by 4 dB at 20 kHz on average.
    assert 0.2 < np.mean(tilts) < 6.0
    assert np.std(tilts) > 2.0
    # The channels of the source are not correlated. The highs of most songs have a correlation of 0.9 or more.
    assert np.mean(np.array(correlations) > 0.8) > 0.2
    assert min(correlations) < 0.0
