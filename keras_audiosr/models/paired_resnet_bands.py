"""The paired residual network on bands of a spectrum, with an excitation for what the codec removed."""

import keras
from keras import layers
from keras.initializers import Constant

from ..annotations import Tensor
from ..layers import (
    STFT,
    BandEmbedding,
    BandFeatures,
    BandGainAndFill,
    BandMean,
    BandMix,
    BandPower,
    BandResidualUnit,
    Distortion,
    Excitation,
    FrameConv2D,
    FramePower,
    InverseSTFT,
    InverseSubframeSTFT,
    RunningMean,
    SubframeSTFT,
)
from .arrangement import arrange, check_arrangement, paddings

# Frames over which the excitation is levelled, and over which a frame's loudness is compared.
_LEVELLED = 4
_COMPARED = 8


def _unit(
    features: Tensor, filters: int, kernel_size: int, lookahead: int | None, dilation_rate: int, name: str
) -> tuple[Tensor, int | None]:
    (padding,), left = paddings(lookahead, kernel_size, dilation_rate)
    return BandResidualUnit(filters, kernel_size, dilation_rate, padding, name=name)(features), left


def _carry(features: Tensor, filters: int, kernel_size: int, padding: str, name: str) -> Tensor:
    # Without an activation the convolutions of all layers would collapse into one.
    features = layers.ReLU(name=f"{name}_relu")(features)
    convolution = FrameConv2D(
        filters, kernel_size, padding=padding, kernel_initializer="he_normal", name=f"{name}_conv"
    )
    return convolution(features)


def paired_resnet_bands(
    num_units: int = 4,
    filters: int = 64,
    kernel_size: int = 3,
    dilation_rates: tuple[int, ...] | None = None,
    frame_length: int = 2048,
    hop_length: int = 512,
    num_bands: int = 16,
    mean_frames: int = 128,
    mean_filters: int = 16,
    arrangement: str = "paired",
    lookahead: int | None = None,
    folded: bool = False,
    name: str = "paired_resnet_bands",
) -> keras.Model:
    """`paired_resnet` at frame rate, in bands that share their weights.

    A frame's bins are cut into bands of equal width, and the tree of residual units works on
    `(frames, bands, maps)`: kernels reach over frames and over neighbouring bands, and every band is an example for
    all others. A learned embedding says which band it is. A mean of some features over a second or more tells every
    frame how bright the song is.

    What the codec left gets a real gain for each bin (`BandGainAndFill`). What it removed is filled with an
    excitation, the short-time spectrum of a distorted, high-passed copy of the input, at levels that the network
    answers, in shorter frames. So nothing of the fill sounds long before an attack, and its phase is music's:
    a network that predicts the phase of lost highs settles on one that hardly changes, which buzzes at the frame rate.

    The network is odd under polarity, `f(-x) = -f(x)`, and indifferent to loudness, `f(a x) = a f(x)`. An untrained
    one adds a fill of -70 dB.

    Departures from the seed: units work on bands and without batch normalization; their first convolution runs over
    frames, their second over bands.

    Args:
        num_units: units side by side, a power of two.
        filters: feature maps of a band.
        kernel_size: frames, and bands, under each convolution of the tree.
        dilation_rates: one a unit, of its convolution over frames. All 1 when `None`.
        frame_length: samples a frame of the STFT, a power of two.
        hop_length: samples a step of the STFT, half or a quarter of a frame; as long are the frames of the fill.
        num_bands: bands of `frame_length / 2 / num_bands` bins.
        mean_frames: frames of the long mean, a power of two; 1 for none.
        mean_filters: features of which the long mean is taken.
        arrangement: `"paired"`, the seed's, or `"row"`: the same layers, weight for weight, one after the other.
        lookahead: frames of the future that all convolutions together may see, for a player that cannot wait: from
            the first on they are centred while it lasts, and causal after it; means are causal. All centred when
            `None`. The STFT's own `frame_length - hop_length` samples come on top.
        folded: of the transforms (`STFT`): quicker, for 1.2 MB more of constants. It changes no weight.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`; `time` a multiple of `hop_length`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_units` or `mean_frames` is no power of two, `dilation_rates` are not as many as the units,
            an unknown arrangement, a negative look-ahead, or bands that do not divide the short frames' bins.

    Reference: J. Kim, H. Ryu, C. Jeong, "A Deep Learning based Audio Super-Resolution Algorithm from
    Lossless and Lossy Input Data" (2023), for the tree; Y. Tai et al., CVPR 2017, for the unit; E. Larsen,
    R. M. Aarts, "Audio Bandwidth Extension" (2004), for the excitation.
    """
    if dilation_rates is None:
        dilation_rates = (1,) * num_units
    check_arrangement(num_units, dilation_rates, arrangement, lookahead)
    overlap = frame_length // hop_length
    if overlap not in (2, 4) or overlap * hop_length != frame_length:
        raise ValueError(
            f"hop_length must be half or a quarter of frame_length ({frame_length}); received {hop_length};"
            f" try {frame_length // 4}"
        )
    if hop_length // 2 % num_bands:
        raise ValueError(
            f"num_bands must divide the {hop_length // 2} bins of a short frame; received {num_bands}; try 16"
        )
    ahead = 1 if lookahead is None else 0
    sizes = (filters, kernel_size)

    lossy = keras.Input((None, 1), name="lossy")
    real, imag = STFT(frame_length, hop_length, folded, name="stft")(lossy)
    power = FramePower(name="power")(real, imag)
    mean_power = RunningMean(_COMPARED, _COMPARED // 2 * ahead, name="mean_power")(power)
    magnitude = BandFeatures(num_bands, name="features")(real, imag, power, mean_power)

    distorted = Distortion(name="distortion")(lossy)
    short = SubframeSTFT(hop_length, overlap, folded, name="short_stft")(distorted)
    band_power = BandPower(num_bands, name="band_power")(*short)
    band_power = RunningMean(_LEVELLED, ahead, name="mean_band_power")(band_power)
    *excitation, texture = Excitation(name="excitation")(*short, band_power)

    features = layers.Concatenate(name="inputs")([magnitude, texture])
    features = layers.Conv2D(filters, 1, name="first")(features)
    features = BandEmbedding(name="embedding")(features)
    if mean_frames > 1:
        mean = layers.Conv2D(mean_filters, 1, activation="relu", name="mean_in")(features)
        mean = BandMix(name="mean_mix")(mean)
        mean = RunningMean(mean_frames, mean_frames // 2 * ahead, name="mean")(mean)
        mean = layers.Conv2D(filters, 1, name="mean_out")(mean)
        features = layers.Add(name="informed")([features, mean])
    features, last = arrange(
        features,
        arrangement,
        lambda features, *others: _unit(features, *sizes, *others),
        lambda features, *others: _carry(features, *sizes, *others),
        kernel_size,
        dilation_rates,
        lookahead,
    )
    features, _ = _unit(features, *sizes, last, 1, "last_unit")
    features = layers.ReLU(name="last_relu")(features)

    # A gain for each bin of a band, and a level for each of its excitation.
    answers = frame_length // 2 // num_bands + excitation[0].shape[-1]
    answer = layers.Conv2D(answers, 1, kernel_initializer="zeros", name="output")(features)
    answer = BandEmbedding(name="output_bias")(answer)
    # Starts at 0.95.
    opening = layers.Dense(
        1, activation="sigmoid", kernel_initializer="zeros", bias_initializer=Constant(3.0), name="gate"
    )(BandMean(name="band_mean")(features))
    spectra = BandGainAndFill(name="gain_and_fill")(real, imag, *excitation, power, answer, opening)
    # Two waveforms are added as rows: see `paired_resnet` on sums of `(1, time, 1)`.
    long = layers.Reshape((-1, hop_length), name="long_rows")(
        InverseSTFT(frame_length, hop_length, folded, name="inverse")(*spectra[:2])
    )
    short = layers.Reshape((-1, hop_length), name="short_rows")(
        InverseSubframeSTFT(hop_length, overlap, folded, name="short_inverse")(*spectra[2:])
    )
    restored = layers.Reshape((-1, 1), name="restored")(layers.Add(name="sum")([long, short]))
    return keras.Model(lossy, restored, name=name)
