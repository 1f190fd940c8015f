"""Computes ViSQOL, a model of perceived quality, with the package `visqol-python`. It needs the extra `visqol`."""

import functools
import warnings
from typing import Any

import numpy as np

from ..errors import UsageError, how_to_install

__all__ = ["VISQOL_DEFINITION", "require_visqol", "visqol"]

VISQOL_SAMPLE_RATE = 48000

VISQOL_DEFINITION = (
    "ViSQOL: the MOS-LQO of ViSQOL v3 in audio mode. The channels are averaged to mono, as its reference implementation"
    " does, and resampled to 48 kHz."
)


def require_visqol() -> None:
    """Checks that the package is installed, before the time-consuming work begins.

    Raises:
        UsageError: the package is missing.
    """
    try:
        import visqol  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise UsageError(
            f"ViSQOL needs the visqol-python package; it is not installed; {how_to_install('visqol')}"
        ) from error


@functools.cache
def _api() -> Any:
    require_visqol()
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="audio")
    return api


def visqol(y_true: np.ndarray, y_pred: np.ndarray, sample_rate: int) -> float | None:
    """Predicts the perceived quality of `y_pred` compared with `y_true`.

    Args:
        y_true: lossless array `(time, channels)` in [-1, 1].
        y_pred: restored array of the same shape.
        sample_rate: Hz.

    Returns:
        The MOS-LQO, from 1 (bad) to about 4.73 (an exact copy). `None` if the audio is silent or shorter than about a
        second, because the model is not defined for it.

    Raises:
        UsageError: the package is missing.

    Reference:
        - [Chinen et al., ViSQOL v3, 2020](https://arxiv.org/abs/2004.09584)
    """
    import soxr

    mono = [np.asarray(audio, np.float64).mean(axis=1) for audio in (y_true, y_pred)]
    if not mono[0].any() or not mono[1].any():
        return None
    mono = [soxr.resample(audio, sample_rate, VISQOL_SAMPLE_RATE, "VHQ") for audio in mono]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # The model divides by the level of silent patches.
            score = _api().measure_from_arrays(*mono, VISQOL_SAMPLE_RATE).moslqo
    except ValueError:  # "Reference spectrum size smaller than minimum patch size"
        return None
    return float(score) if np.isfinite(score) else None
