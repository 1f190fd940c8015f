"""Builds the trainer of a preset: its network, loss and optimizer, and its discriminators if it has any."""

import dataclasses
import warnings
from collections.abc import Callable

import keras
import numpy as np

from ..errors import NewWeightsWarning, UsageError
from ..losses import build_loss
from ..models import build_model
from ..presets.settings import Preset
from .differentiation import ask_for_full_precision
from .discriminators import Adversary
from .optimizers import build_optimizer
from .step import Trainer


def build_trainer(
    recipe: Preset,
    seed: int,
    weights: list[np.ndarray] | None = None,
    *,
    replicas: int = 1,
    make: Callable[..., Trainer] = Trainer,
) -> Trainer:
    """Builds the trainer of a preset. Also sets Keras' random seed and its global dtype policy.

    Args:
        recipe: settings of the preset, as `presets.settings.read_preset` returns them.
        seed: seed of all initial weights.
        weights: arrays that replace the initial weights of the network. Most of them must have the network's shapes.
        replicas: number of devices that train together.
        make: constructor of the trainer. It receives the network, the loss, the optimizer, and keywords of `Trainer`.

    Raises:
        UsageError: `weights` do not fit the network.
    """
    ask_for_full_precision()
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_global_policy(recipe.training.dtype_policy)
    network = build_model(recipe.model.architecture, **recipe.model.config)
    if weights is not None:
        _begin_with(network, weights)
    adversary = None
    if recipe.training.adversarial is not None:
        fields = dataclasses.asdict(recipe.training.adversarial)
        del fields["start"]
        rate = recipe.training.optimizer.learning_rate
        adversary = Adversary(**fields, sample_rate=recipe.sample_rate, network_rate=rate, replicas=replicas)
    optimizer = build_optimizer(recipe.training.optimizer, replicas)
    momentum = recipe.training.optimizer.ema_momentum
    loss = build_loss([dataclasses.asdict(term) for term in recipe.training.loss], recipe.sample_rate)
    return make(network, loss, optimizer, momentum=momentum, adversary=adversary)


def _begin_with(network: keras.Model, weights: list[np.ndarray]) -> None:
    """Gives a new network the weights of another one.

    Two networks of one architecture with different frame lengths, such as the default preset and the live preset, have
    the same shapes in most of their arrays. The few arrays that do not fit keep their initial values.

    Raises:
        UsageError: the number of arrays differs, or most of them differ in shape.
    """
    pairs = list(zip(network.weights, weights, strict=False))
    fitting = [(variable, value) for variable, value in pairs if tuple(variable.shape) == value.shape]
    if len(network.weights) != len(weights) or 2 * len(fitting) < len(weights):
        raise UsageError(
            f"initial weights must fit the preset's network, which has {len(network.weights)} arrays; received"
            f" {len(weights)} arrays, {len(fitting)} of them with the right shape; use weights of a network of the"
            " same sizes"
        )
    if len(fitting) < len(weights):
        warnings.warn(
            f"{len(weights) - len(fitting)} of {len(weights)} arrays of the initial weights do not have the shapes of"
            " the preset's network; the network keeps its random values for these arrays",
            NewWeightsWarning,
            stacklevel=2,
        )
    for variable, value in fitting:
        variable.assign(value)
