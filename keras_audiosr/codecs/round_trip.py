"""Encodes lossless audio with pydub and FFmpeg, and compares how FFmpeg and libsndfile decode it."""

import contextlib
import functools
import json
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import soundfile

from ..annotations import StrPath
from ..errors import AudioFileError, PairError, UsageError, cause
from ..files import audio_files, headers
from ..files.libsndfile import read_sound
from ..processes.ffmpeg import INPUT_LIMITS, find_binary, input_argument, last_line, run_limited
from ..processes.partial_files import atomic_output
from ..sound.layouts import USUAL, layout_name, same_layout, speakers
from .spec import KNOWN_CODECS, CodecSpec

# MPEG-1 Layer III has no lower bitrate, and LAME would silently write 32 kbit/s. Below it the sample rate is therefore
# halved (MPEG-2).
_MPEG1_LOWEST = 32


class _Export(threading.local):
    """Where pydub puts the temporary files of the export that this thread runs, and what closes them."""

    folder: str | None = None
    files: contextlib.ExitStack | None = None


_export_here = _Export()


def _temporary_file(**arguments: Any) -> IO[bytes]:
    file = tempfile.NamedTemporaryFile(dir=_export_here.folder, **arguments)  # noqa: SIM115, closed by whoever exports
    if _export_here.files is not None:
        _export_here.files.callback(file.close)
    return file


@functools.cache
def _audio_segment() -> Any:
    """Returns pydub's `AudioSegment`, with the path of FFmpeg (pydub searches only PATH) and our temporary files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Couldn't find ffmpeg". `find_binary` finds it or raises an error.
        from pydub import AudioSegment, audio_segment
    AudioSegment.converter = find_binary("ffmpeg")
    # When FFmpeg fails, `export` neither closes nor removes its temporary files.
    audio_segment.NamedTemporaryFile = _temporary_file
    return AudioSegment


@contextlib.contextmanager
def _cleaned_up() -> Iterator[None]:
    """Closes and removes the temporary files that pydub makes in this thread."""
    with tempfile.TemporaryDirectory(prefix="keras_audiosr_") as folder, contextlib.ExitStack() as files:
        _export_here.folder, _export_here.files = folder, files
        try:
            yield
        finally:
            _export_here.folder = _export_here.files = None


def _read_pcm(path: StrPath) -> tuple[np.ndarray, int]:
    """Returns integer samples `(time, channels)`, int16 or int32 as needed to hold them exactly, and the rate in Hz."""
    with open(path, "rb") as file:
        subtype = soundfile.info(file).subtype
        file.seek(0)
        return read_sound(file, "int16" if subtype in ("PCM_16", "PCM_S8") else "int32")


def _export(pcm: np.ndarray, sample_rate: int, partial: StrPath, spec: CodecSpec, layout: str) -> None:
    codec = KNOWN_CODECS[spec.codec]
    parameters = [part.format(bitrate=spec.bitrate) for part in codec.constant]
    if spec.codec == "mp3" and not spec.vbr and spec.bitrate < _MPEG1_LOWEST and sample_rate >= 32000:
        parameters += ["-ar", str(sample_rate // 2)]
    if spec.vbr:
        parameters += ["-q:a", f"{spec.value:g}"]
    if not spec.joint:
        parameters += ["-joint_stereo", "0"]
    if speakers(layout):
        # pydub cannot pass on a channel layout, and FFmpeg would assume its default one.
        order = "|".join(str(channel) for channel in range(pcm.shape[1]))
        parameters += ["-af", f"channelmap=map={order}:channel_layout={layout_name(speakers(layout))}"]
    # The segment is made from samples, because `AudioSegment.from_file` reads 24-bit FLAC in a Python loop and fills
    # the low byte of negative samples with ones.
    segment = _audio_segment()(
        np.ascontiguousarray(pcm).tobytes(),
        sample_width=pcm.dtype.itemsize,
        frame_rate=sample_rate,
        channels=pcm.shape[1],
    )
    from pydub.exceptions import CouldntEncodeError

    try:
        bitrate = None if spec.vbr else f"{spec.bitrate}k"
        with _cleaned_up(), open(partial, "wb+") as file:
            segment.export(file, format=codec.container, codec=codec.encoder, bitrate=bitrate, parameters=parameters)
    except CouldntEncodeError as error:
        raise AudioFileError(
            f"{spec} must suit the track; {sample_rate} Hz, {pcm.shape[1]} channels:"
            f" {last_line(str(error).encode())}; try another bitrate"
        ) from error


def _lowpass(audio: np.ndarray, sample_rate: int, cutoff: float) -> np.ndarray:
    """Low-passes with a windowed sinc of linear phase and no delay: -6 dB at `cutoff`, -80 dB from 2.5 % above it."""
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
    """Low-passes audio, or samples it down and up: array `(time, channels)` of the same length."""
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


def encode_file(lossless_path: StrPath, lossy_path: StrPath, spec: CodecSpec) -> None:
    """Encodes one lossy file atomically; the same input gives the same bytes.

    pydub encodes the codecs with FFmpeg. `lowpass` and `downsample` are computed here and stored as 24-bit FLAC, in
    which peaks above full scale are clipped.

    Args:
        lossless_path: any file that libsndfile reads, such as FLAC, WAV or AIFF.
        lossy_path: output path, whose suffix should be `spec.suffix`.
        spec: the codec and its settings.

    Raises:
        AudioFileError: the input cannot be read, the output cannot be written, or the encoder refuses this combination
            of sample rate, bitrate and number of channels.
        UsageError: the cutoff or intermediate sample rate is not below the track's own.
        PairError: the codec cannot keep the track's channel layout.
    """
    if spec.codec not in KNOWN_CODECS:
        audio, sample_rate = audio_files.read(lossless_path)
        audio_files.write(lossy_path, _degrade(audio, sample_rate, spec), sample_rate, subtype="PCM_24")
        return
    try:
        pcm, sample_rate = _read_pcm(lossless_path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"a lossless file is needed; {lossless_path}: {cause(error)}; make the manifest again"
        ) from error
    channels = pcm.shape[1]
    layout = "" if channels in USUAL else headers.probe(lossless_path).channel_layout
    with atomic_output(lossy_path) as partial:
        _export(pcm, sample_rate, partial, spec, layout)
        if channels not in USUAL:
            found = headers.probe(partial)
            known = speakers(layout) and speakers(found.channel_layout)
            if found.channels != channels or (known and not same_layout(found.channel_layout, layout)):
                raise PairError(
                    f"both sides of a pair must have the same channels; {spec.codec} turns {layout or channels} into"
                    f" {found.channel_layout or found.channels}; try another codec"
                )


def fit_length(audio: np.ndarray, delay: int, length: int) -> np.ndarray:
    """Drops the first `delay` samples (or adds zeros if it is negative), then trims or zero-pads to `length`."""
    fitted = np.zeros((length, audio.shape[1]), audio.dtype)
    source = audio[max(delay, 0) :][: length + min(delay, 0)] if length + min(delay, 0) > 0 else audio[:0]
    start = max(-delay, 0)
    fitted[start : start + len(source)] = source
    return fitted


def same_samples(path: StrPath, audio: np.ndarray, sample_rate: int, delay: int, length: int) -> bool:
    """Returns whether libsndfile decodes a twin as FFmpeg does: same rate, same lag, samples within 1e-4.

    Args:
        path: the lossy file.
        audio: the samples that FFmpeg decoded, array `(time, channels)`.
        sample_rate: Hz of `audio` and of the source.
        delay: samples by which the twin lags behind its source.
        length: samples of the source.
    """
    # Opus is excluded: tensorflow-io has no decoder for it, and "any" promises that every decoder gives these samples.
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


def encoder_of(path: StrPath) -> str:
    """Returns the encoder's name in a file's tags, such as `"Lavc60.3.100 libopus"`, or `"unknown"`."""
    command = [find_binary("ffprobe"), "-v", "error", *INPUT_LIMITS, "-select_streams", "a:0", "-of", "json"]
    command += ["-show_entries", "stream_tags=encoder:format_tags=encoder", input_argument(path)]
    done = run_limited(command, stdin=subprocess.DEVNULL, capture_output=True)
    found = json.loads(done.stdout or b"{}")
    for section in (*found.get("streams", []), found.get("format", {})):
        if section.get("tags", {}).get("encoder"):
            return section["tags"]["encoder"].strip()
    return "unknown"
