"""The network of Kim, Ryu and Jeong (2023), whose parallel residual units are added in pairs."""

import keras
from keras import layers
from keras.initializers import Constant

from ..annotations import Tensor
from ..layers import STFT, InverseSTFT, ResidualUnit, SpectralFeatures, SpectralGainAndFill
from ..layers.residual import MOMENTUM
from .arrangement import arrange, check_arrangement, paddings


def _carry(
    features: Tensor, filters: int, kernel_size: int, batch_normalization: bool, padding: str, name: str
) -> Tensor:
    """Passes features to the next layer through a pre-activated convolution."""
    if batch_normalization:
        features = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(features)
    # Without an activation the convolutions of all layers would collapse into one.
    features = layers.ReLU(name=f"{name}_relu")(features)
    convolution = layers.Conv1D(
        filters, kernel_size, padding=padding, kernel_initializer="he_normal", name=f"{name}_conv"
    )
    return convolution(features)


def _unit(
    features: Tensor, sizes: tuple[int, int, bool], lookahead: int | None, dilation_rate: int, name: str
) -> tuple[Tensor, int | None]:
    """Applies a residual unit within a look-ahead, and returns its result and the look-ahead that remains."""
    (first, second), left = paddings(lookahead, sizes[1], dilation_rate, 1)
    unit = ResidualUnit(*sizes, dilation_rate, padding="same" if left is None else (first, second), name=name)
    return unit(features), left


def paired_resnet(
    num_units: int = 4,
    filters: int = 64,
    kernel_size: int = 3,
    batch_normalization: bool = True,
    dilation_rates: tuple[int, ...] | None = None,
    frame_length: int | None = None,
    hop_length: int | None = None,
    arrangement: str = "paired",
    lookahead: int | None = None,
    first_kernel_size: int | None = None,
    gate: bool = False,
    name: str = "paired_resnet",
) -> keras.Model:
    """Builds a tree of parallel residual units, whose results are added in pairs layer by layer.

    Several of DRRN's residual units receive the same initial features. Their results are added in pairs, and a
    convolution passes each sum to the next layer, until one sum remains. A last residual unit and one convolution
    compute the output. The output convolution starts at zero, so an untrained network returns its input.

    The tree has two forms:

    - at **sample rate** (`frame_length=None`), as in the paper: the tree works on the waveform, and its output is
      subtracted from the input;
    - at **frame rate**: the tree works between a fixed STFT and its exact inverse, with one step for every `hop_length`
      samples. For each bin it returns a gain and an added term (`SpectralGainAndFill`).

    The paper states neither the sizes nor the order of the activations. Here the units and the convolutions between
    layers are pre-activated, as in DRRN. The skip is a subtraction, because Keras' `Add` of two `(1, time, 1)` tensors
    becomes a `bias_add` that TFLite cannot convert.

    Args:
        num_units: number of parallel units, a power of two.
        filters: number of feature maps in the whole tree.
        kernel_size: number of taps of each convolution of the tree, in samples or frames.
        batch_normalization: whether batch normalization precedes every activation, as in DRRN.
        dilation_rates: dilation rate of the first convolution of each unit. Units with different rates cover different
            spans of time at the same cost. With `None` all are 1, as in the paper.
        frame_length: samples per frame of the STFT, or `None` for the form at sample rate.
        hop_length: samples per step of the STFT. `None` means a quarter of `frame_length`.
        arrangement: `"paired"`, as in the paper, or `"row"`, the same layers one after the other. The latter shows the
            effect of the pairing.
        lookahead: future frames (or samples, at sample rate) that all convolutions together may use, for players with
            low latency. The first convolutions are centred as far as the look-ahead suffices, and the others are
            causal. With `None` all are centred. The STFT adds `frame_length - hop_length` samples.
        first_kernel_size: number of taps of the first convolution. `None` means `kernel_size`. At frame rate this
            convolution reads three numbers per bin; with 224 filters and frames of 1,024 samples, 1 tap instead of 3
            saves a fifth of all weights.
        gate: whether the network at frame rate also returns a factor from 0 to 1 for the whole correction of a frame,
            so that it can leave frames unchanged that need no restoration. The factor starts at 0.95.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`. At frame rate `time` is a multiple of `hop_length`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_units` is not a power of two, the number of `dilation_rates` differs from it, the arrangement
            is unknown, the look-ahead is negative, or `frame_length` and `hop_length` do not fit.

    Reference: J. Kim, H. Ryu, C. Jeong, "A Deep Learning based Audio Super-Resolution Algorithm from
    Lossless and Lossy Input Data" (2023); Y. Tai et al., CVPR 2017, for the unit.
    """
    if dilation_rates is None:
        dilation_rates = (1,) * num_units
    check_arrangement(num_units, dilation_rates, arrangement, lookahead)
    sizes = (filters, kernel_size, batch_normalization)
    first_kernel_size = kernel_size if first_kernel_size is None else first_kernel_size
    (first_padding,), left = paddings(lookahead, first_kernel_size, 1)

    def body(features: Tensor) -> Tensor:
        features, last = arrange(
            features,
            arrangement,
            lambda features, *others: _unit(features, sizes, *others),
            lambda features, *others: _carry(features, *sizes, *others),
            kernel_size,
            dilation_rates,
            left,
        )
        return _unit(features, sizes, last, 1, "last_unit")

    lossy = keras.Input((None, 1), name="lossy")
    if frame_length is None:
        features = layers.Conv1D(filters, first_kernel_size, padding=first_padding, name="first")(lossy)
        features, last = body(features)
        (padding,), _ = paddings(last, kernel_size, 1)
        output = layers.Conv1D(1, kernel_size, padding=padding, kernel_initializer="zeros", name="output")
        restored = layers.Subtract(name="restored")([lossy, output(features)])
    else:
        transform = frame_length, hop_length or frame_length // 4
        real, imag = STFT(*transform, name="stft")(lossy)
        features = SpectralFeatures(name="features")(real, imag)
        features = layers.Conv1D(filters, first_kernel_size, padding=first_padding, name="first")(features)
        output = layers.Conv1D(2 * frame_length, 1, kernel_initializer="zeros", name="output")
        features, _ = body(features)
        answers = [output(features)]
        if gate:
            opening = layers.Conv1D(
                1, 1, activation="sigmoid", kernel_initializer="zeros", bias_initializer=Constant(3.0), name="gate"
            )
            answers.append(opening(features))
        real, imag = SpectralGainAndFill(name="gain_and_fill")(real, imag, *answers)
        restored = InverseSTFT(*transform, name="restored")(real, imag)
    return keras.Model(lossy, restored, name=name)
