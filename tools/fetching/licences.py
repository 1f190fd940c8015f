"""What a package's copyright file says of one of its files, and whether that allows every use.

Machine-readable copyright files (DEP-5, the Debian copyright format 1.0) are read stanza by stanza: the last stanza
whose patterns fit a file holds. Files of any other form have no stanzas; who reads them says what they are held to.

Reference: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import dataclasses
import fnmatch
import re

import yaml

# Nothing here asks for more than a name and, where it says SA, the same licence for adaptations.
_ALLOWED = re.compile(r"cc0(-1\.0)?|cc-by(-sa)?(-?[34](\.0)?)?|pd|public-domain", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Stanza:
    """Patterns of files, and what holds for them.

    Attributes:
        patterns: of paths, `*` and `?` standing for anything; without a leading `./`.
        holders: who holds the copyright, one a line, without years.
        licence: its short name, as written.
    """

    patterns: tuple[str, ...]
    holders: tuple[str, ...]
    licence: str

    def allowed(self) -> str | None:
        """The first of the licences offered that allows every use; `None` where none does."""
        for choice in re.split(r"\s+or\s+|\s*/\s*", self.licence, flags=re.IGNORECASE):
            name = choice.strip().replace(" ", "-").upper()
            if _ALLOWED.fullmatch(name):
                return "public domain" if name in ("PD", "PUBLIC-DOMAIN") else re.sub(r"-(\d)$", r"-\1.0", name)
        return None


def _field(stanza: str, name: str) -> list[str]:
    """Lines of a field, its first one too, stripped; empty where the stanza lacks it."""
    match = re.search(rf"^{name}:[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE)
    return [line.strip() for line in match[1].splitlines() if line.strip()] if match else []


def _holder(line: str) -> str:
    """A copyright line without its years and sign."""
    return re.sub(r"^(©|\(c\))?\s*(\d{4}(\s*[-,]\s*\d{2,4})*,?\s*)*", "", line, flags=re.IGNORECASE).strip()


def read_stanzas(text: str) -> list[Stanza]:
    """The `Files` stanzas of a machine-readable copyright file; none for any other text."""
    stanzas = []
    for part in re.split(r"\n[ \t]*\n", text):
        files = " ".join(_field(part, "Files")).split()
        licence = _field(part, "License")
        if files and licence:
            holders = tuple(dict.fromkeys(_holder(line) for line in _field(part, "Copyright")))
            stanzas.append(Stanza(tuple(name.removeprefix("./") for name in files), holders, licence[0]))
    return stanzas


def read_list(text: str, folder: str) -> list[Stanza]:
    """The entries of a list of sounds as Naev keeps it, as stanzas: YAML, `{author: {license: ..., music: [names]}}`.

    Args:
        text: of the list.
        folder: put before each name.
    """
    stanzas = []
    for entry in yaml.safe_load(text):
        for author, made in entry.items():
            names = tuple(folder + name for name in made.get("music", ()))
            if names:
                stanzas.append(Stanza(names, (author.rstrip(":"),), made["license"]))
    return stanzas


def stanza_of(path: str, stanzas: list[Stanza]) -> Stanza | None:
    """The stanza that holds for a file: the last that names it."""
    for stanza in reversed(stanzas):
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in stanza.patterns):
            return stanza
    return None
