"""Computes Zimtohrli, a second model of perceived quality beside ViSQOL. It needs the extra `zimtohrli`."""

import numpy as np

from ..errors import UsageError, how_to_install
from .ranges import FLOOR

__all__ = ["ZIMTOHRLI_DEFINITION", "require_zimtohrli", "zimtohrli"]

ZIMTOHRLI_SAMPLE_RATE = 48000
# Longest piece in seconds. The model warps time, so its memory grows with the square of the duration (3 GB for a song).
_PIECE = 10.0
# Shortest signal in seconds. A shorter one gives no reliable score, and the library aborts the process below 0.05 s.
_SHORTEST = 1.0

ZIMTOHRLI_DEFINITION = (
    "Zimtohrli: the mean opinion score that google/zimtohrli 0.2 derives from its distance, from 1 to 5 (an exact"
    f" copy). The channels are averaged to mono and resampled to 48 kHz. The score is the mean over pieces of at most"
    f" {_PIECE:g} s whose lossless side is above {FLOOR:g} dB of full scale."
)


def require_zimtohrli() -> None:
    """Checks that the package is installed, before the time-consuming work begins.

    Raises:
        UsageError: the package is missing.
    """
    try:
        import zimtohrli  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise UsageError(
            f"Zimtohrli needs the zimtohrli package; it is not installed; {how_to_install('zimtohrli')}"
        ) from error


def zimtohrli(y_true: np.ndarray, y_pred: np.ndarray, sample_rate: int) -> float | None:
    """Predicts the perceived quality of `y_pred` compared with `y_true`.

    Args:
        y_true: lossless array `(time, channels)` in [-1, 1].
        y_pred: restored array of the same shape.
        sample_rate: Hz.

    Returns:
        The mean opinion score, from 1 (bad) to 5 (an exact copy). `None` if the audio is silent or shorter than a
        second.

    Raises:
        UsageError: the package is missing.

    Reference:
        - [Alakuijala et al., Zimtohrli: An Efficient Psychoacoustic Audio Similarity Metric,
          2025](https://arxiv.org/abs/2509.26133)
    """
    import soxr

    require_zimtohrli()
    from zimtohrli import mos_from_signals

    if len(y_true) < _SHORTEST * sample_rate:
        return None
    mono = [np.asarray(audio, np.float64).mean(axis=1) for audio in (y_true, y_pred)]
    if not mono[1].any():
        return None
    mono = [soxr.resample(audio, sample_rate, ZIMTOHRLI_SAMPLE_RATE, "VHQ").astype(np.float32) for audio in mono]
    pieces = -(-len(mono[0]) // round(_PIECE * ZIMTOHRLI_SAMPLE_RATE))
    scores = [
        mos_from_signals(true, pred)
        for true, pred in zip(*(np.array_split(audio, pieces) for audio in mono), strict=True)
        if np.mean(np.square(true)) > 10.0 ** (FLOOR / 10.0)
    ]
    return float(np.mean(scores)) if scores else None
