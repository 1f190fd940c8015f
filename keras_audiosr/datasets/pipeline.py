"""Pairs of files -> `tf.data` batches of `(lossy, lossless)` windows.

Whole files are decoded in parallel, a few at a time, and cut into windows of mid, of side, or of a channel that is
not part of a pair. Windows travel in packets, never one by one: packets of several files are dealt round into a
block, and batches are drawn from a block in random order. Whatever is random follows from `(seed, epoch)` by
stateless generators, so nothing depends on what ran before: a run can stop after any epoch and go on.
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

# Decoded files whose windows are drawn in turn when shuffling; with those being decoded they bound the memory.
_FILES_IN_FLIGHT = 8
_PARALLEL_FILES = min(8, os.cpu_count() or 1)
# Samples, about, in a packet, in a block and in the finished batches kept ready; lossy and lossless each.
_PACKET_SAMPLES = 2**17
_BLOCK_SAMPLES = 2**24
_READY_SAMPLES = 2**22
_FOREVER = np.iinfo(np.int64).max


@contextlib.contextmanager
def file_errors() -> Iterator[None]:
    """Turns TensorFlow's error over a file that could not be decoded back into the `AudioFileError` it was.

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
    """One pass over the files: packets `(lossy, lossless)`, each `(windows, window_length)`."""
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
            # One signal after the other, in rows: (channels * time / row_length, row_length).
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
            # Another share of the windows at each visit.
            order = _random_order(total, _fold(file_seed, 0))[visit :: windows.visits]
            # Packets of another size for each file: files of one length would all end at once, decoding
            # would stand still while they last, and everything else while the next ones are decoded.
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
    """One pass over the files of a plan: batches `(lossy, lossless)`, each `(batch, window_length, 1)`."""
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
        blocks = blocks.prefetch(1)  # the next block fills while batches are drawn from this one
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
    """One pass over a manifest's pairs, as batches of windows of one signal.

    A signal is mid, side, or a channel that is not part of a pair, such as mono (`decode.decode_mid_side`). Each is
    cut by itself, where the paper cuts left and right. The side of music that is nearly mono is silence; `min_level`
    leaves it out. Windows start at multiples of `hop_length`; what is left at a file's end and fills no window is
    dropped. Memory does not grow with the corpus: at most `8 + cores` decoded files are held (shuffled), or `1 +
    cores` (in order), a minute of stereo pairs taking 42 MB, and some 400 MB of windows.

    Args:
        manifest: path of a pair manifest, as `encode` writes it.
        windows: what they are like, such as a preset's `data`; 2,000 samples each and 32 a batch when `None`.
        reading: which pairs are read and how; all of 44,100 Hz, in random order, when `None`.
        epoch: with the same seed the same one gives the same batches; another gives another order and augmentation.
        drop_remainder: leave out the last batch when it is not full.
        **keywords: fields of `WindowSettings` (`window_length`, `batch_size`, `min_level`, `gain`, `polarity`,
            `lossless_share`, `visits`, `undo_encoder_gain`) and of `ReadSettings` (`split`, `codecs`, `sample_rate`,
            `hop_length`, `shuffle`, `seed`, `decoder`, `split_seed`, `split_fractions`), instead of those above.

    Returns:
        Dataset of `(lossy, lossless)`, float32 tensors `(batch, window_length, 1)`.

    Raises:
        ManifestError: the manifest is unreadable, or holds nothing that fits the request.
        UsageError: an unknown keyword, or a value out of its range.
        tf.errors.OpError: while iterating, when a file is missing or damaged; its message names the file,
            and `file_errors` makes it an `AudioFileError`.

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
    """Epoch after epoch without end, each of `steps_per_epoch` full batches.

    Epoch `k` starts with the windows of `build_dataset(..., epoch=k)`; when they fill fewer than
    `steps_per_epoch` batches, further passes in other orders follow. What an epoch holds depends on
    `seed` and its number alone: a stream that begins at epoch `k` is the same as one that came there.

    Args:
        manifest: path of a pair manifest.
        steps_per_epoch: batches an epoch.
        initial_epoch: number of the first epoch, from 0.
        windows, reading, **keywords: as for `build_dataset`.

    Returns:
        Infinite dataset of `(lossy, lossless)`, float32 tensors `(batch_size, window_length, 1)`.

    Raises:
        ManifestError, UsageError: as `build_dataset`, and when every window is below `min_level`.
    """
    if steps_per_epoch < 1 or initial_epoch < 0:
        raise UsageError(
            "steps_per_epoch must be at least 1 and initial_epoch at least 0;"
            f" received {steps_per_epoch} and {initial_epoch}; correct them"
        )
    plan = make_plan(manifest, *settings_of(windows, reading, keywords))
    if plan.windows.min_level is not None:
        # Passes without a window would follow one another for ever.
        cut = dataclasses.replace(plan.windows.as_cut(), batch_size=1)
        if not any(True for _ in build_dataset(manifest, cut, plan.reading, shuffle=False).take(1)):
            raise ManifestError(
                f"some windows must reach min_level, {cut.min_level} dB; all {plan.total_windows} are below;"
                " take a lower level"
            )

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        passes = tf.data.Dataset.range(_FOREVER).flat_map(lambda number: batches(plan, epoch, number))
        return passes.rebatch(plan.windows.batch_size, drop_remainder=True).take(steps_per_epoch)

    return _ready(plan, tf.data.Dataset.range(initial_epoch, _FOREVER).flat_map(one_epoch))
