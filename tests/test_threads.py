"""Work side by side: what is done is not lost to what fails in the same moment."""

import time

import pytest

from keras_audiosr.processes.threads import side_by_side


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_comes_after_what_is_done(error):
    def work(item):
        if item == 3:
            raise error
        return item

    def items():
        yield from range(8)
        time.sleep(0.3)  # all are done before the first result is asked for

    results = []
    with pytest.raises(error):
        for result in side_by_side(work, items(), 4):
            results.append(result)
    assert sorted(results) == [0, 1, 2, 4, 5, 6, 7]
