"""Measures up to which frequency a recording has signal, and whether its spectrum ends abruptly at a "brick wall".

A lossy codec at a low bitrate drops everything above a certain frequency. The spectrum falls by 40 to 75 dB within a
few hundred Hz there and stays at the noise floor. The spectra of real instruments and microphones fall far more slowly.
Both measurements use one long-term mean power spectrum, so a file of any length is measured in constant memory.
"""

import numpy as np

# One bin is about 21.5 Hz at every sample rate (2048 points at 44.1 kHz).
_BIN_WIDTH = 21.5
# Mean level below which a band counts as empty, in dB relative to a full-scale sine in one bin. It is 10 dB below the
# floor of the LSD metric (1e-10) and 10 dB above the noise of a dithered 16-bit file.
_NOTHING = -110.0
# On 120 lossless clips the steepest falls were 15 dB when they ended in rounding noise, and 33 dB (a clarinet's
# partials) when some signal remained above. MP3 at 96 kbit/s and below falls by 40 dB or more wherever the music
# reaches the wall.
_WALL_FALL = 30.0
_WALL_FALL_TO_REMAINS = 37.0
# The highest level allowed above a wall. Clipped peaks and coding errors leave a little energy there.
_WALL_FLOOR = -90.0
# Width in Hz within which the level must fall, and width over which the level is measured on either side.
_WALL_WIDTH = 750.0
_SIDE_WIDTH = 500.0
_LOWEST_WALL = 3000.0
# A wall above this share of the band is the anti-aliasing filter of a converter or resampler.
_ANTI_ALIAS = 0.9
# A frame has at most 2 to the power of this many samples, whatever sample rate a header declares.
_LONGEST = 20
# A recording of fewer seconds is too short to judge.
_SHORTEST = 1.0


class SpectrumMeter:
    """Measures the long-term mean power spectrum of a signal that is passed block by block.

    Args:
        sample_rate: Hz.

    Example:
        ```python
        meter = SpectrumMeter(44100)
        for block in blocks:  # arrays (time, channels)
            meter.add(block)
        print(meter.cutoff(), meter.brick_wall())
        ```
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self.frame_length = 1 << min(max(6, round(np.log2(sample_rate / _BIN_WIDTH))), _LONGEST)
        # Four-term Blackman-Harris, with side lobes at -92 dB. The side lobes of a Hann window make a tone look like a
        # band.
        angle = 2.0 * np.pi * np.arange(self.frame_length) / self.frame_length
        terms = (0.35875, -0.48829, 0.14128, -0.01168)
        window = sum(term * np.cos(order * angle) for order, term in enumerate(terms))
        self._window = np.asarray(window, dtype=np.float32)
        self._power = np.zeros(self.frame_length // 2 + 1)
        self._frames = 0
        self._length = 0
        self._rest: np.ndarray | None = None

    def add(self, block: np.ndarray) -> None:
        """Takes the next samples: array `(time, channels)` or `(time,)`, floating point in [-1, 1]."""
        block = np.asarray(block, dtype=np.float32)
        if block.ndim == 1:
            block = block[:, None]
        self._length += len(block)
        if self._rest is not None and len(self._rest):
            block = np.concatenate([self._rest, block])
        whole = len(block) - len(block) % self.frame_length
        # A few frames at a time, because transforming a whole song in double precision would take too much memory.
        for start in range(0, whole, 64 * self.frame_length):
            self._add_frames(block[start : min(start + 64 * self.frame_length, whole)])
        self._rest = block[whole:].copy()

    def _add_frames(self, samples: np.ndarray) -> None:
        frames = samples.T.reshape(-1, self.frame_length)
        # NaN and Inf in a damaged float file must not spread over the whole file's mean.
        with np.errstate(invalid="ignore", over="ignore"):
            spectra = np.fft.rfft(frames * self._window, axis=1)
            power = np.nan_to_num(spectra.real**2 + spectra.imag**2, nan=0.0, posinf=0.0)
        self._power += power.sum(axis=0)
        self._frames += len(frames)

    def _level(self) -> np.ndarray | None:
        """Returns the mean level of each bin in dB (0 is a full-scale sine), or `None` for silence."""
        power, frames = self._power, self._frames
        if not frames and self._rest is not None and len(self._rest):
            # The recording is shorter than one frame, so it is padded with silence and measured once.
            padded = np.zeros((self.frame_length, self._rest.shape[1]), np.float32)
            padded[: len(self._rest)] = self._rest
            with np.errstate(invalid="ignore", over="ignore"):
                spectra = np.fft.rfft(padded * self._window[:, None], axis=0)
                power = np.nan_to_num(np.abs(spectra) ** 2, nan=0.0, posinf=0.0).sum(axis=1)
            frames = self._rest.shape[1]
        if not frames or not power.max() > 0.0:
            return None
        full_scale = (self._window.sum() / 2.0) ** 2
        return 10.0 * np.log10(power / (frames * full_scale) + 1e-20)

    def _bins(self, width: float) -> int:
        return max(1, round(width * self.frame_length / self.sample_rate))

    def _wall(self, level: np.ndarray) -> float | None:
        """Returns the frequency in Hz of the steepest wall below Nyquist, or `None` without a wall."""
        width, side = self._bins(_WALL_WIDTH), self._bins(_SIDE_WIDTH)
        first = self._bins(_LOWEST_WALL)
        if len(level) < side:
            return None
        # Medians instead of means, because a single tone does not make a band loud.
        medians = np.median(np.lib.stride_tricks.sliding_window_view(level, side), axis=1)
        edges = np.arange(first, len(level) - width - side + 1)
        if not len(edges):
            return None
        loudest_above = np.maximum.accumulate(medians[::-1])[::-1]
        below, above = medians[edges - side], loudest_above[edges + width]
        enough = np.where(above < _NOTHING, _WALL_FALL, _WALL_FALL_TO_REMAINS)
        excess = np.where(above < _WALL_FLOOR, below - above - enough, -np.inf)
        steepest = int(np.argmax(excess))
        if excess[steepest] < 0.0:
            return None
        start = edges[steepest]
        half = (below[steepest] + above[steepest]) / 2.0
        loud = np.flatnonzero(_smooth(level, 5)[start - side : start + width + side] > half)
        return float((start - side + loud[-1]) * self.sample_rate / self.frame_length)

    def cutoff(self) -> float:
        """Returns the frequency in Hz above which there is practically no signal.

        This is half the sample rate for a full band and for silence.
        """
        nyquist = self.sample_rate / 2.0
        level = self._level()
        if level is None:
            return nyquist
        wall = self._wall(level)
        if wall is not None:
            return wall
        audible = np.flatnonzero(_smooth(level, self._bins(200.0)) > _NOTHING)
        if not len(audible):
            return nyquist
        highest = audible[-1] * self.sample_rate / self.frame_length
        return float(highest) if highest < 0.97 * nyquist else nyquist

    def conclusive(self) -> bool:
        """Whether there was enough sound to judge: at least one second, and not only silence."""
        return self._length >= _SHORTEST * self.sample_rate and self._level() is not None

    def brick_wall(self) -> float | None:
        """Returns the frequency in Hz of a wall that is not an anti-aliasing filter, or `None` without such a wall."""
        level = self._level()
        if level is None or not self.conclusive():
            return None
        wall = self._wall(level)
        return wall if wall is not None and wall < _ANTI_ALIAS * self.sample_rate / 2.0 else None


def _smooth(level: np.ndarray, size: int) -> np.ndarray:
    """Returns the running median over `size` bins (or one more, if `size` is even), with the same length."""
    half = size // 2
    padded = np.pad(level, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def _meter(audio: np.ndarray, sample_rate: int) -> SpectrumMeter:
    meter = SpectrumMeter(sample_rate)
    meter.add(audio)
    return meter


def estimate_cutoff(audio: np.ndarray, sample_rate: int) -> float:
    """Estimates the frequency above which a recording has practically no signal.

    Args:
        audio: array `(time, channels)` or `(time,)`, floating point in [-1, 1].
        sample_rate: Hz.

    Returns:
        The cutoff of a lossy codec's low-pass in Hz, or the frequency at which a natural decay falls below -110 dB. For
        a full band, and for silence, which shows nothing about a codec, the result is half the sample rate.

    Example:
        ```python
        lossy, sample_rate = read("song.mp3")
        cutoff = estimate_cutoff(lossy, sample_rate)  # about 11000.0 at 64 kbit/s
        ```
    """
    return _meter(audio, sample_rate).cutoff()


def brick_wall(audio: np.ndarray, sample_rate: int) -> float | None:
    """Finds the wall at which a lossy codec ended the spectrum.

    A wall is a fall within 750 Hz, measured between the median levels of the 500 Hz on either side. The fall must be at
    least 30 dB if it ends in rounding noise (below -110 dB), or 37 dB if it ends below -90 dB. The level must stay that
    low at all higher frequencies.

    Args:
        audio: array `(time, channels)` or `(time,)`, floating point in [-1, 1].
        sample_rate: Hz.

    Returns:
        The frequency of the wall in Hz, from 3 kHz to 90 % of half the sample rate. `None` if there is no wall, if the
        recording is silent, or if it is shorter than one second.
    """
    return _meter(audio, sample_rate).brick_wall()
