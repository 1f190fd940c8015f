"""The audio U-Net: strided convolutions downwards, subpixel layers upwards, and skips that concatenate features."""

from collections.abc import Sequence

import keras
from keras import layers

from ..layers import SubPixel

# Filters and kernels of the levels, as in the authors' own code; deeper levels repeat the last.
FILTERS = (128, 384, 512)
KERNEL_SIZES = (65, 33, 17, 9)


def audio_unet(
    num_levels: int = 4, filters: float = 1.0, dropout_rate: float = 0.5, name: str = "audio_unet"
) -> keras.Model:
    """Strided convolutions down, subpixel convolutions up, the features of each level stacked, the input added.

    `num_levels` and the rates follow the paper (B = 4); filters and kernels are those of the authors' code (128,
    384, 512, 512 filters of 65, 33, 17, 9 samples), which the formulas in the text, `max(2^(6+b), 512)` and
    `min(2^(7-b) + 1, 9)`, give when max and min change places (but 384 for 256). As in the code, dropout stands in the
    bottleneck and on the way up.

    The paper's input is a low-rate signal brought to the full rate by a cubic spline; so is ours when the degradation
    is a lower rate, and lossy music as it is when it is a codec. Departure: the last convolution starts at zero
    instead of a thousandth, so an untrained network returns its input.

    Args:
        num_levels: B, times that the rate is halved before the bottleneck halves it once more.
        filters: factor of the filters, for smaller networks of the same shape.
        dropout_rate: share of features dropped in training.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`; `time` is a multiple of `2 ** (num_levels + 1)`.

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
    # A difference, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
