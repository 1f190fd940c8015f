"""A preset's trainer: its network, loss and optimizer, and its discriminators where it has some."""

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
    """A trainer before its first step.

    Args:
        recipe: a preset's settings, as `presets.settings.read_preset` reads them.
        seed: of the first weights.
        weights: to begin with instead, of a network most of whose arrays have the same shapes.
        replicas: devices that train together.
        make: of a network, a loss, an optimizer and the arguments of `Trainer`.

    Raises:
        UsageError: `weights` do not fit.
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

    Networks of one architecture whose frames differ share most of their arrays, as the default's and the live one do.
    The few that do not fit keep their first values.

    Raises:
        UsageError: the networks have another number of arrays, or most of them differ in shape.
    """
    pairs = list(zip(network.weights, weights, strict=False))
    fitting = [(variable, value) for variable, value in pairs if tuple(variable.shape) == value.shape]
    if len(network.weights) != len(weights) or 2 * len(fitting) < len(weights):
        raise UsageError(
            f"initial weights must fit the preset's network; it has {len(network.weights)} arrays, they are"
            f" {len(weights)}, and {len(fitting)} have the same shape; take weights of a network of the same sizes"
        )
    if len(fitting) < len(weights):
        warnings.warn(
            f"{len(weights) - len(fitting)} of {len(weights)} arrays of the initial weights have other shapes than the"
            " preset's network; these arrays of the network begin anew",
            NewWeightsWarning,
            stacklevel=2,
        )
    for variable, value in fitting:
        variable.assign(value)
