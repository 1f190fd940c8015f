"""The house rules that a machine can hold: imports go down, and TensorFlow stays where it belongs."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_audiosr"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own level's folder and from lower levels.
LEVELS = [
    {"errors"},
    {"audio", "layers", "metrics", "optimizers", "callbacks", "presets", "tables", "child", "threads", "pace", "beam"}
    | {"versions"},
    {"codecs", "losses", "models", "streaming", "visqol", "figures", "listening_page"},
    {"datasets", "serving"},
    {"runners"},
    {"conversion", "quantization", "model_card", "library", "distribution"},  # the parts of export, restore and train
    {"rip", "encode", "window", "train", "evaluate", "export", "probe", "restore", "play", "serve", "report"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
NO_TENSORFLOW = {"errors", "audio", "layers", "losses", "metrics", "optimizers", "presets", "codecs", "models"} | {
    "child", "serve", "visqol", "figures", "library", "listening_page", "rip", "encode", "probe", "restore", "report",
    "streaming", "play", "pace", "beam", "versions", "cli", "__init__", "__main__",
}  # fmt: skip


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path):
    """Top-level parts of the package that a file imports, and the outside packages."""
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].relative_to(PACKAGE).parts
            names = [*folder, *(node.module or "").split(".")] if node.module else list(folder)
            inside |= {names[0]} if names and names[0] else {alias.name for alias in node.names}
    return inside, outside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    part = part_of(path)
    assert part in LEVEL, f"{part} has no level: give it one in this test and in ARCHITECTURE.md"
    inside, outside = imported_parts(path)
    for other in inside - {part}:
        if other in LEVEL:
            assert LEVEL[other] < LEVEL[part], f"{part} imports {other}, which is not below it"
    assert "keras_audiosr" not in outside, "inside the package, imports are relative"
    if part in NO_TENSORFLOW:
        assert not outside & {"tensorflow", "tensorflow_io"}, f"{part} must work without TensorFlow"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_idea_a_file(path):
    assert len(path.read_text("utf-8").splitlines()) <= 320


def test_every_package_is_in_the_wheel():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = set(config["options"]["packages"].split())
    found = {"keras_audiosr." + path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert named == found | {"keras_audiosr", "keras_audiosr.exported_models"}


@pytest.mark.parametrize(
    "verb", ["rip", "encode", "probe", "restore", "play", "report", "evaluate", "train", "export", "window"]
)
def test_verbs_are_cheap_to_import(verb):
    code = f"import sys, keras_audiosr.{verb}; print([m for m in ('tensorflow', 'keras', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
