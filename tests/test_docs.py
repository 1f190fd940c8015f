"""Tests that the reference on the site contains every public name and every option."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("griffe")
sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "docs"))
import command_line
import names

from keras_audiosr.cli import VERBS, build_parser


@pytest.fixture(scope="module")
def documented():
    return names.load()


def public_names(module) -> set[str]:
    """Returns the names that users may import: `__all__`, or the functions and classes that the file defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    own = inspect.getmembers(module, lambda value: inspect.isclass(value) or inspect.isfunction(value))
    return {name for name, value in own if value.__module__ == module.__name__ and not name.startswith("_")}


@pytest.mark.parametrize("page", [names.PACKAGE, *names.MODULES])
def test_every_public_name_is_in_the_reference(documented, page):
    module = names.PACKAGE if page == names.PACKAGE else f"{names.PACKAGE}.{page}"
    assert set(documented[page]) == public_names(importlib.import_module(module))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_on_the_page_of_the_command_line(verb, capsys):
    page = command_line.page()
    section = page.split(f"\n## {verb}\n")[1].split("\n## ")[0]
    with pytest.raises(SystemExit):
        build_parser(verb).parse_args([verb, "--help"])
    # Options are searched at the start of a line, because a help text may mention the options of another verb.
    options = set(re.findall(r"^  (?:-\w(?: \S+)?, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE)) - {"--help"}
    for option in options:
        assert f"`{option}`" in section, f"{verb} {option}"
