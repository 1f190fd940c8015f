"""Training on several devices and machines at once: `tf.distribute` strategies under Keras 3.

Keras 3 trains under `MirroredStrategy`, but its `fit` fails under `MultiWorkerMirroredStrategy`
(keras-team/keras, issue 20585), and under both it clips the gradients of each replica before it adds them
up, which is not what one device does with the whole batch. So the loop is written out here, with the
arguments of `keras.Model.fit` and the same callbacks. Every step is that of one device: each replica takes
its slice of the batch, gradients are averaged before they are clipped, and all replicas make the same step.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from .errors import AudioSRError, UsageError

__all__ = ["STRATEGIES", "agree", "connect", "fit", "is_chief", "own_folder", "share", "take_turns"]

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
def _lost_workers() -> Iterator[None]:
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


@_lost_workers()
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


def take_turns(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset):
    """Gives whole batches to the replicas, for batches that are small enough and different on every worker.

    Args:
        strategy: of `connect`; with one device the dataset stays as it is.
        dataset: batches of the size of a slice.
    """
    if strategy.num_replicas_in_sync == 1:
        return dataset
    return strategy.distribute_datasets_from_function(lambda context: dataset)


def _train_step(model: keras.Model):
    """One step of one replica on its slice; returns the loss of the whole batch."""

    def step(lossy: tf.Tensor, lossless: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            restored = model(lossy, training=True)
            # Keras has divided it by the number of replicas: their sum is the loss of the whole batch.
            share_of_loss = model.compute_loss(lossy, lossless, restored, training=True)
            scaled = model.optimizer.scale_loss(share_of_loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        context = tf.distribute.get_replica_context()
        # The optimizer clips what it is given and adds it up over the replicas. All give the same n-th part of the
        # whole gradient, with an n-th of the clipping threshold: their sum is the whole gradient, clipped.
        *gradients, share_of_loss = context.all_reduce(tf.distribute.ReduceOp.MEAN, [*gradients, share_of_loss])
        model.optimizer.apply(gradients, model.trainable_variables)
        loss = share_of_loss * context.num_replicas_in_sync
        _update_metrics(model, loss, lossy, lossless, restored)
        return loss

    return step


def _test_step(model: keras.Model):

    def step(lossy: tf.Tensor, lossless: tf.Tensor) -> None:
        restored = model(lossy, training=False)
        share_of_loss = model.compute_loss(lossy, lossless, restored, training=False)
        loss = share_of_loss * tf.distribute.get_replica_context().num_replicas_in_sync
        _update_metrics(model, loss, lossy, lossless, restored)

    return step


def _update_metrics(model: keras.Model, loss, lossy, lossless, restored) -> None:
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=tf.shape(lossy)[0])
    model.compute_metrics(lossy, lossless, restored)


@_lost_workers()
def fit(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    stream: tf.data.Dataset,
    *,
    validation_data: tf.data.Dataset,
    epochs: int,
    initial_epoch: int,
    steps_per_epoch: int,
    callbacks: list[keras.callbacks.Callback],
    verbose: int = 0,
) -> None:
    """Trains as `keras.Model.fit` does, on all replicas of a strategy.

    Args:
        strategy: of `connect`.
        model: made and compiled in `strategy.scope()`, its optimizer's clipping thresholds divided by the
            number of replicas (`optimizers.build_optimizer`).
        stream: infinite; batches of one size, or what `take_turns` made of a part of them.
        validation_data: batches of one size and of known number.
        epochs, initial_epoch, steps_per_epoch, callbacks, verbose: as in `keras.Model.fit`.
    """

    def results() -> dict[str, float]:
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    train_step, test_step = _train_step(model), _test_step(model)

    @tf.function
    def train(batch):
        # The same on every replica.
        return strategy.experimental_local_results(strategy.run(train_step, args=batch))[0]

    @tf.function
    def test(batch):
        strategy.run(test_step, args=batch)

    if not isinstance(stream, tf.distribute.DistributedDataset):
        stream = share(strategy, stream)
    held_out, num_held_out = share(strategy, validation_data), int(validation_data.cardinality())
    with strategy.scope():
        calls = keras.callbacks.CallbackList(
            callbacks, add_progbar=verbose > 0, verbose=verbose, epochs=epochs, steps=steps_per_epoch, model=model
        )
        model.stop_training = False
        calls.on_train_begin()
        batches = iter(stream)
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            calls.on_epoch_begin(epoch)
            for step in range(steps_per_epoch):
                calls.on_train_batch_begin(step)
                calls.on_train_batch_end(step, {"loss": float(train(next(batches)))})
            logs = results()
            model.reset_metrics()
            calls.on_test_begin()
            validation = iter(held_out)
            for _ in range(num_held_out):
                test(next(validation))
            found = results()
            calls.on_test_end(found)
            logs |= {f"val_{name}": value for name, value in found.items()}
            calls.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        calls.on_train_end(logs)
