"""Tests properties that hold for any input. Hypothesis tries a limited number of cases, the same ones in every run."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from equivalence import agree
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from levels import true_peak

from keras_audiosr.codecs import CodecSpec
from keras_audiosr.codecs.align import measure_delay
from keras_audiosr.codecs.round_trip import fit_length
from keras_audiosr.codecs.spec import FREQUENCY_RANGES, KNOWN_CODECS
from keras_audiosr.errors import PairError, UsageError
from keras_audiosr.files.writers import to_pcm
from keras_audiosr.shelf.manifests import Pair, read_manifest, split_albums, write_manifest
from keras_audiosr.sound.blend import Blend, channel_strengths
from keras_audiosr.sound.dither import Dither
from keras_audiosr.sound.framing import OverlapSave, SampleQueue, process_blocks
from keras_audiosr.sound.limiter import Limiter

settings.register_profile(
    "ci", derandomize=True, max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

# Positions at which a signal is cut into blocks.
cuts = st.lists(st.integers(0, 3000), max_size=12)


def pieces(audio: np.ndarray, where: list[int]) -> list[np.ndarray]:
    return np.split(audio, sorted(min(place, len(audio)) for place in where))


def noise(length: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal((length, channels))).astype(np.float32)


def neighbours(context: int):
    """Returns a model that computes a weighted sum over `context` samples on each side, and its unequal weights."""
    weights = np.linspace(-1.0, 2.0, 2 * context + 1)

    def predict(windows: np.ndarray) -> np.ndarray:
        return np.stack([np.convolve(window[:, 0], weights, "same")[:, None] for window in windows]).astype(np.float32)

    return predict, weights


@given(
    length=st.integers(0, 3000), context=st.integers(0, 40), centre=st.integers(1, 300), channels=st.integers(1, 3),
    where=cuts, in_flight=st.integers(1, 3),
)  # fmt: skip
@example(length=1, context=40, centre=1, channels=1, where=[], in_flight=1)
def test_overlap_save_is_the_model_over_the_whole_signal(length, context, centre, channels, where, in_flight):
    """With any window, any blocks and any number in flight, the output equals that of a single pass, to 1e-5."""
    assume(length / centre * channels < 4000)
    predict, weights = neighbours(context)
    audio = noise(length, channels)
    processor = OverlapSave(predict, 2 * context + centre, context, channels, in_flight)
    found = np.concatenate([*process_blocks(processor, pieces(audio, where)), np.zeros((0, channels), np.float32)])
    expected = np.zeros((length, channels))
    for channel in range(channels if length else 0):
        # The mode "same" would return as many samples as the weights if the audio is shorter, so the ends are cut here.
        full = np.convolve(audio[:, channel].astype(np.float64), weights)
        expected[:, channel] = full[context : context + length]
    agree(found, expected, 1e-5)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=40))
def test_a_sample_queue_is_first_in_first_out(steps):
    queue, given_in, taken = SampleQueue(2), [], []
    count = 0
    for put, length in steps:
        if put:
            block = np.arange(count, count + length, dtype=np.float32)[:, None].repeat(2, axis=1)
            count += length
            queue.put(block)
            given_in += list(block[:, 0])
        else:
            taken += list(queue.take(length)[:, 0])
        assert len(queue) == len(given_in) - len(taken)
    taken += list(queue.take(10_000)[:, 0])
    assert taken == given_in


@given(
    delay=st.integers(-4000, 4000), length=st.integers(30_000, 60_000), channels=st.integers(1, 2),
    gain=st.floats(0.8, 1.2), level=st.floats(0.0, 0.1), seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25)
def test_a_lag_is_found_whatever_it_is(delay, length, channels, gain, level, seed):
    """The delay of broadband noise is found to the sample, also if its level differs and other noise was added."""
    source = noise(length, channels, seed)
    lossy = np.zeros((length + max(delay, 0), channels), np.float32)
    if delay >= 0:
        lossy[delay:] = source
    else:
        lossy = source[-delay:]
    lossy = gain * lossy + level * noise(len(lossy), channels, seed + 100)
    assert measure_delay(source, lossy, 44100).delay == delay


@given(delay=st.integers(-70, 70), length=st.integers(0, 80), held=st.integers(0, 80))
def test_fitting_takes_the_delay_out(delay, length, held):
    lossy = np.arange(1, held + 1, dtype=np.float32)[:, None]
    fitted = fit_length(lossy, delay, length)
    expected = [lossy[at + delay, 0] if 0 <= at + delay < held else 0.0 for at in range(length)]
    assert fitted[:, 0].tolist() == expected


@given(first=st.integers(0, 5), second=st.integers(0, 5))
@settings(max_examples=15)
def test_other_music_is_no_pair(first, second):
    assume(first != second)
    try:
        found = measure_delay(noise(40_000, 1, first), noise(40_000, 1, second), 44100)
    except PairError:
        return
    raise AssertionError(f"noise of seeds {first} and {second} passed for a pair: {found}")


specs = st.one_of(
    # In this line and the next one, the last argument is joint stereo.
    st.builds(CodecSpec, st.just("mp3"), st.just(64.0), st.just(False), st.just(False)),
    st.builds(CodecSpec, st.just("mp3"), st.integers(0, 9).map(float), st.just(True), st.booleans()),
    *(
        st.builds(CodecSpec, st.just(name), st.sampled_from(codec.bitrates).map(float))
        for name, codec in KNOWN_CODECS.items()
    ),
    *(
        st.builds(CodecSpec, st.just(codec), st.floats(*ends).map(lambda value: float(f"{value:g}")))
        for codec, ends in FREQUENCY_RANGES.items()
    ),
)  # fmt: skip


@given(spec=specs, upper=st.booleans(), spaces=st.booleans())
def test_what_a_codec_spec_says_is_read_as_what_it_was(spec, upper, spaces):
    text = str(spec)
    text = text.upper() if upper else text
    assert CodecSpec.parse(f" {text.replace('@', ' @ ')} " if spaces else text) == spec
    assert Path(f"a.{spec.suffix}").suffix


@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"[a-z0-9]{1,8}@v?[0-9.]{1,6}k?(-stereo)?", fullmatch=True)))
@example(text="mp3@" + "9" * 400)
def test_any_text_is_a_codec_or_a_word_about_it(text):
    try:
        spec = CodecSpec.parse(text)
    except UsageError as error:
        assert "\n" not in repr(str(error)) and str(error).count("; ") >= 2
        return
    assert CodecSpec.parse(str(spec)) == spec


names = st.text(
    st.characters(exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))  # fmt: skip
numbers = st.integers(0, 2**40)
pairs = st.builds(
    Pair,
    lossless=names, lossy=names, album=st.text(), track=numbers, title=st.text(),
    duration=st.floats(0, 1e6), length=numbers, sample_rate=numbers, channels=numbers, md5=st.text(), codec=st.text(),
    encoder=st.text(), delay=st.integers(-(2**31), 2**31), decoder=st.sampled_from(["any", "ffmpeg"]),
)  # fmt: skip


@given(entries=st.lists(pairs, min_size=1, max_size=5))
def test_a_manifest_is_read_as_it_was_written(entries):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        write_manifest(path, entries)
        first = path.read_bytes()
        found = read_manifest(path, Pair)
        assert sorted(map(repr, found)) == sorted(map(repr, entries))
        write_manifest(path, reversed(found))
        assert sorted(path.read_bytes().splitlines()) == sorted(first.splitlines())


@given(albums=st.sets(st.text(max_size=8), min_size=1, max_size=30), seed=st.integers(0, 5))
def test_a_split_parts_no_album_and_takes_no_last_one(albums, seed):
    splits = split_albums(albums, seed, (0.2, 0.1))
    assert set(splits) == albums
    # A requested split may be empty only if at most one album is left for training.
    assert len(set(splits.values())) == 3 or list(splits.values()).count("train") <= 1
    assert splits == split_albums(sorted(albums, reverse=True), seed, (0.2, 0.1))


loud = st.lists(st.tuples(st.integers(0, 4999), st.floats(-4.0, 4.0, width=32)), max_size=12)


@given(peaks=loud, channels=st.integers(1, 2), where=cuts, rate=st.sampled_from([8000, 44100, 96000]))
@settings(max_examples=30)
def test_the_limiter_holds_full_scale_and_forgets_nothing(peaks, channels, where, rate):
    """With any blocks, true peaks are at most 1 (to 1 %, the error of the estimate), and quiet music is unchanged."""
    audio = 0.2 * noise(5000, channels)
    for place, value in peaks:
        audio[place] = value
    limiter = Limiter(rate, channels)
    limited = np.concatenate(list(process_blocks(limiter, pieces(audio, where))))
    whole = np.concatenate(list(process_blocks(Limiter(rate, channels), [audio])))
    assert limited.shape == audio.shape
    agree(limited, whole, 1e-6)
    assert np.abs(limited).max() <= 1.0 + 1e-6
    assert true_peak(limited, rate) <= 1.01
    assert np.all(np.abs(limited) <= np.abs(audio) + 1e-7)
    if not any(abs(value) > 0.5 for _, value in peaks):
        np.testing.assert_array_equal(limited, audio)


@given(values=st.lists(st.floats(-1.0, 1.0, width=32, exclude_max=True), min_size=1, max_size=200), bits=st.just(16))
def test_dither_moves_a_sample_by_less_than_a_step_and_leaves_what_fits(values, bits):
    audio = np.array(values, np.float32)[:, None]
    dithered = Dither(bits)(audio)
    step = 2.0 ** (1 - bits)
    assert np.abs(dithered - audio).max() < step
    fits = np.rint(audio / step) * step == audio
    np.testing.assert_array_equal(dithered[fits], audio[fits])
    # Rounding adds an error of half a step. Samples near full scale must not overflow.
    written = to_pcm(dithered, bits)[0] / 2.0**31
    assert np.abs(written - audio).max() <= 1.5 * step + 1e-12


@given(
    strength=st.floats(0.0, 1.0), channels=st.integers(1, 3), where=cuts, context=st.integers(0, 20),
    length=st.integers(1, 2000),
)  # fmt: skip
def test_a_blend_lies_between_before_and_after(strength, channels, where, context, length):
    predict, _ = neighbours(context)
    audio = noise(length, channels)

    def processor():
        return OverlapSave(predict, 2 * context + 100, context, channels)

    after = np.concatenate(list(process_blocks(processor(), [audio])))
    blend = Blend(processor(), channel_strengths(channels, strength))
    found = np.concatenate(list(process_blocks(blend, pieces(audio, where))))
    np.testing.assert_allclose(found, audio + strength * (after - audio), atol=1e-5 * (1 + 2 * context))


def test_a_manifest_keeps_what_is_no_utf8(tmp_path):
    """File names are bytes. Python represents bytes that are not valid UTF-8 as lone surrogates, which must be kept."""
    entry = Pair("a.flac", "b.mp3", "\udcff", 1, "x", 1.0, 1, 1, 1, "", "", "", 0, "any")
    write_manifest(tmp_path / "pairs.jsonl", [entry, dataclasses.replace(entry, lossy="c.mp3", album="\u00e4")])
    assert {pair.album for pair in read_manifest(tmp_path / "pairs.jsonl", Pair)} == {"\udcff", "\u00e4"}
    assert "\u00e4".encode() in (tmp_path / "pairs.jsonl").read_bytes()
