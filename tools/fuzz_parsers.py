"""Fuzzes this package's own parsers with coverage guidance: atheris changes inputs to reach as many branches as it can.

    pip install atheris            # Linux, CPython 3.11 to 3.13; not part of any extra
    tools/fuzz_parsers.py          runs each parser on 100,000 inputs and prints a table
    tools/fuzz_parsers.py ogg -runs=1000000      runs one parser, with libFuzzer's options

A parser may refuse an input only with an AudioSRError. Any other exception ends the run, as does an input that takes
more than ten seconds or 2 GB. The input is then kept as crash-*, timeout-* or oom-* in the working folder.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris
import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["keras_audiosr"]):
    from keras_audiosr.codecs.spec import CodecSpec
    from keras_audiosr.errors import AudioSRError
    from keras_audiosr.files.encoder_gain import encoder_gain
    from keras_audiosr.files.scan_chunks import scan_iff, scan_mp4
    from keras_audiosr.files.scan_mpeg import scan_mpeg
    from keras_audiosr.files.scan_ogg import scan_ogg
    from keras_audiosr.files.tags import read_tags
    from keras_audiosr.presets import load_preset
    from keras_audiosr.runners.artifact import read_metadata
    from keras_audiosr.shelf.cue import read_cue
    from keras_audiosr.shelf.manifests import Pair, Track, read_manifest

# In memory if possible, because each input is written to a file, and there are thousands of inputs a second.
FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))


def file_parser(name: str, parse):
    """Turns `parse`, which reads a file, into a function that takes the file's bytes; `name` is the file's name."""
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)

    def parser(data: bytes) -> None:
        path.write_bytes(data)
        parse(path)

    return parser


def sound(suffix: str, **options) -> bytes:
    """Returns a file in libsndfile's format `suffix` with 6,000 stereo samples of a tone."""
    file = io.BytesIO()
    tone = np.sin(np.arange(6000) / 20)[:, None] * [0.5, 0.3]
    soundfile.write(file, tone, 44100, format=suffix, **options)
    return file.getvalue()


def atom(name: bytes, content: bytes) -> bytes:
    """Returns an MP4 atom."""
    return (8 + len(content)).to_bytes(4, "big") + name + content


TRACK = {
    "lossless": "a/b.flac", "album": "a", "track": 1, "title": "b", "duration": 1.0, "length": 44100,
    "sample_rate": 44100, "channels": 2, "md5": "0" * 32, "cutoff": 22050.0, "source": "x",
}  # fmt: skip
PAIR = TRACK | {"lossy": "c.mp3", "codec": "mp3@64k", "encoder": "LAME", "delay": 0, "decoder": "any"}
METADATA = {"name": "x", "sample_rate": 44100, "window_length": 4096, "context": 512, "hop_length": 256, "files": {}}
CUE = (
    'PERFORMER "P"\nFILE "a.wav" WAVE\n  TRACK 01 AUDIO\n    TITLE "T"\n    INDEX 00 00:00:00\n    INDEX 01 00:02:10\n'
)
MP3 = (ROOT / "tests" / "data" / "libshine.mp3").read_bytes()[:8000]
ADTS = b"".join(bytes([0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC]) + bytes(9) for _ in range(20))
INFO = b"RIFF\x40\0\0\0WAVELIST\x10\0\0\0INFOINAM\4\0\0\0Ode\0"
# Name -> the function that takes the bytes, and the seeds (valid inputs).
PARSERS = {
    "cue": (file_parser("a.cue", read_cue), [CUE.encode(), CUE.replace("\n", "\r\n").encode("utf-16")]),
    "manifest": (
        file_parser("pairs.jsonl", lambda path: read_manifest(path, Pair)),
        [json.dumps(PAIR).encode() + b"\n", json.dumps(PAIR).encode() + b"\n\n" + json.dumps(TRACK).encode()],
    ),
    "tracks": (file_parser("tracks.jsonl", lambda path: read_manifest(path, Track)), [json.dumps(TRACK).encode()]),
    "spec": (
        lambda data: CodecSpec.parse(data.decode("utf-8", "replace")),
        [b"mp3@64k", b"MP3@V6-stereo", b"lowpass@8.5k", b"opus @ 48"],
    ),
    "mpeg": (file_parser("a.mp3", scan_mpeg), [MP3, MP3[:2000] + b"TAG" + bytes(125) + MP3[:2000]]),
    "gain": (file_parser("b.mp3", encoder_gain), [MP3]),
    "adts": (file_parser("a.aac", lambda path: scan_mpeg(path, adts=True)), [ADTS]),
    "ogg": (file_parser("a.ogg", scan_ogg), [sound("OGG"), 2 * sound("OGG")]),
    "iff": (file_parser("a.wav", scan_iff), [sound("WAV")[:300], sound("AIFF")[:300], sound("RF64")[:300]]),
    "mp4": (
        file_parser("a.m4a", scan_mp4),
        [atom(b"ftyp", b"M4A ") + atom(b"moov", bytes(40)) + atom(b"mdat", bytes(99))],
    ),
    "tags": (file_parser("b.wav", read_tags), [sound("WAV")[:300], INFO]),
    "metadata": (
        file_parser("model/metadata.json", lambda path: read_metadata(path.parent)),
        [json.dumps(METADATA).encode()],
    ),
    "preset": (
        file_parser("preset.json", load_preset),
        [(ROOT / "keras_audiosr" / "presets" / "paired_resnet_bands_44k.json").read_bytes()],
    ),
}  # fmt: skip


def fuzz(name: str, options: list[str]) -> None:
    """Runs libFuzzer on one parser; does not return."""
    parse, seeds = PARSERS[name]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            parse(data)
        except AudioSRError as error:
            if not str(error).strip():
                raise

    atheris.Setup([sys.argv[0], "-timeout=10", "-rss_limit_mb=2048", "-max_len=20000", *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], sys.argv[2:])
    failed = 0
    print(f"{'parser':10}{'inputs':>9}{'branches':>10}{'kept':>7}{'seconds':>9}  outcome")
    for name in PARSERS:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, __file__, name, "-runs=100000", "-seed=1", "-max_total_time=600"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seen = re.findall(r"#(\d+)\s+\w+\s+(?:cov: (\d+))?.*?corp: (\d+)", done.stderr)
        inputs, branches, kept = seen[-1] if seen else ("0", "", "0")
        failed += done.returncode != 0
        outcome = "no fault" if done.returncode == 0 else done.stderr.strip()[-600:]
        print(f"{name:10}{inputs:>9}{branches:>10}{kept:>7}{time.monotonic() - started:9.0f}  {outcome}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
