"""Tests that docs/reliability.md names only tests and tools that exist."""

import re
from pathlib import Path

import numpy as np
import pytest
from equivalence import agree

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "reliability.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line.startswith("| ") and "**" not in line[:5]]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def named_tests(cell: str) -> list[tuple[str, str]]:
    """Returns `(file, test)` for each name. A name that begins with `::` belongs to the file that was named before."""
    found, file = [], ""
    for given, test in re.findall(r"`(\w+\.py)?::(\w+)`", cell):
        file = given or file
        found.append((file, test))
    return found


def test_every_promise_has_a_test_or_says_why_not():
    assert len(rows()) > 80
    for cells in rows():
        assert len(cells) == 3, cells
        promise, held_by, _ = cells
        if held_by.startswith("none"):
            assert promise.startswith("*") or held_by.startswith("none:"), f"no test, and no reason: {promise}"
            continue
        assert named_tests(held_by) or "`tools/" in held_by, promise


def test_every_test_that_is_named_exists():
    named = named_tests(TABLE.read_text("utf-8"))
    assert len(named) > 120
    for file, test in named:
        path = ROOT / "tests" / file
        assert file and path.is_file(), f"{file}::{test}"
        assert re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE), f"{file}::{test}"
    for tool in re.findall(r"`?(tools/[\w/]+\.\w+)", TABLE.read_text("utf-8")):
        assert (ROOT / tool).is_file(), tool


@pytest.mark.parametrize("found", [[0.0, 1.1e-5], [0.0, np.nan], [np.inf, 0.0], [0.0], [[0.0, 0.0]]])
def test_what_differs_does_not_agree(found, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # so that the summary omits these values
    agree(np.array([0.0, 0.9e-5]), np.zeros(2), 1e-5)
    with pytest.raises(AssertionError):
        agree(np.array(found), np.zeros(2), 1e-5)
