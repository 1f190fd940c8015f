"""VDSR, which consists of twenty plain convolutions that learn the difference between output and input."""

import keras
from keras import layers


def vdsr(num_layers: int = 20, filters: int = 64, kernel_size: int = 9, name: str = "vdsr") -> keras.Model:
    """Builds a deep plain network whose output is added to its input.

    Departures from the paper: a kernel of 3 x 3 pixels becomes one of 9 samples, so that every layer has the same
    number of weights (664,704 in all), and the receptive field is 80 samples on either side. The last layer starts at
    zero, so an untrained network returns its input. The paper's gradient clipping is
    `training.optimizers.AdjustableClippingSGD`.

    Args:
        num_layers: number of convolutions.
        filters: number of feature maps between them.
        kernel_size: number of taps of each convolution, in samples.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_layers` is below 2.

    Reference: J. Kim, J. K. Lee, K. M. Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional
    Networks", CVPR 2016, section 3.1.
    """
    if num_layers < 2:
        raise ValueError(f"num_layers must be 2 or more; received {num_layers}; try 20")
    lossy = keras.Input((None, 1), name="lossy")
    features = lossy
    for index in range(num_layers - 1):
        features = layers.Conv1D(
            filters, kernel_size, padding="same", kernel_initializer="he_normal", name=f"conv_{index}"
        )(features)
        features = layers.ReLU(name=f"relu_{index}")(features)
    residual = layers.Conv1D(1, kernel_size, padding="same", kernel_initializer="zeros", name="residual")(features)
    # Written as a subtraction, because Keras' Add of two waveforms becomes a bias_add that TFLite cannot convert.
    return keras.Model(lossy, layers.Subtract(name="restored")([lossy, residual]), name=name)
