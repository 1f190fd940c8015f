"""Tests that input is never executed: the sources use no pickle, eval, shell or unsafe deserialization."""

import ast
import re
from pathlib import Path

import pytest

from keras_audiosr.processes import ffmpeg

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "keras_audiosr").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"}
# Calls that are not allowed, as "module.name" or only a name.
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "torch.load", "tempfile.mktemp",
    "keras.config.enable_unsafe_deserialization", "extractall", "unpack_archive",
}  # fmt: skip
# Arguments, and the only value that each of them may have.
ARGUMENTS = {"shell": False, "allow_pickle": False, "safe_mode": True}
RUNNERS = {"run", "Popen", "call", "check_call", "check_output"}


def name_of(function: ast.expr) -> str:
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    return ".".join(reversed([*parts, function.id])) if isinstance(function, ast.Name) else parts[0] if parts else ""


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [str(node.module)] * (str(node.module).split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in CALLS or name.split(".")[-1] in CALLS & {"extractall", "unpack_archive"}:
                found.append(name)
            for keyword in node.keywords:
                if keyword.arg in ARGUMENTS and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is ARGUMENTS[keyword.arg]
                ):
                    found.append(f"{name}({keyword.arg}=...)")
            # A command must be a list, because a string is meant for a shell.
            first = node.args[0] if node.args else None
            is_text = isinstance(first, ast.JoinedStr) or (
                isinstance(first, ast.Constant) and isinstance(first.value, str)
            )
            if is_text and name.startswith("subprocess.") and name.split(".")[1] in RUNNERS:
                found.append(f"{name} of a text")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources_have_none_of_it(path):
    assert offences(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(command, shell=True)",
        "subprocess.Popen('ffmpeg -i x')",
        "subprocess.run(f'ffmpeg -i {path}')",
        "os.system('x')",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "zipfile.ZipFile(path).extractall()",
    ],
)
def test_each_would_be_found(line):
    assert offences(line)


# The only modules that start programs. The first one starts FFmpeg, the others start Python.
STARTERS = {"processes/ffmpeg.py", "processes/child_process.py", "training/producers.py"}


def started(source: str) -> list[str]:
    """Returns the functions that a module calls to start programs, also if it imports them under another name."""
    tree, names = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            called = ".".join([names.get(first, first), *rest])
            if re.fullmatch(r"subprocess\.\w+|os\.(popen|system|exec\w+|spawn\w+|posix_spawn\w*)|pty\.spawn", called):
                found.append(called)
            if re.fullmatch(r"asyncio\.(subprocess\.)?create_subprocess_\w+", called):
                found.append(called)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run([find_binary('ffmpeg')])",
        "import subprocess as s\ns.Popen(command)",
        "from subprocess import check_output as run\nrun(command)",
        "import os\nos.posix_spawn(path, words, {})",
        "from asyncio import create_subprocess_exec\ncreate_subprocess_exec(program)",
    ],
)
def test_every_way_to_start_a_program_is_seen(source):
    assert started(source)


def test_every_input_of_ffmpeg_is_limited():
    """Only one module starts FFmpeg, and it refuses commands whose inputs are not restricted."""
    package = ROOT / "keras_audiosr"
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        assert name in STARTERS or not started(path.read_text("utf-8")), f"{name} starts a program by itself"
    for name in STARTERS - {"processes/ffmpeg.py"}:
        assert "sys.executable" in (package / name).read_text("utf-8")
    # pydub starts FFmpeg by itself. It is only used for encoding, and FFmpeg then reads a WAV that pydub has written.
    users = [path.name for path in package.rglob("*.py") if "import AudioSegment" in path.read_text("utf-8")]
    assert users == ["round_trip.py"]
    assert "from_file" not in re.sub("#.*", "", (package / "codecs/round_trip.py").read_text("utf-8"))
    # `run_ffmpeg` accepts any arguments. It is only used to list the channel layouts.
    calls = [line for path in package.rglob("*.py") for line in path.read_text("utf-8").splitlines()
             if "run_ffmpeg(" in line and "def run_ffmpeg" not in line]  # fmt: skip
    assert len(calls) == 1 and 'run_ffmpeg("-layouts")' in calls[0]


RAW = ["-f", "s32le", "-ar", "44100", "-i", "pipe:0"]
CHAPTERS = ["-protocol_whitelist", "file,pipe", "-format_whitelist", "ffmetadata", "-f", "ffmetadata", "-i", "file:a"]


@pytest.mark.parametrize(
    ("command", "limited"),
    [
        (["ffmpeg", *ffmpeg.INPUT_LIMITS, "-i", "file:a.mp3", "b.wav"], True),
        (["ffmpeg", *RAW, "b.flac"], True),
        (["ffmpeg", *RAW, *CHAPTERS, "b.m4a"], True),
        (["/usr/bin/ffprobe", "-v", "error", *ffmpeg.INPUT_LIMITS, "-of", "json", "file:a.mp3"], True),
        (["ffmpeg", "-i", "file:a.mp3", "b.wav"], False),
        (["ffmpeg", "-i", "file:a.mp3", *ffmpeg.INPUT_LIMITS, "b.wav"], False),
        (["ffmpeg", *ffmpeg.INPUT_LIMITS, "-i", "file:a.mp3", "-i", "file:b.mp3", "c.wav"], False),
        (["ffmpeg", *ffmpeg.INPUT_LIMITS, "-format_whitelist", "hls,mp3", "-i", "file:a.mp3", "b.wav"], False),
        (["ffmpeg", *ffmpeg.INPUT_LIMITS[2:], "-i", "file:a.mp3", "b.wav"], False),
        (["ffmpeg", "-f", "s32le", "-i", "file:a.raw", "b.flac"], False),
        (["ffmpeg", "-f", "concat", "-i", "pipe:0", "b.flac"], False),
        (["/usr/bin/ffprobe", "-v", "error", "-of", "json", "file:a.mp3"], False),
    ],
)
def test_an_input_without_limits_is_refused_before_ffmpeg_starts(command, limited, monkeypatch):
    asked = []
    monkeypatch.setattr(ffmpeg.subprocess, "run", lambda command, **_: asked.append(command))
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", lambda command, **_: asked.append(command))
    for start in (ffmpeg.run_limited, ffmpeg.start_limited):
        if limited:
            start(command)
        else:
            with pytest.raises(ValueError, match="INPUT_LIMITS"):
                start(command)
    assert asked == [command] * 2 * limited


def test_results_of_a_pipeline_make_nothing_else():
    """Reading the results of Beam's workers creates only plain values, and dataclasses and errors of this package."""
    from keras_audiosr.codecs import CodecSpec
    from keras_audiosr.errors import PairError
    from keras_audiosr.processes import beam

    values = [(1, [None, 2.5, "a\udcff"], {("b", 2): Path("c")}, True), CodecSpec.parse("mp3@64k"), -3]
    assert beam._unpack(beam._pack(values)) == values
    error = beam._unpack(beam._pack(PairError("no pair")))
    assert (type(error), str(error)) == (PairError, "no pair")
    for line in (
        b'{"of": "os:system", "fields": {"command": "x"}}',
        b'{"of": "subprocess:Popen", "fields": {"args": ["x"]}}',
        b'{"of": "keras_audiosr.processes.child_process:call_in_child", "fields": {}}',
        b'{"error": "keras_audiosr.cli:main", "arguments": [[]]}',
        b'{"error": "builtins:SystemExit", "arguments": []}',
        b"{}",
    ):
        with pytest.raises(ValueError, match="of this package's kinds"):
            beam._unpack(line)
    with pytest.raises(TypeError, match="plain values"):
        beam._pack(object())
