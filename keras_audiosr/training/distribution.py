"""Training on several devices and machines at once: `tf.distribute` strategies under Keras 3.

Keras 3 trains under `MirroredStrategy`, but its `fit` fails under `MultiWorkerMirroredStrategy`
(keras-team/keras, issue 20585), and under both it clips the gradients of each replica before it adds them
up, which is not what one device does with the whole batch. Here the loop is `training.loop.fit`, and every step that
of one device: each replica takes its slice of the batch, gradients are averaged before they are clipped, and all
replicas make the same step.
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
    """Whether this process keeps the run's folder; under `"multi_worker"` that is the first of the workers.

    Args:
        name: one of `STRATEGIES`, or `None`.

    Raises:
        UsageError: another name, or no usable `TF_CONFIG`.
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
    """Makes a strategy; under `"multi_worker"` waits for the other workers. To be called before any operation runs.

    Args:
        name: `"mirrored"` for all GPUs of this machine (its CPUs, where there is none); `"multi_worker"` for the
            machines that the environment variable `TF_CONFIG` lists, each running the same command; `None` for
            TensorFlow's default, one device.
    """
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def own_folder(name: str | None, out: Path) -> Iterator[Path]:
    """The folder that this worker writes to: the run's for the first worker, a throw-away copy of it for the others.

    All workers save, as the strategy asks; one of them is kept.
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
    """Says in one line that another worker is gone, whichever of TensorFlow's errors that comes as.

    Raises:
        AudioSRError: for an error of a collective operation.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.DeadlineExceededError) as error:  # fmt: skip
        raise AudioSRError(
            f"all workers must stay; one is lost: {error.message.splitlines()[0]}; start every worker again with the"
            " same command, the run resumes"
        ) from error


@lost_workers()
def agree(strategy: tf.distribute.Strategy, epoch: int) -> None:
    """Waits until all workers are here, and makes sure that they begin with the same epoch.

    Raises:
        UsageError: they do not.
    """
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        epochs = strategy.gather(tf.constant([epoch], tf.int64), axis=0).numpy().tolist()
        if len(set(epochs)) > 1:
            raise UsageError(
                f"all workers resume from one run's folder; theirs end at the epochs {epochs}; name a folder that"
                " all of them share"
            )


def share(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Deals every batch out to the replicas, in equal slices.

    Every worker reads the whole dataset and keeps its own slices: the batches are those of one worker.

    Args:
        strategy: of `connect`.
        dataset: batches, all of one size that the number of replicas divides.
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
    """Gives whole batches to the replicas, for batches that are small enough and different on every worker.

    Args:
        strategy: of `connect`; with one device the dataset stays as it is.
        dataset: batches of the size of a slice.
    """
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.distribute_datasets_from_function(lambda context: dataset)


class DistributedTrainer(Trainer):
    """A trainer whose steps run on all replicas of a strategy, each on its slice of the batch.

    Gradients are averaged before they are clipped, so that all replicas make the same step, that of one device.

    Args:
        strategy: of `connect`.
        network: made in `strategy.scope()`, in which this is made, too.
        loss: as `Trainer`.
        optimizer: its clipping thresholds divided by the number of replicas (`optimizers.build_optimizer`).
        **arguments: others of `Trainer`.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, network: keras.Model, loss: Any, optimizer: Any, **arguments: Any
    ):
        self._strategy = strategy
        super().__init__(network, loss, optimizer, reduce=self._mean, **arguments)

    def _compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def train(*batch: Any) -> dict[str, Any]:
            # The same on every replica.
            logs = self._strategy.run(step, args=batch)
            return {name: self._strategy.experimental_local_results(value)[0] for name, value in logs.items()}

        return tf.function(train, autograph=False)

    @staticmethod
    def _placed(batch: Any) -> Any:
        """As they are: an iterator of `share` or `take_turns` gives each replica its own."""
        return batch

    @staticmethod
    def _mean(slopes: list, logs: dict[str, tf.Tensor]) -> tuple[list, dict[str, tf.Tensor]]:
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [*slopes, *logs.values()])
        # The optimizer clips what it is given and adds it up over the replicas. All give the same n-th part of the
        # whole gradient, with an n-th of the clipping threshold: their sum is the whole gradient, clipped.
        slopes = [slope / context.num_replicas_in_sync for slope in means[: len(slopes)]]
        return slopes, dict(zip(logs, means[len(slopes) :], strict=True))
