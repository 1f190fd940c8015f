"""Training on several devices and machines at once: `tf.distribute` strategies under Keras 3.

Keras 3 trains under `MirroredStrategy`, but its `fit` fails under `MultiWorkerMirroredStrategy` (keras-team/keras,
issue 20585). Under both it clips the gradients of each replica before it adds them up, which differs from what one
device does with the whole batch. The package therefore uses its own loop (`training.loop.fit`), in which every step
equals that of one device: each replica takes its slice of the batch, gradients are averaged before they are clipped,
and all replicas make the same step.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..errors import AudioSRError, UsageError
from .step import Trainer

__all__ = [
    "STRATEGIES",
    "DistributedTrainer",
    "agree",
    "connect",
    "is_chief",
    "lost_workers",
    "own_folder",
    "share",
    "take_turns",
]

STRATEGIES = ("mirrored", "multi_worker")


def is_chief(name: str | None) -> bool:
    """Returns whether this process keeps the run's folder. Under `"multi_worker"` only the first worker does.

    Args:
        name: one of `STRATEGIES`, or `None`.

    Raises:
        UsageError: `name` is unknown, or `TF_CONFIG` is missing or not valid.
    """
    if name not in (None, *STRATEGIES):
        raise UsageError(f"strategy must be one of {', '.join(STRATEGIES)}; received {name!r}; use one of these")
    if name != "multi_worker":
        return True
    given = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(given)
        cluster, task = config["cluster"], (config["task"]["type"], int(config["task"]["index"]))
        cluster[task[0]][task[1]]
    except (ValueError, KeyError, TypeError, IndexError):
        raise UsageError(
            f"multi_worker needs TF_CONFIG with the cluster and this worker's task; received {given!r}; set it to"
            ' {"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
        ) from None
    return task == ("chief" if "chief" in cluster else "worker", 0)


def connect(name: str | None) -> tf.distribute.Strategy:
    """Makes a strategy, and under `"multi_worker"` waits for the other workers.

    This function must be called before any TensorFlow operation runs.

    Args:
        name: `"mirrored"` for all GPUs of this machine (its CPUs if it has none); `"multi_worker"` for the machines
            that the environment variable `TF_CONFIG` lists, all of which run the same command; `None` for
            TensorFlow's default, which is one device.
    """
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def own_folder(name: str | None, out: Path) -> Iterator[Path]:
    """Yields the folder that this worker writes to: the run's folder, or a temporary one with a copy of its state.

    The strategy requires that all workers save. Only what the first worker saves is kept.
    """
    if is_chief(name):
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="keras-audiosr-worker-") as folder:
        copy = Path(folder)
        if (out / "state").is_dir():
            shutil.copytree(out / "state", copy / "state")
        yield copy


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
    """Turns TensorFlow's various errors about a lost worker into one error with a message of one line.

    Raises:
        AudioSRError: a collective operation failed.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.DeadlineExceededError) as error:  # fmt: skip
        raise AudioSRError(
            f"all workers must keep running; one is lost: {error.message.splitlines()[0]}; start every worker again"
            " with the same command to resume the run"
        ) from error


@lost_workers()
def agree(strategy: tf.distribute.Strategy, epoch: int) -> None:
    """Waits for all workers, and checks that they begin with the same epoch.

    Raises:
        UsageError: the workers' epochs differ.
    """
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        epochs = strategy.gather(tf.constant([epoch], tf.int64), axis=0).numpy().tolist()
        if len(set(epochs)) > 1:
            raise UsageError(
                f"all workers must resume from the same folder; their folders are at the epochs {epochs}; name a folder"
                " that all of them share"
            )


def share(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Divides every batch into equal slices, one for each replica.

    Every worker reads the whole dataset and keeps its own slices, so the batches are those of a single worker.

    Args:
        strategy: strategy that `connect` returned.
        dataset: batches of one size, which must be a multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync

    def local(context: tf.distribute.InputContext) -> tf.data.Dataset:
        mine = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * mine

        def cut(*batch: tf.Tensor) -> tf.data.Dataset:
            slices = tuple(tf.stack(tf.split(side, replicas)[first : first + mine]) for side in batch)
            return tf.data.Dataset.from_tensor_slices(slices)

        return dataset.flat_map(cut).prefetch(2 * mine)

    return strategy.distribute_datasets_from_function(local)


def take_turns(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    """Gives whole batches to the replicas, for datasets that differ on every worker.

    Args:
        strategy: strategy that `connect` returned. With one replica the dataset is returned unchanged.
        dataset: batches, each of the size of one replica's slice.
    """
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.distribute_datasets_from_function(lambda context: dataset)


class DistributedTrainer(Trainer):
    """A trainer whose steps run on all replicas of a strategy, each on its slice of the batch.

    Gradients are averaged before they are clipped, so that all replicas make the same step as one device.

    Args:
        strategy: strategy that `connect` returned.
        network: network that was made in `strategy.scope()`. The trainer must be made there, too.
        loss: as in `Trainer`.
        optimizer: optimizer whose clipping thresholds are divided by the number of replicas
            (`optimizers.build_optimizer`).
        **arguments: other keywords of `Trainer`.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, network: keras.Model, loss: Any, optimizer: Any, **arguments: Any
    ):
        self._strategy = strategy
        super().__init__(network, loss, optimizer, reduce=self._mean, **arguments)

    def _compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def train(*batch: Any) -> dict[str, Any]:
            # The values are the same on every replica, so those of the first one are returned.
            logs = self._strategy.run(step, args=batch)
            return {name: self._strategy.experimental_local_results(value)[0] for name, value in logs.items()}

        return tf.function(train, autograph=False)

    @staticmethod
    def _placed(batch: Any) -> Any:
        """Returns the batch unchanged, because `share` and `take_turns` already place its parts on the replicas."""
        return batch

    @staticmethod
    def _mean(slopes: list, logs: dict[str, tf.Tensor]) -> tuple[list, dict[str, tf.Tensor]]:
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [*slopes, *logs.values()])
        # On each replica the optimizer clips the gradient, and then it adds the results up. Each of the n replicas
        # therefore passes 1/n of the mean gradient, clipped at 1/n of the threshold. The sum is the clipped mean.
        slopes = [slope / context.num_replicas_in_sync for slope in means[: len(slopes)]]
        return slopes, dict(zip(logs, means[len(slopes) :], strict=True))
