"""One step of a streamed network: the rows that it computes of each tensor, and the state for the next step."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..errors import ArtifactError


class OffGridError(ArtifactError):
    """A step whose hop does not fit the network's.

    Args:
        message: what is wrong, as for any error.
        period: samples that the hop has to be a multiple of, for this layer.
    """

    def __init__(self, message: str, period: int):
        super().__init__(message)
        self.period = period


class Stream:
    """What a step makes of one tensor of the network.

    Attributes:
        rows: tensor `(1, rows, ...)`, in order of time: `(1, rows, features)`, or `(1, rows, bands, features)`.
        delay: samples by which the rows lag behind the newest input.
        memory: samples of input before the newest that can have changed them.
    """

    def __init__(self, rows: Tensor, delay: int, memory: int):
        self.rows = rows
        self.delay = delay
        self.memory = memory


def _streams(results: Any, delay: int, memory: int) -> Any:
    """A stream for a tensor, as many for several."""
    if isinstance(results, (tuple, list)):
        return tuple(Stream(result, delay, memory) for result in results)
    return Stream(results, delay, memory)


class Step:
    """One step over all layers.

    Args:
        hop_length: samples of input.
        states: what the last step kept, or `None` for zeros.

    Attributes:
        kept: the states for the next step, in the order of their use.
        coarsest: the longest period of any stream that was seen.
    """

    def __init__(self, hop_length: int, states: Sequence[Any] | None = None):
        self.hop_length = hop_length
        self.kept: list[Any] = []
        self.coarsest = 1
        self._states = states

    def period(self, stream: Stream) -> int:
        """Samples from one row to the next."""
        period = self.hop_length // stream.rows.shape[1]
        self.coarsest = max(self.coarsest, period)
        return period

    def window(self, function: Callable, stream: Stream, reach: int, ahead: int = 0) -> Any:
        """Applies a function that needs `reach` rows more than it gives.

        Args:
            function: takes the stream's rows after the `reach` rows before them, and pads nothing.
            stream: its input.
            reach: rows under the function beside one.
            ahead: how many of these lie after the row that the result belongs to.
        """
        rows = stream.rows
        if reach:
            shape = (1, reach, *rows.shape[2:])
            before = ops.zeros(shape, rows.dtype) if self._states is None else self._states[len(self.kept)]
            rows = ops.concatenate([before, rows], axis=1)
            self.kept.append(rows[:, -reach:])
        period = self.period(stream)
        return _streams(function(rows), stream.delay + ahead * period, stream.memory + reach * period)

    def wait(self, stream: Stream, delay: int) -> Stream:
        """The stream so late that it lags `delay` samples behind."""
        period, count = self.period(stream), stream.rows.shape[1]
        if (delay - stream.delay) % period:
            raise ArtifactError(
                f"tensors that meet must lie on one grid; one has a row each {period} samples and would have to wait"
                f" for {delay - stream.delay}; align the strides of the network's branches"
            )
        late = (delay - stream.delay) // period
        if not late:
            return stream
        return self.window(lambda rows: rows[:, :count], stream, late, late)

    def on_grid(self, stream: Stream, period: int) -> Stream:
        """The stream so late that rows of `period` samples begin where those of the whole signal do.

        Raises:
            OffGridError: the hop is no multiple of `period`.
        """
        if self.hop_length % period:
            raise OffGridError(
                f"a streamed step is a multiple of the network's hop, {period} samples; received {self.hop_length};"
                f" use {period}",
                period,
            )
        return self.wait(stream, -(-stream.delay // period) * period)

    def align(self, streams: Sequence[Stream]) -> list[Stream]:
        """The streams, all as late as the latest."""
        latest = max(stream.delay for stream in streams)
        return [self.wait(stream, latest) for stream in streams]

    def by_rows(self, function: Callable, *inputs: Any, **others: Any) -> Any:
        """Applies a function in which no row depends on another, to streams or a list of them, once aligned."""
        together = isinstance(inputs[0], list)
        streams = self.align(inputs[0] if together else inputs)
        rows = [stream.rows for stream in streams]
        results = function(rows, *inputs[1:], **others) if together else function(*rows, **others)
        return _streams(results, streams[0].delay, max(stream.memory for stream in streams))

    def layer(self, layer: keras.layers.Layer, *inputs: Any, **others: Any) -> Any:
        """Applies a layer by its own `stream(step, ...)`, or by the rule for its class."""
        if hasattr(layer, "stream"):
            return layer.stream(self, *inputs, **others)
        return apply_layer(layer, self, *inputs, **others)


@functools.singledispatch
def apply_layer(layer: Any, step: Step, *inputs: Any, **others: Any) -> Any:
    """The rule by which a layer runs in a stream; registered by class."""
    raise ArtifactError(
        f"a streaming export needs a rule for every layer; {layer.name!r} is a {type(layer).__name__}, which has none;"
        " give it a method stream(step, ...), or register a rule in keras_audiosr/streaming/rules.py"
    )
