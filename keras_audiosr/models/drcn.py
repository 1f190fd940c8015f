"""DRCN, which applies one convolution repeatedly and makes a prediction after each pass."""

from typing import Any

import keras
from keras import layers

from ..layers import RecursiveSupervision, SelfConnection


def drcn(
    num_recursions: int = 16,
    filters: int = 256,
    kernel_size: int = 9,
    supervision: float = 0.5,
    name: str = "drcn",
) -> keras.Model:
    """Builds DRCN: an embedding, a recursive convolution, and a reconstruction after each pass.

    The output is the weighted mean of the reconstructions, added to the input.

    Departures from the paper:

    - A kernel of 3 x 3 pixels becomes one of 9 samples, with the same number of weights (1,774,080 in all
      convolutions).
    - The last convolution of the reconstruction starts at zero, so an untrained network returns its input.
    - The weights of the predictions are a softmax. Supervision uses the same weights instead of equal ones, so that it
      needs no target (`RecursiveSupervision`). At the start of training both are the same.
    - The weight of the supervision is constant. In the paper it decreases during training.

    Args:
        num_recursions: D, how often the convolution is applied, which is also the number of predictions.
        filters: number of feature maps.
        kernel_size: number of taps of each convolution, in samples.
        supervision: alpha, weight of the error of the predictions. The error of their mean has the weight
            `1 - supervision`.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`. Its `losses` contain the supervision, which complements an L2 loss of the output.

    Reference: J. Kim, J. K. Lee, K. M. Lee, "Deeply-Recursive Convolutional Network for Image Super-Resolution",
    CVPR 2016, sections 3.1 to 3.3.
    """

    def convolution(maps: int, initializer: Any, role: str) -> layers.Layer:
        return layers.Conv1D(maps, kernel_size, padding="same", kernel_initializer=initializer, name=role)

    lossy = keras.Input((None, 1), name="lossy")
    features = lossy
    for index in range(2):
        features = convolution(filters, "he_normal", f"embedding_{index}")(features)
        features = layers.ReLU(name=f"embedding_{index}_relu")(features)
    recursive = convolution(filters, SelfConnection(), "recursive")
    first, last = convolution(filters, "he_normal", "reconstruction_0"), convolution(1, "zeros", "reconstruction_1")
    residuals = []
    for index in range(num_recursions):
        features = layers.ReLU(name=f"recursion_{index}_relu")(recursive(features))
        reconstruction = layers.ReLU(name=f"reconstruction_{index}_relu")(first(features))
        residuals.append(last(reconstruction))
    # The skip is the same for all predictions, so it can be applied once, to their mean.
    predictions = layers.Concatenate(name="predictions")(residuals)
    residual = RecursiveSupervision(supervision, name="weighted_mean")(predictions)
    # Written as a subtraction, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
