"""The rule by which each class of layer runs in a stream. A layer of ours may have a method `stream` instead."""

import functools
from typing import Any

import keras
from keras import ops

from .. import layers
from ..errors import ArtifactError
from .step import Step, Stream, apply_layer

# No row of their result depends on another row of their inputs.
BY_ROWS = (
    *(keras.layers.Add, keras.layers.Average, keras.layers.Maximum, keras.layers.Minimum, keras.layers.Multiply),
    *(keras.layers.Subtract, keras.layers.Concatenate),
    *(keras.layers.Activation, keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU),
    *(keras.layers.BatchNormalization, keras.layers.Dense, keras.layers.Dropout, keras.layers.Rescaling),
    *(keras.layers.Identity, layers.RecursiveSupervision),
    *(layers.SpectralFeatures, layers.SpectralGainAndFill, layers.SubPixel),
)


def _by_rows(layer, step, *inputs, **others):
    return step.by_rows(layer, *inputs, **others)


for _class in BY_ROWS:
    apply_layer.register(_class, _by_rows)


@apply_layer.register
def _(layer: keras.layers.PReLU, step: Step, stream: Stream) -> Stream:
    if layer.alpha.shape[0] != 1:
        raise ArtifactError(
            f"a streamed PReLU is the same at all times; {layer.name!r} has {layer.alpha.shape[0]} slopes over time;"
            " use shared_axes=[1]"
        )
    return step.by_rows(layer, stream)


def _reach(layer: Any, size: int, stride: int, dilation_rate: int = 1) -> tuple[int, int]:
    """Rows under a kernel beside those it advances by, and how many of them lie ahead."""
    if layer.padding not in ("same", "causal") and (size, stride) != (1, 1):
        raise ArtifactError(
            f"a streamed convolution keeps its input's length; {layer.name!r} has padding={layer.padding!r};"
            " use 'same' or 'causal'"
        )
    reach = (size - 1) * dilation_rate + 1 - stride
    if reach < 0 or (layer.padding == "causal" and stride > 1):
        raise ArtifactError(
            f"a streamed kernel leaves no rows out; {layer.name!r} has size {size}, stride {stride} and padding"
            f" {layer.padding!r}; use stride 1, or padding 'same' and a kernel no smaller than its stride"
        )
    return reach, 0 if layer.padding == "causal" else reach - reach // 2


def _slide(step, stream, function, reach, ahead, stride):
    stream = step.on_grid(stream, stride * step.period(stream))
    return step.window(function, stream, reach, ahead)


@apply_layer.register
def _(layer: keras.layers.Conv1D, step: Step, stream: Stream) -> Stream:
    (size,), (stride,), (dilation,) = layer.kernel_size, layer.strides, layer.dilation_rate

    def convolve(rows):
        result = ops.conv(rows, layer.kernel, stride, "valid", dilation_rate=dilation)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, *_reach(layer, size, stride, dilation), stride)


@apply_layer.register
def _(layer: keras.layers.DepthwiseConv1D, step: Step, stream: Stream) -> Stream:
    (size,), stride, (dilation,) = layer.kernel_size, layer.strides[0], layer.dilation_rate

    def convolve(rows):
        result = ops.depthwise_conv(rows, layer.kernel, stride, "valid", dilation_rate=dilation)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, *_reach(layer, size, stride, dilation), stride)


@apply_layer.register
def _(layer: keras.layers.SeparableConv1D, step: Step, stream: Stream) -> Stream:
    (size,), stride, (dilation,) = layer.kernel_size, layer.strides[0], layer.dilation_rate

    def convolve(rows):
        kernels = layer.depthwise_kernel, layer.pointwise_kernel
        result = ops.separable_conv(rows, *kernels, stride, "valid", dilation_rate=dilation)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, *_reach(layer, size, stride, dilation), stride)


@apply_layer.register(keras.layers.AveragePooling1D)
@apply_layer.register(keras.layers.MaxPooling1D)
def _(layer: Any, step: Step, stream: Stream) -> Stream:
    (size,), (stride,) = layer.pool_size, layer.strides
    pool = ops.average_pool if isinstance(layer, keras.layers.AveragePooling1D) else ops.max_pool
    function = functools.partial(pool, pool_size=size, strides=stride, padding="valid")
    return _slide(step, stream, function, *_reach(layer, size, stride), stride)


@apply_layer.register
def _(layer: keras.layers.Reshape, step: Step, stream: Stream) -> Stream:
    """Samples to frames and back."""
    count, features = stream.rows.shape[1:]
    if len(layer.target_shape) != 2 or count * features % layer.target_shape[1]:
        raise ArtifactError(
            f"a streamed reshape goes from rows to rows; {layer.name!r} makes {layer.target_shape} of"
            f" {(count, features)}; use (-1, n), and a hop that is a multiple of n"
        )
    rows = count * features // layer.target_shape[1]
    stream = step.on_grid(stream, step.hop_length // rows)
    return step.by_rows(lambda tensor: ops.reshape(tensor, (1, rows, layer.target_shape[1])), stream)
