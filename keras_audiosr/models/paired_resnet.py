"""The network of Kim, Ryu and Jeong (2023): residual units whose results are added in pairs."""

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
    """Carries features to the next layer through a pre-activated convolution."""
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
    """A residual unit within a look-ahead; its result, and what is left of the look-ahead."""
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
    """Residual units on the first features, their results added in pairs layer by layer.

    Several of DRRN's residual units work side by side on the initial features;
    their results are added in pairs, a convolution carries each sum to the next
    layer, and so on until one is left. A last residual unit and one convolution
    give the output. The output convolution starts at zero: an untrained network
    returns its input.

    Two forms of one tree:

    - at **sample rate** (`frame_length=None`), the paper's: the tree works on the waveform and its
      output is subtracted from the input (a skip written as a difference, see below);
    - at **frame rate**, the same tree between a fixed STFT and its exact inverse: 256 samples a step
      instead of one, and for each bin a gain and an added term (`SpectralGainAndFill`).

    Departures from the paper: it prints neither sizes nor the order of activation; units are
    pre-activated as DRRN's are, and so are the convolutions between layers. The skip is a
    subtraction because Keras' `Add` of two `(1, time, 1)` tensors turns into a `bias_add` that TFLite
    cannot convert.

    Args:
        num_units: units side by side, a power of two.
        filters: feature maps throughout the tree.
        kernel_size: samples (or frames) under each convolution of the tree.
        batch_normalization: as in DRRN, before every activation.
        dilation_rates: one a unit, of its first convolution: units that look at the same features over
            different spans of time cost no more than equal ones. All 1, as in the paper, when `None`.
        frame_length: samples a frame of the STFT; `None` for the sample-rate form.
        hop_length: samples a step of the STFT; a quarter of `frame_length` when `None`.
        arrangement: `"paired"`, the paper's, or `"row"`: the same layers, weight for weight, one after the other,
            to see what adding in pairs is good for.
        lookahead: frames (samples at sample rate) of the future that all convolutions together may see, for a
            player that cannot wait: from the first on they are centred while it lasts, and causal after it.
            All centred when `None`. The STFT's own `frame_length - hop_length` samples come on top.
        first_kernel_size: of the first convolution; `kernel_size` when `None`. At frame rate it reads three numbers a
            bin, so 1 saves a fifth of all weights.
        gate: at frame rate, whether one more answer a frame, from 0 to 1, scales the whole correction: one number
            leaves a frame alone that has nothing to restore. It starts at 0.95.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`; at frame rate `time` is a multiple of `hop_length`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_units` is no power of two, `dilation_rates` are not as many, an unknown arrangement,
            a negative look-ahead, or the STFT's lengths do not fit.

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
