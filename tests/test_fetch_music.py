"""Tests that tools/fetch_music.py takes only files whose licences allow every use, and measures their cutoffs."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from fetching import measures  # noqa: E402 tools/ is no package
from fetching.attribution import attribution  # noqa: E402
from fetching.licences import Stanza, read_list, read_stanzas, stanza_of  # noqa: E402
from fetching.packages import Package, Song, songs  # noqa: E402
from fetching.tracks import HELD_OUT, Track, clips, decode, slug, write  # noqa: E402

RATE = 44100
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2001-2010 The Team
License: GPL-2+

Files: music/*
Copyright: 2009, 2011 Ada Player <ada@example.org>
License: CC-BY-SA-3.0

Files: music/free.ogg
       music/lone*.ogg
Copyright:
 2012-2014 Bo Singer (http://example.org)
 © 2018 Cy Writer
License: GPL-3+ or CC-BY-4.0

Files: music/not.ogg
Copyright: Di Player
License: CC-BY-NC-3.0

License: CC-BY-SA-3.0
 The text of it.
"""


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("CC-BY-SA-3.0", "CC-BY-SA-3.0"), ("CC-by 3", "CC-BY-3.0"), ("GPLv3 / CC-by-sa 4.0", "CC-BY-SA-4.0"),
        ("CC0", "CC0"), ("CC0-1.0", "CC0-1.0"), ("PD", "public domain"), ("GPL-2+ OR CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("GPL-2+", None), ("CC-BY-NC-SA-3.0", None), ("CC-BY-ND-4.0", None), ("GPL-2 and CC-BY-3.0", None),
    ],
)  # fmt: skip
def test_only_licences_that_allow_every_use_pass(said, allowed):
    assert Stanza(("*",), (), said).allowed() == allowed


def test_the_last_stanza_that_names_a_file_holds():
    stanzas = read_stanzas(COPYRIGHT)
    held = {name: stanza_of(f"music/{name}.ogg", stanzas) for name in ("other", "free", "lonely", "not")}
    assert [stanza.licence for stanza in held.values()] == [
        *("CC-BY-SA-3.0", "GPL-3+ or CC-BY-4.0", "GPL-3+ or CC-BY-4.0", "CC-BY-NC-3.0"),
    ]
    assert held["free"].holders == ("Bo Singer (http://example.org)", "Cy Writer")
    assert held["other"].holders == ("Ada Player <ada@example.org>",)
    assert stanza_of("program.c", stanzas).licence == "GPL-2+"
    assert not read_stanzas("This package was debianized by hand.\n\nAll of it is free.\n")


def test_a_list_of_sounds_names_authors():
    text = "- Ada Player:\n   license: CC-by 3.0\n   music:\n     - a.ogg\n   sounds:\n     - b.wav\n"
    text += "- Bo:\n   license: GPLv3\n   sounds:\n     - c.ogg\n"
    assert read_list(text, "snd/") == [Stanza(("snd/a.ogg",), ("Ada Player",), "CC-by 3.0")]


def lowpassed(cutoff: float, seconds: float = 8.0, seed: int = 0) -> np.ndarray:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), 2))
    taps = signal.firwin(2047, cutoff, fs=RATE, window=("kaiser", 12.0))
    return signal.fftconvolve(noise, taps[:, None], mode="same", axes=0).astype(np.float32)


@pytest.mark.parametrize("cutoff", [12000.0, 16000.0, 19000.0])
def test_a_steady_cutoff_is_found_to_a_band(cutoff):
    assert abs(measures.steady_cutoff(lowpassed(cutoff), RATE) - cutoff) <= 500.0
    assert abs(measures.cutoff(lowpassed(cutoff), RATE) - cutoff) <= 500.0


def test_a_full_band_has_no_cutoff():
    noise = 0.1 * np.random.default_rng(0).standard_normal((4 * RATE, 2)).astype(np.float32)
    assert measures.steady_cutoff(noise, RATE) == 22050.0
    # The same holds if the second channel is silent.
    assert measures.steady_cutoff(noise * np.float32([1, 0]), RATE) == 22050.0


def test_bands_that_are_dropped_for_moments_are_no_example():
    """Bands that are missing in some of the frames lower the steady cutoff, but not that of the mean spectrum."""
    audio = np.concatenate([lowpassed(15000.0, 3.0), lowpassed(20000.0, 5.0)])
    assert measures.cutoff(audio, RATE) > 19000.0
    assert abs(measures.steady_cutoff(audio, RATE) - 15000.0) <= 500.0


def test_a_fade_out_is_no_cutoff():
    fade = np.geomspace(1.0, 1e-7, 4 * RATE).astype(np.float32)[:, None]
    audio = np.concatenate([lowpassed(18000.0, 6.0), lowpassed(18000.0, 4.0, seed=1) * fade])
    assert abs(measures.steady_cutoff(audio, RATE) - 18000.0) <= 500.0


def test_the_bitrate_is_what_vorbis_was_asked_for(tmp_path):
    soundfile.write(tmp_path / "sparse.ogg", np.zeros((5 * RATE, 2)), RATE, subtype="VORBIS")
    average = (tmp_path / "sparse.ogg").stat().st_size * 8 / 5 / 1000
    assert average < 20 < 100 <= measures.bitrate(tmp_path / "sparse.ogg", 5.0)


def song(artist: str = "Ada Player", name: str = "music/a.ogg") -> Song:
    return Song("some-music", name, Path(name), artist, artist, "CC-BY-SA-3.0")


def test_artists_that_are_held_out_are_in_the_measuring_set_alone():
    assert Track.of_song(song()).split == "train"
    assert {Track.of_song(song(f"{artist} (some band)")).split for artist in HELD_OUT} == {"real"}
    assert slug("Åsa & the Båts (2nd)") == "asa-the-bats-2nd"


def test_what_is_no_song_is_left_out(tmp_path):
    def reason(audio: np.ndarray, rate: int = RATE) -> str:
        soundfile.write(tmp_path / "a.ogg", audio, rate, subtype="VORBIS")
        return decode(Track.of_song(song(name=str(tmp_path / "a.ogg"))))[2]

    music = lowpassed(15000.0, 21.0)
    assert reason(music[: 10 * RATE]) == "it has 10 s and 2 channel(s), so it is not a song"
    assert reason(music[:, 0]) == "it has 21 s and 1 channel(s), so it is not a song"
    assert reason(music, 32000) == "its sample rate of 32000 Hz is too low"
    assert reason(lowpassed(9000.0, 21.0)) == "it is complete only up to 10000 Hz"
    assert reason(music) == ""


def test_a_held_out_song_is_cut_to_an_excerpt(tmp_path):
    full = 0.1 * np.random.default_rng(0).standard_normal((30 * RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "full.flac", full, RATE)
    track = Track.of_song(song("Zeropage", str(tmp_path / "full.flac")))
    audio, measured, reason = decode(track)
    assert (len(audio), reason) == (20 * RATE, "")
    entry = write(tmp_path, track, audio, measured)
    assert entry["path"] == "real/zeropage/full.flac"
    assert (entry["cutoff"], entry["seconds"], entry["channels"]) == (22050, 20.0, 2)
    written, rate = soundfile.read(tmp_path / entry["path"])
    assert rate == RATE
    np.testing.assert_allclose(written, full[4 * RATE : 24 * RATE], atol=1.1 / 32768)


def test_peaks_over_full_scale_are_lowered_not_clipped(tmp_path):
    music = lowpassed(15000.0, 21.0)
    loud = music * np.float32(1.5) / np.abs(music).max()
    soundfile.write(tmp_path / "loud.wav", loud, RATE, subtype="FLOAT")
    audio, _, reason = decode(Track.of_song(song(name=str(tmp_path / "loud.wav"))))
    assert not reason
    np.testing.assert_allclose(audio, loud / 1.5, atol=1e-3)


def test_lossless_clips_have_no_cutoff_and_voices_one_album(tmp_path):
    (tmp_path / "train").mkdir()
    for name in ("psv_a.flac", "psm_a.flac", "lmms_x_0.flac"):
        soundfile.write(tmp_path / "train" / name, lowpassed(18000.0, 3.0)[:, :1], RATE)
    rows = "".join(f"{name},CC0-1.0,Ada\n" for name in ("psv_a.flac", "psm_a.flac", "lmms_x_0.flac"))
    (tmp_path / "train/CORPUS.csv").write_text(f"file,licence,attribution\n{rows}")
    tracks = clips(tmp_path)
    assert [track.kind for track in tracks] == ["voice", "lossless", "lossless"]
    assert tracks[0].album == tracks[1].album == "clips-voices" != tracks[2].album
    _, measured, reason = decode(tracks[2])
    assert (measured["cutoff"], measured["bitrate"], reason) == (None, None, "")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="packages are unpacked by Debian's dpkg-deb")
@pytest.mark.parametrize("inside", ["", "audio/music"])
def test_a_package_gives_the_songs_it_may(tmp_path, inside):
    root, music = tmp_path / "root", tmp_path / "root/usr/share/thing/music"
    stage = tmp_path / "stage" / inside if inside else music
    stage.mkdir(parents=True)
    for name in ("free", "other", "not"):
        soundfile.write(stage / f"{name}.ogg", lowpassed(15000.0, 1.0), RATE, subtype="VORBIS")
    (stage / "readme.txt").write_text("not music\n")
    if inside:
        music.parent.mkdir(parents=True, exist_ok=True)
        shutil.make_archive(str(music), "zip", tmp_path / "stage")
    (root / "usr/share/doc/thing-music").mkdir(parents=True)
    (root / "usr/share/doc/thing-music/copyright").write_text(COPYRIGHT)
    (root / "DEBIAN").mkdir()
    control = "Package: thing-music\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: d\n"
    (root / "DEBIAN/control").write_text(control)
    deb = tmp_path / "thing-music_1_all.deb"
    subprocess.run(("dpkg-deb", "--build", str(root), str(deb)), check=True, capture_output=True)
    folder = "usr/share/thing/music.zip" if inside else "usr/share/thing/music"
    found = list(songs(Package("thing-music", folder, inside, source="music"), deb, tmp_path / "unpacked"))
    refused = [entry for entry in found if isinstance(entry, str)]
    taken = {entry.file.name: entry for entry in found if isinstance(entry, Song)}
    assert refused == ["thing-music: not.ogg: CC-BY-NC-3.0"]
    assert {name: (entry.artist, entry.licence) for name, entry in taken.items()} == {
        "free.ogg": ("Bo Singer", "CC-BY-4.0"),
        "other.ogg": ("Ada Player", "CC-BY-SA-3.0"),
    }
    assert taken["free.ogg"].path == f"{folder}!{inside}/free.ogg" if inside else f"{folder}/free.ogg"
    assert not list((tmp_path / "unpacked").rglob("readme.txt"))
    with pytest.raises(ValueError, match="the copyright file has changed: it lacks 'Ed Player'"):
        list(songs(Package("thing-music", folder, inside, proof=("Ed Player",)), deb, tmp_path / "again"))


def test_the_attribution_names_each_work_once():
    entry = {"kind": "near", "split": "train", "title": "A", "credit": "Ada", "licence": "CC-BY-3.0", "seconds": 1800.0}
    lines = [entry, {**entry, "split": "real", "title": "B"}, {**entry, "kind": "lossless", "title": "c_0"}]
    text = attribution([{"artist": "Ada", "source": "Debian thing-music x", **line} for line in lines])
    assert "- A: Ada (CC-BY-3.0), thing-music" in text.splitlines()
    assert "1.0 hours" in text
    assert text.count("- B: Ada") == 1
    assert text.index("- B: Ada") > text.index("Used for measuring, not for training")
