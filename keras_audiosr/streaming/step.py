"""One step of a streamed network, which computes some rows of each tensor and the state for the next step."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ..annotations import Tensor
from ..errors import ArtifactError


class OffGridError(ArtifactError):
    """Raised if the hop of a step does not fit the network's hop.

    Args:
        message: the error message.
        period: number of samples of which the hop must be a multiple for this layer.
    """

    def __init__(self, message: str, period: int):
        super().__init__(message)
        self.period = period


class Stream:
    """The rows that a step computes of one tensor of the network.

    Attributes:
        rows: tensor `(1, rows, features)` or `(1, rows, bands, features)`, in order of time.
        delay: samples by which the rows lag behind the newest input.
        memory: number of input samples before the newest one that can influence the rows.
    """

    def __init__(self, rows: Tensor, delay: int, memory: int):
        self.rows = rows
        self.delay = delay
        self.memory = memory


def _streams(results: Any, delay: int, memory: int) -> Any:
    """Makes a stream of a tensor, or a tuple of streams of several tensors."""
    if isinstance(results, (tuple, list)):
        return tuple(Stream(result, delay, memory) for result in results)
    return Stream(results, delay, memory)


class Step:
    """One step through all layers.

    Args:
        hop_length: number of input samples.
        states: the states that the last step kept, or `None` for zeros.

    Attributes:
        kept: the states for the next step, in the order of their use.
        coarsest: the longest period in samples of all streams so far.
    """

    def __init__(self, hop_length: int, states: Sequence[Any] | None = None):
        self.hop_length = hop_length
        self.kept: list[Any] = []
        self.coarsest = 1
        self._states = states

    def period(self, stream: Stream) -> int:
        """Returns the number of samples from one row to the next."""
        period = self.hop_length // stream.rows.shape[1]
        self.coarsest = max(self.coarsest, period)
        return period

    def window(self, function: Callable, stream: Stream, reach: int, ahead: int = 0) -> Any:
        """Applies a function that needs `reach` more rows than it returns.

        Args:
            function: takes the `reach` rows before the stream's rows, followed by these, and does not pad them.
            stream: input of the function.
            reach: number of rows that each result needs in addition to one row.
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
        """Delays a stream until it lags `delay` samples behind the input.

        Raises:
            ArtifactError: the additional delay is not a whole number of rows.
        """
        period, count = self.period(stream), stream.rows.shape[1]
        if (delay - stream.delay) % period:
            raise ArtifactError(
                f"tensors that are combined must lie on one grid; one has a row every {period} samples and would have"
                f" to wait for {delay - stream.delay} samples; align the strides of the network's branches"
            )
        late = (delay - stream.delay) // period
        if not late:
            return stream
        return self.window(lambda rows: rows[:, :count], stream, late, late)

    def on_grid(self, stream: Stream, period: int) -> Stream:
        """Delays a stream until its rows of `period` samples begin where those of the whole signal begin.

        Raises:
            OffGridError: the hop is not a multiple of `period`.
        """
        if self.hop_length % period:
            raise OffGridError(
                f"a streamed step must be a multiple of the network's hop, {period} samples; received"
                f" {self.hop_length}; use {period}",
                period,
            )
        return self.wait(stream, -(-stream.delay // period) * period)

    def align(self, streams: Sequence[Stream]) -> list[Stream]:
        """Delays all streams to the delay of the latest one."""
        latest = max(stream.delay for stream in streams)
        return [self.wait(stream, latest) for stream in streams]

    def by_rows(self, function: Callable, *inputs: Any, **others: Any) -> Any:
        """Aligns streams and applies a function whose result in each row depends on that row alone.

        `function` takes either several tensors or, if the first input is a list of streams, one list of tensors.
        """
        together = isinstance(inputs[0], list)
        streams = self.align(inputs[0] if together else inputs)
        rows = [stream.rows for stream in streams]
        results = function(rows, *inputs[1:], **others) if together else function(*rows, **others)
        return _streams(results, streams[0].delay, max(stream.memory for stream in streams))

    def layer(self, layer: keras.layers.Layer, *inputs: Any, **others: Any) -> Any:
        """Applies a layer by its own method `stream(step, ...)`, or by the rule for its class."""
        if hasattr(layer, "stream"):
            return layer.stream(self, *inputs, **others)
        return apply_layer(layer, self, *inputs, **others)


@functools.singledispatch
def apply_layer(layer: Any, step: Step, *inputs: Any, **others: Any) -> Any:
    """Applies a layer to streams, by the rule that is registered for its class."""
    raise ArtifactError(
        f"a streaming export needs a rule for every layer; {layer.name!r} is a {type(layer).__name__}, which has none;"
        " give it a method stream(step, ...), or register a rule in keras_audiosr/streaming/rules.py"
    )
