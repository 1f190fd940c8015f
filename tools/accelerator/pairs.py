"""Windows of lossy and lossless sound, made by many processes while one trains on them."""

import dataclasses
import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from keras_audiosr.audio.encoder_gain import encoder_gain
from keras_audiosr.audio.ffmpeg import run_ffmpeg
from keras_audiosr.codecs.round_trip import encode_file, fit_length
from keras_audiosr.codecs.spec import CodecSpec

from .music import RATE, Shelf, varied

# As tools/release.sh encodes: three times in five a plain MP3, once each of its other kinds and of the other codecs.
CODECS = (
    (0.6, ("mp3@24k", "mp3@32k", "mp3@48k", "mp3@64k", "mp3@96k", "mp3@128k")),
    (
        0.2,
        (
            *("mp3@160k", "mp3@192k", "mp3@192k-stereo", "mp3@256k", "mp3@320k", "mp3@V6", "mp3@V2"),
            *("mp3@64k-stereo", "mp3@128k-stereo"),
        ),
    ),
    (
        0.2,
        (
            *("aac@48k", "aac@64k", "aac@96k", "aac@160k", "vorbis@64k", "vorbis@96k", "vorbis@160k"),
            *("opus@32k", "opus@48k", "opus@64k", "opus@96k"),
        ),
    ),
)
HELD_OUT = ("mp3@32k", "mp3@64k", "mp3@128k", "mp3@V6", "aac@64k")
_SECONDS = 14.0
# Of a track's ends: what the encoder does there is no example of what it does to music.
_ENDS = 4608


def round_trip(pcm: np.ndarray, codec: str, folder: Path, undo_encoder_gain: bool) -> np.ndarray:
    """What is left of 16-bit samples `(time, 2)` behind a codec, aligned; float32."""
    spec = CodecSpec.parse(codec)
    source, twin = folder / "source.wav", folder / f"twin.{spec.suffix}"
    soundfile.write(source, pcm, RATE)
    encode_file(source, twin, spec)
    # These encoders' files say how much of them is padding, so decoders give them without a lag (tests hold it).
    raw = folder / "twin.f32"
    done = run_ffmpeg("-y", "-i", str(twin), "-ar", str(RATE), "-f", "f32le", str(raw))
    done.check_returncode()
    audio = np.fromfile(raw, "<f4").reshape(-1, 2)
    return fit_length(audio, 0, len(pcm)) / np.float32(encoder_gain(twin) if undo_encoder_gain else 1.0)


def windows_of(pcm: np.ndarray, codec: str, folder: Path, data: dict, offset: int) -> list[tuple]:
    """`(lossy, lossless)` windows of single channels, each `(window_length,)`, of 16-bit samples `(time, 2)`.

    Args:
        pcm: the lossless side.
        codec: what the lossy side went through.
        folder: for files that are made on the way.
        data: a preset's.
        offset: samples to leave out before the first window.
    """
    lossy = round_trip(pcm, codec, folder, data.get("undo_encoder_gain", False))
    length, least = data["window_length"], 10.0 ** (data["min_level"] / 10.0)
    lossless = pcm.astype(np.float32) / 32768.0
    found = []
    for begin in range(_ENDS + offset, len(pcm) - _ENDS - length, length):
        for channel in range(2):
            piece = slice(begin, begin + length), channel
            if np.mean(np.square(lossless[piece])) >= least:
                found.append((lossy[piece], lossless[piece]))
    return found


@dataclasses.dataclass(frozen=True)
class Pool:
    """Slots in shared memory that producers fill again and again, and trainers read.

    A slot's version is odd while it is written: who reads it holds the version before against the one after.

    Attributes:
        folder: where the arrays lie; one in memory.
        slots: windows.
        length: samples a window.
    """

    folder: str
    slots: int
    length: int

    def create(self) -> None:
        """Makes the arrays, empty."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        np.lib.format.open_memmap(self._file("windows"), "w+", np.float32, (self.slots, 2, self.length))
        np.lib.format.open_memmap(self._file("versions"), "w+", np.int64, (self.slots,))

    def open(self) -> tuple[np.ndarray, np.ndarray]:
        """Windows `(slots, 2, length)`, lossy and lossless, and versions `(slots,)`."""
        return np.load(self._file("windows"), mmap_mode="r+"), np.load(self._file("versions"), mmap_mode="r+")

    def _file(self, name: str) -> str:
        return f"{self.folder}/{name}.npy"


def produce(shelf: Shelf, pool: Pool, data: dict, own: range, seed: tuple[int, ...]) -> None:
    """Fills the slots `own` with new windows, round after round, until it is killed."""
    rng = np.random.default_rng(seed)
    samples, tracks = np.load(shelf.path, mmap_mode="r"), shelf.of("train")
    windows, versions = pool.open()
    chances, groups = zip(*CODECS, strict=True)
    position = 0
    with tempfile.TemporaryDirectory(dir=pool.folder) as folder:
        tempfile.tempdir = folder  # pydub's own files, too
        while True:
            pcm = varied(samples, tracks, _SECONDS, rng)
            codec = str(rng.choice(groups[int(rng.choice(len(groups), p=chances))]))
            found = windows_of(pcm, codec, Path(folder), data, int(rng.integers(pool.length)))
            for index in rng.permutation(len(found)):
                slot = own[position % len(own)]
                versions[slot] += 1
                windows[slot] = found[index]
                versions[slot] += 1
                position += 1


def start_producers(shelf: Shelf, pool: Pool, data: dict, count: int, seed: int) -> list:
    """Processes that fill a pool, each a share of its slots; daemons, that end with the caller."""
    context = multiprocessing.get_context("spawn")
    shares = [range(index, pool.slots, count) for index in range(count)]
    processes = [
        context.Process(target=produce, args=(shelf, pool, data, share, (seed, index)), daemon=True)
        for index, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    return processes


def draw(windows: np.ndarray, versions: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` windows of slots that hold one, `(count, 2, length)`."""
    batch = np.empty((count, *windows.shape[1:]), np.float32)
    filled = 0
    while filled < count:
        slot = int(rng.integers(len(versions)))
        before = int(versions[slot])
        if before == 0 or before % 2:
            continue
        batch[filled] = windows[slot]
        filled += int(versions[slot]) == before
    return batch


def _held_out_of(arguments: tuple) -> list:
    path, (start, length), codec, data = arguments
    pcm = np.load(path, mmap_mode="r")[start : start + length]
    middle = max(0, (length - 8 * RATE) // 2)
    pcm = np.array(pcm[middle : middle + 8 * RATE])
    with tempfile.TemporaryDirectory() as folder:
        found = windows_of(pcm, codec, Path(folder), data, 0)
    return [(codec, *pair) for pair in found[:4]]


def held_out(shelf: Shelf, data: dict, most: int = 24) -> tuple[list[str], np.ndarray]:
    """Windows of the validation split as they are, in each of `HELD_OUT`: their codecs, and `(count, 2, length)`."""
    tracks = shelf.of("validation")
    tracks = tracks[:: max(1, len(tracks) // most)][:most]
    jobs = [(shelf.path, track, codec, data) for track in tracks for codec in HELD_OUT]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as processes:
        found = [entry for part in processes.imap(_held_out_of, jobs) for entry in part]
    return [codec for codec, _, _ in found], np.stack([np.stack(pair) for _, *pair in found])
