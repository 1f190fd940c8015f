"""DRRN, which consists of recursive blocks whose residual units share their weights."""

import keras
from keras import layers

from ..annotations import Tensor
from ..layers.residual import MOMENTUM


def _activated(inputs: Tensor, name: str) -> Tensor:
    norm = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")
    return layers.ReLU(name=f"{name}_relu")(norm(inputs))


def _recursive_block(inputs: Tensor, num_units: int, filters: int, kernel_size: int, name: str) -> Tensor:
    """Applies a convolution, and then one residual unit `num_units` times.

    The output of the convolution is the identity branch of every unit.
    """
    convolution = {"padding": "same", "kernel_initializer": "he_normal"}
    first = layers.Conv1D(filters, kernel_size, **convolution, name=f"{name}_first")(
        _activated(inputs, f"{name}_first")
    )
    one, two = (layers.Conv1D(filters, kernel_size, **convolution, name=f"{name}_shared_{i}") for i in (1, 2))
    outputs = first
    for unit in range(num_units):
        # The units share their convolutions, but not their normalizations, because every pass has other statistics.
        inner = one(_activated(outputs, f"{name}_unit_{unit}_1"))
        inner = two(_activated(inner, f"{name}_unit_{unit}_2"))
        outputs = layers.Add(name=f"{name}_unit_{unit}_add")([first, inner])
    return outputs


def drrn(
    num_blocks: int = 1, num_units: int = 9, filters: int = 128, kernel_size: int = 9, name: str = "drrn"
) -> keras.Model:
    """Builds recursive blocks of pre-activated residual units, whose output is added to the input.

    The paper's DRRN_B1U9 is `num_blocks=1, num_units=9`, and its DRRN_B1U25 is `num_blocks=1, num_units=25`. Both have
    297,216 weights in their `2 * num_units + 2` convolutional layers. As in the authors' code, the units of a block
    share their convolutions, but not their batch normalizations.

    Departures from the paper: a kernel of 3 x 3 pixels becomes one of 9 samples, with the same number of weights. The
    last convolution starts at zero, so an untrained network returns its input.

    Args:
        num_blocks: B, the number of recursive blocks. Each has its own weights.
        num_units: U, how often the unit of a block is applied.
        filters: number of feature maps.
        kernel_size: number of taps of each convolution, in samples.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Reference: Y. Tai, J. Yang, X. Liu, "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017,
    equations 4 to 7 and table 1.
    """
    lossy = keras.Input((None, 1), name="lossy")
    features = lossy
    for block in range(num_blocks):
        features = _recursive_block(features, num_units, filters, kernel_size, f"block_{block}")
    output = layers.Conv1D(1, kernel_size, padding="same", kernel_initializer="zeros", name="residual")
    residual = output(_activated(features, "residual"))
    # Written as a subtraction, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
