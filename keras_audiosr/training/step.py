"""One step of training, the same under TensorFlow and under JAX."""

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
    """A loss as a function of `(lossless, restored, cutoff)` with one value an example.

    Args:
        loss: a `keras.losses.Loss`, or a function. Either takes `y_true` and `y_pred`, and `cutoff` where it can keep
            to what lies below that.
    """
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    if "cutoff" in inspect.signature(function).parameters:
        return function
    return lambda lossless, restored, cutoff: function(lossless, restored)


class Trainer:
    """A network, its optimizer, and the running average of its weights: what one step changes.

    Args:
        network: `lossy (batch, time, 1)` -> `restored (batch, time, 1)`.
        loss: as `per_example` takes it.
        optimizer: of the network's weights. It clips; its learning rate is a plain number, which `train` sets.
        momentum: share of the old average that is kept in each step, 0 to 1. Step `n` keeps `(1 + n) / (10 + n)` at
            most, so that the average of a short run does not hold the weights that it began with.
        adversary: discriminators, which take part in the steps that ask for them.
        reduce: takes and returns gradients, and what is logged, before the optimizer has them: where there are
            replicas, theirs become those of the whole batch.
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
        """All that a run needs to go on, in an order that stays."""
        second = [] if self.adversary is None else self.adversary.variables
        return [*self.network.variables, *self.optimizer.variables, *self.averages, *second]

    def _compiled(self, step: Callable) -> Callable[..., dict[str, Any]]:
        return compiled(step, self.variables)

    def _examples_loss(self, lossy: Any, lossless: Any, cutoff: Any, training: bool) -> tuple:
        restored = self.network(lossy, training=training)
        return self._loss(lossless, restored, cutoff), restored

    def step(self, lossy: Any, lossless: Any, cutoff: Any, adversarial: bool = False) -> dict[str, Any]:
        """One step on a batch, before it is compiled: what `tf.distribute` runs on each replica."""
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
        """The discriminators' step, on what the network made of the batch."""

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
        """One step.

        Args:
            batch: of a source.
            learning_rate: of the network's optimizer; the discriminators' follows it.
            adversarial: whether the discriminators take part, and learn.

        Returns:
            Scalar tensors, of the weights before the step: `loss`, without what discriminators ask for; and, where they
            take part, `adversarial` and `features`, what they ask of the network, and `discriminator`, their own loss.
        """
        self.optimizer.learning_rate = learning_rate
        if self.adversary is not None:
            self.adversary.optimizer.learning_rate = learning_rate * self.adversary.rate
        return self._train[adversarial](*self._placed(batch))

    @staticmethod
    def _placed(batch: Batch) -> Sequence:
        return [_tensor(part) for part in batch]

    def test(self, batch: Batch) -> tuple[Any, Any]:
        """The loss of each example `(batch,)`, and what the network makes of them."""
        return self._test(*map(_tensor, batch))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """While it lasts, the network has the averages of its weights for weights."""
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
    """A copy: what a backend returns may be the variable's own memory."""
    return np.array(variable.numpy())
