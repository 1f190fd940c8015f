"""Tests overlap-save: it has no seams, keeps the length and silence, and needs a constant amount of memory."""

import threading
import time

import numpy as np
import pytest
from equivalence import agree

from keras_audiosr.errors import UsageError
from keras_audiosr.sound.framing import OverlapSave, SampleQueue, process_blocks

CONTEXT = 64


def smear(windows):
    """Stands in for a network that depends on 64 samples on each side.

    The first and the last 64 output samples of a window are set to 1e6, because they must not be used.
    """
    kernel = np.random.default_rng(1).standard_normal(2 * CONTEXT + 1) / 16
    output = np.stack([np.convolve(window[:, 0], kernel, "same") for window in windows])[:, :, None]
    output[:, :CONTEXT] = output[:, -CONTEXT:] = 1e6
    return output.astype(np.float32)


def run(signal, window_length, block_length=1000, predict=smear, in_flight=1):
    blocks = [signal[start : start + block_length] for start in range(0, len(signal), block_length)]
    processor = OverlapSave(predict, window_length, CONTEXT, signal.shape[1], in_flight)
    parts = list(process_blocks(processor, blocks))
    return np.concatenate(parts) if parts else signal[:0]


def noise(length, channels=2):
    return np.random.default_rng(0).standard_normal((length, channels)).astype(np.float32)


@pytest.mark.parametrize("window_length", [129, 130, 200, 1024, 30_000])
def test_equals_the_whole_signal_whatever_the_window(window_length):
    signal = noise(5000)
    padded = np.pad(signal, ((CONTEXT, CONTEXT), (0, 0)))
    whole = np.stack([smear(padded[None, :, [c]])[0, CONTEXT:-CONTEXT, 0] for c in range(2)], axis=1)
    restored = run(signal, window_length)
    # 1e-5 of full scale is -100 dB.
    agree(restored, whole, 1e-5)


@pytest.mark.parametrize("length", [0, 1, 2, 63, 64, 65, 127, 896, 897, 1793])
@pytest.mark.parametrize("block_length", [1, 77, 5000])
def test_length_is_exact(length, block_length):
    assert run(noise(length, 1), 1024, block_length).shape == (length, 1)


def test_block_sizes_do_not_matter():
    signal = noise(5000)
    np.testing.assert_array_equal(run(signal, 512, 1), run(signal, 512, 5000))


def test_left_and_right_swapped_give_the_same_swapped():
    signal = noise(3000)
    np.testing.assert_array_equal(run(signal, 512)[:, ::-1], run(np.ascontiguousarray(signal[:, ::-1]), 512))


@pytest.mark.parametrize("window_length", [200, 1024])
def test_digital_silence_stays_and_never_reaches_the_model(window_length):
    seen = []

    def offset(windows):
        seen.append(windows.any(axis=(1, 2)).all())
        return windows + np.float32(0.25)

    signal = noise(9000, 2)
    signal[2000:7000, 0] = 0.0
    signal[:, 1] = 0.0
    restored = run(signal, window_length, predict=offset)
    assert all(seen)
    assert not restored[:, 1].any()
    # The whole context of these samples is silent, so they must be silent in any window.
    assert not restored[2000 + CONTEXT : 7000 - CONTEXT, 0].any()
    # The model adds 0.25 to mid and 0.25 to side, and the left channel is their sum.
    assert restored[2000 + CONTEXT - 1, 0] == 0.5
    assert restored[7000 - CONTEXT, 0] == 0.5


def test_buffers_stay_one_window_long():
    processor = OverlapSave(smear, 512, CONTEXT, 1)
    given = returned = 0
    for length in (10, 1000, 3, 700, 50_000):
        returned += len(processor.push(noise(length, 1)))
        given += length
        assert 0 <= given - returned <= 512
    assert returned + len(processor.finish()) == given


def test_window_without_centre_is_refused():
    with pytest.raises(UsageError, match=r"above 2 \* context; received 128 and 64"):
        OverlapSave(smear, 128, 64, 1)


def test_sample_queue_gives_any_length():
    queue = SampleQueue(1)
    signal = noise(100, 1)
    for start in range(0, 100, 7):
        queue.put(signal[start : start + 7])
    taken = [queue.take(length) for length in (0, 1, 50, 30, 40)]
    assert [len(part) for part in taken] == [0, 1, 50, 30, 19]
    np.testing.assert_array_equal(np.concatenate(taken), signal)
    assert len(queue) == 0


@pytest.mark.parametrize("length", [0, 1, 63, 897, 5000])
def test_windows_in_flight_come_back_in_order_and_never_too_many(length):
    lock, at_work, most = threading.Lock(), 0, 0

    def slow(windows):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02 if windows[0, 0, 0] > 0 else 0.005)  # some calls overtake others
        restored = smear(windows)
        with lock:
            at_work -= 1
        return restored

    signal = noise(length)
    np.testing.assert_array_equal(run(signal, 512, 5000, slow, in_flight=3), run(signal, 512))
    assert most <= 3
    assert most > 1 or length < 5000


def test_an_error_in_flight_reaches_the_caller():
    def broken(windows):
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        run(noise(5000), 512, predict=broken, in_flight=3)


def test_without_memory_for_threads_it_goes_on_in_this_one(monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    expected = run(noise(5000), 512)
    monkeypatch.setattr(threading.Thread, "start", refused)
    np.testing.assert_array_equal(run(noise(5000), 512, in_flight=3), expected)
