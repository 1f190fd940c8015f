"""The two kinds of training run: on pairs that were made before, and on a pool that is filled during training."""

import dataclasses
import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..presets.settings import Preset
from ..processes.partial_files import write_json
from .limits import Limit
from .sources import Batch, Source

# Number of clips that TensorBoard shows after every epoch.
_NUM_CLIPS = 4
# Size of a pool in bytes, and niceness of the processes that fill it, so that the training process has priority.
_POOL_BYTES = 2**31
_NICE = 10


@dataclasses.dataclass(frozen=True)
class Job:
    """A training run before it begins.

    Attributes:
        preset: the preset as JSON, for the file `preset.json` of the run.
        recipe: the same preset as checked settings.
        limit: length of the run.
        out: the run's folder.
        seed: seed of the initial weights, the windows and their order.
        weights: weights that the network begins with; random ones when `None`.
        verbose: above 0, a line is printed after each epoch.
    """

    preset: dict[str, Any]
    recipe: Preset
    limit: Limit
    out: Path
    seed: int
    weights: list[np.ndarray] | None
    verbose: int


def train_on_pool(job: Job, music: Path) -> list[dict[str, Any]]:
    """Trains on windows that processes make during training from a catalog of music. Returns the history.

    Args:
        job: the run.
        music: catalog or collection, as `pooled.open_collection` takes it.
    """
    from .held_out import held_out_batches
    from .pool import PoolSource
    from .pooled import open_collection, running_pool

    data = job.recipe.data
    collection = open_collection(music, job.out / "music", job.recipe.sample_rate)
    held_out = held_out_batches(collection, data, job.out / "held_out.npz", job.recipe.training.validation_steps)
    filling = {
        "slots": _POOL_BYTES // (8 * data.window_length),
        "producers": max(1, (os.cpu_count() or 1) - 3),
        "nice": _NICE,
        "seed": job.seed,
    }
    with running_pool(collection, data, job.out, **filling) as (pool, making):
        # Keras is imported only now. This takes seconds, in which the processes already make windows.
        from .build import build_trainer

        trainer = build_trainer(job.recipe, job.seed, job.weights)
        source = PoolSource(pool, data, job.limit.steps_per_epoch, job.seed, making.check)
        return _train(job, trainer, source, held_out, job.out)


def train_on_pairs(
    job: Job, manifest: Path, strategy_name: str | None, data_service: str | None, windows: Path | None
) -> list[dict[str, Any]]:
    """Trains on the pairs of a manifest, or on windows that were cut from them. Returns the history.

    Args:
        job: the run.
        manifest: path of the pair manifest.
        strategy_name: as `distribution.connect` takes it.
        data_service, windows: as `streams.training_source` takes them.
    """
    import tensorflow as tf

    from ..datasets.pipeline import file_errors
    from . import distribution
    from .build import build_trainer
    from .step import Trainer
    from .streams import held_out_batches, training_source

    batch_size = job.recipe.data.batch_size
    # Every run must give the same weights, so no kernel may add numbers in the order in which its threads finish.
    tf.config.experimental.enable_op_determinism()
    strategy = distribution.connect(strategy_name)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(
            f"a batch must divide into equal slices; {batch_size} windows do not divide into {replicas} slices; change"
            " batch_size in the preset"
        )
    with strategy.scope():
        make = Trainer if strategy_name is None else functools.partial(distribution.DistributedTrainer, strategy)
        trainer = build_trainer(job.recipe, job.seed, job.weights, replicas=replicas, make=make)
    held_out = held_out_batches(job.recipe, manifest, job.seed)
    if not held_out:
        raise UsageError(
            f"the validation split must fill a batch of {batch_size} windows; the pairs of {manifest} do not; add"
            " albums, or lower batch_size in the preset"
        )
    source = training_source(
        job.recipe, job.limit.steps_per_epoch, manifest, job.seed, strategy, job.out, data_service, windows
    )
    with (
        distribution.own_folder(strategy_name, job.out) as folder,
        file_errors(),
        distribution.lost_workers(),
        strategy.scope(),
    ):
        return _train(job, trainer, source, held_out, folder)


def _train(job: Job, trainer: Any, source: Source, held_out: list[Batch], folder: Path) -> list[dict[str, Any]]:
    from ..measures.validation import validation_metrics
    from .callbacks import ClipSummaries, History, ScalarSummaries
    from .run import run

    write_json(folder / "preset.json", job.preset)
    callbacks: list[Any] = [History(folder / "history.csv")]
    if importlib.util.find_spec("tensorflow"):  # it may be missing where JAX is used
        lossy, lossless = (np.concatenate([batch[side] for batch in held_out])[:_NUM_CLIPS] for side in (0, 1))
        tensorboard = folder / "tensorboard"
        callbacks.append(ScalarSummaries(tensorboard))
        callbacks.append(ClipSummaries(tensorboard / "clips", lossy, lossless, job.recipe.sample_rate))
    adversarial, patience = job.recipe.training.adversarial, job.recipe.training.patience
    return run(
        trainer,
        source,
        held_out,
        folder,
        limit=job.limit,
        optimizer=job.recipe.training.optimizer,
        adversarial_from=1.0 if adversarial is None else adversarial.start,
        patience=None if job.limit.minutes or adversarial else patience,
        callbacks=callbacks,
        metrics=validation_metrics(job.recipe.sample_rate),
        verbose=job.verbose,
    )
