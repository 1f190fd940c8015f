"""Tests that the relative links of the documents and of the gallery lead to existing files and headings."""

import functools
import html
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
# Pages that tools/docs/pages.py makes for the site. They are not in the repository.
MADE = re.compile(r"docs/reference/[\w.]+\.(md|html)$")
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "docs/**/*.html", "exported_models/*/*.md", "tools/**/*.md")
    for path in ROOT.glob(pattern) if "node_modules" not in path.parts
)  # fmt: skip


@functools.cache
def anchors(path: Path) -> set[str]:
    """Returns the anchors of a page, as GitHub and Python-Markdown derive them from the headings."""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        return set(re.findall(r'\bid="([^"]+)"', text))
    headings = re.findall(r"^#+ +(.+?) *#*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def links(text: str, suffix: str) -> list[str]:
    if suffix == ".html":
        text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        return [html.unescape(link) for link in re.findall(r'\b(?:href|src)="([^"]*)"', text)]
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    return re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text) + re.findall(r"^\[[^]]+\]: (\S+)", text, re.M)


def dead(page: Path, text: str) -> list[str]:
    found = []
    for link in links(text, page.suffix):
        if re.match(r"[a-z][a-z+.-]*:|//", link):
            continue
        where, _, anchor = link.partition("#")
        target = page if not where else page.parent / unquote(where)
        if page.suffix == ".html" and not target.exists():
            target = target.with_suffix(".md")  # the site makes the HTML page from this file
        if MADE.search(target.resolve().as_posix()):
            continue
        if not target.exists() or (anchor and target.suffix in (".md", ".html") and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_dead(page):
    assert dead(page, page.read_text("utf-8")) == []


def test_dead_links_are_found():
    page = ROOT / "docs" / "index.md"
    text = "[a](nowhere.md) [b](serving.md#nothing) [c](serving.md) ![d](no.png) [e](https://example.org) `[f](g)`"
    assert dead(page, text) == ["nowhere.md", "serving.md#nothing", "no.png"]
    page = ROOT / "docs" / "gallery" / "index.html"
    assert dead(page, '<a href="../index.html">a</a><img src="b.png"><a href="../nowhere.html">') == [
        "b.png", "../nowhere.html",
    ]  # fmt: skip
