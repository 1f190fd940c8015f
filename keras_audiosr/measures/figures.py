"""Draws the paper's spectrum figure: lossless, lossy and restored music side by side. It needs the extra `plot`."""

import numpy as np

from ..annotations import StrPath
from ..errors import UsageError, how_to_install
from ..processes.partial_files import atomic_output

__all__ = ["require_matplotlib", "spectrum_figure"]

# Range of the levels that are shown, in dB of full scale. It begins at the floor of the spectra.
LEVELS = (-100.0, -20.0)

# Longest duration that is shown, in seconds. It is long enough to show notes and short enough to show their edges.
DURATION = 8.0


def require_matplotlib() -> None:
    """Checks that matplotlib is installed, before the time-consuming work begins.

    Raises:
        UsageError: matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise UsageError(
            f"the spectrum figure needs matplotlib; it is not installed; {how_to_install('plot')}; or leave the"
            " figure out"
        ) from error


def _levels(audio: np.ndarray) -> np.ndarray:
    """Returns the power spectrum in dB, averaged over the channels: array `(bins, frames)`."""
    from keras import ops

    from .metrics import log_spectrum

    power = 10.0 ** ops.convert_to_numpy(log_spectrum(audio[None]))[0]
    return 10.0 * np.log10(power.mean(axis=0)).T


def spectrum_figure(
    path: StrPath, signals: dict[str, np.ndarray], sample_rate: int, title: str = "", columns: int = 4
) -> None:
    """Draws spectrograms side by side, with one scale, and saves the picture atomically.

    Each spectrogram shows the same 8 s, which are the loudest of the first signal.

    Args:
        path: path of the picture; its suffix chooses the format, such as `.png`.
        signals: arrays `(time, channels)` in [-1, 1] by name.
        sample_rate: Hz.
        title: title of the picture.
        columns: largest number of spectrograms in a row.

    Raises:
        UsageError: matplotlib is missing.
        AudioFileError: the picture cannot be written.
    """
    require_matplotlib()
    # pyplot is avoided, because it has global state, needs a display and is not safe in threads.
    from matplotlib.figure import Figure

    first = next(iter(signals.values()))
    length = min(len(first), round(DURATION * sample_rate))
    starts = np.arange(0, len(first) - length + 1, sample_rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(first, dtype=np.float64).sum(axis=1))])
    start = int(starts[np.argmax(energy[starts + length] - energy[starts])])

    columns = min(columns, len(signals))
    rows = -(-len(signals) // columns)
    figure = Figure(figsize=(4.4 * columns + 1.0, 0.4 + 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis, (name, audio) in zip(axes.flat, signals.items(), strict=False):
        image = axis.imshow(
            _levels(audio[start : start + length]),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=LEVELS[0],
            vmax=LEVELS[1],
            extent=(start / sample_rate, (start + length) / sample_rate, 0.0, sample_rate / 2000),
        )
        axis.set(title=name)
    for axis in axes.flat[len(signals) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)")
    for axis in axes[:, 0]:
        axis.set_yticks(range(0, sample_rate // 2000, 5))
        axis.set_ylabel("frequency (kHz)")
    figure.colorbar(image, ax=axes, label="level (dB of full scale)", pad=0.01)
    figure.suptitle(title, parse_math=False)  # a title may contain $
    with atomic_output(path) as partial:
        figure.savefig(partial, dpi=110 if rows == 1 else 55)
