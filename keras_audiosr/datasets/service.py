"""Training windows from a tf.data service: other machines read, shuffle and batch what one host cannot.

Decoding runs in Python, and a Python function lives in the process that made it: the service's workers cannot
call it ("could not find callback with key=pyfunc_0"). So the service starts from the shards that `window` wrote.
From there on the pipeline is a TensorFlow graph, and its workers need TensorFlow alone, not this package.
"""

import hashlib
import re
import socket
from pathlib import Path

import tensorflow as tf

from ..annotations import StrPath
from ..errors import ManifestError, UsageError
from ..presets.settings import WindowSettings
from .shards import parse_examples, read_index

# Shards whose windows are mixed, and samples among which the next window is drawn; in each of the service's workers.
_SHARDS_IN_FLIGHT = 8
_SHUFFLED_SAMPLES = 2**24
# Long enough for a dispatcher that is being started.
_CONNECT_SECONDS = 30.0


def _reach(service: str) -> None:
    """Makes sure that somebody listens: TensorFlow itself would try again for an hour without a word."""
    found = re.fullmatch(r"grpc://(.+):(\d+)", service)
    if found is None:
        raise UsageError(f"a data service is grpc://HOST:PORT; received {service!r}; give its dispatcher's address")
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"a data service's dispatcher must listen; {service}: {error}; start it (docs/scale_out.md)"
        ) from error


def check_windows(folder: StrPath, manifest: StrPath, windows: WindowSettings, sample_rate: int) -> None:
    """Makes sure that a folder holds the training windows of a manifest, cut as a preset says.

    Args:
        folder: what `window` wrote.
        manifest: path of the pair manifest trained on.
        windows: a preset's.
        sample_rate: Hz, the preset's.

    Raises:
        ManifestError: it does not.
    """
    index = read_index(folder)
    if index["manifest_sha256"] != hashlib.sha256(Path(manifest).read_bytes()).hexdigest():
        raise ManifestError(
            f"windows are those of the manifest trained on; {folder} was written from another than {manifest};"
            " run 'keras-audiosr window' on it"
        )
    cut = ("window_length", "min_level", "undo_encoder_gain")
    expected = {name: getattr(windows, name) for name in cut} | {"sample_rate": sample_rate, "split": "train"}
    arguments = {"window_length": index["window_length"], **index["arguments"]}
    wrong = [
        f"{name} {arguments.get(name)}, not {value}" for name, value in expected.items() if arguments.get(name) != value
    ]
    if wrong:
        raise ManifestError(
            f"windows are cut as the preset says; {folder} has {', '.join(wrong)}; run 'keras-audiosr window' with"
            " these values"
        )


def build_window_stream(
    folder: StrPath, windows: WindowSettings, *, seed: int = 0, initial_epoch: int = 0
) -> tf.data.Dataset:
    """The windows of a folder in random order, without end: a TensorFlow graph from beginning to end.

    Every shard is read once in every pass. Windows and their augmentation follow from `seed`,
    `initial_epoch` and the shard's turn, whoever reads it; the order in which batches arrive does not.

    Args:
        folder: what `window` wrote.
        windows: how many are a batch, and how they are varied. What they were cut with is in the folder.
        seed, initial_epoch: another of either gives another order and augmentation.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`.
    """
    index = read_index(folder)
    batch_size = windows.batch_size
    # The service's workers may run in other folders.
    names = tf.constant([str((Path(folder) / shard["name"]).absolute()) for shard in index["shards"]])
    base = tf.constant([seed, initial_epoch], tf.int64)

    def shard(turn: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.random.fold_in(base, turn)
        order = tf.random.fold_in(base, -1 - turn // len(index["shards"]))
        keys = tf.random.stateless_uniform([len(index["shards"])], order, minval=None, maxval=None, dtype=tf.int64)
        name = names[tf.argsort(keys, stable=True)[turn % len(index["shards"])]]

        def factor(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            scale = tf.ones([])
            window_seed = tf.random.fold_in(seeds, number)
            if windows.gain is not None:
                uniform = tf.random.stateless_uniform([], tf.random.fold_in(window_seed, 0), *windows.gain)
                scale *= 10.0 ** (uniform / 20.0)
            if windows.polarity:
                uniform = tf.random.stateless_uniform([], tf.random.fold_in(window_seed, 1))
                scale *= tf.where(uniform < 0.5, -1.0, 1.0)
            whole = tf.random.stateless_uniform([], tf.random.fold_in(window_seed, 2)) < windows.lossless_share
            return record, scale, whole

        return tf.data.TFRecordDataset(name, buffer_size=2**20).enumerate().map(factor)

    def parse(records: tf.Tensor, scale: tf.Tensor, whole: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        lossy, lossless = parse_examples(records, index["window_length"])
        lossy = tf.where(whole[:, None, None], lossless, lossy)
        return lossy * scale[:, None, None], lossless * scale[:, None, None]

    # The service deals these numbers out to its workers.
    turns = tf.data.Dataset.range(tf.int64.max)
    records = turns.interleave(shard, cycle_length=_SHARDS_IN_FLIGHT, block_length=1)
    records = records.shuffle(max(batch_size, _SHUFFLED_SAMPLES // index["window_length"]), seed=seed)
    return records.batch(batch_size, drop_remainder=True).map(parse, tf.data.AUTOTUNE)


def build_served_stream(
    service: str,
    folder: StrPath,
    manifest: StrPath,
    windows: WindowSettings,
    sample_rate: int,
    *,
    job: str | None = None,
    seed: int = 0,
    initial_epoch: int = 0,
) -> tf.data.Dataset:
    """`build_window_stream` of the training split, prepared by the workers of a tf.data service.

    Args:
        service: the dispatcher, `grpc://HOST:PORT`.
        folder: what `window --split train` wrote of `manifest`; at this path for the service's workers too.
        manifest: path of the pair manifest trained on.
        windows: a preset's: what they must have been cut with, and how they are varied.
        sample_rate: Hz, the preset's.
        job: processes that give one name share the batches out among themselves; `None` for all of them here.
        seed, initial_epoch: as for `build_window_stream`.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`, in an
        order that no seed fixes: batches come from whichever worker has one.

    Raises:
        UsageError: nobody listens at `service`.
        ManifestError: the windows are not those of this manifest and these settings.
    """
    _reach(service)
    check_windows(folder, manifest, windows, sample_rate)
    stream = build_window_stream(folder, windows, seed=seed, initial_epoch=initial_epoch)
    remote = tf.data.experimental.service.distribute(
        processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC, service=service, job_name=job
    )
    return stream.apply(remote).prefetch(tf.data.AUTOTUNE)
