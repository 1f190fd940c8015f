"""Plays parts on Debian's soundfonts with FluidSynth, without reverberation, which the mixer adds."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from .parts import Part, write_midi

RATE = 44100
FOLDER = Path("/usr/share/sounds/sf2")

# Name of the file, Debian's package, authors, licence. These soundfonts were chosen because much of their sample data
# has a rate of 44.1 kHz or more: MuseScore 91 %, FluidR3 46 % (most of the rest has 32 kHz), both drum kits 100 %.
# Others are left out: fluid-soundfont-gs (24 %, and the same instruments as FluidR3), timgm6mb-soundfont (23 %, GPL-2),
# opl3-soundfont (its file names Yamaha as the owner), and every .sf3 (its samples are compressed with Vorbis).
SOUNDFONTS = (
    (
        "MuseScore_General_Full.sf2",
        "musescore-general-soundfont-lossless",
        "Frank Wen, Michael Cowgill, S. Christian Collins and others",
        "MIT, parts CC0 or public domain",
    ),
    ("FluidR3_GM.sf2", "fluid-soundfont-gm", "Frank Wen, (c) 2000-2008", "MIT"),
)
DRUM_KITS = (
    ("Black_Pearl_4_LV2.sf2", "avldrums.lv2-soundfont", "Glen MacArthur", "CC-BY-SA-3.0"),
    ("Red_Zeppelin_4_LV2.sf2", "avldrums.lv2-soundfont", "Glen MacArthur", "CC-BY-SA-3.0"),
)


def missing() -> str:
    """Returns what is missing to play parts, with the command that installs it, or `""` if nothing is missing."""
    if shutil.which("fluidsynth") is None:
        return "fluidsynth is not installed (apt-get install fluidsynth)"
    for name, package, *_ in SOUNDFONTS + DRUM_KITS:
        if not (FOLDER / name).is_file():
            return f"the soundfont {name} is not installed (apt-get install {package})"
    return ""


def play(part: Part, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Plays a part on a random soundfont; returns an array `(time, 2)`, float32."""
    # FluidR3 is chosen less often for melodic parts, because its samples are duller.
    names = [SOUNDFONTS[0][0]] * 3 + [SOUNDFONTS[1][0]]
    if part.role == "drums":
        names = [SOUNDFONTS[0][0], SOUNDFONTS[1][0]] + 2 * [name for name, *_ in DRUM_KITS]
    name = names[int(rng.integers(len(names)))]
    with tempfile.TemporaryDirectory() as folder:
        midi, wav, commands = (Path(folder) / suffix for suffix in ("part.mid", "part.wav", "commands"))
        write_midi(midi, part, drums_on_first="LV2" in name)
        # Seventh-order interpolation is used, because the default (fourth order) aliases near half the sample rate.
        commands.write_text("interp 7\n")
        command = ["fluidsynth", "-ni", "-q", "-f", str(commands), "-R", "0", "-C", "0", "-g", "0.4"]
        command += ["-r", str(RATE), "-o", "synth.dynamic-sample-loading=1", "-o", "synth.polyphony=256"]
        command += ["-O", "float", "-T", "wav", "-F", str(wav), str(FOLDER / name), str(midi)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        audio, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    fitted = np.zeros((round(duration * RATE), 2), np.float32)
    fitted[: len(audio)] = audio[: len(fitted)]
    return fitted
