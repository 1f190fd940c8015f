"""Nothing that is read is run: no pickle, no eval, no shell, no unsafe deserialization, anywhere in our sources."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "keras_audiosr").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"}
# "module.name", or a name by itself.
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "torch.load", "tempfile.mktemp",
    "keras.config.enable_unsafe_deserialization", "extractall", "unpack_archive",
}  # fmt: skip
# An argument, and the only value that it may have.
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
            # A command is a list: a text would be one for a shell.
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


def test_every_input_of_ffmpeg_is_limited():
    """Whoever names an input of FFmpeg or ffprobe puts INPUT_LIMITS before it, or reads raw samples of ours."""
    for path in (ROOT / "keras_audiosr").rglob("*.py"):
        text = path.read_text("utf-8")
        programs = text.count('find_binary("ffprobe")') + text.count('find_binary("ffmpeg")')
        limited = text.count("*INPUT_LIMITS")
        ours = text.count('"-f", "s32le"')  # an encoder's standard input
        converters = text.count("AudioSegment.converter")  # pydub's encoder; it reads a WAV that it wrote
        definition = 1 if path.name == "ffmpeg.py" else 0  # run_ffmpeg, which only tests and tools call
        assert programs == limited + ours + converters + definition, path


def test_results_of_a_pipeline_make_nothing_else():
    """Beam's workers hand results over in files: what is read from them is plain values and kinds of our own."""
    from keras_audiosr import beam
    from keras_audiosr.codecs import CodecSpec
    from keras_audiosr.errors import PairError

    values = [(1, [None, 2.5, "a\udcff"], {("b", 2): Path("c")}, True), CodecSpec.parse("mp3@64k"), -3]
    assert beam._unpack(beam._pack(values)) == values
    error = beam._unpack(beam._pack(PairError("no pair")))
    assert (type(error), str(error)) == (PairError, "no pair")
    for line in (
        b'{"of": "os:system", "fields": {"command": "x"}}',
        b'{"of": "subprocess:Popen", "fields": {"args": ["x"]}}',
        b'{"of": "keras_audiosr.child:call_in_child", "fields": {}}',
        b'{"error": "keras_audiosr.cli:main", "arguments": [[]]}',
        b'{"error": "builtins:SystemExit", "arguments": []}',
        b"{}",
    ):
        with pytest.raises(ValueError, match="of this package's kinds"):
            beam._unpack(line)
    with pytest.raises(TypeError, match="plain values"):
        beam._pack(object())
