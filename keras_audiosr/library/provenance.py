"""Reads and writes the tags that say how a file was restored, so that a later run can skip finished songs.

There are two tags. `RESTORED_BY` is for people. `RESTORATION` is for programs: a JSON object with the SHA-256 of the
source file, the model with the hash of its weights, and the settings. An output receives its name only when it is
complete, so every file with a record is complete.
"""

import hashlib
import json
from pathlib import Path

from ..annotations import StrPath
from ..files.metadata import Tags
from ..files.tags import read_tags

RESTORED_BY = "RESTORED_BY"
RESTORATION = "RESTORATION"


def source_hash(path: StrPath) -> str:
    """Returns the SHA-256 of a whole file in hexadecimal, including its tags, which the restored file receives too."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_record(source_sha256: str, model: str, model_version: str, settings: dict) -> dict:
    """Returns the record of one restoration. Files with equal records are equal."""
    return {"source_sha256": source_sha256, "model": model, "model_version": model_version, **settings}


def record_tags(record: dict) -> Tags:
    """Returns the two tags for a record from `make_record`."""
    from ..version import __version__

    model = " ".join(filter(None, (record["model"], record["model_version"])))
    return {
        RESTORED_BY: [f"keras_audiosr {__version__} with {model}"],
        RESTORATION: [json.dumps(record, sort_keys=True)],
    }


def read_record(path: StrPath) -> dict | None:
    """Returns the record in a file's tags, or `None` if there is no such file or this package did not restore it."""
    if not Path(path).is_file():
        return None
    tags, _ = read_tags(path)
    try:
        record = json.loads(tags[RESTORATION][0])
    except (KeyError, ValueError, RecursionError):  # RecursionError: deeply nested brackets
        return None
    return record if isinstance(record, dict) else None
