"""Tests that tools/render.py makes varied full-band music, reproducibly, and also without soundfonts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("pedalboard", reason="tools/render.py is for those who train: pip install '.[render]'")
pytest.importorskip("pyloudnorm", reason="tools/render.py is for those who train: pip install '.[render]'")
mido = pytest.importorskip("mido", reason="tools/render.py is for those who train: pip install '.[render]'")

TOOLS = Path(__file__).parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

from rendering import drums, effects, instruments, soundfonts, voice  # noqa: E402 tools/ is no package
from rendering.compose import compose  # noqa: E402
from rendering.measures import fault, measure, octave_levels  # noqa: E402
from rendering.mixing import STYLES, mix  # noqa: E402
from rendering.parts import Part, load_parts  # noqa: E402
from rendering.sources import album_of, corpus_clips, freedoom_scores  # noqa: E402
from rendering.tracks import Plan, plan_track, render_track  # noqa: E402

RATE = 44100
NOTES = np.array([[0.1, 0.5, 57, 0.9], [0.7, 0.6, 64, 0.6], [1.4, 0.4, 60, 1.0]])
needs_fluidsynth = pytest.mark.skipif(bool(soundfonts.missing()), reason=soundfonts.missing() or "-")


def made_up(number: int, style: str) -> Plan:
    return Plan(number, "made up", style, 3.0, "album-00", "Made up", ())


@pytest.fixture
def corpus(tmp_path):
    """Returns a corpus with one score and one clip of the same composition."""
    (tmp_path / "corpus/midi").mkdir(parents=True)
    (tmp_path / "corpus/train").mkdir()
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    file.tracks.append(track)
    for channel, program in ((0, 0), (1, 33), (9, 0)):
        track.append(mido.Message("program_change", channel=channel, program=program))
    for beat in range(16):
        notes = ((0, 60 + beat % 5), (1, 36), (9, (36, 38)[beat % 2]), (9, 42))
        for channel, note in notes:
            track.append(mido.Message("note_on", channel=channel, note=note, velocity=100))
        for index, (channel, note) in enumerate(notes):
            track.append(mido.Message("note_off", channel=channel, note=note, time=0 if index else 240))
    file.save(tmp_path / "corpus/midi/d_dm01.mid")
    (tmp_path / "corpus/midi/CREDITS-MUSIC").write_text('--FreeDM--\n\tDM01: "Zero Fort" by Somebody\n')
    (tmp_path / "corpus/midi/COPYING.adoc").write_text("All of it may be used.\n")
    clip = drums.kit(Part("drums", NOTES * [1, 1, 0, 1] + [0, 0, 38, 0]), 2.0, np.random.default_rng(0))
    soundfile.write(tmp_path / "corpus/train/fd_band_dm01.flac", 0.3 * clip, RATE)
    (tmp_path / "corpus/train/CORPUS.csv").write_text(
        "file,licence,attribution\nfd_band_dm01.flac,BSD-3-Clause,Somebody\n"
    )
    return tmp_path / "corpus"


@pytest.mark.parametrize(
    "play", [voice.sing, voice.choir, instruments.guitar, instruments.synthesizer, instruments.fm, instruments.sub_bass]
)
def test_instruments_play_their_notes(play):
    sound = play(Part("lead", NOTES), 2.0, np.random.default_rng(3))
    assert sound.shape == (2 * RATE, 2)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert effects.rms(sound) > 1e-3
    assert np.abs(sound[: int(0.05 * RATE)]).max() < 0.2 * np.abs(sound).max(), "nothing sounds before the first note"


def test_a_synthesizer_does_not_alias():
    """A sawtooth at 4186 Hz (C8) has partials at multiples. The total power between them is at least 55 dB lower."""
    table = instruments.wavetable(1.0 / np.arange(1, 1025), 4186.0)
    sound = instruments.oscillate(table, np.full(RATE, 4186.0), 0.0)
    power = np.abs(np.fft.rfft(sound * np.blackman(RATE))) ** 2
    harmonic = np.zeros(len(power), bool)
    for partial in range(4186, 22050, 4186):
        harmonic[partial - 8 : partial + 9] = True
    assert 10 * np.log10(power[~harmonic].sum() / power[harmonic].sum()) < -55


def test_sibilants_reach_what_codecs_cut():
    singer = voice.sing(
        Part("lead", np.repeat(NOTES, 4, axis=0) + np.arange(12)[:, None] * [0.4, 0, 0, 0]),
        6.0,
        np.random.default_rng(0),
    )
    assert octave_levels(singer)["hf"] > -60


def test_saturation_makes_harmonics_and_no_others():
    tone = np.repeat(0.3 * np.sin(2 * np.pi * 5000 * np.arange(RATE) / RATE)[:, None], 2, axis=1).astype(np.float32)
    power = np.abs(np.fft.rfft(effects.saturate(tone, 20.0)[:, 0] * np.blackman(RATE))) ** 2
    level = 10 * np.log10(power / power[5000] + 1e-12)
    assert level[15000] > -30
    # Without oversampling, the 7th and 9th harmonics would alias to 9.1 and 0.9 kHz.
    assert level[[9100, 900]].max() < -60


def test_limiter_holds_the_ceiling():
    loud = (5 * np.random.default_rng(0).standard_normal((RATE, 2))).astype(np.float32)
    assert np.abs(effects.limit(loud, 0.9)).max() <= np.float32(0.9)
    quiet = 0.01 * loud
    np.testing.assert_allclose(effects.limit(quiet, 0.9), quiet, rtol=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_a_mix_has_the_loudness_of_its_style(style):
    rng = np.random.default_rng(4)
    stems = [
        ("drums", drums.kit(compose(4.0, rng)[-1], 4.0, rng)),
        ("lead", instruments.synthesizer(Part("lead", NOTES), 4.0, rng)),
    ]
    audio = mix(stems, STYLES[style], rng)
    low, high = STYLES[style].loudness
    found = measure(audio)
    # A fade may lower the loudness.
    assert low - 4 <= found["LUFS"] <= high + 1
    assert np.abs(audio).max() < 1.0


def test_two_tracks_of_our_own_instruments():
    first, second = (render_track(7, made_up(number, "electronic"), can_sample=False)[0] for number in (0, 1))
    assert first.dtype == np.int16
    assert first.shape == second.shape == (3 * RATE, 2)
    assert not np.array_equal(first, second)
    for samples in (first, second):
        assert fault(samples.astype(np.float32) / 32768) == ""
    again, _ = render_track(7, made_up(1, "electronic"), can_sample=False)
    np.testing.assert_array_equal(again, second)


def test_what_is_no_use_is_found():
    noise = 0.1 * np.random.default_rng(0).standard_normal((3 * RATE, 2)).clip(-4, 4).astype(np.float32)
    spectrum = np.fft.rfft(noise, axis=0)
    falling = np.fft.irfft(spectrum / np.linspace(0.2, 20, len(spectrum))[:, None], axis=0)
    assert fault(falling) == ""
    spectrum = np.fft.rfft(falling, axis=0)
    spectrum[int(len(spectrum) * 16000 / 22050) :] = 0
    assert "a wall at 16" in fault(np.fft.irfft(spectrum, axis=0))
    assert fault(0 * noise) == "silent"
    assert fault(20 * noise) == "clips"
    assert fault(np.full_like(noise, np.nan)) == "a sample is not finite"
    assert "16-19 kHz" in fault(noise), "white noise is brighter than any music"


def test_an_album_holds_all_of_a_composition(corpus):
    scores, clips = freedoom_scores(corpus / "midi"), corpus_clips(corpus / "train")
    assert (scores[0].title, scores[0].author) == ("Zero Fort", "Somebody")
    assert scores[0].key == clips[0].key == "dm01"
    plans = [plan_track(0, number, scores, [], clips) for number in range(40)]
    assert {plan.album for plan in plans if plan.kind != "made up"} == {album_of("dm01")}
    assert {plan.kind for plan in plans} == {"score", "remix", "made up"}
    assert len({plan.album for plan in plans}) > 5
    assert plans[17] == plan_track(0, 17, scores, [], clips) != plan_track(1, 17, scores, [], clips)


def test_an_excerpt_is_varied_and_fits(corpus):
    path = str(corpus / "midi/d_dm01.mid")
    first, second = (load_parts(path, 12.0, np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(part.role for part in first) == ["bass", "drums", "keys"]
    for part in first:
        assert part.notes[:, 0].min() >= 0
        # The score lasts 8 s at its own tempo, so it is repeated to fill 12 s.
        assert 8 < part.notes[:, 0].max() < 12.1
    assert not np.array_equal(first[0].notes[:5], second[0].notes[:5])
    assert set(first[-1].notes[:, 2]) == {36.0, 38.0, 42.0}, "drums are not transposed"


@needs_fluidsynth
def test_a_soundfont_plays_the_same_twice():
    for role in ("keys", "drums"):
        first, second = (soundfonts.play(Part(role, NOTES), 2.0, np.random.default_rng(5)) for _ in range(2))
        assert first.shape == (2 * RATE, 2)
        assert effects.rms(first) > 1e-3
        np.testing.assert_array_equal(first, second)


@needs_fluidsynth
def test_command_line(corpus, tmp_path):
    """A second run changes nothing, and a track that was deleted is rendered again with the same bytes."""
    command = [sys.executable, TOOLS / "render.py", corpus, tmp_path / "out", "--seed", "2", "--hours"]

    def run(hours: float) -> dict:
        subprocess.run([*command, str(hours)], check=True, capture_output=True)
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out/albums").rglob("0*.flac")}

    first = run(0.006)
    assert 1 <= len(first) <= 2
    assert run(0.006) == first
    path = next(iter(first))
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 2, "PCM_16")
    assert 20 <= info.duration <= 40
    content = path.read_bytes()
    path.unlink()
    run(0.006)
    assert path.read_bytes() == content
    assert not list((tmp_path / "out").rglob("*.partial*"))
    assert (tmp_path / "out/albums" / album_of("dm01") / "fd_band_dm01.flac").is_file()
    assert "Frank Wen" in (tmp_path / "out/ATTRIBUTION.md").read_text("utf-8")
    described = subprocess.run(
        [sys.executable, TOOLS / "render.py", "--describe", tmp_path / "out/albums", corpus / "train"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "| loudness (LUFS) |" in described
    assert described.startswith("| | albums (")
