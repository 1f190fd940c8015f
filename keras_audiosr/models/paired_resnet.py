"""The network of Kim, Ryu and Jeong (2023): residual units whose results are added in pairs."""

import keras
from keras import layers

from ..layers import STFT, InverseSTFT, ResidualUnit, SpectralFeatures, SpectralGainAndFill
from ..layers.residual import MOMENTUM

ARRANGEMENTS = ("paired", "row")


def _carry(features, filters, kernel_size, batch_normalization, name):
    """Carries features to the next layer through a pre-activated convolution."""
    if batch_normalization:
        features = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(features)
    # Without an activation the convolutions of all layers would collapse into one.
    features = layers.ReLU(name=f"{name}_relu")(features)
    convolution = layers.Conv1D(
        filters, kernel_size, padding="same", kernel_initializer="he_normal", name=f"{name}_conv"
    )
    return convolution(features)


def _tree(features, units, sizes):
    """Units side by side on the same features, added in pairs until one is left."""
    results = [unit(features) for unit in units]
    layer = 0
    while len(results) > 1:
        names = [f"layer_{layer}_pair_{index}" for index in range(len(results) // 2)]
        pairs = zip(results[::2], results[1::2], names, strict=True)
        results = [_carry(layers.Add(name=f"{name}_add")([left, right]), *sizes, name) for left, right, name in pairs]
        layer += 1
    return results[0]


def _row(features, units, sizes):
    """The same units one after the other, and as many convolutions behind them as the tree has sums."""
    for unit in units:
        features = unit(features)
    for index in range(len(units) - 1):
        features = _carry(features, *sizes, f"carry_{index}")
    return features


def paired_resnet(
    num_units: int = 4,
    filters: int = 64,
    kernel_size: int = 3,
    batch_normalization: bool = True,
    dilation_rates: tuple[int, ...] | None = None,
    frame_length: int | None = None,
    hop_length: int | None = None,
    arrangement: str = "paired",
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
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`; at frame rate `time` is a multiple of `hop_length`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_units` is no power of two, `dilation_rates` are not as many, an unknown arrangement,
            or the STFT's lengths do not fit.

    Reference: J. Kim, H. Ryu, C. Jeong, "A Deep Learning based Audio Super-Resolution Algorithm from
    Lossless and Lossy Input Data" (2023); Y. Tai et al., CVPR 2017, for the unit.
    """
    if num_units < 2 or num_units & (num_units - 1):
        raise ValueError(f"num_units must be a power of two, to be added in pairs; received {num_units}; try 4")
    if dilation_rates is None:
        dilation_rates = (1,) * num_units
    if len(dilation_rates) != num_units:
        raise ValueError(f"dilation_rates needs one number a unit, {num_units}; received {dilation_rates}")
    if arrangement not in ARRANGEMENTS:
        raise ValueError(f"arrangement must be 'paired' or 'row'; received {arrangement!r}; try 'paired'")
    sizes = (filters, kernel_size, batch_normalization)

    def body(features):
        units = [ResidualUnit(*sizes, rate, name=f"unit_{index}") for index, rate in enumerate(dilation_rates)]
        result = (_tree if arrangement == "paired" else _row)(features, units, sizes)
        return ResidualUnit(*sizes, name="last_unit")(result)

    lossy = keras.Input((None, 1), name="lossy")
    if frame_length is None:
        features = layers.Conv1D(filters, kernel_size, padding="same", name="first")(lossy)
        output = layers.Conv1D(1, kernel_size, padding="same", kernel_initializer="zeros", name="output")
        restored = layers.Subtract(name="restored")([lossy, output(body(features))])
    else:
        transform = {"frame_length": frame_length, "hop_length": hop_length or frame_length // 4}
        real, imag = STFT(**transform, name="stft")(lossy)
        features = SpectralFeatures(name="features")(real, imag)
        features = layers.Conv1D(filters, kernel_size, padding="same", name="first")(features)
        output = layers.Conv1D(2 * frame_length, 1, kernel_initializer="zeros", name="output")
        answer = output(body(features))
        real, imag = SpectralGainAndFill(name="gain_and_fill")(real, imag, answer)
        restored = InverseSTFT(**transform, name="restored")(real, imag)
    return keras.Model(lossy, restored, name=name)
