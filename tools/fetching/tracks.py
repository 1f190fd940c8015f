"""Turns files of music into tracks of the catalog: selects them, assigns them to a split, decodes and writes them."""

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
# kbit/s. Errors of Vorbis' levels were measured on lossless clips in third-octave bands from 1 to 13 kHz. At 112 kbit/s
# they are 0.8 to 1.6 dB (RMS over frames) and -0.3 to 0.7 dB in the mean. At 160 kbit/s they are 0.6 to 1.1 dB and -0.2
# to 0 dB. So a lower bitrate mainly lowers the frequency up to which this is true, and each file's cutoff records that
# frequency.
_LEAST_BITRATE = 110
# Seconds.
_SHORTEST = 20.0
# Hz. The lowest band that `measures.steady_cutoff` checks ends here. If this band is incomplete, there may be holes
# anywhere below it.
_LEAST_CUTOFF = 10500.0
# Seconds of each song in the measuring set. All songs have the same length, so that they have the same weight.
_EXCERPT = 20.0
# Hz, Hz and kbit/s. The measuring set is judged up to 15 kHz. The mean spectrum of a song must reach well above that,
# and its frames must be complete up to 15 kHz. The sung songs end at 18 kHz and are taken nevertheless, because there
# are no others.
_REAL_WALL = 19000.0
_REAL_CUTOFF = 15000.0
_REAL_BITRATE = 145
SUNG = ("Karissa Hobbs", "Steven M Bryant")
# Artists of the measuring set, which is never used for training: a band, sung songs, jazz, electronic, orchestral and
# game music.
HELD_OUT = (
    *("Muldjord", *SUNG, "Kevin MacLeod", "Zeropage", "DJHelium", "Matthew Pablo", "Alexandr Zhelanov", "Kalsan"),
    *("Claude Werner", "Will Savino", "Heuchi1", "Karl Macklin"),
)
# Title prefixes of recordings of one dry voice, which are mixed over instrumental music.
_VOICES = ("psv_", "pss_", "sms_vignesh")
# Title prefixes of all recordings of the same singers and speakers, alone and in mixes. They form one album.
_SAME_VOICES = ("psv_", "pss_", "psm_", "psc_")


@dataclasses.dataclass(frozen=True)
class Track:
    """A file of music, and what is known about it before it is decoded.

    Attributes:
        file: the lossy or lossless source file.
        album: name of the output folder: the artist for songs, the composition's album for lossless clips.
        artist, title, credit, licence, source: entries of the catalog.
        kind: `"lossless"`, `"voice"` (lossless, one dry voice) or `"near"` (nearly lossless).
        checked: whether somebody chose the file by hand. Other files must be stereo, long enough and of a high bitrate.
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
        """Makes the track of a song from a Debian package."""
        title = song.file.stem if song.artist != "Muldjord" else f"{song.file.parent.name}-{song.file.stem}"
        source = f"Debian {song.package} {song.path}"
        return cls(
            song.file, slug(song.artist), song.artist, title, song.credit, song.licence, source, "near", checked=False
        )

    @property
    def split(self) -> str:
        """`"real"` (the measuring set) for artists that are held out, otherwise `"train"`."""
        return "real" if self.artist.startswith(HELD_OUT) else "train"


def slug(name: str) -> str:
    """Turns a name into a folder name: lowercase ASCII letters and digits, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def clips(corpus: Path) -> list[Track]:
    """Returns the lossless clips of `train/` and the nearly lossless songs of `near/`."""
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
                continue  # these are excerpts of songs that are complete in their Debian package
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
    """Decodes and measures a track, and decides whether it is taken.

    Returns:
        Samples as an array `(time, channels)`, float32, at 44.1 kHz; the measured `bitrate` (kbit/s) and `cutoff` (Hz),
        which are `None` for lossless files; and `""`. If the track is not taken: `None`, `{}` and the reason.
    """
    try:
        audio, rate = soundfile.read(track.file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        return None, {}, f"it cannot be decoded: {error}"
    seconds = len(audio) / rate
    lossless = track.kind != "near"
    bitrate = measures.bitrate(track.file, seconds)
    if not track.checked:
        if seconds < _SHORTEST or audio.shape[1] != 2:
            return None, {}, f"it has {seconds:.0f} s and {audio.shape[1]} channel(s), so it is not a song"
        if bitrate < (_REAL_BITRATE if track.split == "real" else _LEAST_BITRATE):
            return None, {}, f"its bitrate of {bitrate} kbit/s is too low"
        if rate < RATE:
            return None, {}, f"its sample rate of {rate} Hz is too low"
    real = track.split == "real" and not track.artist.startswith(SUNG)
    if real and track.title.endswith(("-guitar", "_fast")):
        return None, {}, "it is held out, and it is a variant of another song"
    if real and (wall := measures.cutoff(audio, rate)) < _REAL_WALL:
        return None, {}, f"it is held out, and its spectrum ends at {wall:.0f} Hz"
    if track.split == "real":
        length = min(len(audio), round(_EXCERPT * rate))
        begin = (len(audio) - length) * 2 // 5
        audio = audio[begin : begin + length]
    cutoff = None if lossless else round(measures.steady_cutoff(audio, rate))
    if cutoff is not None and cutoff < (_REAL_CUTOFF if real else _LEAST_CUTOFF):
        return None, {}, f"it is complete only up to {cutoff} Hz"
    if rate != RATE:
        audio = soxr.resample(audio, rate, RATE, "VHQ")
    # A decoder may return peaks above full scale. The whole track is then turned down, so that nothing is clipped.
    audio = audio / max(1.0, float(np.abs(audio).max(initial=0.0)) * 32768.0 / 32767.0)
    return audio, {"bitrate": None if lossless else bitrate, "cutoff": cutoff}, ""


def write(out: Path, track: Track, audio: np.ndarray, measured: dict) -> dict:
    """Writes a track's FLAC file atomically; returns its entry of the catalog."""
    path = Path(track.split) / track.album / f"{slug(track.title)}.flac"
    with atomic_output(out / path) as partial:
        soundfile.write(partial, audio, RATE, subtype="PCM_16")
    return {
        "path": path.as_posix(), "split": track.split, "album": track.album, "kind": track.kind,
        "artist": track.artist, "title": track.title, "credit": track.credit, "licence": track.licence,
        "source": track.source, **measured, "channels": audio.shape[1], "seconds": round(len(audio) / RATE, 2),
    }  # fmt: skip
