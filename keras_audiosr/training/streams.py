"""Sources of windows from `tf.data`: the pairs of a manifest, or shards, read here or by a tf.data service."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..datasets.pipeline import build_dataset, build_training_stream, file_errors
from ..datasets.plan import ReadSettings
from ..datasets.service import build_served_stream, build_window_stream, check_windows
from ..presets.settings import Preset
from . import distribution
from .sources import Batch, Epochs


def with_cutoff(stream: tf.data.Dataset, sample_rate: int) -> tf.data.Dataset:
    """Adds a cutoff to batches `(lossy, lossless)`: half the sample rate, because no lower one is recorded for them."""
    return stream.map(lambda lossy, lossless: (lossy, lossless, tf.fill([tf.shape(lossy)[0]], sample_rate / 2)))


def held_out_batches(recipe: Preset, manifest: Path, seed: int) -> list[Batch]:
    """Returns full batches from the validation split, at most the preset's `validation_steps`."""
    rate = recipe.sample_rate
    reading = ReadSettings(split="validation", sample_rate=rate, seed=seed)
    found = build_dataset(manifest, recipe.data.as_cut(), reading, drop_remainder=True)
    with file_errors():
        batches = found.take(recipe.training.validation_steps).as_numpy_iterator()
        return [(*batch, np.full(len(batch[0]), rate / 2, np.float32)) for batch in batches]


def training_source(
    recipe: Preset,
    steps_per_epoch: int,
    manifest: Path,
    seed: int,
    strategy: Any,
    out: Path,
    data_service: str | None,
    folder: Any,
) -> Epochs:
    """Returns the source of training windows: the pairs of a manifest, or shards, read here or by a tf.data service.

    Args:
        recipe: settings of the preset.
        steps_per_epoch: number of batches in an epoch.
        manifest: path of the pair manifest.
        seed: seed of the order of the windows and their augmentation.
        strategy: strategy that `distribution.connect` returned.
        out: the run's folder. A tf.data service recognizes the workers of one run by its path.
        data_service: address of the dispatcher of a tf.data service, or `None`.
        folder: folder of the shards that `window` wrote, or `None` to decode the pairs.

    Raises:
        ManifestError: the shards do not fit this manifest and preset.
    """
    data, rate, replicas = recipe.data, recipe.sample_rate, strategy.num_replicas_in_sync
    reading = ReadSettings(split="train", sample_rate=rate, seed=seed)

    def pairs(epoch: int) -> tf.data.Dataset:
        stream = with_cutoff(build_training_stream(manifest, steps_per_epoch, epoch, data, reading), rate)
        return stream if replicas == 1 else distribution.share(strategy, stream)

    def served(epoch: int, service: str) -> tf.data.Dataset:
        slices = dataclasses.replace(data, batch_size=data.batch_size // replicas)
        # The workers of one run name the same job, so that they share what the service prepares.
        job = f"{out.absolute()} from epoch {epoch}"
        where = (service, folder, manifest)
        stream = build_served_stream(*where, slices, rate, job=job, seed=seed, initial_epoch=epoch)
        return distribution.take_turns(strategy, with_cutoff(stream, rate))

    def shards(epoch: int) -> tf.data.Dataset:
        stream = with_cutoff(build_window_stream(folder, data, seed=seed, initial_epoch=epoch), rate)
        stream = stream.prefetch(tf.data.AUTOTUNE)
        return stream if replicas == 1 else distribution.share(strategy, stream)

    if folder is None:
        return Epochs(_begun(strategy, pairs), steps_per_epoch)
    if data_service is not None:
        return Epochs(_begun(strategy, functools.partial(served, service=data_service)), steps_per_epoch)
    check_windows(folder, manifest, data, rate)
    # Each epoch begins a new stream, so that the seed and its number alone decide what it contains.
    return Epochs(_begun(strategy, shards), steps_per_epoch, anew=True)


def _begun(strategy: Any, stream: Callable[[int], Any]) -> Callable[[int], Iterator[Batch]]:
    def begin(epoch: int) -> Iterator[Batch]:
        distribution.agree(strategy, epoch)
        return iter(stream(epoch))

    return begin
