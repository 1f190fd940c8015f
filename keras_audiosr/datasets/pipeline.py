"""Builds `tf.data` pipelines that turn pairs of files into batches of `(lossy, lossless)` windows.

Whole files are decoded in parallel, a few at a time, and cut into windows of mid, of side, or of a channel that is not
part of a pair. The pipeline handles windows in packets, because single windows would be too slow. The packets of
several files are interleaved and collected in a block, and batches are drawn from a block in random order. All random
numbers come from stateless generators and depend only on the seed and the epoch. A run can therefore stop after any
epoch and continue later with the same batches.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from ..annotations import StrPath
from ..errors import AudioFileError, ManifestError, UsageError
from ..presets.settings import WindowSettings
from .decode import decode_mid_side
from .plan import Plan, ReadSettings, make_plan, settings_of
from .shutdown import until_shutdown

# Number of decoded files whose windows are interleaved when shuffling, and of files that are decoded at the same time.
# Together they bound the memory.
_FILES_IN_FLIGHT = 8
_PARALLEL_FILES = min(8, os.cpu_count() or 1)
# Approximate number of samples, lossy and lossless each, in a packet, in a block, and in the prefetched batches.
_PACKET_SAMPLES = 2**17
_BLOCK_SAMPLES = 2**24
_READY_SAMPLES = 2**22
_FOREVER = np.iinfo(np.int64).max


@contextlib.contextmanager
def file_errors() -> Iterator[None]:
    """Turns TensorFlow's error about a file that could not be decoded back into the original `AudioFileError`.

    Example:
        >>> with file_errors():
        ...     model.fit(dataset)
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"AudioFileError: (.*)", error.message)
        if found is None:
            raise
        raise AudioFileError(found[1]) from error


def _fold(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    return tf.random.fold_in(seed, tf.cast(number, tf.int64))


def _random_order(count: tf.Tensor | int, seed: tf.Tensor) -> tf.Tensor:
    keys = tf.random.stateless_uniform([count], seed, minval=None, maxval=None, dtype=tf.int64)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)


def _packets(plan: Plan, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns one pass over the files: packets `(lossy, lossless)`, each a tensor `(windows, window_length)`."""
    windows, shuffle = plan.windows, plan.reading.shuffle
    row_length, window_length = plan.row_length, windows.window_length
    packet_size = max(1, _PACKET_SAMPLES // window_length)
    windows_table = tf.constant([plan.num_windows(pair) for pair in plan.pairs], tf.int64)
    channels_table = tf.constant([pair.channels for pair in plan.pairs], tf.int64)
    order_seed, cut_seed = _fold(seed, 0), _fold(seed, 1)

    def load(index: np.ndarray) -> list[np.ndarray]:
        pair = plan.pairs[int(index)]
        length = pair.length // row_length * row_length
        with until_shutdown:
            # The signals follow each other, cut into rows: (channels * time / row_length, row_length).
            return [
                np.ascontiguousarray(signals[:, :length]).reshape(-1, row_length)
                for signals in decode_mid_side(pair, plan.folder, plan.decoder, windows.undo_encoder_gain)
            ]

    def decode(index: tf.Tensor, visit: tf.Tensor) -> tuple[tf.Tensor, ...]:
        lossless, lossy = tf.numpy_function(load, [index], (tf.float32, tf.float32))
        return index, visit, tf.ensure_shape(lossless, (None, row_length)), tf.ensure_shape(lossy, (None, row_length))

    def cut(index: tf.Tensor, visit: tf.Tensor, lossless_rows: tf.Tensor, lossy_rows: tf.Tensor) -> tf.data.Dataset:
        num_windows, channels = windows_table[index], channels_table[index]
        total = num_windows * channels
        rows_a_channel = tf.shape(lossless_rows, tf.int64)[0] // channels
        order, size = tf.range(total), tf.constant(packet_size, tf.int64)
        if shuffle:
            file_seed = _fold(cut_seed, index)
            # Each visit takes a different share of the windows.
            order = _random_order(total, _fold(file_seed, 0))[visit :: windows.visits]
            # Packets have a different size for each file. Otherwise files of the same length would all end at once:
            # decoding would pause while they are read, and reading would pause while the next ones are decoded.
            size = tf.random.stateless_uniform(
                [], _fold(file_seed, 1), 1 + packet_size // 2, 1 + packet_size * 3 // 2, tf.int64
            )

        def packet(offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            numbers = order[offset : offset + size]
            first = numbers // num_windows * rows_a_channel + numbers % num_windows * (plan.hop_length // row_length)
            rows = first[:, None] + tf.range(window_length // row_length, dtype=tf.int64)
            lossy = tf.reshape(tf.gather(lossy_rows, rows), (-1, window_length))
            lossless = tf.reshape(tf.gather(lossless_rows, rows), (-1, window_length))
            if windows.min_level is not None:
                loud = tf.reduce_mean(tf.square(lossless), axis=1) >= 10.0 ** (windows.min_level / 10.0)
                lossy, lossless = tf.boolean_mask(lossy, loud), tf.boolean_mask(lossless, loud)
            return lossy, lossless

        return tf.data.Dataset.range(0, tf.size(order, tf.int64), size).map(packet)

    if shuffle:
        orders = [_random_order(len(plan.pairs), _fold(order_seed, visit)) for visit in range(windows.visits)]
        visits = np.repeat(np.arange(windows.visits), len(plan.pairs))
        files = tf.data.Dataset.from_tensor_slices((tf.concat(orders, axis=0), visits))
    else:
        files = tf.data.Dataset.range(len(plan.pairs)).map(lambda index: (index, tf.constant(0, tf.int64)))
    decoded = files.map(decode, num_parallel_calls=_PARALLEL_FILES, deterministic=True)
    packets = decoded.interleave(cut, cycle_length=_FILES_IN_FLIGHT if shuffle else 1, block_length=1)
    if windows.min_level is not None:
        packets = packets.filter(lambda lossy, lossless: tf.shape(lossy)[0] > 0)
    return packets


def batches(plan: Plan, epoch: tf.Tensor | int, pass_number: tf.Tensor | int) -> tf.data.Dataset:
    """Returns one pass over a plan's files: batches `(lossy, lossless)`, each a tensor `(batch, window_length, 1)`.

    Args:
        plan: the checked settings.
        epoch: number of the epoch, from 0.
        pass_number: number of the pass within the epoch, from 0. Together with the seed and the epoch it determines
            everything that is random.
    """
    windows, shuffle = plan.windows, plan.reading.shuffle
    pass_seed = _fold(_fold(tf.constant([plan.reading.seed, 0], tf.int64), epoch), pass_number)
    block_seed = _fold(pass_seed, 1)

    def draw(number: tf.Tensor | int, block: tf.Tensor) -> tf.data.Dataset:
        lossy, lossless = block
        count = tf.shape(lossy, tf.int64)[0]
        seed = _fold(block_seed, number)
        order = _random_order(count, _fold(seed, 0)) if shuffle else tf.range(count)
        factor = tf.ones([count])
        if windows.gain is not None:
            factor *= 10.0 ** (tf.random.stateless_uniform([count], _fold(seed, 1), *windows.gain) / 20.0)
        if windows.polarity:
            factor *= tf.where(tf.random.stateless_uniform([count], _fold(seed, 2)) < 0.5, -1.0, 1.0)

        if windows.lossless_share:
            whole = tf.random.stateless_uniform([count], _fold(seed, 3)) < windows.lossless_share
            lossy = tf.where(whole[:, None], lossless, lossy)

        def batch(offset: tf.Tensor) -> tuple[tf.Tensor, ...]:
            chosen = order[offset : offset + windows.batch_size]
            scale = tf.gather(factor, chosen)[:, None, None]
            return tuple(tf.gather(side, chosen)[..., None] * scale for side in (lossy, lossless))

        return tf.data.Dataset.range(0, count, windows.batch_size).map(batch)

    block_size = windows.batch_size
    if shuffle:
        block_size *= max(1, _BLOCK_SAMPLES // (windows.window_length * windows.batch_size))
    blocks = _packets(plan, _fold(pass_seed, 0)).rebatch(block_size).enumerate()
    if shuffle:
        blocks = blocks.prefetch(1)  # The next block is filled while batches are drawn from this one.
    return blocks.flat_map(draw)


def _ready(plan: Plan, dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.prefetch(max(2, _READY_SAMPLES // (plan.windows.window_length * plan.windows.batch_size)))


def build_dataset(
    manifest: StrPath,
    windows: WindowSettings | None = None,
    reading: ReadSettings | None = None,
    *,
    epoch: int = 0,
    drop_remainder: bool = False,
    **keywords: Any,
) -> tf.data.Dataset:
    """Returns one pass over a manifest's pairs, in batches of windows.

    A window is cut from one signal: mid, side, or a channel that is not part of a pair, such as mono
    (`decode.decode_mid_side`). The paper cuts windows of left and right instead. The side of music that is nearly mono
    is silent, and `min_level` leaves it out. Windows start at multiples of `hop_length`, and samples at the end of a
    file that do not fill a window are dropped. Memory does not grow with the corpus. At most `8 + cores` decoded files
    are in memory when shuffling, otherwise `1 + cores`; a minute of a stereo pair takes 42 MB. The windows take about
    400 MB.

    Args:
        manifest: path of a pair manifest, as `encode` writes it.
        windows: settings of the windows, such as a preset's `data`. When `None`, windows have 2,000 samples, and a
            batch has 32 of them.
        reading: settings that say which pairs are read and how. When `None`, all pairs at 44,100 Hz are read, in random
            order.
        epoch: number of the epoch, from 0. The same seed and epoch give the same batches; another epoch gives another
            order and augmentation.
        drop_remainder: whether to leave out the last batch if it is not full.
        **keywords: fields of `WindowSettings` (`window_length`, `batch_size`, `min_level`, `gain`, `polarity`,
            `lossless_share`, `visits`, `undo_encoder_gain`) and of `ReadSettings` (`split`, `codecs`, `sample_rate`,
            `hop_length`, `shuffle`, `seed`, `decoder`, `split_seed`, `split_fractions`), which override those of
            `windows` and `reading`.

    Returns:
        Dataset of `(lossy, lossless)`, float32 tensors `(batch, window_length, 1)`.

    Raises:
        ManifestError: the manifest cannot be read, or nothing in it fits the settings.
        UsageError: a keyword is unknown, or a value is out of its range.
        tf.errors.OpError: raised while iterating if a file is missing or damaged. The message names the file, and
            `file_errors` turns the error into an `AudioFileError`.

    Example:
        >>> for lossy, lossless in build_dataset("pairs/pairs.jsonl", split="train", gain=(-6, 0)):
        ...     print(lossy.shape, lossless.shape)
    """
    plan = make_plan(manifest, *settings_of(windows, reading, keywords))
    batch_size = plan.windows.batch_size
    dataset = batches(plan, epoch, 0)
    if drop_remainder:
        dataset = dataset.rebatch(batch_size, drop_remainder=True)
    if plan.windows.min_level is None:
        full, rest = divmod(plan.total_windows, batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(full + (rest > 0 and not drop_remainder)))
    return _ready(plan, dataset)


def build_training_stream(
    manifest: StrPath,
    steps_per_epoch: int,
    initial_epoch: int = 0,
    windows: WindowSettings | None = None,
    reading: ReadSettings | None = None,
    **keywords: Any,
) -> tf.data.Dataset:
    """Returns an endless stream of epochs, each of `steps_per_epoch` full batches.

    Epoch `k` starts with the windows of `build_dataset(..., epoch=k)`. If they fill fewer than `steps_per_epoch`
    batches, further passes in other orders follow. The batches of an epoch depend only on the seed and on its number,
    so a stream that begins with epoch `k` continues exactly like one that began earlier.

    Args:
        manifest: path of a pair manifest.
        steps_per_epoch: number of batches in an epoch.
        initial_epoch: number of the first epoch, from 0.
        windows, reading, **keywords: as for `build_dataset`.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`.

    Raises:
        ManifestError: as for `build_dataset`, or every window is below `min_level`.
        UsageError: as for `build_dataset`, or `steps_per_epoch` or `initial_epoch` is too small.
    """
    if steps_per_epoch < 1 or initial_epoch < 0:
        raise UsageError(
            "steps_per_epoch must be at least 1 and initial_epoch at least 0;"
            f" received {steps_per_epoch} and {initial_epoch}; correct them"
        )
    plan = make_plan(manifest, *settings_of(windows, reading, keywords))
    if plan.windows.min_level is not None:
        # Without any window, empty passes would follow each other forever.
        cut = dataclasses.replace(plan.windows.as_cut(), batch_size=1)
        if not any(True for _ in build_dataset(manifest, cut, plan.reading, shuffle=False).take(1)):
            raise ManifestError(
                f"at least one window must reach min_level, {cut.min_level} dB; all {plan.total_windows} are below;"
                " choose a lower level"
            )

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        passes = tf.data.Dataset.range(_FOREVER).flat_map(lambda number: batches(plan, epoch, number))
        return passes.rebatch(plan.windows.batch_size, drop_remainder=True).take(steps_per_epoch)

    return _ready(plan, tf.data.Dataset.range(initial_epoch, _FOREVER).flat_map(one_epoch))
