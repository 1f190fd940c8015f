"""Finds the licence that a package's copyright file states for one file, and whether the licence allows every use.

Machine-readable copyright files (DEP-5, the Debian copyright format 1.0) are read stanza by stanza. The last stanza
whose patterns match a file applies to it. A copyright file in any other form gives no stanzas; `packages.PACKAGES`
then states the licence, and words that the copyright file must contain.

Reference: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import dataclasses
import fnmatch
import re

import yaml

# These licences require at most attribution and, with SA, the same licence for adaptations.
_ALLOWED = re.compile(r"cc0(-1\.0)?|cc-by(-sa)?(-?[34](\.0)?)?|pd|public-domain", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Stanza:
    """Patterns of files with the copyright holders and the licence of those files.

    Attributes:
        patterns: patterns of paths without a leading `./`; `*` and `?` are wildcards.
        holders: the copyright holders, without years.
        licence: short name of the licence, as written in the file.
    """

    patterns: tuple[str, ...]
    holders: tuple[str, ...]
    licence: str

    def allowed(self) -> str | None:
        """Returns the first of the offered licences that allows every use, or `None` if there is none."""
        for choice in re.split(r"\s+or\s+|\s*/\s*", self.licence, flags=re.IGNORECASE):
            name = choice.strip().replace(" ", "-").upper()
            if _ALLOWED.fullmatch(name):
                return "public domain" if name in ("PD", "PUBLIC-DOMAIN") else re.sub(r"-(\d)$", r"-\1.0", name)
        return None


def _field(stanza: str, name: str) -> list[str]:
    """Returns the stripped lines of a field, or an empty list if the stanza does not have it."""
    match = re.search(rf"^{name}:[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE)
    return [line.strip() for line in match[1].splitlines() if line.strip()] if match else []


def _holder(line: str) -> str:
    """Removes the years and the copyright sign from a copyright line."""
    return re.sub(r"^(©|\(c\))?\s*(\d{4}(\s*[-,]\s*\d{2,4})*,?\s*)*", "", line, flags=re.IGNORECASE).strip()


def read_stanzas(text: str) -> list[Stanza]:
    """Returns the `Files` stanzas of a machine-readable copyright file, and an empty list for any other text."""
    stanzas = []
    for part in re.split(r"\n[ \t]*\n", text):
        files = " ".join(_field(part, "Files")).split()
        licence = _field(part, "License")
        if files and licence:
            holders = tuple(dict.fromkeys(_holder(line) for line in _field(part, "Copyright")))
            stanzas.append(Stanza(tuple(name.removeprefix("./") for name in files), holders, licence[0]))
    return stanzas


def read_list(text: str, folder: str) -> list[Stanza]:
    """Returns the entries of Naev's list of sounds as stanzas.

    Args:
        text: YAML text of the list: a sequence of `{author: {license: ..., music: [names]}}`.
        folder: prefix for each name.
    """
    stanzas = []
    for entry in yaml.safe_load(text):
        for author, made in entry.items():
            names = tuple(folder + name for name in made.get("music", ()))
            if names:
                stanzas.append(Stanza(names, (author.rstrip(":"),), made["license"]))
    return stanzas


def stanza_of(path: str, stanzas: list[Stanza]) -> Stanza | None:
    """Returns the stanza that applies to a file, which is the last one that matches it, or `None`."""
    for stanza in reversed(stanzas):
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in stanza.patterns):
            return stanza
    return None
