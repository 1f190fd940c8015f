"""The paired residual network on bands of a spectrum, with an excitation that replaces what the codec removed."""

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

# Number of frames over which the power of the excitation is averaged, and of frames that a frame's level is compared
# with.
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
    """Builds `paired_resnet` at frame rate, on bands that share their weights.

    The bins of a frame are divided into bands of equal width, and the tree of residual units works on tensors
    `(batch, frames, bands, maps)`. Its kernels cover frames and neighbouring bands. The bands share all kernels, and a
    learned embedding identifies each band. A mean of some features over `mean_frames` frames (128 are 1.5 s at
    44.1 kHz) describes how bright the song is.

    Content that the codec left receives a real gain for each bin (`BandGainAndFill`). Content that it removed is
    replaced by an excitation, the short-time spectrum of a distorted, high-passed copy of the input. The network
    returns only the levels of the excitation. Its frames are shorter than those of the gains, so it does not sound long
    before an attack. Its phase comes from the music. A network that predicts the phase of lost highs converges to a
    phase that hardly changes, which is heard as a buzz at the frame rate.

    The network is odd under a change of polarity, `f(-x) = -f(x)`, and independent of loudness, `f(a x) = a f(x)`. An
    untrained network adds an excitation of -70 dB.

    Departures from the paper: the units work on bands and have no batch normalization. Their first convolution covers
    frames, and their second one bands.

    Args:
        num_units: number of parallel units, a power of two.
        filters: number of feature maps of a band.
        kernel_size: number of taps of each convolution of the tree, in frames and in bands.
        dilation_rates: dilation rate of each unit's convolution over frames. With `None` all are 1.
        frame_length: samples per frame of the STFT, a power of two.
        hop_length: samples per step of the STFT, half or a quarter of a frame. It is also the frame length of the
            excitation.
        num_bands: number of bands, each of `frame_length / 2 / num_bands` bins.
        mean_frames: number of frames of the long mean, a power of two. With 1 there is no such mean.
        mean_filters: number of features that the long mean is computed of.
        arrangement: `"paired"`, as in the paper, or `"row"`, the same layers one after the other.
        lookahead: future frames that all convolutions together may use, for players with low latency. The first
            convolutions are centred as far as the look-ahead suffices, and the others are causal, as are the means.
            With `None` all are centred. The STFT adds `frame_length - hop_length` samples.
        folded: whether the transforms are folded (`STFT`), which is faster and needs 1.2 MB more of constants at the
            default lengths. It does not change the weights.
        name: the model's name.

    Input shape:
        `lossy`: `(batch, time, 1)`, where `time` is a multiple of `hop_length`.

    Output shape:
        `restored`: `(batch, time, 1)`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `num_units`, `mean_frames` or `frame_length` is not a power of two, the number of `dilation_rates`
            differs from that of the units, the arrangement is unknown, the look-ahead is negative, `hop_length` is
            neither half nor a quarter of `frame_length`, or `num_bands` does not divide the bins of a short frame.

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

    # A gain for each bin of a band, and a level for each bin of its excitation.
    answers = frame_length // 2 // num_bands + excitation[0].shape[-1]
    answer = layers.Conv2D(answers, 1, kernel_initializer="zeros", name="output")(features)
    answer = BandEmbedding(name="output_bias")(answer)
    # The sigmoid of 3.0 is 0.95.
    opening = layers.Dense(
        1, activation="sigmoid", kernel_initializer="zeros", bias_initializer=Constant(3.0), name="gate"
    )(BandMean(name="band_mean")(features))
    spectra = BandGainAndFill(name="gain_and_fill")(real, imag, *excitation, power, answer, opening)
    # The waveforms are added as rows, because TFLite cannot convert the `Add` of two `(1, time, 1)` tensors.
    long = layers.Reshape((-1, hop_length), name="long_rows")(
        InverseSTFT(frame_length, hop_length, folded, name="inverse")(*spectra[:2])
    )
    short = layers.Reshape((-1, hop_length), name="short_rows")(
        InverseSubframeSTFT(hop_length, overlap, folded, name="short_inverse")(*spectra[2:])
    )
    restored = layers.Reshape((-1, 1), name="restored")(layers.Add(name="sum")([long, short]))
    return keras.Model(lossy, restored, name=name)
