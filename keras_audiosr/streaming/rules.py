"""The rules by which layers run in a stream, one for each class. A layer of this package may have a method instead."""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from .. import layers
from ..annotations import Tensor
from ..errors import ArtifactError
from .step import OffGridError, Step, Stream, apply_layer

# Layers in which each row of the result depends only on the same row of the inputs.
BY_ROWS = (
    *(keras.layers.Add, keras.layers.Average, keras.layers.Maximum, keras.layers.Minimum, keras.layers.Multiply),
    *(keras.layers.Subtract, keras.layers.Concatenate),
    *(keras.layers.Activation, keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU),
    *(keras.layers.BatchNormalization, keras.layers.Dense, keras.layers.Dropout, keras.layers.Rescaling),
    *(keras.layers.Identity, layers.RecursiveSupervision),
    *(layers.SpectralFeatures, layers.SpectralGainAndFill, layers.SubPixel),
    *(layers.BandEmbedding, layers.BandFeatures, layers.BandGainAndFill, layers.BandMean, layers.BandMix),
    *(layers.BandPower, layers.Excitation, layers.FramePower),
)


def _by_rows(layer: Any, step: Step, *inputs: Any, **others: Any) -> Any:
    return step.by_rows(layer, *inputs, **others)


for _class in BY_ROWS:
    apply_layer.register(_class, _by_rows)


@apply_layer.register
def _(layer: keras.layers.PReLU, step: Step, stream: Stream) -> Stream:
    if layer.alpha.shape[0] != 1:
        raise ArtifactError(
            f"a streamed PReLU must have the same slopes at all times; {layer.name!r} has {layer.alpha.shape[0]} slopes"
            " over time; use shared_axes=[1]"
        )
    return step.by_rows(layer, stream)


def _reach(layer: Any, size: int, stride: int, dilation_rate: int = 1) -> tuple[int, int]:
    """Returns how many more rows a kernel covers than it advances by, and how many of these lie ahead."""
    if layer.padding not in ("same", "causal") and (size, stride) != (1, 1):
        raise ArtifactError(
            f"a streamed convolution must keep its input's length; {layer.name!r} has padding={layer.padding!r};"
            " use 'same' or 'causal'"
        )
    reach = (size - 1) * dilation_rate + 1 - stride
    if reach < 0 or (layer.padding == "causal" and stride > 1):
        raise ArtifactError(
            f"a streamed kernel must cover all rows; {layer.name!r} has size {size}, stride {stride} and padding"
            f" {layer.padding!r}; use stride 1, or padding 'same' and a kernel no smaller than its stride"
        )
    return reach, 0 if layer.padding == "causal" else reach - reach // 2


def _slide(step: Step, stream: Stream, function: Callable[..., Any], reach: int, ahead: int, stride: int) -> Any:
    stream = step.on_grid(stream, stride * step.period(stream))
    return step.window(function, stream, reach, ahead)


@apply_layer.register
def _(layer: keras.layers.Conv1D, step: Step, stream: Stream) -> Stream:
    (size,), (stride,), (dilation,) = layer.kernel_size, layer.strides, layer.dilation_rate

    def convolve(rows: Tensor) -> Tensor:
        result = ops.conv(rows, layer.kernel, stride, "valid", dilation_rate=dilation)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, *_reach(layer, size, stride, dilation), stride)


@apply_layer.register
def _(layer: keras.layers.DepthwiseConv1D, step: Step, stream: Stream) -> Stream:
    (size,), stride, (dilation,) = layer.kernel_size, layer.strides[0], layer.dilation_rate

    def convolve(rows: Tensor) -> Tensor:
        result = ops.depthwise_conv(rows, layer.kernel, stride, "valid", dilation_rate=dilation)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, *_reach(layer, size, stride, dilation), stride)


@apply_layer.register
def _(layer: keras.layers.SeparableConv1D, step: Step, stream: Stream) -> Stream:
    (size,), stride, (dilation,) = layer.kernel_size, layer.strides[0], layer.dilation_rate

    def convolve(rows: Tensor) -> Tensor:
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


# The following layers take `(batch, frames, bands, maps)`. The first axis of a kernel is time, and the second lies
# within a row.


@apply_layer.register(keras.layers.Conv2D)
@apply_layer.register(keras.layers.DepthwiseConv2D)
def _(layer: Any, step: Step, stream: Stream) -> Stream:
    (size, width), (stride, _), (dilation, _) = layer.kernel_size, layer.strides, layer.dilation_rate
    if (size, stride) == (1, 1):
        return step.by_rows(layer, stream)
    reach, ahead = _reach(layer, size, stride, dilation)
    apply = ops.depthwise_conv if isinstance(layer, keras.layers.DepthwiseConv2D) else ops.conv
    beside = (0, 0) if width == 1 else _same_padding(layer, stream.rows.shape[2])

    def convolve(rows: Tensor) -> Tensor:
        if any(beside):
            rows = ops.pad(rows, ((0, 0), (0, 0), beside, (0, 0)))
        result = apply(rows, layer.kernel, layer.strides, "valid", dilation_rate=layer.dilation_rate)
        return layer.activation(result + layer.bias if layer.use_bias else result)

    return _slide(step, stream, convolve, reach, ahead, stride)


def _same_padding(layer: Any, bands: int) -> tuple[int, int]:
    """Returns the numbers of zeros that padding 'same' adds before and after the bands of a row."""
    stride, reach = layer.strides[1], (layer.kernel_size[1] - 1) * layer.dilation_rate[1] + 1
    more = max(0, (-(-bands // stride) - 1) * stride + reach - bands)
    return more // 2, more - more // 2


@apply_layer.register(keras.layers.AveragePooling2D)
@apply_layer.register(keras.layers.MaxPooling2D)
def _(layer: Any, step: Step, stream: Stream) -> Stream:
    (size, width), (stride, _) = layer.pool_size, layer.strides
    if (size, stride) == (1, 1):
        return step.by_rows(layer, stream)
    if width != 1:
        raise ArtifactError(
            f"a streamed pooling must cover either time or bands; {layer.name!r} has pool_size={layer.pool_size};"
            " use two layers"
        )
    pool = ops.average_pool if isinstance(layer, keras.layers.AveragePooling2D) else ops.max_pool
    function = functools.partial(pool, pool_size=layer.pool_size, strides=layer.strides, padding="valid")
    return _slide(step, stream, function, *_reach(layer, size, stride), stride)


@apply_layer.register
def _(layer: keras.layers.Reshape, step: Step, stream: Stream) -> Stream:
    """Reshapes samples to frames and back."""
    count, *features = stream.rows.shape[1:]
    width, target = math.prod(features), layer.target_shape[1:]
    if not target or -1 in target:
        raise ArtifactError(
            f"a streamed reshape must return rows; {layer.name!r} reshapes {(count, *features)} to"
            f" {layer.target_shape}; use (-1, n), and a hop that is a multiple of n"
        )
    wanted = math.prod(target)
    if count * width % wanted:
        period = step.period(stream) * wanted // math.gcd(width, wanted)
        raise OffGridError(
            f"a streamed reshape must return rows; {layer.name!r} reshapes {(count, *features)} to"
            f" {layer.target_shape}; use a hop that is a multiple of {period}",
            period,
        )
    rows = count * width // wanted
    stream = step.on_grid(stream, step.hop_length // rows)
    return step.by_rows(lambda tensor: ops.reshape(tensor, (1, rows, *target)), stream)


@apply_layer.register
def _(layer: keras.layers.Permute, step: Step, stream: Stream) -> Stream:
    if layer.dims[0] != 1:
        raise ArtifactError(
            f"a streamed permutation must not move the time axis; {layer.name!r} has dims={layer.dims}; begin with 1"
        )
    return step.by_rows(layer, stream)
