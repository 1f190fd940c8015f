"""One training step, which is the same under TensorFlow and JAX."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from .differentiation import compiled, gradients
from .discriminators import Adversary
from .sources import Batch


def per_example(loss: Any) -> Callable[[Any, Any, Any], Any]:
    """Turns a loss into a function of `(lossless, restored, cutoff)` that returns one value for each example.

    Args:
        loss: a `keras.losses.Loss`, or a function. It takes `y_true` and `y_pred`, and also `cutoff` if it can ignore
            frequencies above the cutoff.
    """
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    if "cutoff" in inspect.signature(function).parameters:
        return function
    return lambda lossless, restored, cutoff: function(lossless, restored)


class Trainer:
    """Trains a network step by step: holds the network, its optimizer, and the running average of its weights.

    Args:
        network: model `lossy (batch, time, 1)` -> `restored (batch, time, 1)`.
        loss: loss as `per_example` takes it.
        optimizer: optimizer of the network's weights, which also clips the gradients. Its learning rate is a plain
            number, which `train` sets.
        momentum: share of the old average that is kept in each step, 0 to 1. Step `n` keeps at most
            `(1 + n) / (10 + n)`, so that the average of a short run hardly contains the initial weights.
        adversary: discriminators, which take part in a step if `train` is called with `adversarial=True`.
        reduce: function that takes and returns the gradients and the logged values before the optimizer receives them.
            With several replicas it averages these over the replicas.
    """

    def __init__(
        self,
        network: keras.Model,
        loss: Any,
        optimizer: keras.optimizers.Optimizer,
        *,
        momentum: float = 0.999,
        adversary: Adversary | None = None,
        reduce: Callable[[list, dict], tuple[list, dict]] | None = None,
    ):
        self.network = network
        self.optimizer = optimizer
        self.momentum = momentum
        self.adversary = adversary
        self._loss = per_example(loss)
        self._reduce = reduce or (lambda slopes, logs: (slopes, logs))
        optimizer.build(network.trainable_variables)
        self.averages = [
            keras.Variable(_array(weight), trainable=False, name=f"average_{index}", aggregation="mean")
            for index, weight in enumerate(network.trainable_variables)
        ]
        self._train = {
            adversarial: self._compiled(functools.partial(self.step, adversarial=adversarial))
            for adversarial in (False, True)
        }
        self._test = compiled(self._evaluate, network.variables)

    @property
    def variables(self) -> list:
        """All variables that a run needs to resume, always in the same order."""
        second = [] if self.adversary is None else self.adversary.variables
        return [*self.network.variables, *self.optimizer.variables, *self.averages, *second]

    def _compiled(self, step: Callable) -> Callable[..., dict[str, Any]]:
        return compiled(step, self.variables)

    def _examples_loss(self, lossy: Any, lossless: Any, cutoff: Any, training: bool) -> tuple:
        restored = self.network(lossy, training=training)
        return self._loss(lossless, restored, cutoff), restored

    def step(self, lossy: Any, lossless: Any, cutoff: Any, adversarial: bool = False) -> dict[str, Any]:
        """Makes one step on a batch. `train` calls it compiled, and `tf.distribute` runs it on each replica."""
        adversary = self.adversary if adversarial else None
        steps = self.optimizer.iterations

        def objective() -> tuple:
            values, restored = self._examples_loss(lossy, lossless, cutoff, training=True)
            logs = {"loss": ops.mean(values) + sum(self.network.losses)}
            total = logs["loss"]
            if adversary is not None:
                hinge, features = adversary.network_losses(lossless, restored, cutoff, steps)
                total = total + adversary.weight * hinge + adversary.feature_weight * features
                logs |= {"adversarial": hinge, "features": features}
            return self.optimizer.scale_loss(total), logs, restored

        weights = self.network.trainable_variables
        (_, logs, restored), slopes = gradients(objective, weights, self.variables)
        slopes, logs = self._reduce(slopes, logs)
        if adversary is not None:
            logs = logs | self._teach(adversary, lossless, ops.stop_gradient(restored), cutoff)
        self.optimizer.apply(slopes, weights)
        self._average(weights)
        return logs

    def _teach(self, adversary: Adversary, lossless: Any, restored: Any, cutoff: Any) -> dict[str, Any]:
        """Trains the discriminators for one step on the lossless and the restored batch."""

        def objective() -> tuple:
            loss = adversary.own_loss(lossless, restored, cutoff, self.optimizer.iterations)
            return loss, {"discriminator": loss}

        (_, logs), slopes = gradients(objective, adversary.weights, self.variables)
        slopes, logs = self._reduce(slopes, logs)
        adversary.optimizer.apply(slopes, adversary.weights)
        return logs

    def _average(self, weights: Sequence) -> None:
        steps = ops.cast(self.optimizer.iterations, "float32")
        kept = ops.minimum(self.momentum, (1.0 + steps) / (10.0 + steps))
        for average, weight in zip(self.averages, weights, strict=True):
            share = ops.cast(kept, average.dtype)
            average.assign(share * average + (1.0 - share) * weight)

    def _evaluate(self, lossy: Any, lossless: Any, cutoff: Any) -> tuple:
        return self._examples_loss(lossy, lossless, cutoff, training=False)

    def train(self, batch: Batch, learning_rate: float, adversarial: bool = False) -> dict[str, Any]:
        """Makes one compiled training step.

        Args:
            batch: batch of a source.
            learning_rate: learning rate of the network's optimizer. That of the discriminators is proportional to it.
            adversarial: whether the discriminators take part and are trained.

        Returns:
            Scalar tensors, which are computed with the weights before the step. `loss` does not include the
            discriminators. If they take part, `adversarial` is their hinge loss for the network, `features` the feature
            matching loss, and `discriminator` their own loss.
        """
        self.optimizer.learning_rate = learning_rate
        if self.adversary is not None:
            self.adversary.optimizer.learning_rate = learning_rate * self.adversary.rate
        return self._train[adversarial](*self._placed(batch))

    @staticmethod
    def _placed(batch: Batch) -> Sequence:
        return [_tensor(part) for part in batch]

    def test(self, batch: Batch) -> tuple[Any, Any]:
        """Returns the loss of each example, `(batch,)`, and the restored batch, `(batch, time, 1)`."""
        return self._test(*map(_tensor, batch))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Replaces the network's weights by their running averages while the context lasts."""
        weights = self.network.trainable_variables
        raw = [_array(weight) for weight in weights]
        for weight, average in zip(weights, self.averages, strict=True):
            weight.assign(_array(average))
        try:
            yield
        finally:
            for weight, value in zip(weights, raw, strict=True):
                weight.assign(value)


def _tensor(values: Any) -> Any:
    return ops.convert_to_tensor(values, "float32")


def _array(variable: Any) -> np.ndarray:
    """Returns a copy, because the array that a backend returns may be the memory of the variable."""
    return np.array(variable.numpy())
