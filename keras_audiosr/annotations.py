"""What annotations say where no library has a type for it; nothing here is used at run time."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

# A tensor of Keras' backend, TensorFlow or JAX. Keras publishes no types, so a checker learns the name alone.
Tensor: TypeAlias = Any

# A tensor's shape as Keras hands it over: numbers, and `None` where a length is not known before the data.
Shape: TypeAlias = tuple[Any, ...]

# A path that users give.
StrPath: TypeAlias = str | os.PathLike[str]


class StreamingStep(Protocol):
    """What a layer's own `stream(step, ...)` is given: `streaming.step.Step`, of which layers know this much.

    A stream is what a step makes of one tensor of the network (`streaming.step.Stream`).
    """

    def window(self, function: Callable[..., Any], stream: Any, reach: int, ahead: int = 0) -> Any:
        """Applies a function that needs `reach` rows more than it gives, `ahead` of them later than the result."""

    def on_grid(self, stream: Any, period: int) -> Any:
        """The stream so late that rows of `period` samples begin where those of the whole signal do."""

    def by_rows(self, function: Callable[..., Any], *inputs: Any, **others: Any) -> Any:
        """Applies a function in which no row depends on another."""

    def layer(self, layer: Any, *inputs: Any, **others: Any) -> Any:
        """Applies a layer by its own `stream`, or by the rule for its class."""
