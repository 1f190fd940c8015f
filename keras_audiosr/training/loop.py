"""The training loop: epochs of steps, an evaluation on held-out windows after each epoch, and Keras callbacks."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..errors import AudioSRError
from ..presets.settings import OptimizerSettings
from .limits import Clock, Limit, learning_rate
from .sources import Batch, Source
from .step import Trainer

# Number of steps after which their losses are read. Reading them after every step would make the device wait.
_STEPS_AHEAD = 20


def _finite(logs: list[dict[str, Any]], first: int) -> list[dict[str, float]]:
    """Returns the logged values of some steps as floats. `first` is the number of the first step in the epoch.

    Raises:
        AudioSRError: a value is not finite.
    """
    numbers = [{name: float(value) for name, value in entry.items()} for entry in logs]
    for step, entry in enumerate(numbers, first):
        for name, value in entry.items():
            if not math.isfinite(value):
                raise AudioSRError(
                    f"each loss must stay finite; {name!r} became {value} at step {step} of this epoch; the last good"
                    " checkpoint is kept; lower learning_rate or clip_norm in the preset, and train into a new folder"
                )
    return numbers


def _train_epoch(
    trainer: Trainer,
    batches: Iterator[Batch],
    first: int,
    limit: Limit,
    clock: Clock,
    optimizer: OptimizerSettings,
    adversarial_from: float,
) -> tuple[dict[str, float], int, float]:
    """Makes the steps of one epoch. Returns their mean values, the number of steps, and the last learning rate."""
    found: list[dict[str, float]] = []
    waiting: list[dict[str, Any]] = []
    rate = math.nan
    for step in range(first, first + limit.steps_per_epoch):
        share = limit.share(step, clock.seconds)
        if share >= 1.0:
            break
        rate = learning_rate(optimizer, step, share)
        waiting.append(trainer.train(next(batches), rate, adversarial=share >= adversarial_from))
        if len(waiting) == _STEPS_AHEAD:
            found += _finite(waiting, len(found))
            waiting = []
    found += _finite(waiting, len(found))
    # Discriminators may have taken part in only some of the steps.
    names = dict.fromkeys(name for entry in found for name in entry)
    means = {name: float(np.mean([entry[name] for entry in found if name in entry])) for name in names}
    return means, len(found), rate


def validate(trainer: Trainer, held_out: Iterable[Batch], metrics: Sequence[keras.metrics.Metric]) -> dict[str, float]:
    """Returns the mean loss and the metrics of held-out windows, under names that begin with `val_`."""
    losses: list[np.ndarray] = []
    for metric in metrics:
        metric.reset_state()
    for batch in held_out:
        values, restored = trainer.test(batch)
        losses.append(ops.convert_to_numpy(values))
        for metric in metrics:
            metric.update_state(ops.convert_to_tensor(batch[1]), restored)
    return {"val_loss": float(np.mean(np.concatenate(losses)))} | {
        f"val_{metric.name}": float(metric.result()) for metric in metrics
    }


def fit(
    trainer: Trainer,
    source: Source,
    held_out: Iterable[Batch],
    *,
    limit: Limit,
    optimizer: OptimizerSettings,
    adversarial_from: float = 1.0,
    callbacks: Sequence[keras.callbacks.Callback],
    metrics: Sequence[keras.metrics.Metric] = (),
    clock: Clock | None = None,
    initial_epoch: int = 0,
    verbose: int = 0,
) -> None:
    """Trains until the limit, or until a callback sets `stop_training` on the network.

    Callbacks are called at the beginning and the end of the training and of each epoch. When they are called at the end
    of an epoch, the network's weights are replaced by their running averages.

    Args:
        trainer: trainer with the network.
        source: source of the training windows.
        held_out: batches for the evaluation after each epoch; always the same.
        limit: length of the run.
        optimizer: optimizer settings of a preset, for `limits.learning_rate`.
        adversarial_from: share of the run, 0 to 1, after which the trainer's discriminators take part.
        callbacks: callbacks, as `keras.Model.fit` takes them. Only the four calls above are made.
        metrics: metrics of the held-out windows.
        clock: clock with the seconds that the run has taken; a new one when `None`.
        initial_epoch: the epoch to begin with.
        verbose: above 0, a line is printed after each epoch.

    Raises:
        AudioSRError: a loss is not finite.
    """
    network, clock = trainer.network, clock or Clock()
    calls = keras.callbacks.CallbackList(list(callbacks), model=network)
    network.stop_training = False
    calls.on_train_begin()
    clock.start()
    logs: dict[str, float] = {}
    step = initial_epoch * limit.steps_per_epoch
    for epoch in itertools.count(initial_epoch):
        if network.stop_training or limit.share(step, clock.seconds) >= 1.0:
            break
        calls.on_epoch_begin(epoch)
        logs, steps, rate = _train_epoch(trainer, source.epoch(epoch), step, limit, clock, optimizer, adversarial_from)
        step += steps
        with trainer.averaged():
            logs |= {"learning_rate": rate} | validate(trainer, held_out, metrics)
            if limit.minutes is not None:
                logs |= {"step": step, "seconds": clock.seconds}
            calls.on_epoch_end(epoch, logs)
        if verbose:
            print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {value:.4g}" for name, value in logs.items()), flush=True)
    calls.on_train_end(logs)
