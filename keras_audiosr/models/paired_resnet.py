"""The network of Kim, Ryu and Jeong (2023): residual units whose results are added in pairs."""

import keras
from keras import layers
from keras.initializers import Constant

from ..layers import STFT, InverseSTFT, ResidualUnit, SpectralFeatures, SpectralGainAndFill
from ..layers.residual import MOMENTUM

ARRANGEMENTS = ("paired", "row")


def _paddings(lookahead, kernel_size, *dilation_rates):
    """Padding of convolutions in a row: centred while the look-ahead lasts, else causal; and what is left of it."""
    paddings = []
    for dilation_rate in dilation_rates:
        ahead = kernel_size // 2 * dilation_rate
        paddings.append("same" if lookahead is None or lookahead >= ahead else "causal")
        if lookahead is not None and lookahead >= ahead:
            lookahead -= ahead
    return paddings, lookahead


def _carry(features, filters, kernel_size, batch_normalization, padding, name):
    """Carries features to the next layer through a pre-activated convolution."""
    if batch_normalization:
        features = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(features)
    # Without an activation the convolutions of all layers would collapse into one.
    features = layers.ReLU(name=f"{name}_relu")(features)
    convolution = layers.Conv1D(
        filters, kernel_size, padding=padding, kernel_initializer="he_normal", name=f"{name}_conv"
    )
    return convolution(features)


def _unit(features, sizes, lookahead, dilation_rate, name):
    """A residual unit within a look-ahead; its result, and what is left of the look-ahead."""
    paddings, left = _paddings(lookahead, sizes[1], dilation_rate, 1)
    unit = ResidualUnit(*sizes, dilation_rate, padding="same" if left is None else tuple(paddings), name=name)
    return unit(features), left


def _tree(features, sizes, lookahead, dilation_rates):
    """Units side by side on the same features, added in pairs until one is left."""
    units = [_unit(features, sizes, lookahead, rate, f"unit_{index}") for index, rate in enumerate(dilation_rates)]
    results = [result for result, _ in units]
    # All units began with the same look-ahead: a sum sees as far ahead as the one that used most of it.
    lookahead = None if lookahead is None else min(left for _, left in units)
    layer = 0
    while len(results) > 1:
        (padding,), lookahead = _paddings(lookahead, sizes[1], 1)
        names = [f"layer_{layer}_pair_{index}" for index in range(len(results) // 2)]
        pairs = zip(results[::2], results[1::2], names, strict=True)
        sums = [(layers.Add(name=f"{name}_add")([left, right]), name) for left, right, name in pairs]
        results = [_carry(total, *sizes, padding, name) for total, name in sums]
        layer += 1
    return results[0], lookahead


def _row(features, sizes, lookahead, dilation_rates):
    """The same units one after the other, and as many convolutions behind them as the tree has sums."""
    for index, rate in enumerate(dilation_rates):
        features, lookahead = _unit(features, sizes, lookahead, rate, f"unit_{index}")
    for index in range(len(dilation_rates) - 1):
        (padding,), lookahead = _paddings(lookahead, sizes[1], 1)
        features = _carry(features, *sizes, padding, f"carry_{index}")
    return features, lookahead


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
    if num_units < 2 or num_units & (num_units - 1):
        raise ValueError(f"num_units must be a power of two, to be added in pairs; received {num_units}; try 4")
    if dilation_rates is None:
        dilation_rates = (1,) * num_units
    if len(dilation_rates) != num_units:
        raise ValueError(f"dilation_rates needs one number a unit, {num_units}; received {dilation_rates}")
    if arrangement not in ARRANGEMENTS:
        raise ValueError(f"arrangement must be 'paired' or 'row'; received {arrangement!r}; try 'paired'")
    if lookahead is not None and lookahead < 0:
        raise ValueError(f"lookahead must be None, 0 or more; received {lookahead}; try 3")
    sizes = (filters, kernel_size, batch_normalization)
    first_kernel_size = kernel_size if first_kernel_size is None else first_kernel_size
    (first_padding,), left = _paddings(lookahead, first_kernel_size, 1)

    def body(features):
        arranged = _tree if arrangement == "paired" else _row
        features, last = arranged(features, sizes, left, dilation_rates)
        return _unit(features, sizes, last, 1, "last_unit")

    lossy = keras.Input((None, 1), name="lossy")
    if frame_length is None:
        features = layers.Conv1D(filters, first_kernel_size, padding=first_padding, name="first")(lossy)
        features, last = body(features)
        (padding,), _ = _paddings(last, kernel_size, 1)
        output = layers.Conv1D(1, kernel_size, padding=padding, kernel_initializer="zeros", name="output")
        restored = layers.Subtract(name="restored")([lossy, output(features)])
    else:
        transform = {"frame_length": frame_length, "hop_length": hop_length or frame_length // 4}
        real, imag = STFT(**transform, name="stft")(lossy)
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
        restored = InverseSTFT(**transform, name="restored")(real, imag)
    return keras.Model(lossy, restored, name=name)
