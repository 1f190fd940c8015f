"""Studio effects. They take arrays `(time, channels)`, float32, at 44.1 kHz, and return new ones of the same length."""

import itertools

import numpy as np
import pedalboard
import soxr
from scipy import ndimage, signal

RATE = 44100


def plugins(audio: np.ndarray, *chain) -> np.ndarray:
    """Applies pedalboard plugins one after another."""
    return np.ascontiguousarray(pedalboard.Pedalboard(list(chain))(audio.T.astype(np.float32), RATE).T)


def decibels(level: float) -> float:
    """Converts a level in dB to a factor of the amplitude."""
    return float(10.0 ** (level / 20.0))


def rms(audio: np.ndarray) -> float:
    """Returns the RMS of those blocks of 0.1 s that are within 30 dB of the loudest one; 0 for silence."""
    blocks = np.square(audio[: len(audio) // 4410 * 4410]).reshape(-1, 4410 * audio.shape[1]).mean(axis=1)
    loud = blocks[blocks > 1e-3 * blocks.max(initial=0.0)]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


def filter_frames(audio: np.ndarray, gains, frame_length: int = 1024) -> np.ndarray:
    """Applies a zero-phase filter that changes over time, in Hann-windowed frames that overlap by three quarters.

    Args:
        audio: array `(time, channels)`.
        gains: function of the frames' centres in s, `(frames,)`, and of the frequencies in Hz, `(bins,)`; it returns
            linear gains `(frames, bins)`.
        frame_length: samples of a frame, a multiple of 4.
    """
    hop = frame_length // 4
    window = np.hanning(frame_length + 1)[:-1].astype(np.float32)
    padded = np.pad(audio, ((frame_length, frame_length + hop), (0, 0)))
    starts = np.arange(0, len(padded) - frame_length, hop)
    response = gains((starts - frame_length // 2) / RATE, np.fft.rfftfreq(frame_length, 1 / RATE)).astype(np.float32)
    out = np.zeros_like(padded, dtype=np.float32)
    for channel in range(audio.shape[1]):
        frames = np.lib.stride_tricks.sliding_window_view(padded[:, channel], frame_length)[starts]
        filtered = np.fft.irfft(np.fft.rfft(frames * window, axis=1) * response, axis=1).astype(np.float32) * window
        for quarter in range(4):
            part = filtered[quarter::4].reshape(-1)
            begin = quarter * hop
            out[begin : begin + len(part), channel] += part[: len(out) - begin]
    return out[frame_length : frame_length + len(audio)] / 1.5


def saturate(audio: np.ndarray, drive: float, asymmetry: float = 0.0, hardness: float = 0.0) -> np.ndarray:
    """Distorts a sound at four times the sample rate, so that aliasing stays inaudible. The RMS level stays the same.

    Args:
        audio: array `(time, channels)`.
        drive: level of the input of the curve in dB, relative to an RMS of -12 dBFS.
        asymmetry: offset on the curve; values above 0 add even harmonics.
        hardness: 0 for tanh, 1 for hard clipping, and a mixture in between.
    """
    level = rms(audio)
    if level == 0.0:
        return audio
    up = soxr.resample(audio * np.float32(decibels(drive - 12.0) / level), RATE, 4 * RATE, "HQ") + asymmetry
    shaped = (1 - hardness) * np.tanh(up) + hardness * np.clip(up, -1, 1)
    down = soxr.resample((shaped - np.tanh(asymmetry)).astype(np.float32), 4 * RATE, RATE, "VHQ")
    down = np.pad(down, ((0, max(0, len(audio) - len(down))), (0, 0)))[: len(audio)]
    down = plugins(down, pedalboard.HighpassFilter(20.0))
    return down * np.float32(level / max(rms(down), 1e-9))


def equalizer(rng: np.random.Generator, amount: float) -> list:
    """Returns the plugins of a random equalizer: two shelves and two peaks with gains of up to ±`amount` dB."""
    chain = [
        pedalboard.LowShelfFilter(float(rng.uniform(60, 250)), float(rng.uniform(-amount, amount)), 0.7),
        pedalboard.HighShelfFilter(float(rng.uniform(3000, 12000)), float(rng.uniform(-amount, amount)), 0.7),
    ]
    for _ in range(2):
        center = float(np.exp(rng.uniform(np.log(200), np.log(9000))))
        chain.append(pedalboard.PeakFilter(center, float(rng.uniform(-amount, amount)), float(rng.uniform(0.5, 2.5))))
    return chain


def room(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Synthesizes the impulse response of a room: early reflections, and noise that decays faster at high frequencies.

    Args:
        rng: source of the random reflections and damping.
        seconds: reverberation time (decay by 60 dB) in s; up to 1.2 times this in the lowest band, and less above.

    Returns:
        Array `(time, 2)` with unit energy in each channel.
    """
    length = int(1.1 * seconds * RATE) + 2000
    time = np.arange(length) / RATE
    edges = (0, 250, 1000, 3000, 7000, 12000, 22051)
    frequencies = np.fft.rfftfreq(length, 1 / RATE)
    noise = np.fft.rfft(rng.standard_normal((length, 2)), axis=0)
    damping = rng.uniform(0.55, 0.92)
    tail = np.zeros((length, 2))
    for band, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = ((frequencies >= low) & (frequencies < high))[:, None]
        decay = np.exp(-6.9 * time / (seconds * 1.2 * damping**band))
        tail += np.fft.irfft(noise * inside, length, axis=0) * decay[:, None]
    delay = int(rng.uniform(0.0, 0.03) * RATE)
    response = np.concatenate([np.zeros((delay, 2)), tail])
    for _ in range(12):
        at = delay + int(rng.uniform(0.002, 0.06) * RATE)
        response[at] += rng.normal(0, 4.0, 2) * np.exp(-30 * at / RATE)
    return (response / np.sqrt(np.square(response).sum(axis=0))).astype(np.float32)


def reverberate(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Returns the reverberation alone, without the dry sound."""
    return signal.oaconvolve(audio, response, axes=0)[: len(audio)].astype(np.float32)


def widen(audio: np.ndarray, width: float) -> np.ndarray:
    """Scales the side signal by `width`: 0 gives mono, 1 changes nothing, 2 is very wide."""
    middle = audio.mean(axis=1, keepdims=True)
    return middle + width * (audio - middle)


def limit(audio: np.ndarray, ceiling: float) -> np.ndarray:
    """Limits samples to ±`ceiling` with a look-ahead of 2 ms and a smooth gain.

    The gain is the minimum of the required gains within a window, averaged over a window of the same length. It is
    therefore never larger than the gain that the sample at the centre requires.
    """
    size = 177
    peaks = np.abs(audio).max(axis=1)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    held = ndimage.minimum_filter1d(needed, size)
    # The release is slower: its minimum and its average are taken over 50 ms.
    slow = ndimage.uniform_filter1d(ndimage.minimum_filter1d(held, 2205), 2205)
    gain = ndimage.uniform_filter1d(np.minimum(held, slow), size)
    return np.clip(audio * gain[:, None], -ceiling, ceiling).astype(np.float32)
