"""Reads and writes the records of the study. A record is a small file OUT/rows/NAME.json with the results of one row.

A record has `conditions` (the settings it was made with), `about` (versions and hashes), `files` (the measures of each
file) and `spectrum` (of the file in the picture). A trained row also has `training` and `cost`. The record of
`unprocessed` has the spectra of the lossy and the lossless sides instead. Tables and pictures are made from the records
alone, so they can be made again without WORK.
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

# Name -> corpus and note (rows) or description (baselines), in the order of the tables.
KNOWN = {row.name: (row.corpus, row.note) for row in ROWS}
KNOWN |= {name: (corpus, what) for name, (corpus, what, _) in BASELINES.items()}
UNPROCESSED = "unprocessed"

# Number of differences that an error message lists.
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Study:
    """The settings that all rows of a study share.

    Attributes:
        out: folder of the results; the records are in its subfolder `rows`.
        minutes: CPU minutes of optimizer steps for each row.
        smoke: whether the networks are tiny.
        music: `hash_of_music` of the corpus.
    """

    out: Path
    minutes: float
    smoke: bool
    music: str

    def path(self, name: str) -> Path:
        """Returns the path of a row's record."""
        return self.out / "rows" / f"{name}.json"

    def conditions(self, name: str) -> dict:
        """Returns all settings that determine the results of a row, except versions and the speed of the machine."""
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
        """Returns all existing records by name, in the order of the tables.

        Raises:
            UsageError: a record was made under other conditions (one line for each difference), or is damaged.
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
                    "records can be used only with the settings they were made with; in"
                    f" {self.out / 'rows'} {', '.join(files)}: {different}; remove them to make them again, or use"
                    " another --out"
                    for different, files in refused.items()
                )
            )
        return records

    def save(self, name: str, found: dict) -> None:
        """Writes the record of a row atomically."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path(name), {"name": name, "conditions": self.conditions(name), **found})


def claim(folder: Path, conditions: dict) -> None:
    """Notes the conditions in WORK or in a row's folder, or compares them with the ones noted there.

    Raises:
        UsageError: the folder was begun under other conditions.
    """
    noted = folder / "conditions.json"
    if noted.is_file() or (folder / "preset.json").is_file():
        if different := differences(_read(noted) if noted.is_file() else {}, conditions):
            raise UsageError(
                f"a folder can be continued only with the settings it was begun with; {folder}: {different}; remove it"
                " to begin again, or use another WORK"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(noted, conditions)


def is_trained(folder: Path, name: str) -> bool:
    """Whether a row's folder in WORK contains the exported model."""
    return (folder / "exported" / name / "metadata.json").is_file()


def hash_of_music(corpus: Path) -> str:
    """Returns the SHA-256 of the names and contents of all clips in `train/` and `dev/`."""
    digest = hashlib.sha256()
    for part in ("train", "dev"):
        for path in sorted((corpus / part).glob("*.flac")):
            digest.update(f"{part}/{path.name}\n".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def differences(there, now) -> str:
    """Describes the differences between two nested dicts in one line, which is empty if there are none."""
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
        raise UsageError(f"a record must be a JSON object; {path}: {error}; restore or remove the file") from error
    if not isinstance(content, dict):
        raise UsageError(f"a record must be a JSON object; {path} is not one; restore or remove the file")
    return content


def parse(description: str, names: list[str]) -> tuple[argparse.Namespace, Study]:
    """Parses the command line of a process for one row; returns its arguments and the study.

    The arguments are `name` (one of `names`), `manifest`, and `folder` (the row's folder in WORK).
    """
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
