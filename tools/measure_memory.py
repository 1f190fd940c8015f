"""Measures the peak memory of `restore` for songs of different lengths, and prints it as a table.

    tools/measure_memory.py                     3 minutes to 3 hours, mono, the bundled model (takes some minutes)
    tools/measure_memory.py --channels 2 --minutes 3 180
    tools/measure_memory.py --channels 2 --minutes 3 --checkout FOLDER    beside an earlier version

The song is an MP3 or FLAC file with one minute of pink noise that repeats, so that even hours of it are made within
seconds. The table shows the peak resident memory (VmHWM) of a fresh process, and the peak of FFmpeg separately.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from keras_audiosr.processes.ffmpeg import run_ffmpeg  # noqa: E402

# The process reads its own peak from VmHWM, because its own ru_maxrss begins at the size of its parent process.
CHILD = (
    "import re, resource, sys; from keras_audiosr import cli; code = cli.main(sys.argv[1:]);"
    "print('VmHWM', re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1],"
    " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)


def make_song(path: Path, minutes: float, channels: int) -> None:
    """Writes a song that repeats one minute of noise by copying the encoded frames."""
    minute = path.with_name(f"minute{path.suffix}")
    layout = "mono" if channels == 1 else "stereo"
    source = f"anoisesrc=color=pink:amplitude=0.3:duration=60:sample_rate=44100:seed=1,aformat=channel_layouts={layout}"
    for arguments in (
        ["-f", "lavfi", "-i", source, *(["-b:a", "64k"] if path.suffix == ".mp3" else []), str(minute)],
        ["-stream_loop", "-1", "-i", str(minute), "-t", str(60 * minutes), "-c", "copy", str(path)],
    ):
        done = run_ffmpeg("-y", *arguments)
        if done.returncode != 0:
            sys.exit(done.stderr.decode())


def measure(checkout: Path, song: Path, options: list[str]) -> tuple[float, float, float]:
    """Restores a song in a child process; returns its peak memory and FFmpeg's in MiB, and the seconds it took."""
    started = time.monotonic()
    out = song.with_name("out.flac")
    command = [sys.executable, "-c", CHILD, "restore", "--force", "--overwrite", str(song), "-o", str(out), *options]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    own, others = re.findall(r"VmHWM (\d+) (\d+)", done.stdout)[-1]
    return int(own) / 1024, int(others) / 1024, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 30, 180], help="lengths (default 3 30 180)")
    parser.add_argument("--channels", type=int, default=1, choices=(1, 2), help="channels of the song (default 1)")
    parser.add_argument("--format", default="mp3", choices=("mp3", "flac"), help="format of the song (default mp3)")
    parser.add_argument("--model", help="model as for restore (default: the bundled one)")
    parser.add_argument("--checkout", metavar="FOLDER", type=Path, help="a checkout of an earlier version")
    args = parser.parse_args()
    checkouts = {"": ROOT} if args.checkout is None else {"this": ROOT, "earlier": args.checkout.resolve()}
    options = ["--model", args.model] if args.model else []
    print(f"{'version':8}{'minutes':>8}{'restore MB':>12}{'FFmpeg MB':>11}{'seconds':>9}{'x real time':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            song = Path(folder, f"song.{args.format}")
            make_song(song, minutes, args.channels)
            for version, checkout in checkouts.items():
                own, others, seconds = measure(checkout, song, options)
                speed = 60 * minutes / seconds
                print(f"{version:8}{minutes:8g}{own:12.1f}{others:11.1f}{seconds:9.1f}{speed:13.0f}", flush=True)


if __name__ == "__main__":
    main()
