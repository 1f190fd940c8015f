"""The length of a run, in epochs or minutes, and the learning rate, which follows the share of the run that is over."""

import dataclasses
import math
import time

from ..errors import UsageError
from ..presets.settings import OptimizerSettings

# Largest share of a run that the warm-up takes.
_WARM_UP_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Limit:
    """The length of a run. An epoch is a number of steps, followed by an evaluation on the held-out windows.

    Attributes:
        steps_per_epoch: number of steps in an epoch.
        epochs: number of epochs, or `None` if the run is limited by minutes.
        minutes: length in minutes, or `None` if the run is limited by epochs. Validation and the time before a resume
            count.

    Raises:
        UsageError: not exactly one of `epochs` and `minutes` is given, or a value is out of its range.
    """

    steps_per_epoch: int
    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise UsageError(
                f"a run is limited by epochs or by minutes; received epochs {self.epochs} and minutes {self.minutes};"
                " give one of them"
            )
        if min(self.steps_per_epoch, 1 if self.epochs is None else self.epochs) < 1:
            raise UsageError("epochs and steps_per_epoch must be at least 1; leave them out for the preset's")
        if self.minutes is not None and not 0.0 < self.minutes < math.inf:
            raise UsageError(f"minutes must be more than 0; received {self.minutes}; give a positive number")

    def share(self, step: int, seconds: float) -> float:
        """Returns the share of the run, 0 to 1, that is over after this many steps and seconds."""
        done = seconds / (60.0 * self.minutes) if self.minutes else step / (self.steps_per_epoch * (self.epochs or 1))
        return min(1.0, done)


class Clock:
    """Counts the seconds that a run has taken, including those before an interruption."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    def start(self) -> None:
        """Starts the clock."""
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
    """Returns the learning rate of a step: half a cosine from the first to the last rate, after a linear warm-up.

    The warm-up takes the preset's `warm_up_steps`, or a tenth of the run if that is shorter. Otherwise a run of 100
    steps could end before it reaches the requested rate.

    Args:
        settings: optimizer settings of a preset: `learning_rate`, `final_learning_rate`, and `warm_up_steps`, the
            largest number of steps in which the rate rises linearly from almost zero.
        step: number of steps that were made before.
        share: share of the run that is over, 0 to 1 (`Limit.share`).

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5,
    without restarts.
    """
    first, last = settings.learning_rate, settings.final_learning_rate
    rate = last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * share))
    risen = max((step + 1) / max(1, settings.warm_up_steps), share / _WARM_UP_SHARE)
    return rate * min(1.0, risen)
