"""Writes and reads windows as TFRecord shards, so that music is decoded only once.

A folder has the shards `windows-00000.tfrecord`, `windows-00001.tfrecord` and so on. Each record is a
`tf.train.Example` with the features `lossy` and `lossless`: little-endian float32 samples of a signal that
`decode.decode_mid_side` returns. `index.json` has the number of windows, the hash of the manifest and the settings.
"""

import bisect
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from ..annotations import StrPath
from ..errors import AudioFileError, ManifestError, OutputExistsError, UsageError, cause
from ..presets.settings import WindowSettings
from ..processes import beam
from ..processes.partial_files import atomic_folder, atomic_output
from .pipeline import batches, file_errors
from .plan import Plan, ReadSettings, make_plan

INDEX = "index.json"
# Version of the format, which changes with the meaning of the windows. Version 1 had windows of left and of right.
_FORMAT = 2
# Number of windows that are taken from the pipeline at a time.
_BATCH_SIZE = 64
# Settings that the index records: all that determine which windows a folder holds.
_NOTED = (
    "window_length", "hop_length", "split", "codecs", "sample_rate", "min_level", "undo_encoder_gain", "split_seed",
    "split_fractions",
)  # fmt: skip


def _examples(dataset: tf.data.Dataset) -> Iterator[bytes]:
    def feature(window: Any) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[window.astype("<f4", copy=False).tobytes()]))

    for lossy, lossless in dataset.as_numpy_iterator():
        for pair in zip(lossy, lossless, strict=True):
            features = {name: feature(window) for name, window in zip(("lossy", "lossless"), pair, strict=True)}
            yield tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _write_shard(path: Path, examples: Iterator[bytes]) -> int:
    """Writes a shard atomically, because a pipeline may write it twice at once. Returns its number of windows."""
    windows = 0
    with atomic_output(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        for example in examples:
            writer.write(example)
            windows += 1
    return windows


def _shard_name(number: int) -> str:
    return f"windows-{number:05d}.tfrecord"


def _write_here(folder: Path, plan: Plan, shard_size: int) -> list[dict]:
    """Writes all shards in this process and decodes each file once. Returns the name and windows of each shard."""
    shards: list[dict] = []
    examples = iter(tqdm(_examples(batches(plan, 0, 0)), "window", unit=" windows", disable=None))
    for first in examples:
        name = _shard_name(len(shards))
        rest = itertools.islice(examples, shard_size - 1)
        shards.append({"name": name, "windows": _write_shard(folder / name, itertools.chain([first], rest))})
    return shards


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A shard that is written independently: `windows` windows of a plan's files, after the first `skipped`."""

    path: Path
    plan: Plan
    skipped: int
    windows: int


def _count(plan: Plan) -> list[int]:
    """Returns the number of windows in a plan of one file, without silent ones, in a list."""
    with file_errors():
        return [sum(int(tf.shape(lossy)[0]) for lossy, _ in batches(plan, 0, 0))]


def _write_alone(shard: _Shard) -> list[dict]:
    """Writes a shard independently. A file that belongs to several shards is decoded for each of them."""
    with file_errors():
        examples = itertools.islice(_examples(batches(shard.plan, 0, 0)), shard.skipped, shard.skipped + shard.windows)
        return [{"name": shard.path.name, "windows": _write_shard(shard.path, examples)}]


def _write_with_beam(folder: Path, plan: Plan, shard_size: int, options: Sequence[str], jobs: int) -> list[dict]:
    """Writes all shards on an Apache Beam pipeline, with the same bytes as `_write_here`."""
    files = [dataclasses.replace(plan, pairs=[pair]) for pair in plan.pairs]
    if plan.windows.min_level is None:
        counts = [file.total_windows for file in files]
    else:
        counts = beam.flat_map(_count, files, folder, options, jobs)
    ends = list(itertools.accumulate(counts))
    shards = []
    for number, start in enumerate(range(0, ends[-1], shard_size)):
        stop = min(start + shard_size, ends[-1])
        # These files hold the windows from `start` to `stop`.
        first, last = bisect.bisect_right(ends, start), bisect.bisect_left(ends, stop)
        part = dataclasses.replace(plan, pairs=plan.pairs[first : last + 1])
        skipped = start - (ends[first] - counts[first])
        shards.append(_Shard(folder / _shard_name(number), part, skipped, stop - start))
    return beam.flat_map(_write_alone, shards, folder, options, jobs)


def _check_output(out: Path, overwrite: bool) -> None:
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise OutputExistsError(f"the output must not exist yet; {out} exists; use --overwrite or another folder")
    if not (out / INDEX).is_file():
        raise OutputExistsError(
            f"--overwrite replaces only a folder of windows; {out} has no {INDEX}; choose another folder"
        )


def write_records(
    manifest: StrPath,
    out: StrPath,
    windows: WindowSettings,
    reading: ReadSettings,
    *,
    shard_size: int,
    overwrite: bool = False,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
) -> dict:
    """Writes the windows of `build_dataset(manifest, shuffle=False, ...)` as shards. The folder is written atomically.

    Args:
        manifest: path of a pair manifest.
        out: folder to write.
        windows: settings of the windows. Augmentation and the batch size are ignored, because they belong to reading.
        reading: settings of the reading. Windows are always written in the manifest's order.
        shard_size: number of windows in a shard.
        overwrite: whether to replace `out` if it is a folder of windows. It is kept until the new one is complete.
        jobs: number of processes of Beam's runner on this machine. The local runner uses every core.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline, which writes the same shards.
        beam_options: options of the Beam pipeline. When empty, Beam uses its own runner on this machine.

    Returns:
        The index: `format`, `windows` (their number), `window_length`, `shards` (name and windows of each),
        `arguments` (the settings), `manifest_sha256`.

    Raises:
        OutputExistsError: `out` exists, and `overwrite` is false or it is not a folder of windows.
        AudioFileError: a file of the manifest is missing or damaged, or `out` cannot be written.
        ManifestError: as for `build_dataset`, or no window reaches `min_level`.
        UsageError: as for `build_dataset`, or `shard_size`, `jobs`, `runner` or `beam_options` is invalid.
    """
    out = Path(out)
    if shard_size < 1:
        raise UsageError(f"shard_size must be at least 1; received {shard_size}; give a positive number")
    if jobs < 1:
        raise UsageError(f"jobs must be at least 1; received {jobs}; leave it out for one")
    options = beam.check(runner, beam_options)
    _check_output(out, overwrite)
    windows = dataclasses.replace(windows.as_cut(), batch_size=_BATCH_SIZE)
    plan = make_plan(manifest, windows, dataclasses.replace(reading, shuffle=False))
    settings = dataclasses.asdict(windows) | dataclasses.asdict(reading)
    try:
        with atomic_folder(out, replaces=INDEX if overwrite else None) as partial, file_errors():
            if runner == "beam":
                shards = _write_with_beam(partial, plan, shard_size, options, jobs)
            else:
                shards = _write_here(partial, plan, shard_size)
            index = {
                "format": _FORMAT,
                "windows": sum(shard["windows"] for shard in shards),
                "window_length": windows.window_length,
                "shards": shards,
                "arguments": {name: settings[name] for name in _NOTED},
                "manifest_sha256": hashlib.sha256(Path(manifest).read_bytes()).hexdigest(),
            }
            if not shards:
                raise ManifestError(
                    f"at least one window must reach min_level; none of {manifest} does; choose a lower level"
                )
            (partial / INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    except tf.errors.OpError as error:
        raise AudioFileError(
            f"the output must be writable; {out}: {cause(error)}; check the folder, its permissions and the free space"
        ) from error
    return index


def read_index(folder: StrPath) -> dict:
    """Reads and checks the index of a folder that `write_records` wrote.

    Raises:
        ManifestError: the index is missing or damaged or has another format, or a shard is missing.
    """
    path = Path(folder) / INDEX
    try:
        index = json.loads(path.read_text("utf-8"))
        if index["format"] != _FORMAT:
            raise ValueError(f"format {index['format']}, not {_FORMAT} (windows of mid and side)")
        for shard in index["shards"]:
            if Path(shard["name"]).name != shard["name"]:
                raise ValueError(f"{shard['name']} is no plain name")
            if not (path.parent / shard["name"]).is_file():
                raise ValueError(f"{shard['name']} is missing")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(
            f"a folder that 'keras-audiosr window' wrote is needed; {path}: {cause(error)}; run it again"
        ) from error
    return index


def parse_examples(examples: tf.Tensor, window_length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Parses a batch of serialized examples to `(lossy, lossless)`, each a tensor `(batch, window_length, 1)`."""
    feature = tf.io.FixedLenFeature([], tf.string)
    found = tf.io.parse_example(examples, {"lossy": feature, "lossless": feature})
    return tuple(
        tf.io.decode_raw(found[name], tf.float32, fixed_length=4 * window_length)[..., None]
        for name in ("lossy", "lossless")
    )


def read_records(folder: StrPath, batch_size: int = 32, drop_remainder: bool = False) -> tf.data.Dataset:
    """Returns the windows of a folder, in the order in which they were written.

    Args:
        folder: a folder that `write_records` wrote.
        batch_size: number of windows in a batch.
        drop_remainder: whether to leave out the last batch if it is not full.

    Returns:
        Dataset of `(lossy, lossless)`, float32 tensors `(batch, window_length, 1)`. They are bit for bit those of
        `build_dataset(manifest, shuffle=False, ...)`.

    Raises:
        ManifestError: as for `read_index`.
        UsageError: `batch_size` is below 1.
        tf.errors.DataLossError: raised while iterating if a shard is damaged.
    """
    index = read_index(folder)
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1; received {batch_size}; give a positive number")

    def parse(examples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return parse_examples(examples, index["window_length"])

    shards = [str(Path(folder) / shard["name"]) for shard in index["shards"]]
    records = tf.data.TFRecordDataset(shards, buffer_size=2**20)
    records = records.apply(tf.data.experimental.assert_cardinality(index["windows"]))
    return records.batch(batch_size, drop_remainder).map(parse, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
