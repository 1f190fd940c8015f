"""Restores one song into demo/, prints figures before and after, and draws the spectra.

`quickstart.sh` calls this script. Without a song it restores the bundled clip, whose lossless original is bundled too.
"""

import shlex
import sys
import time
from pathlib import Path

from keras_audiosr import restore
from keras_audiosr.errors import AudioSRError
from keras_audiosr.files.audio_files import read
from keras_audiosr.measures.figures import spectrum_figure
from keras_audiosr.measures.songs import measure
from keras_audiosr.sound.bandwidth import estimate_cutoff

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "tests" / "data" / "loop_tabla.mp3"
# The figures of a long song are computed from this many seconds in its middle.
EXCERPT = 30
# quickstart.sh does not activate its environment, so the user needs the full path of the program.
PROGRAM = ROOT / ".venv" / "bin" / "keras-audiosr"


def main(song: Path | None) -> None:
    """Restores the song, or the bundled clip if `song` is `None`."""
    lossless = None if song else CLIP.with_suffix(".flac")
    song = song or CLIP
    out = ROOT / "demo" / f"{song.stem}.restored.flac"
    started = time.perf_counter()
    report = restore(song, out, overwrite=True)
    if report.skipped:
        reason = {"lossless": "is lossless", "bitrate": "has a high bitrate", "restored": "was restored before"}
        print(f"{song.name} {reason[report.skipped[0].reason]}, so there is nothing to restore. To restore it anyway:")
        print(f"\n    {shlex.join([str(PROGRAM), 'restore', '--force', str(song), '-o', str(out)])}")
        return
    seconds = time.perf_counter() - started

    lossy, sample_rate = read(song)
    restored, _ = read(out)
    duration = len(lossy) / sample_rate
    middle = max(0, len(lossy) - EXCERPT * sample_rate) // 2
    cut = slice(middle, middle + EXCERPT * sample_rate)
    signals = {"lossy": lossy[cut], "restored": restored[cut]}
    cutoff = {name: estimate_cutoff(signal, sample_rate) for name, signal in signals.items()}
    print(f"{song.name}: restored {duration:.1f} s in {seconds:.1f} s, {duration / seconds:.0f} times real time")
    print(f"\n{'':28}{'before':>10}{'after':>10}")
    print(f"{'bandwidth (kHz)':28}{cutoff['lossy'] / 1000:>10.1f}{cutoff['restored'] / 1000:>10.1f}")
    if lossless:
        truth, _ = read(lossless)
        found = measure(truth, signals, sample_rate, cutoff["lossy"])
        before, after = found["lossy"], found["restored"]
        signals = {"lossless": truth, **signals}
        print(f"{'SNR (dB, higher is better)':28}{before['snr']:>10.2f}{after['snr']:>10.2f}")
        print(f"{'LSD (lower is better)':28}{before['lsd']:>10.2f}{after['lsd']:>10.2f}")
    picture = out.with_suffix(".png")
    spectrum_figure(picture, signals, sample_rate, song.name)
    print(f"\nrestored song     {out}\nspectrum picture  {picture}")
    print(f"\nMore songs:       {shlex.quote(str(PROGRAM))} restore --help")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except AudioSRError as error:
        sys.exit(f"tools/quickstart.sh: {error}")
