"""ResNet for waveforms, in three variants: without shortcuts, as first published, and pre-activated."""

import keras
from keras import layers

from ..annotations import Tensor
from ..layers import ResidualUnit
from ..layers.residual import MOMENTUM

VARIANTS = ("plain", "original", "pre_activation")


def resnet(
    num_blocks: int = 8,
    filters: int = 64,
    kernel_size: int = 9,
    variant: str = "original",
    name: str = "resnet",
) -> keras.Model:
    """Builds blocks of two convolutions. The input of each block is added to its output, except in the plain variant.

    The three variants are networks of the two papers by He et al., and have the same convolutions:

    - `"plain"`: conv-BN-ReLU-conv-BN-ReLU without a shortcut, the baseline of the papers;
    - `"original"`: conv-BN-ReLU-conv-BN, then the shortcut is added, then ReLU;
    - `"pre_activation"`: BN-ReLU-conv-BN-ReLU-conv, then the shortcut is added without a further activation.

    Departures from the papers, which classify images: there is no pooling, because the network returns a value for
    every sample. All blocks have the same number of filters. A kernel of 3 x 3 pixels becomes one of 9 samples, with
    the same number of weights. One convolution computes the waveform. As in the papers, there is no skip from input to
    output.

    Args:
        num_blocks: number of residual blocks, each with two convolutions.
        filters: number of feature maps.
        kernel_size: number of taps of each convolution, in samples.
        variant: `"plain"`, `"original"` or `"pre_activation"`.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: the variant is unknown.

    Reference: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, figure 2 and section 3.3;
    K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, figure 4e.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}; received {variant!r}; try 'original'")

    def convolution(role: str) -> layers.Layer:
        return layers.Conv1D(filters, kernel_size, padding="same", kernel_initializer="he_normal", name=role)

    def activated(inputs: Tensor, role: str) -> Tensor:
        return layers.ReLU(name=f"{role}_relu")(
            layers.BatchNormalization(momentum=MOMENTUM, name=f"{role}_norm")(inputs)
        )

    lossy = keras.Input((None, 1), name="lossy")
    features = convolution("first")(lossy)
    if variant == "pre_activation":
        for index in range(num_blocks):
            features = ResidualUnit(filters, kernel_size, name=f"block_{index}")(features)
        features = activated(features, "last")
    else:
        features = activated(features, "first")
        for index in range(num_blocks):
            block = activated(convolution(f"block_{index}_conv_0")(features), f"block_{index}_conv_0")
            block = convolution(f"block_{index}_conv_1")(block)
            block = layers.BatchNormalization(momentum=MOMENTUM, name=f"block_{index}_conv_1_norm")(block)
            if variant == "original":
                block = layers.Add(name=f"block_{index}_add")([features, block])
            features = layers.ReLU(name=f"block_{index}_relu")(block)
    restored = layers.Conv1D(1, kernel_size, padding="same", name="restored")(features)
    return keras.Model(lossy, restored, name=name)
