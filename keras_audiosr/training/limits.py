"""The length of a run, in epochs or minutes, and the learning rate, which depends on the part that has passed."""

import dataclasses
import math
import time

from ..errors import UsageError
from ..presets.settings import OptimizerSettings

# The warm-up takes at most this part of a run.
_WARM_UP_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Limit:
    """The length of a run. An epoch is a number of steps: after each the held-out windows are looked at.

    Attributes:
        steps_per_epoch: steps an epoch.
        epochs: epochs in all, or `None` where time is what limits the run.
        minutes: minutes in all, validation included, over all times that the run was resumed; or `None`.
    """

    steps_per_epoch: int
    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise UsageError(f"a run is limited by epochs or by minutes; received {self}; give one of them")
        if min(self.steps_per_epoch, 1 if self.epochs is None else self.epochs) < 1:
            raise UsageError("epochs and steps_per_epoch must be at least 1; leave them out for the preset's")
        if self.minutes is not None and not 0.0 < self.minutes < math.inf:
            raise UsageError(f"minutes must be more than 0; received {self.minutes}; give a positive number")

    def share(self, step: int, seconds: float) -> float:
        """How much of the run is over after some steps and seconds, 0 to 1."""
        done = seconds / (60.0 * self.minutes) if self.minutes else step / (self.steps_per_epoch * (self.epochs or 1))
        return min(1.0, done)


class Clock:
    """Seconds that a run has taken, those before it was interrupted included."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Time runs from now on."""
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._before = seconds
        if self._since is not None:
            self.start()


def learning_rate(settings: OptimizerSettings, step: int, share: float) -> float:
    """The learning rate of a step: half a cosine from the first to the last, after a linear rise.

    The rise takes a preset's `warm_up_steps`, or a tenth of the run where that is shorter: a run of 100 steps would
    otherwise end before it reached the rate that was asked for.

    Args:
        settings: a preset's: `learning_rate`, `final_learning_rate`, and `warm_up_steps`.
        step: steps that were made before.
        share: how much of the run is over, 0 to 1 (`Limit.share`).

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5,
    without restarts.
    """
    first, last = settings.learning_rate, settings.final_learning_rate
    rate = last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * share))
    risen = max((step + 1) / max(1, settings.warm_up_steps), share / _WARM_UP_SHARE)
    return rate * min(1.0, risen)
