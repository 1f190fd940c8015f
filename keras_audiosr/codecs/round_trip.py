"""Into a lossy file and back: pydub over FFmpeg one way, FFmpeg or libsndfile the other."""

import functools
import json
import subprocess
import warnings
from pathlib import Path

import numpy as np
import soundfile

from ..audio import files
from ..audio.ffmpeg import INPUT_LIMITS, find_binary, input_argument, last_line
from ..audio.sound import read_sound
from ..errors import AudioFileError, PairError, UsageError
from .spec import CodecSpec

# FFmpeg's name of each encoder, of its container, and what keeps bitrate and bytes constant:
# - libmp3lame: `-b:a` is CBR, `-q:a` instead of it LAME's V, as constant in its bytes.
# - aac (FFmpeg's own): `-b:a` holds the mean within about 2 %; it has no strict CBR, and on tonal music
#   it does not fall below some 10 kbit/s a channel.
# - libvorbis: `-minrate`/`-maxrate` switch to managed bitrate; it lands 2 to 6 % above.
# - libopus: `-vbr off` is hard CBR.
# Ogg needs `+bitexact` too, for its serial number is random without; elsewhere that would only drop the
# encoder's version.
ENCODERS = {
    "mp3": ("libmp3lame", "mp3", ()),
    "aac": ("aac", "ipod", ()),
    "vorbis": ("libvorbis", "ogg", ("-minrate", "{bitrate}k", "-maxrate", "{bitrate}k", "-fflags", "+bitexact")),
    "opus": ("libopus", "opus", ("-vbr", "off", "-fflags", "+bitexact")),
}

# Samples that may be missing at the end: encoders that drop their last frames, not lost music.
_MISSING_ALLOWED = 4608

# Below this bitrate MPEG-1 Layer III ends and LAME silently writes 32 kbit/s, so the rate is halved (MPEG-2).
_MPEG1_LOWEST = 32


@functools.cache
def _audio_segment() -> type:
    """pydub's `AudioSegment`, told where FFmpeg is (it looks on PATH only)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Couldn't find ffmpeg": found below, or an error of ours
        from pydub import AudioSegment
    AudioSegment.converter = find_binary("ffmpeg")
    return AudioSegment


def _read_pcm(path) -> tuple[np.ndarray, int]:
    """Integer samples `(time, channels)` in the width that holds them exactly, int16 or int32, and Hz."""
    with open(path, "rb") as file:
        subtype = soundfile.info(file).subtype
        file.seek(0)
        return read_sound(file, "int16" if subtype in ("PCM_16", "PCM_S8") else "int32")


def _drop_leftovers(traceback) -> None:
    """Removes the temporary files that pydub's `export` leaves in the system's folder when it fails."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_name == "export":
            for name in ("data", "output"):
                leftover = getattr(traceback.tb_frame.f_locals.get(name), "name", None)
                if leftover:
                    Path(leftover).unlink(missing_ok=True)
        traceback = traceback.tb_next


def _export(pcm: np.ndarray, sample_rate: int, partial, spec: CodecSpec) -> None:
    encoder, container, constant = ENCODERS[spec.codec]
    parameters = [part.format(bitrate=spec.bitrate) for part in constant]
    if spec.codec == "mp3" and not spec.vbr and spec.bitrate < _MPEG1_LOWEST and sample_rate >= 32000:
        parameters += ["-ar", str(sample_rate // 2)]
    if spec.vbr:
        parameters += ["-q:a", f"{spec.value:g}"]
    if not spec.joint:
        parameters += ["-joint_stereo", "0"]
    # From samples, not `AudioSegment.from_file`: that reads 24-bit FLAC in a Python loop and fills the
    # low byte of negative samples with ones.
    segment = _audio_segment()(
        np.ascontiguousarray(pcm).tobytes(),
        sample_width=pcm.dtype.itemsize,
        frame_rate=sample_rate,
        channels=pcm.shape[1],
    )
    from pydub.exceptions import CouldntEncodeError

    try:
        bitrate = None if spec.vbr else f"{spec.bitrate}k"
        segment.export(partial, format=container, codec=encoder, bitrate=bitrate, parameters=parameters).close()
    except BaseException as error:
        _drop_leftovers(error.__traceback__)
        if not isinstance(error, CouldntEncodeError):
            raise
        raise AudioFileError(
            f"{spec} must suit the track; {sample_rate} Hz, {pcm.shape[1]} channels:"
            f" {last_line(str(error).encode())}; try another bitrate"
        ) from error


def _lowpass(audio: np.ndarray, sample_rate: int, cutoff: float) -> np.ndarray:
    """Windowed-sinc low-pass: linear phase, its delay taken out, -6 dB at `cutoff`, -80 dB 2.5 % above it."""
    half = round(0.5 * (80.0 - 7.95) / (2.285 * 2 * np.pi * 0.05 * cutoff / sample_rate))
    time = np.arange(-half, half + 1)
    taps = 2 * cutoff / sample_rate * np.sinc(2 * cutoff / sample_rate * time) * np.kaiser(time.size, 7.857)
    taps /= taps.sum()
    block = 1 << 16
    size = 2 * block
    response = np.fft.rfft(taps, size)[:, None]
    padded = np.zeros((len(audio) + size, audio.shape[1]))
    for start in range(0, len(audio), block):
        part = np.fft.irfft(np.fft.rfft(audio[start : start + block], size, axis=0) * response, size, axis=0)
        padded[start : start + size] += part[: len(padded) - start]
    return padded[half : half + len(audio)]


def _degrade(audio: np.ndarray, sample_rate: int, spec: CodecSpec) -> np.ndarray:
    """Low-passed or down- and up-sampled audio: array `(time, channels)`, same length."""
    limit = sample_rate / 2 if spec.codec == "lowpass" else sample_rate
    if spec.frequency >= limit:
        raise UsageError(
            f"{spec.codec} must stay below {limit / 1000:g}k for a track of {sample_rate} Hz; received '{spec}';"
            f" try '{spec.codec}@{limit / 2000:g}k'"
        )
    if spec.codec == "lowpass":
        return _lowpass(audio, sample_rate, spec.frequency)
    import soxr

    low = soxr.resample(audio, sample_rate, spec.frequency, "VHQ")
    return fit_length(soxr.resample(low, spec.frequency, sample_rate, "VHQ"), 0, len(audio))


def encode_file(lossless_path, lossy_path, spec: CodecSpec) -> None:
    """Makes one lossy twin, whole or not at all; the same input gives the same bytes.

    The codecs go through pydub over FFmpeg; `lowpass` and `downsample` are computed here and stored as
    24-bit FLAC (peaks above full scale clip).

    Args:
        lossless_path: any file libsndfile reads: FLAC, WAV, AIFF.
        lossy_path: output path, whose suffix should be `spec.suffix`.
        spec: what to do.

    Raises:
        AudioFileError: the input cannot be read, the output not written, or the encoder refuses this
            rate, bitrate and number of channels.
        UsageError: a cutoff or rate not below the track's own.
    """
    if spec.codec not in ENCODERS:
        audio, sample_rate = files.read(lossless_path)
        files.write(lossy_path, _degrade(audio, sample_rate, spec), sample_rate, subtype="PCM_24")
        return
    try:
        pcm, sample_rate = _read_pcm(lossless_path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(f"a lossless file is needed; {lossless_path}: {error}; make the manifest again") from error
    with files.atomic_output(lossy_path) as partial:
        _export(pcm, sample_rate, partial, spec)


def fit_length(audio: np.ndarray, delay: int, length: int) -> np.ndarray:
    """Drops the first `delay` samples (or puts zeros before, when negative), then trims or zero-fills to `length`."""
    fitted = np.zeros((length, audio.shape[1]), audio.dtype)
    source = audio[max(delay, 0) :][: length + min(delay, 0)] if length + min(delay, 0) > 0 else audio[:0]
    start = max(-delay, 0)
    fitted[start : start + len(source)] = source
    return fitted


def decode_aligned(path, delay: int, length: int, sample_rate: int, decoder: str = "ffmpeg") -> np.ndarray:
    """Decodes a twin whole, at `sample_rate`, and takes its delay out.

    Never by seeking: a seek inside a lossy file lands on other samples.

    Args:
        path: the lossy file.
        delay: samples at `sample_rate` by which it lags behind its source.
        length: samples of the source.
        sample_rate: Hz of the source; FFmpeg resamples what has another (Opus).
        decoder: `"any"` where libsndfile may read it (about twice as fast), else `"ffmpeg"`.

    Returns:
        Array `(length, channels)`, float32.

    Raises:
        AudioFileError: the file cannot be read, or its end is missing.
    """
    if decoder == "any":
        with open(path, "rb") as file:
            try:
                audio, found = read_sound(file)
            except soundfile.LibsndfileError as error:
                raise AudioFileError(f"a twin must be readable; {path}: {error}; run encode again") from error
        if found != sample_rate:
            raise AudioFileError(
                f"a twin read by any decoder has its source's rate; {path} has {found} Hz; encode again"
            )
    else:
        audio, _ = files.read(path, sample_rate)
    if length + delay - len(audio) > _MISSING_ALLOWED:
        raise AudioFileError(
            f"a twin is as long as its source; {path} decodes to {len(audio)} of {length + delay} samples, it may be"
            " truncated; run encode again"
        )
    return fit_length(audio, delay, length)


def read_twin(folder, pair) -> np.ndarray:
    """The lossy side of a `Pair`, aligned: array `(pair.length, pair.channels)`, float32.

    Args:
        folder: folder of the pair's manifest.
        pair: a `datasets.Pair`.

    Raises:
        PairError: its number of channels is not the pair's.
        AudioFileError: the file cannot be read.
    """
    path = Path(folder) / pair.lossy
    audio = decode_aligned(path, pair.delay, pair.length, pair.sample_rate, pair.decoder)
    if audio.shape[1] != pair.channels:
        raise PairError(
            f"both sides of a pair have the same channels; {path} has {audio.shape[1]}, its source {pair.channels};"
            " encode again"
        )
    return audio


def same_samples(path, audio: np.ndarray, sample_rate: int, delay: int, length: int) -> bool:
    """Whether libsndfile reads a twin as FFmpeg did: same rate, same lag, samples within 1e-4.

    Args:
        path: the lossy file.
        audio: what FFmpeg decoded, array `(time, channels)`.
        sample_rate: Hz of `audio` and of the source.
        delay, length: samples, as in `decode_aligned`.
    """
    # Not Opus: tensorflow-io has no decoder for it, and "any" must hold for that too.
    try:
        with open(path, "rb") as file:
            if soundfile.info(file).subtype == "OPUS":
                return False
            file.seek(0)
            other, rate = read_sound(file)
    except soundfile.LibsndfileError:
        return False
    if rate != sample_rate or other.shape[1] != audio.shape[1]:
        return False
    difference = fit_length(other, delay, length) - fit_length(audio, delay, length)
    return bool(np.abs(difference).max(initial=0.0) <= 1e-4)


def encoder_of(path) -> str:
    """What the encoder says of itself in a file's tags, such as `"Lavc60.3.100 libopus"`; `"unknown"` where silent."""
    command = [find_binary("ffprobe"), "-v", "error", *INPUT_LIMITS, "-select_streams", "a:0", "-of", "json"]
    command += ["-show_entries", "stream_tags=encoder:format_tags=encoder", input_argument(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    found = json.loads(done.stdout or b"{}")
    for section in (*found.get("streams", []), found.get("format", {})):
        if section.get("tags", {}).get("encoder"):
            return section["tags"]["encoder"].strip()
    return "unknown"
