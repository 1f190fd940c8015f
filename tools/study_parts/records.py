"""What a row found, in one small file that outlives WORK and its machine: OUT/rows/NAME.json.

A record holds `conditions` (what it was made under), `about` (versions, hashes), `files` (the metrics of each),
`spectrum` (of the pictured file) and, of a row that was trained, `training` and `cost`. The record of `unprocessed`
holds the spectra of what rows get and should give. Tables and pictures are made of records alone.
"""

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

from keras_audiosr.errors import UsageError
from keras_audiosr.processes.partial_files import write_json
from study_parts.baselines import BASELINES, LOW_RATES
from study_parts.rows import ROWS

# name -> corpus and what is different, in the order of the tables.
KNOWN = {row.name: (row.corpus, row.note) for row in ROWS}
KNOWN |= {name: (corpus, what) for name, (corpus, what, _) in BASELINES.items()}
UNPROCESSED = "unprocessed"

# Differences that a refusal names.
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Study:
    """What the rows of one table share.

    Attributes:
        out: folder of the document; records lie in its `rows/`.
        minutes: CPU minutes of optimizer steps a row.
        smoke: whether networks are tiny.
        music: `hash_of_music` of the corpus.
    """

    out: Path
    minutes: float
    smoke: bool
    music: str

    def path(self, name: str) -> Path:
        """Where the record of a row lies."""
        return self.out / "rows" / f"{name}.json"

    def conditions(self, name: str) -> dict:
        """All that decides what a row finds, but for versions and the machine's speed."""
        shared: dict = {"music": self.music, "smoke": self.smoke}
        if name == UNPROCESSED:
            return shared
        corpus, what = KNOWN[name]
        if corpus in LOW_RATES:
            shared["cutoff"] = "the low rate's Nyquist frequency"
        if name in BASELINES:
            return {**shared, "pairs": corpus, "method": what}
        row = next(row for row in ROWS if row.name == name)
        return {**shared, "pairs": corpus, "minutes": self.minutes, "preset": row.definition(self.smoke)}

    def load(self) -> dict[str, dict]:
        """All records there are, by name, in the order of the tables.

        Raises:
            UsageError: some were made under other conditions, a line about each difference; or one is damaged.
        """
        records: dict[str, dict] = {}
        refused: dict[str, list[str]] = {}
        for name in (UNPROCESSED, *KNOWN):
            path = self.path(name)
            if path.is_file():
                records[name] = record = _read(path)
                if different := differences(record.get("conditions"), self.conditions(name)):
                    refused.setdefault(different, []).append(path.name)
        if refused:
            raise UsageError(
                "\n".join(
                    "a record is taken only under the settings it was made with; in"
                    f" {self.out / 'rows'} {', '.join(files)}: {different}; remove to make again, or name another --out"
                    for different, files in refused.items()
                )
            )
        return records

    def save(self, name: str, found: dict) -> None:
        """Writes the record of a row, whole or not at all."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path(name), {"name": name, "conditions": self.conditions(name), **found})


def claim(folder: Path, conditions: dict) -> None:
    """Takes WORK, or a row's folder in it; or holds what is there to the conditions it began under.

    Raises:
        UsageError: it began under others.
    """
    noted = folder / "conditions.json"
    if noted.is_file() or (folder / "preset.json").is_file():
        if different := differences(_read(noted) if noted.is_file() else {}, conditions):
            raise UsageError(
                f"a folder goes on only under the settings it began with; {folder}: {different}; remove it to begin"
                " again, or name another WORK"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(noted, conditions)


def is_trained(folder: Path, name: str) -> bool:
    """Whether a row's folder of WORK holds the exported model."""
    return (folder / "exported" / name / "metadata.json").is_file()


def hash_of_music(corpus: Path) -> str:
    """SHA-256 over names and bytes of all clips."""
    digest = hashlib.sha256()
    for part in ("train", "dev"):
        for path in sorted((corpus / part).glob("*.flac")):
            digest.update(f"{part}/{path.name}\n".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def differences(there, now) -> str:
    """Where two nested dicts differ, as words; empty where they do not."""
    found = _differences(there, now, "")
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _differences(there, now, name: str) -> list[str]:
    if isinstance(there, dict) and isinstance(now, dict):
        keys = sorted(there.keys() | now.keys())
        parts = [_differences(there.get(key), now.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [line for part in parts for line in part]
    return [] if there == now else [f"{name or 'all'} ({_shortened(there)}, now {_shortened(now)})"]


def _shortened(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f"{text[:20]}..."


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(f"a record is a JSON object; {path}: {error}; bring it back, or remove it") from error
    if not isinstance(content, dict):
        raise UsageError(f"a record is a JSON object; {path} is none; bring it back, or remove it")
    return content


def parse(description: str, names: list[str]) -> tuple[argparse.Namespace, Study]:
    """The arguments of a process that works on one row: `name`, `manifest`, `folder` (in WORK); and the study."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("name", choices=names)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("minutes", type=float)
    parser.add_argument("music")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    return args, Study(args.out, args.minutes, args.smoke, args.music)
