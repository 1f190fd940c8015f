"""Tests the rules of the architecture, such as the order of imports and which modules may use TensorFlow."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LONGEST

from keras_audiosr.files.formats import MUSIC_SUFFIXES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_audiosr"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own folder and from lower levels. ARCHITECTURE.md shows the same order.
LEVELS = [
    {"annotations", "environment", "errors", "version"},
    {"processes"},
    {"layers", "presets", "sound"},
    {"files", "losses", "models", "streaming"},
    {"codecs"},
    {"shelf"},
    {"datasets", "serving"},
    {"runners"},
    {"measures"},
    {"exporting", "library", "listening_page", "training"},
    {"stages"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
# Modules that may import TensorFlow, because they use tf.data, tf.distribute, SavedModels or the conversion to TFLite.
# All other modules run with JAX, or without Keras.
TENSORFLOW = {
    "datasets", "exporting", "runners", "serving", "stages/export", "stages/train", "stages/window",
    "training/callbacks", "training/differentiation", "training/distribution", "training/fingerprint",
    "training/runs", "training/streams",
}  # fmt: skip

# Files that may have more than 300 lines, with their limits. ARCHITECTURE.md gives the reasons.
LONGER = {"codecs/align": 310, "layers/bands": 320}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def absolute(path: Path, level: int, module: str) -> str:
    """Returns the dotted name, without the package's name, of the module that a relative import in a file refers to."""
    return ".".join([*path.parents[level - 1].relative_to(PACKAGE).parts, *(module.split(".") if module else [])])


def imported_parts(path: Path):
    """Returns the parts of the package that a file imports, by statement or by name in a string, and other packages."""
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            name = absolute(path, node.level, node.module or "")
            # `from .. import x` imports the module `x` if there is one, and otherwise a name from `__init__`.
            inside |= (
                {name.split(".")[0]}
                if name
                else {alias.name if alias.name in LEVEL else "__init__" for alias in node.names}
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A string can be the name of a module that importlib or a child process imports.
            if match := re.fullmatch(r"keras_audiosr((?:\.\w+)+)(?::\w+)?", node.value):
                inside.add(match[1].split(".")[1])
            elif match := re.fullmatch(r"(\.+)([a-z_]+(?:\.[a-z_]+)*)", node.value):
                name = absolute(path, len(match[1]), match[2])
                if ((PACKAGE / name.replace(".", "/")).with_suffix(".py")).is_file():
                    inside.add(name.split(".")[0])
    return inside, outside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    part = part_of(path)
    assert part in LEVEL, f"{part} has no level: give it one in this test and in ARCHITECTURE.md"
    inside, outside = imported_parts(path)
    for other in inside - {part}:
        assert LEVEL[other] < LEVEL[part], f"{part} imports {other}, which is not below it"
    assert "keras_audiosr" not in outside, "inside the package, imports are relative"
    module = path.relative_to(PACKAGE).with_suffix("").as_posix()
    if part not in TENSORFLOW and module not in TENSORFLOW:
        assert not outside & {"tensorflow", "tensorflow_io"}, f"{module} must work without TensorFlow"


def test_stages_do_not_import_each_other():
    for path in (PACKAGE / "stages").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                raise AssertionError(f"{path.name} imports from another stage: move what they share below them")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("from .. import __version__", "__init__"),
        ("import_module('keras_audiosr.cli')", "cli"),
        ("import_module('..stages.rip', __package__)", "stages"),
        ("from ..stages import rip", "stages"),
    ],
)
def test_every_way_to_import_is_seen(tmp_path, monkeypatch, source, part):
    for package in ("sound", "stages"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "rip.py").write_text(source, "utf-8")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert part in imported_parts(tmp_path / "sound" / "rip.py")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_idea_a_file(path):
    module = path.relative_to(PACKAGE).with_suffix("").as_posix()
    assert len(path.read_text("utf-8").splitlines()) <= LONGER.get(module, 300)


def suffixes_listed(source: str) -> set[str]:
    """Returns the suffixes of music files that a module lists, more than three in one collection or one string."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            words = [part.value for part in node.elts if isinstance(part, ast.Constant)]
        elif isinstance(node, ast.Dict):
            words = [part.value for part in node.keys if isinstance(part, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split()
        else:
            continue
        listed = {word for word in words if word in MUSIC_SUFFIXES}
        found |= listed if len(listed) > 3 else set()
    return found


def test_there_is_one_table_of_suffixes():
    assert suffixes_listed("KNOWN = ('.mp3', '.flac', '.wv', '.wav')") == {".mp3", ".flac", ".wv", ".wav"}
    assert suffixes_listed("KNOWN = set('.mp3 .flac .wv .wav'.split())")
    for path in [*FILES, *(ROOT / "tools").rglob("*.py")]:
        if path != PACKAGE / "files/formats.py":
            listed = suffixes_listed(path.read_text("utf-8"))
            assert not listed, f"{path} lists {listed}: files/formats.py is the place for suffixes"


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
    heavy = "('tensorflow', 'keras', 'scipy')"
    code = f"import sys, keras_audiosr.stages.{verb}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages_say_received(path):
    """Messages use the word "received" for a value that a function was given, never "got"."""
    texts = [node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if isinstance(text, str) and re.search(r"\bgot\b", text)]


def test_the_longest_test_files_exist():
    assert not [name for name in LONGEST if not (ROOT / "tests" / name).is_file()]


def names_in(module):
    """Returns the names that can be imported from a module of the package, without importing it."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = {child.stem for child in path.glob("*")} if path.is_dir() else set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Constant):
            names.add(node.value)  # a name that is imported when it is first used
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "tools").rglob("*.py")), ids=lambda path: path.name)
def test_tools_import_what_is_there(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "keras_audiosr":
            missing = {alias.name for alias in node.names} - names_in(node.module)
            assert not missing, f"{path} imports {missing} from {node.module}"
