"""Compares arrays that must be equal within a tolerance, and keeps the largest differences for `conftest` to print."""

import os
from collections import defaultdict

import numpy as np

# Test -> (largest difference, tolerance).
worst: dict[str, tuple[float, float]] = defaultdict(lambda: (-1.0, 0.0))


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "") -> None:
    """Asserts that two arrays have the same shape and differ by at most `tolerance`. NaN always fails."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, what
    difference = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    # The name of the running test, without the phase that pytest appends, such as " (call)".
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    worst[test] = max(worst[test], (difference, tolerance))
    assert difference <= tolerance, f"{what} differs by {difference:.3g}; {tolerance:g} is allowed"
