"""SRResNet, which consists of sixteen residual blocks and one long skip around them."""

import keras
from keras import layers

from ..layers import SubPixel
from ..layers.residual import MOMENTUM


def srresnet(
    num_blocks: int = 16, filters: int = 64, kernel_size: int = 9, scale: int = 1, name: str = "srresnet"
) -> keras.Model:
    """Builds residual blocks conv-BN-PReLU-conv-BN, with a skip from the first convolution to the end of the blocks.

    Departures from the paper: kernels of 3 x 3 pixels become kernels of `kernel_size` samples, where 9 gives the same
    number of weights. The 9 x 9 kernels of the first and the last layer become kernels of `kernel_size` squared (81)
    samples. There is one channel instead of three. Upsampling is optional, because lossy music usually has the sample
    rate of the lossless music. As in the paper, there is no skip from input to output, so the network has to learn to
    reproduce its input.

    Args:
        num_blocks: B, the number of residual blocks.
        filters: number of feature maps.
        kernel_size: number of taps of each convolution, in samples. The first and the last convolution have the square
            of this number.
        scale: output samples per input sample, 1 or another power of two. Subpixel layers do the upsampling.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`.

    Output shape:
        `restored`: `(batch, scale * time, 1)`.

    Returns:
        A functional `keras.Model`. The runners accept only models with `scale=1`.

    Raises:
        ValueError: `scale` is not a power of two.

    Reference: C. Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
    Network", CVPR 2017, section 2.1 and figure 4; W. Shi et al., CVPR 2016, for the subpixel layers.
    """
    if scale < 1 or scale & (scale - 1):
        raise ValueError(f"scale must be a power of two, one subpixel layer each; received {scale}; try 1, 2 or 4")

    def convolution(maps: int, taps: int, role: str) -> layers.Layer:
        return layers.Conv1D(maps, taps, padding="same", kernel_initializer="he_normal", name=role)

    def normalization(role: str) -> layers.Layer:
        return layers.BatchNormalization(momentum=MOMENTUM, name=role)

    def prelu(role: str) -> layers.Layer:
        return layers.PReLU(shared_axes=[1], alpha_initializer=keras.initializers.Constant(0.25), name=role)

    lossy = keras.Input((None, 1), name="lossy")
    first = prelu("first_prelu")(convolution(filters, kernel_size**2, "first")(lossy))
    features = first
    for index in range(num_blocks):
        block = convolution(filters, kernel_size, f"block_{index}_conv_0")(features)
        block = prelu(f"block_{index}_prelu")(normalization(f"block_{index}_norm_0")(block))
        block = convolution(filters, kernel_size, f"block_{index}_conv_1")(block)
        features = layers.Add(name=f"block_{index}")([features, normalization(f"block_{index}_norm_1")(block)])
    features = normalization("last_norm")(convolution(filters, kernel_size, "last")(features))
    features = layers.Add(name="long_skip")([first, features])
    for index in range(scale.bit_length() - 1):
        # A waveform needs twice the number of maps, and an image four times, because a waveform has one dimension.
        features = convolution(2 * filters, kernel_size, f"upsampling_{index}")(features)
        features = prelu(f"upsampling_{index}_prelu")(SubPixel(2, name=f"subpixel_{index}")(features))
    restored = convolution(1, kernel_size**2, "restored")(features)
    return keras.Model(lossy, restored, name=name)
