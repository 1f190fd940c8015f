"""Tests that `build_dataset` and `build_training_stream` give the right windows, reproducibly and in bounded memory."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audiosr.datasets import Pair, build_dataset, build_training_stream, pipeline, split_of, write_manifest
from keras_audiosr.datasets.decode import decode_pair, tensorflow_io_runs
from keras_audiosr.datasets.pipeline import file_errors
from keras_audiosr.errors import AudioFileError, ManifestError, UsageError
from keras_audiosr.processes.ffmpeg import run_ffmpeg

RATE = 44100


def make_pairs(folder, make_music, albums: int = 4) -> list[Pair]:
    """Writes one song per album, of different lengths and the second one mono, with twins mp3@64k and mp3@32k."""
    pairs = []
    for number in range(albums):
        audio = make_music(1.0 + 0.3 * number, channels=1 if number == 1 else 2, seed=number)
        lossless = f"album{number}.flac"
        soundfile.write(folder / lossless, audio, RATE, subtype="PCM_16")
        for bitrate in ("64k", "32k"):
            lossy = f"album{number}.{bitrate}.mp3"
            done = run_ffmpeg("-i", f"{folder}/{lossless}", "-c:a", "libmp3lame", "-b:a", bitrate, f"{folder}/{lossy}")
            assert done.returncode == 0, done.stderr
            pairs.append(
                Pair(
                    lossless=lossless,
                    lossy=lossy,
                    album=f"Album {number}",
                    track=1,
                    title="Song",
                    duration=len(audio) / RATE,
                    length=len(audio),
                    sample_rate=RATE,
                    channels=audio.shape[1],
                    md5="",
                    codec=f"mp3@{bitrate}",
                    encoder="LAME",
                    delay=0,
                    decoder="any",
                )
            )
    return pairs


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, make_music):
    folder = tmp_path_factory.mktemp("corpus")
    pairs = make_pairs(folder, make_music)
    write_manifest(folder / "pairs.jsonl", pairs)
    return folder, sorted(pairs, key=lambda pair: (pair.lossless, pair.lossy))


def collect(dataset) -> tuple[np.ndarray, np.ndarray]:
    lossy, lossless = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(lossy)[..., 0], np.concatenate(lossless)[..., 0]


def reference(folder, pairs, window_length, hop_length) -> tuple[np.ndarray, np.ndarray]:
    """Returns windows cut in a plain loop, ordered by file, then mid before side, then time."""
    found = ([], [])
    for pair in pairs:
        lossless, lossy = decode_pair(pair, folder)
        for sign in (1, -1)[: pair.channels]:
            for start in range(0, pair.length - window_length + 1, hop_length):
                for side, audio in zip(found, (lossy, lossless), strict=True):
                    part = audio[start : start + window_length]
                    side.append((part[:, 0] + sign * part[:, 1]) / 2 if pair.channels == 2 else part[:, 0])
    return np.stack(found[0]), np.stack(found[1])


def sorted_rows(windows: np.ndarray) -> np.ndarray:
    return windows[np.lexsort(windows.T[:8])]


@pytest.mark.parametrize(
    ("window_length", "hop_length"), [(2000, None), (2000, 1000), (3000, 2000), (1000, 1700), (44100, 1001)]
)
def test_windows_in_order_are_those_of_a_plain_loop(corpus, window_length, hop_length):
    folder, pairs = corpus
    dataset = build_dataset(
        folder / "pairs.jsonl", window_length=window_length, hop_length=hop_length, batch_size=7, shuffle=False
    )
    lossy, lossless = collect(dataset)
    expected_lossy, expected_lossless = reference(folder, pairs, window_length, hop_length or window_length)
    np.testing.assert_array_equal(lossy, expected_lossy)
    np.testing.assert_array_equal(lossless, expected_lossless)
    assert int(dataset.cardinality()) == -(-len(lossy) // 7)
    assert dataset.element_spec == (tf.TensorSpec((None, window_length, 1)),) * 2


def test_shuffling_moves_windows_and_loses_none(corpus):
    folder, pairs = corpus
    lossy, lossless = collect(build_dataset(folder / "pairs.jsonl", window_length=1000))
    expected_lossy, expected_lossless = reference(folder, pairs, 1000, 1000)
    assert not np.array_equal(lossy, expected_lossy)
    # Each lossy window still has its own lossless window.
    got = np.concatenate([lossy, lossless], axis=1)
    expected = np.concatenate([expected_lossy, expected_lossless], axis=1)
    np.testing.assert_array_equal(sorted_rows(got), sorted_rows(expected))
    # A batch holds windows of several files.
    files = {
        row.tobytes(): index for index, pair in enumerate(pairs) for row in reference(folder, [pair], 1000, 1000)[0]
    }
    assert len({files[row.tobytes()] for row in lossy[:32]}) >= 4


def test_blocks_and_packets_smaller_than_the_corpus_lose_nothing_either(corpus, monkeypatch):
    folder, pairs = corpus
    monkeypatch.setattr(pipeline, "_PACKET_SAMPLES", 3000)
    monkeypatch.setattr(pipeline, "_BLOCK_SAMPLES", 40000)
    monkeypatch.setattr(pipeline, "_FILES_IN_FLIGHT", 3)
    lossy, _ = collect(build_dataset(folder / "pairs.jsonl", window_length=1000, batch_size=10))
    np.testing.assert_array_equal(sorted_rows(lossy), sorted_rows(reference(folder, pairs, 1000, 1000)[0]))


def test_seed_and_epoch_decide_everything(corpus):
    folder, _ = corpus

    def batches(seed, epoch):
        arguments = {"window_length": 4000, "gain": (-12.0, 0.0), "polarity": True}
        return collect(build_dataset(folder / "pairs.jsonl", seed=seed, epoch=epoch, **arguments))

    first = batches(3, 5)
    tf.random.set_seed(99)  # the global seed must make no difference
    for side, again in zip(first, batches(3, 5), strict=True):
        np.testing.assert_array_equal(side, again)
    assert not np.array_equal(first[0], batches(3, 6)[0])
    assert not np.array_equal(first[0], batches(4, 5)[0])


def test_gain_and_polarity_are_random_and_the_same_on_both_sides(corpus):
    folder, _ = corpus
    plain = {"window_length": 2000, "seed": 1}
    lossy, lossless = collect(build_dataset(folder / "pairs.jsonl", **plain))
    got_lossy, got_lossless = collect(build_dataset(folder / "pairs.jsonl", gain=(-20.0, 6.0), polarity=True, **plain))
    factor = np.sum(got_lossless * lossless, axis=1) / np.sum(lossless**2, axis=1)
    np.testing.assert_allclose(got_lossless, factor[:, None] * lossless, atol=1e-6)
    np.testing.assert_allclose(got_lossy, factor[:, None] * lossy, atol=1e-6)
    decibels = 20.0 * np.log10(np.abs(factor))
    assert -20.001 <= decibels.min() < -17.0
    assert 3.0 < decibels.max() <= 6.001
    assert abs(decibels.mean() + 7.0) < 2.0
    assert 0.35 < np.mean(factor > 0) < 0.65


def test_a_share_of_the_windows_has_nothing_to_restore(corpus):
    folder, _ = corpus
    plain = {"window_length": 1000, "seed": 1}
    lossy, lossless = collect(build_dataset(folder / "pairs.jsonl", **plain))
    got_lossy, got_lossless = collect(build_dataset(folder / "pairs.jsonl", lossless_share=0.3, **plain))
    np.testing.assert_array_equal(got_lossless, lossless)
    whole = np.all(got_lossy == lossless, axis=1) & ~np.all(lossy == lossless, axis=1)
    np.testing.assert_array_equal(got_lossy[~whole], lossy[~whole])
    assert 0.2 < whole.mean() < 0.4


def test_quiet_windows_are_skipped(tmp_path, make_music):
    pairs = make_pairs(tmp_path, make_music, albums=1)
    audio = make_music(2.0)
    audio[10000:40000] = 0.0
    audio[40000:50000] *= 1e-3
    soundfile.write(tmp_path / "album0.flac", audio[:44100], RATE, subtype="PCM_16")
    write_manifest(tmp_path / "pairs.jsonl", pairs)
    windows = reference(tmp_path, sorted(pairs, key=lambda pair: pair.lossy), 1000, 1000)
    loud = np.sqrt(np.mean(windows[1].astype("float64") ** 2, axis=1)) >= 10 ** (-50 / 20)
    assert 0 < loud.sum() < loud.size
    got = collect(build_dataset(tmp_path / "pairs.jsonl", window_length=1000, min_level=-50.0, shuffle=False))
    for side, expected in zip(got, windows, strict=True):
        np.testing.assert_array_equal(side, expected[loud])
    with pytest.raises(ManifestError, match="min_level"):
        build_training_stream(tmp_path / "pairs.jsonl", 3, window_length=1000, min_level=0.0)


def test_drop_remainder_leaves_full_batches(corpus):
    folder, _ = corpus
    whole = build_dataset(folder / "pairs.jsonl", batch_size=30)
    full = build_dataset(folder / "pairs.jsonl", batch_size=30, drop_remainder=True)
    sizes = [len(lossy) for lossy, _ in whole]
    assert 0 < sizes[-1] < 30
    assert [len(lossy) for lossy, _ in full] == sizes[:-1]
    assert int(full.cardinality()) == len(sizes) - 1
    assert full.element_spec[0].shape == (30, 2000, 1)


@pytest.mark.parametrize("steps_per_epoch", [3, 40])
def test_a_resumed_training_stream_is_the_unbroken_one(corpus, steps_per_epoch):
    folder, _ = corpus  # a pass has 35 full batches, so 40 steps need a second pass

    def stream(initial_epoch):
        arguments = {"window_length": 2500, "batch_size": 8, "gain": (-6.0, 0.0), "polarity": True, "seed": 2}
        return build_training_stream(folder / "pairs.jsonl", steps_per_epoch, initial_epoch, **arguments)

    assert stream(0).element_spec == (tf.TensorSpec((8, 2500, 1)),) * 2
    unbroken = collect(stream(0).take(4 * steps_per_epoch))
    resumed = collect(stream(2).take(2 * steps_per_epoch))
    for side, again in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(side[len(side) // 2 :], again)
    epochs = np.split(unbroken[0], 4)
    assert not np.array_equal(epochs[0], epochs[1])
    one = collect(build_dataset(folder / "pairs.jsonl", window_length=2500, batch_size=8, seed=2, epoch=3,
                                gain=(-6.0, 0.0), polarity=True).take(3))  # fmt: skip
    np.testing.assert_array_equal(one[0], epochs[3][: len(one[0])])


def test_the_stream_trains_a_keras_model(corpus):
    import keras

    folder, _ = corpus
    model = keras.Sequential([keras.Input((2000, 1)), keras.layers.Conv1D(1, 3, padding="same")])
    model.compile("adam", "mae")
    stream = build_training_stream(folder / "pairs.jsonl", 4)
    history = model.fit(stream, steps_per_epoch=4, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_splits_share_no_album_and_codecs_select(corpus):
    folder, pairs = corpus
    fractions = (0.3, 0.3)
    seed = next(s for s in range(1000) if len({split_of(p.album, s, fractions) for p in pairs}) == 3)
    parts = [
        collect(build_dataset(folder / "pairs.jsonl", split=split, split_seed=seed, split_fractions=fractions))[0]
        for split in ("train", "validation", "test")
    ]
    np.testing.assert_array_equal(
        sorted_rows(np.concatenate(parts)), sorted_rows(reference(folder, pairs, 2000, 2000)[0])
    )
    for split, part in zip(("train", "validation", "test"), parts, strict=True):
        chosen = [pair for pair in pairs if split_of(pair.album, seed, fractions) == split]
        np.testing.assert_array_equal(sorted_rows(part), sorted_rows(reference(folder, chosen, 2000, 2000)[0]))
    half = collect(build_dataset(folder / "pairs.jsonl", codecs=["mp3@32k"], shuffle=False))[0]
    expected = reference(folder, [pair for pair in pairs if pair.codec == "mp3@32k"], 2000, 2000)[0]
    np.testing.assert_array_equal(half, expected)


@pytest.mark.skipif(not tensorflow_io_runs(), reason="tensorflow-io's operations do not run")
def test_decoders_give_the_same_windows(corpus):
    folder, _ = corpus
    expected = collect(build_dataset(folder / "pairs.jsonl"))
    for decoder in ("tensorflow-io", "ffmpeg"):
        lossy, lossless = collect(build_dataset(folder / "pairs.jsonl", decoder=decoder))
        np.testing.assert_array_equal(lossless, expected[1])
        np.testing.assert_allclose(lossy, expected[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"codecs": ["aac@96k"]}, ManifestError, "mp3@32k, mp3@64k; received aac@96k"),
        ({"codecs": []}, ManifestError, "received none"),
        ({"split": "test"}, ManifestError, "'Album 0'"),
        ({"split": "dev"}, UsageError, "train, validation, test; received 'dev'"),
        ({"sample_rate": 48000}, ManifestError, "44100"),
        ({"window_length": 10**6}, ManifestError, "smaller window_length"),
        ({"window_length": 0}, UsageError, "window_length"),
        ({"hop_length": 0}, UsageError, "hop_length"),
        ({"batch_size": 0}, UsageError, "batch_size"),
        ({"gain": (0.0, -6.0)}, UsageError, "gain"),
        ({"lossless_share": 1.5}, UsageError, "lossless_share is a share"),
        ({"decoder": "sox"}, UsageError, "decoder"),
    ],
)
def test_bad_requests_are_refused_at_once(corpus, arguments, error, words):
    folder, _ = corpus
    with pytest.raises(error) as caught:
        build_dataset(folder / "pairs.jsonl", **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_visits_bring_more_files_together_and_lose_no_window(corpus):
    folder, _ = corpus
    plain = {"window_length": 1000, "batch_size": 16}
    every = collect(build_dataset(folder / "pairs.jsonl", **plain))[1]
    visited = collect(build_dataset(folder / "pairs.jsonl", visits=4, **plain))[1]
    assert len(every) == len(visited)
    assert np.array_equal(sorted_rows(every), sorted_rows(visited))
    assert not np.array_equal(every, visited)


def test_a_missing_file_is_named_while_iterating(corpus, tmp_path):
    _, pairs = corpus
    write_manifest(tmp_path / "pairs.jsonl", pairs)
    with pytest.raises(AudioFileError, match=r"album\d\.flac") as caught, file_errors():
        collect(build_dataset(tmp_path / "pairs.jsonl"))
    assert "\n" not in str(caught.value)


MEMORY = """
import json, re, sys
from keras_audiosr.datasets import build_dataset
# Not ru_maxrss: across a fork it begins at the size of the process that runs the tests.
used = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = used()
windows = sum(lossy.shape[0] for lossy, _ in build_dataset(sys.argv[1]))
print(json.dumps([windows, used() - before]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' peak memory of a process")
def test_memory_does_not_grow_with_the_corpus(tmp_path, make_music):
    # A pair of 30 s in stereo takes 21 MB. The whole larger corpus would take 80 x 21 = 1,680 MB.
    pairs = make_pairs(tmp_path, make_music, albums=1)[:1]
    audio = np.tile(make_music(3.0), (10, 1))
    for name in ("album0.flac", pairs[0].lossy):
        # The twin is a FLAC too, because it is quick to write and the codec does not matter here.
        soundfile.write((tmp_path / name).with_suffix(".flac"), audio, RATE, subtype="PCM_16")
    pair = dataclasses.replace(pairs[0], length=len(audio), lossy="album0.64k.flac")
    peak = []
    for copies in (40, 80):
        # All pairs are the same two files, under different album names.
        write_manifest(
            tmp_path / f"{copies}.jsonl", [dataclasses.replace(pair, album=f"Album {n}") for n in range(copies)]
        )
        command = [sys.executable, "-c", MEMORY, str(tmp_path / f"{copies}.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        windows, megabytes = json.loads(done.stdout)
        assert windows == copies * 2 * (len(audio) // 2000)
        peak.append(megabytes)
    # If all files were in memory at once, the 40 additional ones would add 840 MB. The allocator alone changes the peak
    # by 200 MB.
    assert peak[1] < peak[0] + 400, peak
    assert peak[1] < 1200, peak


EXIT = """
import sys

from keras_audiosr.datasets import build_training_stream
iterator = iter(build_training_stream(sys.argv[1], 5, window_length=16384, batch_size=16))
next(iterator)  # and leave, while files are being decoded
"""


def test_a_process_leaves_while_files_are_being_decoded(corpus):
    folder, pairs = corpus
    write_manifest(folder / "long.jsonl", pairs * 20)
    done = subprocess.run(
        [sys.executable, "-c", EXIT, str(folder / "long.jsonl")],
        capture_output=True,
        text=True,
        timeout=300,  # importing TensorFlow takes long on a busy machine
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
