"""What a studio does to sound. Arrays `(time, 2)`, float32, at 44.1 kHz; each returns a new one of the same length."""

import itertools

import numpy as np
import pedalboard
import soxr
from scipy import ndimage, signal

RATE = 44100


def plugins(audio: np.ndarray, *chain) -> np.ndarray:
    """Runs pedalboard plugins one after another."""
    return np.ascontiguousarray(pedalboard.Pedalboard(list(chain))(audio.T.astype(np.float32), RATE).T)


def decibels(level: float) -> float:
    """The factor that a level in dB stands for."""
    return float(10.0 ** (level / 20.0))


def rms(audio: np.ndarray) -> float:
    """Root mean square of the passages within 30 dB of the loudest (blocks of 0.1 s); 0 for silence."""
    blocks = np.square(audio[: len(audio) // 4410 * 4410]).reshape(-1, 4410 * audio.shape[1]).mean(axis=1)
    loud = blocks[blocks > 1e-3 * blocks.max(initial=0.0)]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


def filter_frames(audio: np.ndarray, gains, frame_length: int = 1024) -> np.ndarray:
    """Filters with a response that changes: `gains(seconds, frequencies)` gives an array `(frames, bins)`.

    Frames overlap by three quarters under Hann windows; zero phase.
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
    """Distorts, at four times the rate so that what folds back stays inaudible.

    Args:
        audio: the sound.
        drive: dB into the curve, against an RMS of -12 dBFS.
        asymmetry: shifts the curve; above 0 it adds even harmonics.
        hardness: 0 for tanh, 1 for a clipped line, mixed in between.
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
    """Plugins of a random equalizer: two shelves and two peaks, each within `amount` dB."""
    chain = [
        pedalboard.LowShelfFilter(float(rng.uniform(60, 250)), float(rng.uniform(-amount, amount)), 0.7),
        pedalboard.HighShelfFilter(float(rng.uniform(3000, 12000)), float(rng.uniform(-amount, amount)), 0.7),
    ]
    for _ in range(2):
        center = float(np.exp(rng.uniform(np.log(200), np.log(9000))))
        chain.append(pedalboard.PeakFilter(center, float(rng.uniform(-amount, amount)), float(rng.uniform(0.5, 2.5))))
    return chain


def room(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Impulse response of a room that does not exist: early reflections, then noise that dies sooner the higher it is.

    Args:
        rng: decides on walls and damping.
        seconds: reverberation time (60 dB) in the middle of the band.

    Returns:
        Array `(time, 2)` of unit energy.
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
    """The sound of the room alone."""
    return signal.oaconvolve(audio, response, axes=0)[: len(audio)].astype(np.float32)


def widen(audio: np.ndarray, width: float) -> np.ndarray:
    """Scales the side signal: 0 is mono, 1 leaves it, 2 is very wide."""
    middle = audio.mean(axis=1, keepdims=True)
    return middle + width * (audio - middle)


def limit(audio: np.ndarray, ceiling: float) -> np.ndarray:
    """Look-ahead limiter, 2 ms: no sample leaves above `ceiling`, and the gain moves smoothly.

    The least gain within the window, averaged over a window of the same length, never exceeds what its centre needs.
    """
    size = 177
    peaks = np.abs(audio).max(axis=1)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    held = ndimage.minimum_filter1d(needed, size)
    # Two more averages for the release, each within the hold of the last.
    slow = ndimage.uniform_filter1d(ndimage.minimum_filter1d(held, 2205), 2205)
    gain = ndimage.uniform_filter1d(np.minimum(held, slow), size)
    return np.clip(audio * gain[:, None], -ceiling, ceiling).astype(np.float32)
