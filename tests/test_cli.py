"""Tests what all commands share: help, version, exit codes and one-line errors."""

import subprocess
import sys
import time
import types

import pytest

from keras_audiosr import __version__, cli
from keras_audiosr.errors import AudioSRError, OutputExistsError, UsageError


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


def test_help_names_the_stages_in_order_and_imports_nothing_heavy():
    code = (
        "import sys; from keras_audiosr import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'soundfile', 'tensorflow', 'keras', 'mutagen', 'tqdm'} & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = python("-c", code)
    elapsed = time.perf_counter() - started
    assert done.returncode == 0
    positions = [done.stdout.index(f"\n    {verb} ") for verb in cli.VERBS]
    assert positions == sorted(positions)
    assert done.stdout.endswith("[]\n")
    # Help should appear within 0.5 s. The limit here is higher, because the machine may be busy.
    assert elapsed < 2.0


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_its_help_without_tensorflow(verb):
    code = (
        "import sys; from keras_audiosr import cli\n"
        f"try: cli.main([{verb!r}, '--help'])\n"
        "except SystemExit as left: assert left.code == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"keras-audiosr {verb}" in done.stdout


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-audiosr {__version__}\n"
    assert python("-m", "keras_audiosr", "--version").stdout == f"keras-audiosr {__version__}\n"


def test_no_verb_is_wrong_usage(capsys):
    assert cli.main([]) == 2
    assert "restore" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["conjure"], ["restore"], ["restore", "a.mp3", "--nonsense"], ["--nonsense"]])
def test_wrong_usage_exits_2(arguments):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2


def fake_verb(monkeypatch, behaviour):
    module = types.ModuleType("keras_audiosr.stages.rip")
    module.add_arguments = lambda parser: None
    module.run = behaviour
    monkeypatch.setitem(sys.modules, "keras_audiosr.stages.rip", module)


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AudioSRError("a rule; a fact; a fix"), 1),
        (UsageError("a rule;\na fact; a fix"), 2),
        (OutputExistsError("a rule; a fact; a fix"), 3),
    ],
)
def test_errors_are_one_line_and_their_exit_code(monkeypatch, capsys, error, code):
    fake_verb(monkeypatch, raising(error))
    assert cli.main(["rip"]) == code
    assert capsys.readouterr().err == "keras-audiosr: error: a rule; a fact; a fix\n"


def test_ctrl_c_exits_130(monkeypatch, capsys):
    fake_verb(monkeypatch, raising(KeyboardInterrupt()))
    assert cli.main(["rip"]) == 130
    assert capsys.readouterr().err == "keras-audiosr: interrupted\n"


def test_a_missing_package_is_named(monkeypatch, capsys):
    fake_verb(monkeypatch, raising(ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")))
    assert cli.main(["rip"]) == 1
    error = capsys.readouterr().err
    assert "needs the Python package tensorflow" in error
    assert error.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    fake_verb(monkeypatch, raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["rip"])


def test_exit_code_is_the_verbs(monkeypatch):
    fake_verb(monkeypatch, lambda args: 7)
    assert cli.main(["rip"]) == 7


def test_broken_pipe_is_quiet():
    code = (
        "import sys, types; m = types.ModuleType('keras_audiosr.stages.rip'); m.add_arguments = lambda parser: None\n"
        "def run(args):\n"
        "    for _ in range(100000): print('line')\n"
        "    return 0\n"
        "m.run = run; import keras_audiosr; sys.modules['keras_audiosr.stages.rip'] = m\n"
        "from keras_audiosr import cli; sys.exit(cli.main(['rip']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=30) == 141
    assert error == ""
