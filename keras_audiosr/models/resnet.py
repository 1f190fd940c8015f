"""ResNet for waveforms: plain, as first published, and pre-activated."""

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
    """Blocks of two convolutions, each block's input added to its output.

    The three networks of He's two papers have the same convolutions:

    - `"plain"`: conv-BN-ReLU one after the other, no shortcut (the papers' control);
    - `"original"`: conv-BN-ReLU-conv-BN, the shortcut, ReLU;
    - `"pre_activation"`: BN-ReLU-conv-BN-ReLU-conv, the shortcut, and nothing on its way.

    Departures from the papers, which classify pictures: no pooling and no stages of growing width, since every
    sample wants an answer, so all blocks have the same filters; a kernel of 3 x 3 becomes one of 9 samples, with as
    many weights; one convolution gives the waveform. The papers have no skip from input to output, and so has this.

    Args:
        num_blocks: residual blocks, two convolutions each.
        filters: feature maps.
        kernel_size: samples under each convolution.
        variant: one of the three.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an unknown variant.

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
