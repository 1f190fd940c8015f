"""MkDocs hooks that add the pages which are not written by hand in docs/, and check the finished site.

Notebooks and the documents in the repository's root become pages. The reference is made from docstrings and from the
parsers of the command line, so it always agrees with the code. Links are written as in the repository. If a link points
to a file outside docs/ that has become a page, it is changed to that page.
"""

import html
import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from mkdocs.structure.nav import Link

sys.path.insert(0, str(Path(__file__).parent))
import command_line
import names

ROOT = names.ROOT
DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb"))
MODEL_CARDS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("exported_models/*/MODEL_CARD.md"))

# Folder of the page that restores music in the browser, which tools/web/build.sh made. tools/site.sh sets the variable.
WEB_PAGE = os.environ.get("WEB_PAGE", "")

# The README is not a page of the site, which has its own start page. Links to the README lead to this page instead.
INSTEAD = {"README.md": "explanation/figures.md"}

_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_INCLUDE = re.compile(r"^<!-- include (\S+?)#(.+?) -->$", re.MULTILINE)


def on_config(config):
    """Completes the navigation with the notebooks, the pages of the reference, and the model cards."""
    for part in config.nav:
        if "Tutorials" in part:
            part["Tutorials"] = ["tutorials.md", *NOTEBOOKS]
        if "Reference" in part:
            modules = [{"Names of the package": "reference/keras_audiosr.md"}]
            modules += [{module: f"reference/{module}.md"} for module in names.MODULES]
            part["Reference"] = [{"Command line": "reference/command_line.md"}, *modules]
        if "Explanation" in part:
            part["Explanation"] += [{f"Model card of {path.split('/')[1]}": path} for path in MODEL_CARDS]
    return config


# This must run before mkdocs-jupyter looks for notebooks.
@event_priority(100)
def on_files(files, config):
    """Adds the pages that are not in docs/."""
    for path in (*DOCUMENTS, *MODEL_CARDS, *NOTEBOOKS):
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    files.append(File.generated(config, "reference/command_line.md", content=command_line.page()))
    for module, public in names.load().items():
        files.append(File.generated(config, f"reference/{module}.md", content=_reference(module, public)))
    for path in sorted(Path(WEB_PAGE).rglob("*")) if WEB_PAGE else ():
        if path.is_file():
            folder = Path(WEB_PAGE).parent
            files.append(File(path.relative_to(folder).as_posix(), str(folder), config.site_dir, False))
    return files


def on_nav(nav, config, files):
    """Adds links to the gallery, and to the page in the browser if it is part of the site."""
    nav.items.append(Link("Gallery", "gallery/index.html"))
    if WEB_PAGE:
        nav.items.append(Link("Restore in the browser", "web/index.html"))
    return nav


def _reference(module: str, public: dict[str, str]) -> str:
    path = module if module == names.PACKAGE else f"{names.PACKAGE}.{module}"
    what = names.MODULES.get(module, "the stages and related names, as in `import keras_audiosr as ka`")
    entries = "\n\n".join(f"::: {target}" for _, target in sorted(public.items(), key=lambda item: item[0].lower()))
    return f"# {path}\n\n`{path}`: {what}.\n\n{entries}\n"


def on_page_markdown(markdown, page, config, files):
    """Includes sections of other documents, and rewrites links to files that have become pages."""
    where = page.file.src_uri

    def included(match: re.Match) -> str:
        return _lead(_section(match[1], match[2]), match[1], where, files)

    outside = where in (*DOCUMENTS, *MODEL_CARDS, *NOTEBOOKS)
    markdown = _lead(markdown, where if outside else f"docs/{where}", where, files)
    markdown = _INCLUDE.sub(included, markdown)
    # In the code of a table, GitHub requires a pipe to be escaped, but Python-Markdown would show the backslash.
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), markdown)


def _section(document: str, heading: str) -> str:
    """Returns the text between a heading of a document and the next heading."""
    text = (ROOT / document).read_text("utf-8")
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if heading not in sections:
        raise PluginError(f"{document} has no heading {heading!r}, which a page of docs/ includes")
    return sections[heading].strip("\n")


def _lead(markdown: str, document: str, where: str, files) -> str:
    """Rewrites the links of `document` (a path in the repository) for the page `where` (a path in the site)."""

    def led(match: re.Match) -> str:
        link, anchor = match[2], match[3] or ""
        if re.match(r"[a-z]+:", link):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), link))
        target = INSTEAD.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(target) is None:
            return match[0]
        return f"]({posixpath.relpath(target, posixpath.dirname(where) or '.')}{anchor})"

    return _LINK.sub(led, markdown)


def on_post_build(config):
    """Fails the build if a public name has no entry, or if the target of a link does not exist."""
    site = Path(config.site_dir)
    missing = []
    for module, public in names.load().items():
        text = (site / f"reference/{module}.html").read_text("utf-8")
        missing += [f"{module}: {name}" for name, path in public.items() if f'id="{path}"' not in text]
    if missing:
        raise PluginError(f"every public name must have an entry in the reference; missing: {', '.join(missing)}")
    dead = [f"{page.relative_to(site)}: {link}" for page in sorted(site.rglob("*.html")) for link in _dead(page, site)]
    if dead:
        raise PluginError(f"every link must lead to a file of the site; these do not: {'; '.join(dead)}")


def _dead(page: Path, site: Path) -> list[str]:
    """Returns the links of a page, including pictures and scripts, whose files do not exist."""
    if page.name == "404.html":
        return []
    text = re.sub(r"<script(?![^>]*\bsrc=).*?</script>", "", page.read_text("utf-8"), flags=re.DOTALL)
    # Markdown writes mail addresses as character references.
    found = map(html.unescape, re.findall(r'\b(?:href|src)="([^"]*)"', text))
    links = {link.split("#")[0].split("?")[0] for link in found}
    local = (link for link in links if link and not re.match(r"[a-z]+:|//", link))
    return sorted(link for link in local if not (page.parent / link).exists())
