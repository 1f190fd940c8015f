"""How far up a recording's spectrum goes, and whether it ends at a wall.

A lossy codec at a low bitrate drops everything above a frequency: the spectrum
falls by 40 to 75 dB within a few hundred Hz and stays at the noise floor. Real
instruments and microphones fall far more slowly. Both answers come from one
long-term mean power spectrum, so a file of any length is measured in flat memory.
"""

import numpy as np

# One bin is about 21.5 Hz at every sample rate (2048 points at 44.1 kHz).
_BIN_WIDTH = 21.5
# Mean level under which a band holds (almost) nothing, in dB relative to a full-scale sine in one bin. 10 dB under
# the floor of the LSD metric (1e-10), 10 dB over the noise of a dithered 16-bit file.
_NOTHING = -110.0
# Falls measured on 120 lossless clips: 15 dB at most down to rounding noise, 33 dB (a clarinet's partials) where
# something is left above. MP3 at 96 kbit/s and less falls by 40 and more wherever the music reaches the wall.
_WALL_FALL = 30.0
_WALL_FALL_TO_REMAINS = 37.0
# The most that may be left above a wall: the splatter of clipped peaks, a codec's slips.
_WALL_FLOOR = -90.0
# Hz within which the fall happens, and over which the levels on both sides are taken.
_WALL_WIDTH = 750.0
_SIDE_WIDTH = 500.0
_LOWEST_WALL = 3000.0
# Above this share of the band stands the anti-alias filter of every converter and resampler.
_ANTI_ALIAS = 0.9
# Frames of at most two to the power of this, whatever sample rate a header declares.
_LONGEST = 20
# A shorter recording says too little about what its maker could have held.
_SHORTEST = 1.0


class SpectrumMeter:
    """Long-term mean power spectrum, fed block by block.

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
        # Blackman-Harris, four terms: side lobes of -92 dB. A Hann window's skirts make a lone tone look like a band.
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
        # A few frames at a time: the transform of a whole song in double precision would not be flat memory.
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
        """Mean level of each bin in dB (0 = full-scale sine); `None` for silence."""
        power, frames = self._power, self._frames
        if not frames and self._rest is not None and len(self._rest):
            # Shorter than one frame: measured once, padded with silence.
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
        """Frequency in Hz of the steepest wall, anywhere below Nyquist; `None` without one."""
        width, side = self._bins(_WALL_WIDTH), self._bins(_SIDE_WIDTH)
        first = self._bins(_LOWEST_WALL)
        if len(level) < side:
            return None
        # Medians, not means: a tone below is no edge of a band, a whistle above does not fill one.
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
        """Hz above which there is (almost) nothing; half the sample rate for a full band, and for silence."""
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
        """Whether there was enough sound to tell a wall from none: a second or more, and not silence alone."""
        return self._length >= _SHORTEST * self.sample_rate and self._level() is not None

    def brick_wall(self) -> float | None:
        """Hz at which the spectrum ends at a wall that is not the converter's own; `None` without one."""
        level = self._level()
        if level is None or not self.conclusive():
            return None
        wall = self._wall(level)
        return wall if wall is not None and wall < _ANTI_ALIAS * self.sample_rate / 2.0 else None


def _smooth(level: np.ndarray, size: int) -> np.ndarray:
    """Running median over `size` bins (made odd), of the same length."""
    half = size // 2
    padded = np.pad(level, half, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def _meter(audio: np.ndarray, sample_rate: int) -> SpectrumMeter:
    meter = SpectrumMeter(sample_rate)
    meter.add(audio)
    return meter


def estimate_cutoff(audio: np.ndarray, sample_rate: int) -> float:
    """Frequency above which a recording holds (almost) nothing.

    Args:
        audio: array `(time, channels)` or `(time,)`, floating point in [-1, 1].
        sample_rate: Hz.

    Returns:
        Hz: the low-pass of a lossy codec, or where a natural decay sinks under
        -110 dB. Half the sample rate for a full band, and for silence, which
        says nothing about its maker.

    Example:
        ```python
        lossy, sample_rate = read("song.mp3")
        cutoff = estimate_cutoff(lossy, sample_rate)  # about 11000.0 at 64 kbit/s
        ```
    """
    return _meter(audio, sample_rate).cutoff()


def brick_wall(audio: np.ndarray, sample_rate: int) -> float | None:
    """Frequency of the wall at which a lossy codec ended the spectrum.

    A wall is a fall within 750 Hz, between the medians of 500 Hz on either side,
    of 30 dB to rounding noise (under -110 dB), or of 37 dB to a floor under -90 dB,
    that nothing above leaves.

    Args:
        audio: array `(time, channels)` or `(time,)`, floating point in [-1, 1].
        sample_rate: Hz.

    Returns:
        Hz, between 3 kHz and 90% of the band; `None` without a wall, and for
        silence and recordings under one second.
    """
    return _meter(audio, sample_rate).brick_wall()
