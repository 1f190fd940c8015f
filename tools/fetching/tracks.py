"""From a file of music to a track of the catalog: what is taken, in which split, and in which form."""

import csv
import dataclasses
import re
import unicodedata
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rendering.sources import album_of, corpus_clips

from keras_audiosr.processes.partial_files import atomic_output

from . import measures
from .packages import Song

RATE = 44100
# What Vorbis was asked for. Measured on lossless clips in third-octaves of 1 to 13 kHz: at 112 kbit/s levels are off by
# 0.8 to 1.6 dB (rms over frames), by -0.3 to 0.7 dB in the mean; at 160 kbit/s by 0.6 to 1.1 and -0.2 to 0 dB. What
# differs is how far up that holds, and each file's own cutoff says so.
_LEAST_BITRATE = 110
_SHORTEST = 20.0
# Hz. The lowest band that is looked at ends here; what is not whole in it may have holes anywhere below.
_LEAST_CUTOFF = 10500.0
# Of the measuring set: one length for all songs, so that each counts the same.
_EXCERPT = 20.0
# Judged up to 15 kHz, so what is measured must reach well above, and hold to there all the time. The sung songs end at
# 18 kHz and are taken anyway: there are no others.
_REAL_WALL = 19000.0
_REAL_CUTOFF = 15000.0
_REAL_BITRATE = 145
SUNG = ("Karissa Hobbs", "Steven M Bryant")
# Artists that are measured on and never trained on: a band, sung songs, jazz, electronic, orchestral and game music.
HELD_OUT = (
    *("Muldjord", *SUNG, "Kevin MacLeod", "Zeropage", "DJHelium", "Matthew Pablo", "Alexandr Zhelanov", "Kalsan"),
    *("Claude Werner", "Will Savino", "Heuchi1", "Karl Macklin"),
)
# Recordings of one dry voice, to be mixed over instrumentals.
_VOICES = ("psv_", "pss_", "sms_vignesh")
# The same singers and speakers, alone and in mixes: one album.
_SAME_VOICES = ("psv_", "pss_", "psm_", "psc_")


@dataclasses.dataclass(frozen=True)
class Track:
    """A file of music, and what is known of it before it is decoded.

    Attributes:
        file: lossy or lossless, as it was found.
        album: the name of an artist's folder; of a composition's for lossless clips.
        artist, title, credit, licence, source: for the catalog.
        kind: `"lossless"`, `"voice"` (lossless, one dry voice) or `"near"`.
        checked: whether somebody chose the file by hand; the others must be long enough and of a high bitrate.
    """

    file: Path
    album: str
    artist: str
    title: str
    credit: str
    licence: str
    source: str
    kind: str
    checked: bool

    @classmethod
    def of_song(cls, song: Song) -> "Track":
        """A package's file."""
        title = song.file.stem if song.artist != "Muldjord" else f"{song.file.parent.name}-{song.file.stem}"
        source = f"Debian {song.package} {song.path}"
        return cls(
            song.file, slug(song.artist), song.artist, title, song.credit, song.licence, source, "near", checked=False
        )

    @property
    def split(self) -> str:
        """`"real"` for artists that are held out, else `"train"`."""
        return "real" if self.artist.startswith(HELD_OUT) else "train"


def slug(name: str) -> str:
    """A name as a folder's: ASCII letters and digits, parts joined by hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def clips(corpus: Path) -> list[Track]:
    """The lossless clips of `train/`, and the nearly lossless ones of `near/`."""
    tracks = []
    for clip in corpus_clips(corpus / "train"):
        kind = "voice" if clip.title.startswith(_VOICES) else "lossless"
        album = "clips-voices" if clip.title.startswith(_SAME_VOICES) else f"clips-{album_of(clip.key)[-2:]}"
        source = f"corpus train/{clip.title}.flac"
        tracks.append(
            Track(
                Path(clip.path), album, clip.author, clip.title, clip.author, clip.licence, source, kind, checked=True
            )
        )
    if (corpus / "near/CORPUS.csv").is_file():
        with open(corpus / "near/CORPUS.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            if "hyperrogue" in row["file"]:
                continue  # cuts of songs that are whole in their package
            artist, _, title = row["attribution"].partition(":")
            artist = artist.split(" ft.")[0].strip()
            path = corpus / "near" / row["file"]
            title = title.split("(")[0].strip() or path.stem
            source = f"corpus near/{row['file']}: {row['source']}"
            tracks.append(
                Track(
                    path, slug(artist), artist, title, row["attribution"], row["licence"], source, "near", checked=True
                )
            )
    return tracks


def decode(track: Track) -> tuple[np.ndarray | None, dict, str]:
    """Samples `(time, channels)`, float32, at 44.1 kHz, and what was measured; or `None`, and why it is not taken."""
    try:
        audio, rate = soundfile.read(track.file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        return None, {}, f"cannot be decoded: {error}"
    seconds = len(audio) / rate
    lossless = track.kind != "near"
    bitrate = measures.bitrate(track.file, seconds)
    if not track.checked:
        if seconds < _SHORTEST or audio.shape[1] != 2:
            return None, {}, f"{seconds:.0f} s, {audio.shape[1]} channel(s): no song"
        if bitrate < (_REAL_BITRATE if track.split == "real" else _LEAST_BITRATE):
            return None, {}, f"{bitrate} kbit/s"
        if rate < RATE:
            return None, {}, f"{rate} Hz"
    real = track.split == "real" and not track.artist.startswith(SUNG)
    if real and track.title.endswith(("-guitar", "_fast")):
        return None, {}, "held out, and no song of its own"
    if real and (wall := measures.cutoff(audio, rate)) < _REAL_WALL:
        return None, {}, f"held out, and reaches {wall:.0f} Hz"
    if track.split == "real":
        length = min(len(audio), round(_EXCERPT * rate))
        begin = (len(audio) - length) * 2 // 5
        audio = audio[begin : begin + length]
    cutoff = None if lossless else round(measures.steady_cutoff(audio, rate))
    if cutoff is not None and cutoff < (_REAL_CUTOFF if real else _LEAST_CUTOFF):
        return None, {}, f"whole up to {cutoff} Hz only"
    if rate != RATE:
        audio = soxr.resample(audio, rate, RATE, "VHQ")
    # A decoder may leave peaks over full scale: lowered, not clipped.
    audio = audio / max(1.0, float(np.abs(audio).max(initial=0.0)) * 32768.0 / 32767.0)
    return audio, {"bitrate": None if lossless else bitrate, "cutoff": cutoff}, ""


def write(out: Path, track: Track, audio: np.ndarray, measured: dict) -> dict:
    """Writes a track's FLAC file, whole or not at all; its line of the catalog."""
    path = Path(track.split) / track.album / f"{slug(track.title)}.flac"
    with atomic_output(out / path) as partial:
        soundfile.write(partial, audio, RATE, subtype="PCM_16")
    return {
        "path": path.as_posix(), "split": track.split, "album": track.album, "kind": track.kind,
        "artist": track.artist, "title": track.title, "credit": track.credit, "licence": track.licence,
        "source": track.source, **measured, "channels": audio.shape[1], "seconds": round(len(audio) / RATE, 2),
    }  # fmt: skip
