"""A functional model, walked layer by layer, once a step."""

import json
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ..errors import ArtifactError
from . import rules  # noqa: F401  registers them
from .step import Step, Stream


class _Call(NamedTuple):
    """One use of a layer in a functional model."""

    layer: str
    number: int  # of the uses of that layer
    arguments: dict


class StreamingModel:
    """The stateful step of a model whose state is outside of it.

    Args:
        model: functional, `lossy` `(batch, time, 1)` -> `restored` of the same shape.
        hop_length: samples a step, a multiple of the model's own hop.

    Attributes:
        latency: samples by which the output lags behind the input: what the network looks ahead.
        before: samples before an output sample that can influence it.
        after: samples after it that can.
        warm_up: samples of silence after which the state is that of endless silence, a multiple of `hop_length`.
        state_shape: `(1, values)`, of the one state tensor; it begins as zeros.

    Raises:
        ArtifactError: a layer that cannot be streamed, or a hop that does not fit.

    Example:

    >>> streaming = StreamingModel(model, hop_length=1024)  # doctest: +SKIP
    >>> restored, state = streaming.step(lossy, state)  # doctest: +SKIP
    """

    def __init__(self, model: keras.Model, hop_length: int):
        self.model = model
        self.hop_length = hop_length
        config = json.loads(model.to_json())["config"]
        self._source = _history(config["input_layers"])
        self._result = _history(config["output_layers"])
        self._calls = [
            _Call(entry["name"], number, node)
            for entry in config["layers"]
            for number, node in enumerate(entry["inbound_nodes"])
        ]
        step = Step(hop_length)
        restored = self._run(step, ops.zeros((1, hop_length, 1)))
        if tuple(restored.rows.shape) != (1, hop_length, 1):
            raise ArtifactError(
                f"a streamed model returns as many samples as it takes; of {hop_length} it made a tensor"
                f" {tuple(restored.rows.shape)}; choose a hop that is a multiple of the model's own"
            )
        self.latency = restored.delay
        # The first sample of a row sees as far ahead as the last one, and that one as far back.
        self.before = restored.memory - restored.delay + step.coarsest - 1
        self.after = restored.delay + step.coarsest - 1
        self.warm_up = -(-restored.memory // hop_length) * hop_length
        self._shapes = [tuple(state.shape) for state in step.kept]
        # One value at least: TFLite has no empty tensors.
        self.state_shape = (1, max(1, sum(int(np.prod(shape)) for shape in self._shapes)))

    def step(self, lossy: Any, state: Any) -> tuple[Any, Any]:
        """One step: `lossy` `(1, hop_length, 1)` and the state -> `restored` of the same shape and the next state."""
        states, start = [], 0
        for shape in self._shapes:
            end = start + int(np.prod(shape))
            states.append(ops.reshape(state[:, start:end], shape))
            start = end
        step = Step(self.hop_length, states)
        restored = self._run(step, lossy)
        kept = [ops.reshape(tensor, (1, -1)) for tensor in step.kept] or [state]
        # A few at a time: the XNNPACK delegate leaves longer concatenations to others.
        while len(kept) > 1:
            kept = [ops.concatenate(kept[start : start + 4], axis=1) for start in range(0, len(kept), 4)]
        return restored.rows, kept[0]

    def _run(self, step: Step, lossy: Any) -> Stream:
        known: dict[tuple, Any] = {self._source: Stream(lossy, 0, 0)}
        waiting = list(self._calls)
        while waiting:
            later = []
            for call in waiting:
                # A layer that is used again can come before what its later uses need.
                if not _needed(call.arguments) <= known.keys():
                    later.append(call)
                    continue
                filled = _filled(call.arguments, known)
                results = step.layer(self.model.get_layer(call.layer), *filled["args"], **filled["kwargs"])
                for place, result in enumerate(results if isinstance(results, tuple) else (results,)):
                    known[call.layer, call.number, place] = result
            if len(later) == len(waiting):
                raise ArtifactError(
                    f"a streamed model is a graph of layers; {later[0].layer!r} needs what no layer makes;"
                    " put every operation in a layer"
                )
            waiting = later
        return known[self._result]


def _history(entry: list) -> tuple:
    """`(layer, node, tensor)` of a model's only input or output, as its configuration writes it."""
    while isinstance(entry[0], list):
        (entry,) = entry
    return tuple(entry)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _needed(arguments: Any) -> set[tuple]:
    if _is_tensor(arguments):
        return {tuple(arguments["config"]["keras_history"])}
    values = arguments.values() if isinstance(arguments, dict) else arguments if isinstance(arguments, list) else ()
    return set().union(*map(_needed, values)) if values else set()


def _filled(arguments: Any, known: dict[tuple, Any]) -> Any:
    if _is_tensor(arguments):
        return known[tuple(arguments["config"]["keras_history"])]
    if isinstance(arguments, dict):
        return {key: _filled(value, known) for key, value in arguments.items()}
    return [_filled(value, known) for value in arguments] if isinstance(arguments, list) else arguments
