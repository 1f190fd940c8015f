"""What a restored file says of how it was made, so that a later run can tell what is done.

Two tags: `RESTORED_BY` for people, and `RESTORATION` for programs: a JSON object with the SHA-256 of the source
file, the model with the hash of its weights, and the settings. An output appears under its name only when
whole, so a record in it vouches for all of it.
"""

import hashlib
import json
from pathlib import Path

from ..audio.tags import Tags, read_tags

RESTORED_BY = "RESTORED_BY"
RESTORATION = "RESTORATION"


def source_hash(path) -> str:
    """SHA-256 of a file, in hexadecimal: samples and tags, since both go into the restored file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_record(source_sha256: str, model: str, model_version: str, settings: dict) -> dict:
    """The record of one restoration: equal records, equal files."""
    return {"source_sha256": source_sha256, "model": model, "model_version": model_version, **settings}


def record_tags(record: dict) -> Tags:
    """The tags that hold a record of `make_record`."""
    from .. import __version__

    model = " ".join(filter(None, (record["model"], record["model_version"])))
    return {
        RESTORED_BY: [f"keras_audiosr {__version__} with {model}"],
        RESTORATION: [json.dumps(record, sort_keys=True)],
    }


def read_record(path) -> dict | None:
    """The record in a file's tags; `None` for a file that was not restored by this package, or that is no file."""
    if not Path(path).is_file():
        return None
    tags, _ = read_tags(path)
    try:
        record = json.loads(tags[RESTORATION][0])
    except (KeyError, ValueError, RecursionError):  # the last of brackets in brackets in brackets
        return None
    return record if isinstance(record, dict) else None
