"""DRCN: one convolution that is applied repeatedly. Each pass makes a prediction."""

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
    """An embedding, a recursive convolution, and a reconstruction of each of its passes; their weighted mean.

    Departures from the paper, for waveforms: a kernel of 3 x 3 becomes one of 9 samples, with as many weights
    (1,774,080 in all convolutions); the reconstruction's last convolution starts at zero, so an untrained network
    returns its input. The predictions' weights are a softmax, and supervision is weighted by them instead of
    equally, which makes it a loss without a target (`RecursiveSupervision`); at the start the two are the same. The
    paper lets the weight of supervision fall while it trains; here it is constant.

    Args:
        num_recursions: D, times that the convolution is applied, and predictions.
        filters: feature maps.
        kernel_size: samples under each convolution.
        supervision: alpha, weight of the predictions' own errors beside that of their mean, which counts one.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`. Its `losses` hold the supervision, for an L2 loss beside it.

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
    # The skip is the same for all predictions, so it may follow their mean.
    predictions = layers.Concatenate(name="predictions")(residuals)
    residual = RecursiveSupervision(supervision, name="weighted_mean")(predictions)
    # A difference, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
