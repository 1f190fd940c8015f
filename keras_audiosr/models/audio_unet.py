"""The audio U-Net, with strided convolutions for downsampling, subpixel layers for upsampling, and stacked skips."""

from collections.abc import Sequence

import keras
from keras import layers

from ..layers import SubPixel

# Filters and kernel sizes of the levels, as in the authors' code. Deeper levels repeat the last value.
FILTERS = (128, 384, 512)
KERNEL_SIZES = (65, 33, 17, 9)


def audio_unet(
    num_levels: int = 4, filters: float = 1.0, dropout_rate: float = 0.5, name: str = "audio_unet"
) -> keras.Model:
    """Builds the audio U-Net, whose output is added to its input.

    The first half of the network halves the rate at each level, and the second half doubles it again. The features of
    each level in the first half are concatenated with those of the same level in the second.

    `num_levels` and the rates follow the paper (B = 4). The filters and kernels are those of the authors' code: 128,
    384, 512 and 512 filters of 65, 33, 17 and 9 samples. The formulas in the text, `max(2^(6+b), 512)` and
    `min(2^(7-b) + 1, 9)`, give the same numbers if max and min are exchanged, except for 256 instead of 384. As in the
    code, there is dropout in the bottleneck and in the second half.

    The paper's input is a signal of a lower rate, interpolated to the full rate by a cubic spline. This package does
    the same if the degradation is a lower rate. If the degradation is a codec, the input is the decoded lossy music.

    Departure from the paper: the last convolution starts at zero, instead of at random values with a standard deviation
    of 0.001. An untrained network therefore returns its input.

    Args:
        num_levels: B, the number of levels that halve the rate. The bottleneck halves it once more.
        filters: factor by which all numbers of filters are multiplied, for smaller networks of the same shape.
        dropout_rate: share of features that are dropped in training.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`, where `time` is a multiple of `2 ** (num_levels + 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Reference: V. Kuleshov, S. Z. Enam, S. Ermon, "Audio Super Resolution using Neural Networks", ICLR 2017
    workshop, section 3 and figure 1.
    """

    def level(table: Sequence[int], index: int) -> int:
        return table[min(index, len(table) - 1)]

    def maps(index: int) -> int:
        return max(1, round(filters * level(FILTERS, index)))

    def convolution(count: int, index: int, strides: int, role: str) -> layers.Layer:
        return layers.Conv1D(
            count, level(KERNEL_SIZES, index), strides, padding="same", kernel_initializer="orthogonal", name=role
        )

    lossy = keras.Input((None, 1), name="lossy")
    features, stacked = lossy, []
    for index in range(num_levels):
        features = convolution(maps(index), index, 2, f"down_{index}")(features)
        features = layers.LeakyReLU(0.2, name=f"down_{index}_relu")(features)
        stacked.append(features)
    features = convolution(maps(num_levels - 1), num_levels, 2, "bottleneck")(features)
    features = layers.Dropout(dropout_rate, name="bottleneck_dropout")(features)
    features = layers.LeakyReLU(0.2, name="bottleneck_relu")(features)
    for index in reversed(range(num_levels)):
        features = convolution(2 * maps(index), index, 1, f"up_{index}")(features)
        features = layers.Dropout(dropout_rate, name=f"up_{index}_dropout")(features)
        features = layers.ReLU(name=f"up_{index}_relu")(features)
        features = SubPixel(2, name=f"up_{index}_subpixel")(features)
        features = layers.Concatenate(name=f"up_{index}_stack")([features, stacked[index]])
    residual = layers.Conv1D(2, 9, padding="same", kernel_initializer="zeros", name="residual")(features)
    residual = SubPixel(2, name="residual_subpixel")(residual)
    # Written as a subtraction, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
