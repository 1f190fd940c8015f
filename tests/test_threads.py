"""Tests that `side_by_side` loses no results when a call fails, and that `Workers` make calls in the background."""

import gc
import threading
import time

import pytest

from keras_audiosr.processes.threads import Workers, side_by_side


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_comes_after_what_is_done(error):
    def work(item):
        if item == 3:
            raise error
        return item

    def items():
        yield from range(8)
        time.sleep(0.3)  # so that all calls end before the first result is requested

    results = []
    with pytest.raises(error):
        for result in side_by_side(work, items(), 4):
            results.append(result)
    assert sorted(results) == [0, 1, 2, 4, 5, 6, 7]


def test_workers_call_in_order():
    called = []

    def work(item):
        called.append((item, threading.current_thread()))
        return 2 * item

    workers = Workers(1)
    results = [workers.start(lambda item=item: work(item)) for item in range(100)]
    assert [result() for result in results] == list(range(0, 200, 2))
    assert [item for item, _ in called] == list(range(100))
    (thread,) = {thread for _, thread in called}
    assert thread is not threading.current_thread() and thread.daemon


def test_several_workers_call_side_by_side():
    meeting = threading.Barrier(3, timeout=30)
    workers = Workers(3)
    results = [workers.start(meeting.wait) for _ in range(3)]
    assert sorted(result() for result in results) == [0, 1, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_of_a_worker_is_raised_by_its_result(error):
    def fail():
        raise error

    workers = Workers(1)
    failing, following = workers.start(fail), workers.start(lambda: 1)
    with pytest.raises(error):
        failing()
    assert following() == 1


def test_without_workers_the_caller_does_the_work():
    assert Workers(0).start(threading.current_thread)() is threading.current_thread()


def test_without_memory_for_threads_the_caller_does_the_work(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert Workers(2).start(threading.current_thread)() is threading.current_thread()


def test_workers_end_when_they_are_not_used_any_more():
    workers = Workers(2)
    thread = workers.start(threading.current_thread)()
    assert thread.is_alive()
    late = workers.start(lambda: "done")
    del workers
    gc.collect()
    assert late() == "done"
    thread.join(30)
    assert not thread.is_alive()
