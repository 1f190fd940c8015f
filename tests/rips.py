"""Contains helpers for the tests of `rip`, which write files with known samples."""

import hashlib
from pathlib import Path

import numpy as np
import soundfile


def integers(bits: int, length: int = 30000, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Returns random samples over the whole range of `bits`, including both limits: int32 `(time, channels)`."""
    top = 1 << (bits - 1)
    samples = np.random.default_rng(seed).integers(-top, top, (length, channels), dtype=np.int64)
    samples[0], samples[1] = -top, top - 1
    return samples.astype(np.int32)


def write(path: Path, samples: np.ndarray, bits: int, subtype: str, rate: int = 44100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "AIFF" if path.suffix.lower().startswith(".aif") else path.suffix[1:].upper()
    soundfile.write(path, samples << (32 - bits), rate, subtype=subtype, format=kind)


def expected_md5(samples: np.ndarray, bits: int) -> str:
    """Returns the MD5 as FLAC defines it: of interleaved signed little-endian integers of whole bytes."""
    raw = b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in samples.reshape(-1))
    return hashlib.md5(raw).hexdigest()


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if "partial" in path.name]
