"""Tests that the installation advice works, and that Keras runs on an installed backend."""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keras_audiosr.errors import how_to_install

ROOT = Path(__file__).parents[1]
# Files whose text a user reads: pages, notebooks, and sources with their messages.
READ = [
    path
    for pattern in ("*.md", "docs/**/*.md", "notebooks/*.ipynb", "keras_audiosr/**/*", "tools/**/*", "tests/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.suffix in {".md", ".ipynb", ".py", ".sh", ".yml", ".yaml", ".html"}
]
# Finds advice to install the package by its name. pip would look for the name on PyPI, where this package is not
# published and somebody else could publish another one.
BY_NAME = re.compile(r"pip3? install[^\n|;`]*?(?<![\w/.-])keras[-_]audiosr(?![-_]\d)", re.IGNORECASE)
EXTRA = re.compile(r"(?<![\w/])['\"\\]*(?:\.{1,2}|WHEEL)\[([a-z, ]+)\]")


def told(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip install keras-audiosr", True), ("pip install 'keras_audiosr[train]'", True),
        ("%pip install -q \"keras_audiosr[train]\"", True), ("pip install --no-deps keras-audiosr", True),
        ("pip install '.[train]'", False), ("pip install dist/keras_audiosr-0.1.0-py3-none-any.whl", False),
        ("pip install . && keras-audiosr restore", False),
    ],
)  # fmt: skip
def test_what_counts_as_a_name_on_pypi(text, wrong):
    assert bool(BY_NAME.search(text.split("&&")[0])) is wrong


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_install_what_is_not_published(path):
    if path == Path(__file__):
        return
    found = [line.strip() for line in told(path).splitlines() if BY_NAME.search(line)]
    assert not found, f"{path}: not on PyPI; from a clone it is pip install '.[extra]'"


def test_every_extra_that_is_advised_exists():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = {extra.split("[")[0] for extra in config["options.extras_require"]}
    advised = {
        extra.strip()
        for path in READ
        if path.parts[-2] != "tests"
        for line in told(path).splitlines()
        if "pip install" in line
        for group in EXTRA.findall(line)
        for extra in group.split(",")
    }
    assert {"train", "serve", "plot"} <= advised <= extras
    called = {
        extra
        for path in ROOT.glob("keras_audiosr/**/*.py")
        for group in re.findall(r"how_to_install\(['\"]([\w,]+)['\"]\)", path.read_text("utf-8"))
        for extra in group.split(",")
    }
    assert {"train", "plot", "serve", "visqol"} <= called <= extras
    assert how_to_install("train,serve").count("[train,serve]'") == 2


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    base = {key: value for key, value in os.environ.items() if key not in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=base | {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "-1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )


# Makes find_spec behave as if only the backends in `there` were installed.
ONLY = (
    "import importlib.util as u, os; real = u.find_spec\n"
    "def only(name, *more):\n"
    "    return (name in {there!r} or None) if name in ('jax', 'tensorflow') else real(name, *more)\n"
    "u.find_spec = only\n"
)


@pytest.mark.parametrize(
    ("there", "set_to", "chosen"),
    [
        (["jax"], "", "jax"), (["jax", "tensorflow"], "", None), (["tensorflow"], "", None), ([], "", None),
        (["jax"], "torch", "torch"),
    ],
)  # fmt: skip
def test_keras_runs_on_the_backend_that_is_installed(there, set_to, chosen):
    code = ONLY.format(there=there) + "import keras_audiosr; print(os.environ.get('KERAS_BACKEND'))"
    assert run(code, **({"KERAS_BACKEND": set_to} if set_to else {})).stdout.strip() == str(chosen)


def test_jax_alone_gives_report_its_figures():
    pytest.importorskip("jax", reason="needs jax, as '.[plot]' brings it")
    # TensorFlow is not part of '.[plot]', so the code makes its import fail.
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import keras_audiosr, numpy as np\n"
        "from keras_audiosr.measures.songs import measure\n"
        "import keras; assert keras.backend.backend() == 'jax'\n"
        "y = np.random.default_rng(0).uniform(-0.5, 0.5, (44100, 2))\n"
        "print(round(measure(y, {'lossy': 0.9 * y}, 44100, 16000.0)['lossy']['snr'], 1))"
    )
    assert run(code, JAX_PLATFORMS="cpu").stdout.strip() == "20.0"


def test_tensorflow_logs_nothing_to_who_uses_the_command_line():
    pytest.importorskip("tensorflow")
    code = (
        "import contextlib, sys; from keras_audiosr import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--version'])\n"
        "import tensorflow as tf; tf.constant(1.0) + 1.0"
    )
    assert run(code).stderr == ""
    # A log level that the user has set is kept.
    code = (
        "import os; from keras_audiosr import cli; cli.main(['--version']); print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    )
    assert run(code, TF_CPP_MIN_LOG_LEVEL="0").stdout.splitlines()[-1] == "0"
