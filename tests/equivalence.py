"""Holds what must be the same to its tolerance, and keeps the worst difference seen; conftest prints it at the end."""

import os
from collections import defaultdict

import numpy as np

# Test -> (largest difference, its tolerance).
worst: dict[str, tuple[float, float]] = defaultdict(lambda: (-1.0, 0.0))


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "") -> None:
    """Asserts that two arrays have one shape and differ by `tolerance` at most; NaN differs."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, what
    difference = float(np.abs(found.astype(np.float64) - expected).max(initial=0.0))
    # As pytest names the test that runs, without the step it is in.
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    worst[test] = max(worst[test], (difference, tolerance))
    assert difference <= tolerance, f"{what} differs by {difference:.3g}; {tolerance:g} is allowed"
