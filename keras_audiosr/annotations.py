"""Types for annotations that no library provides. Nothing here is used at run time."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

# A tensor of Keras' backend, TensorFlow or JAX. Keras publishes no types, so type checkers see `Any`.
Tensor: TypeAlias = Any

# A tensor's shape as Keras passes it: integers, and `None` for a dimension whose length is unknown in advance.
Shape: TypeAlias = tuple[Any, ...]

# A path as users may pass it.
StrPath: TypeAlias = str | os.PathLike[str]


class StreamingStep(Protocol):
    """Describes the methods of `streaming.step.Step` that a layer's `stream(step, ...)` may call.

    A stream holds the rows that one step computes of one tensor of the network (`streaming.step.Stream`).
    """

    def window(self, function: Callable[..., Any], stream: Any, reach: int, ahead: int = 0) -> Any:
        """Applies a function that needs `reach` more rows than it returns, `ahead` of them later than the result."""

    def on_grid(self, stream: Any, period: int) -> Any:
        """Delays a stream until its rows of `period` samples begin where those of the whole signal begin."""

    def by_rows(self, function: Callable[..., Any], *inputs: Any, **others: Any) -> Any:
        """Applies a function whose result in each row depends on that row alone."""

    def layer(self, layer: Any, *inputs: Any, **others: Any) -> Any:
        """Applies a layer by its own method `stream`, or by the rule for its class."""
