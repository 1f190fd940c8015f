"""Evaluates a functional model layer by layer in each step of a stream."""

import json
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ..errors import ArtifactError
from . import rules  # noqa: F401  registers the rules
from .step import Step, Stream


class _Call(NamedTuple):
    """One use of a layer in a functional model."""

    layer: str
    number: int  # index of this use among all uses of the layer
    arguments: dict


class StreamingModel:
    """Runs a model one hop at a time, with a state that the caller keeps.

    Args:
        model: a functional model that maps `lossy`, `(batch, time, 1)`, to `restored` of the same shape.
        hop_length: samples per step, a multiple of the model's own hop.

    Attributes:
        latency: samples by which the output lags behind the input, because the network looks ahead.
        before: number of samples before an output sample that can influence it.
        after: number of samples after an output sample that can influence it.
        warm_up: samples of silence, a multiple of `hop_length`, after which the state no longer depends on its initial
            zeros.
        state_shape: `(1, values)`, the shape of the state tensor. The initial state is zeros.

    Raises:
        ArtifactError: the model has a layer that cannot be streamed, or the hop does not fit.

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
                f"a streamed model must return as many samples as it takes; for {hop_length} samples it returned a"
                f" tensor {tuple(restored.rows.shape)}; choose a hop that is a multiple of the model's own"
            )
        self.latency = restored.delay
        # All samples of a row depend on the same input, so the first one looks further ahead and the last one further
        # back.
        self.before = restored.memory - restored.delay + step.coarsest - 1
        self.after = restored.delay + step.coarsest - 1
        self.warm_up = -(-restored.memory // hop_length) * hop_length
        self._shapes = [tuple(state.shape) for state in step.kept]
        # At least one value, because TFLite has no empty tensors.
        self.state_shape = (1, max(1, sum(int(np.prod(shape)) for shape in self._shapes)))

    def step(self, lossy: Any, state: Any) -> tuple[Any, Any]:
        """Runs one step.

        Args:
            lossy: tensor `(1, hop_length, 1)`.
            state: the state that the previous step returned, or zeros.

        Returns:
            The restored samples, `(1, hop_length, 1)`, which lag `latency` samples behind, and the next state.
        """
        states, start = [], 0
        for shape in self._shapes:
            end = start + int(np.prod(shape))
            states.append(ops.reshape(state[:, start:end], shape))
            start = end
        step = Step(self.hop_length, states)
        restored = self._run(step, lossy)
        kept = [ops.reshape(tensor, (1, -1)) for tensor in step.kept] or [state]
        # Four tensors at a time, because the XNNPACK delegate does not run longer concatenations.
        while len(kept) > 1:
            kept = [ops.concatenate(kept[start : start + 4], axis=1) for start in range(0, len(kept), 4)]
        return restored.rows, kept[0]

    def _run(self, step: Step, lossy: Any) -> Stream:
        known: dict[tuple, Any] = {self._source: Stream(lossy, 0, 0)}
        waiting = list(self._calls)
        while waiting:
            later = []
            for call in waiting:
                # A layer that is used several times can be listed before the layers that its later uses depend on.
                if not _needed(call.arguments) <= known.keys():
                    later.append(call)
                    continue
                filled = _filled(call.arguments, known)
                results = step.layer(self.model.get_layer(call.layer), *filled["args"], **filled["kwargs"])
                for place, result in enumerate(results if isinstance(results, tuple) else (results,)):
                    known[call.layer, call.number, place] = result
            if len(later) == len(waiting):
                raise ArtifactError(
                    f"a streamed model must be a graph of layers; {later[0].layer!r} needs a tensor that no layer"
                    " returns; put every operation in a layer"
                )
            waiting = later
        return known[self._result]


def _history(entry: list) -> tuple:
    """Returns `(layer, node, tensor)` of a model's only input or output from its configuration."""
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
