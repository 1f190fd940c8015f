"""Tests that the notebooks run in their order in a new folder, as a reader would run them.

The committed notebooks must contain the outputs of a complete run.
"""

import json
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["0_rip_and_encode", "1_window_and_listen", "2_train", "3_evaluate", "4_export", "5_restore_and_serve"]
# Largest size of a notebook in bytes, so that it opens quickly, also on a phone.
MOST_BYTES = 1_500_000

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_notebooks_are_numbered_in_working_order():
    assert [path.stem for path in NOTEBOOKS] == NAMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder like `notebooks/` in a new checkout. Each notebook finds the files that the ones before it wrote."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "tests").mkdir()
    shutil.copytree(ROOT / "tests" / "data", root / "tests" / "data")
    (root / "notebooks").mkdir()
    return root / "notebooks"


@each
def test_notebook_runs(path, folder, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_FAST", "1")
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()  # raises the first error of a cell
    # A notebook writes only to its own folder, and not to the folder of a full run.
    assert [entry.name for entry in folder.iterdir()] == ["work_fast"]


@each
def test_committed_notebook_is_a_whole_run(path):
    cells = _code_cells(path)
    # The first cell has the installation commands as comments.
    assert all(line.startswith("#") for line in cells[0].source.splitlines())
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "run from top to bottom in a new kernel"
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert "work_fast" not in json.dumps(outputs), "commit the outputs of a full run"


@each
def test_committed_notebook_is_fit_to_publish(path):
    assert path.stat().st_size < MOST_BYTES
    text = path.read_text("utf-8")
    for place in (str(ROOT), "/tmp/", "site-packages"):
        assert place not in text, "a path of one machine says nothing to others"
