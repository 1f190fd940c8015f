"""Gets training windows from a tf.data service, whose workers read, shuffle and batch them on other machines.

The service starts from the shards that `window` wrote. Decoding is a Python function that exists only in the process
that made it, so the service's workers cannot call it ("could not find callback with key=pyfunc_0"). Everything after
the shards is a TensorFlow graph. The workers therefore need TensorFlow, but not this package.
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

# Number of shards whose windows are mixed, and number of samples in the shuffle buffer, in each of the workers.
_SHARDS_IN_FLIGHT = 8
_SHUFFLED_SAMPLES = 2**24
# Seconds to wait for a connection. A host that is being started needs some time.
_CONNECT_SECONDS = 30.0


def _reach(service: str) -> None:
    """Checks that a dispatcher listens, because TensorFlow itself would try for an hour without a message."""
    found = re.fullmatch(r"grpc://(.+):(\d+)", service)
    if found is None:
        raise UsageError(f"a data service is grpc://HOST:PORT; received {service!r}; give its dispatcher's address")
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the data service's dispatcher must listen; {service}: {error}; start it (docs/scale_out.md)"
        ) from error


def check_windows(folder: StrPath, manifest: StrPath, windows: WindowSettings, sample_rate: int) -> None:
    """Checks that a folder holds the training windows of a manifest, cut with a preset's settings.

    Args:
        folder: a folder that `window` wrote.
        manifest: path of the pair manifest of the training.
        windows: the preset's settings of windows.
        sample_rate: the preset's sample rate in Hz.

    Raises:
        ManifestError: the windows are from another manifest or were cut with other settings.
    """
    index = read_index(folder)
    if index["manifest_sha256"] != hashlib.sha256(Path(manifest).read_bytes()).hexdigest():
        raise ManifestError(
            f"windows must be made from the manifest of the training; {folder} was made from another than {manifest};"
            f" run 'keras-audiosr window' on {manifest}"
        )
    cut = ("window_length", "min_level", "undo_encoder_gain")
    expected = {name: getattr(windows, name) for name in cut} | {"sample_rate": sample_rate, "split": "train"}
    arguments = {"window_length": index["window_length"], **index["arguments"]}
    wrong = [
        f"{name} {arguments.get(name)}, not {value}" for name, value in expected.items() if arguments.get(name) != value
    ]
    if wrong:
        raise ManifestError(
            f"windows must be cut with the preset's settings; {folder} has {', '.join(wrong)}; run 'keras-audiosr"
            " window' with the preset's values"
        )


def build_window_stream(
    folder: StrPath, windows: WindowSettings, *, seed: int = 0, initial_epoch: int = 0
) -> tf.data.Dataset:
    """Returns the windows of a folder as an endless stream in random order, as one TensorFlow graph.

    Every shard is read once in every pass. The windows of a shard and their augmentation depend only on `seed`,
    `initial_epoch` and the shard's turn, not on the worker that reads it. The order in which batches arrive does depend
    on the workers.

    Args:
        folder: a folder that `window` wrote.
        windows: settings of batches and augmentation. The settings of the cut are in the folder.
        seed, initial_epoch: a change of either gives another order and augmentation.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`.
    """
    index = read_index(folder)
    batch_size = windows.batch_size
    # Paths are absolute, because the service's workers may run in other folders.
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

    # The service distributes these numbers to its workers.
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
    """Returns the stream of `build_window_stream`, prepared by the workers of a tf.data service.

    Args:
        service: address of the dispatcher, `grpc://HOST:PORT`.
        folder: the folder that `window --split train` wrote for `manifest`. The workers must find it at the same path.
        manifest: path of the pair manifest of the training.
        windows: a preset's settings. The windows must have been cut with them.
        sample_rate: the preset's sample rate in Hz.
        job: name of a job. Processes that use the same name share its batches; with `None` this process gets all.
        seed, initial_epoch: as for `build_window_stream`.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`. Their order is not
        reproducible, because batches come from whichever worker has one.

    Raises:
        UsageError: no dispatcher listens at `service`.
        ManifestError: the windows are from another manifest or were cut with other settings.
    """
    _reach(service)
    check_windows(folder, manifest, windows, sample_rate)
    stream = build_window_stream(folder, windows, seed=seed, initial_epoch=initial_epoch)
    remote = tf.data.experimental.service.distribute(
        processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC, service=service, job_name=job
    )
    return stream.apply(remote).prefetch(tf.data.AUTOTUNE)
