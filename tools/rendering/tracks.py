"""Plans, plays, mixes and checks one track. The plan depends only on (seed, number) and the sources."""

import dataclasses

import numpy as np
import soundfile
import soxr

from . import compose, drums, effects, instruments, mixing, soundfonts, voice
from .measures import fault
from .parts import Part, load_parts
from .sources import Source, album_of

RATE = 44100
# Parts with the fewest notes are left out beyond this number. They would make rendering slower, but the mix no richer.
_MOST_PARTS = 7
_ATTEMPTS = 5
# Kind of track -> its styles with their probabilities.
_STYLES = {
    "score": (("rock", 0.3), ("pop", 0.25), ("electronic", 0.2), ("acoustic", 0.15), ("ambient", 0.1)),
    "classical": (("classical", 0.65), ("acoustic", 0.15), ("ambient", 0.1), ("pop", 0.1)),
    "made up": (("electronic", 0.45), ("pop", 0.35), ("rock", 0.1), ("ambient", 0.1)),
    "remix": (("pop", 0.35), ("electronic", 0.25), ("rock", 0.2), ("acoustic", 0.2)),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The properties of a track, which are decided before anything is computed.

    Attributes:
        number: number of the track.
        kind: `"score"`, `"classical"`, `"made up"` or `"remix"`.
        style: name in `mixing.STYLES`.
        duration: seconds.
        album: folder of the track.
        title: title for the file name.
        sources: the score or clip that the track is made from. A remix may have up to three more clips of the same
            album, which may be mixed in.
    """

    number: int
    kind: str
    style: str
    duration: float
    album: str
    title: str
    sources: tuple[Source, ...]

    @property
    def path(self) -> str:
        """Path of the file, relative to the folder of the albums."""
        title = "".join(letter if letter.isalnum() or letter in "-_ " else "" for letter in self.title)
        return f"{self.album}/{self.number:05d} {' '.join(title.split())[:60]} ({self.style}).flac"


def plan_track(seed: int, number: int, scores: list[Source], classical: list[Source], clips: list[Source]) -> Plan:
    """Plans track `number`. The same arguments always give the same plan."""
    rng = np.random.default_rng([seed, number])
    kinds = ("score", "classical", "made up", "remix")
    weights = np.array([0.42, 0.1, 0.3, 0.18]) * [bool(scores), bool(classical), True, bool(clips)]
    kind = str(rng.choice(kinds, p=weights / weights.sum()))
    names, chances = zip(*_STYLES[kind], strict=True)
    style = str(rng.choice(names, p=chances))
    duration = round(float(rng.uniform(20, 40)), 1)
    if kind == "made up":
        key = f"made up {seed} {number}"
        return Plan(number, kind, style, duration, album_of(key), "Made up", ())
    pool = {"score": scores, "classical": classical, "remix": clips}[kind]
    source = pool[int(rng.integers(len(pool)))]
    sources = [source]
    if kind == "remix":
        beside = [clip for clip in clips if clip != source and album_of(clip.key) == album_of(source.key)]
        sources += [beside[index] for index in rng.permutation(len(beside))[:3]]
    return Plan(number, kind, style, duration, album_of(source.key), source.title, tuple(sources))


def _play(part: Part, plan: Plan, rng: np.random.Generator, synthetic: float, can_sample: bool) -> tuple:
    """Plays a part on one of this tool's instruments (with probability `synthetic`) or on a soundfont.

    Returns:
        A stem `(role, audio)`; the role of a sung part is `"voice"`.
    """
    if can_sample and rng.random() >= synthetic:
        return part.role, soundfonts.play(part, plan.duration, rng)
    choices = {
        "drums": [drums.kit],
        "bass": [instruments.synthesizer, instruments.sub_bass, instruments.fm],
        "guitar": [instruments.guitar],
        "keys": [instruments.fm, instruments.synthesizer, instruments.guitar],
        "pad": [instruments.synthesizer, instruments.synthesizer, voice.choir],
        "lead": [voice.sing, voice.sing, instruments.synthesizer, instruments.guitar, instruments.fm],
    }[part.role]
    play = choices[int(rng.integers(len(choices)))]
    return ("voice" if play is voice.sing else part.role), play(part, plan.duration, rng)


def _with_voice(parts: list[Part], plan: Plan, rng: np.random.Generator, stems: list) -> None:
    """Adds a singer on the melody to nearly half of the songs without one, because most records have a singer."""
    melodic = [part for part in parts if part.role in ("lead", "keys", "guitar", "pad") and len(part.notes) > 3]
    if melodic and not any(role == "voice" for role, _ in stems) and rng.random() < 0.45:
        highest = max(melodic, key=lambda part: (part.role == "lead", np.median(part.notes[:, 2])))
        sung = voice.sing(highest, plan.duration, rng)
        if rng.random() < 0.3:
            # The voice is doubled, as it often is in choruses.
            sung = 0.7 * sung + 0.5 * np.array([[1.0, 0.2]], np.float32) * voice.sing(highest, plan.duration, rng)
        stems.append(("voice", sung))


def _clip(source: Source, duration: float, rng: np.random.Generator) -> np.ndarray:
    """Loads a clip of the corpus and repeats it until it has this duration in seconds.

    The clip may become up to a fifth faster. It never becomes slower, because the top of the band would then be empty.
    """
    audio, rate = soundfile.read(source.path, dtype="float32", always_2d=True)
    audio = np.repeat(audio, 2, axis=1) if audio.shape[1] == 1 else audio
    speed = float(rng.choice([1.0, rng.uniform(1.0, 1.2)]))
    if rate != RATE or speed > 1.0:
        audio = soxr.resample(audio, rate * speed, RATE, "VHQ")
    overlap = min(2205, len(audio) // 4)
    ramp = np.linspace(0, 1, overlap, dtype=np.float32)[:, None]
    audio = audio.copy()
    audio[:overlap] *= ramp
    audio[-overlap:] *= ramp[::-1]
    out = np.zeros((round(duration * RATE), 2), np.float32)
    at = 0
    while at < len(out):
        part = audio[: len(out) - at]
        out[at : at + len(part)] += part
        at += len(audio) - overlap
    return out[:, ::-1].copy() if rng.random() < 0.3 else out


def _stems(plan: Plan, rng: np.random.Generator, can_sample: bool) -> list:
    """Makes all stems of a track, as pairs `(role, audio)`."""
    synthetic = mixing.STYLES[plan.style].synthetic
    produced = plan.style in ("pop", "electronic", "rock", "ambient")
    if plan.kind == "remix":
        stems = [("clip", _clip(plan.sources[0], plan.duration, rng))]
        stems += [("clip", _clip(clip, plan.duration, rng)) for clip in plan.sources[1:] if rng.random() < 0.3]
        parts = compose.compose(plan.duration, rng)
        # Only drums and leads of the composed piece are played over the clips.
        parts = [part for part in parts if part.role in ("drums", "lead") and rng.random() < 0.4]
    else:
        if plan.kind == "made up":
            parts = compose.compose(plan.duration, rng)
        else:
            parts = load_parts(plan.sources[0].path, plan.duration, rng, 0.7 if produced else 0.4)
        parts = sorted(parts, key=lambda part: -len(part.notes))[:_MOST_PARTS]
        stems = []
    stems += [_play(part, plan, rng, synthetic, can_sample) for part in parts]
    if produced:
        _with_voice(parts, plan, rng, stems)
        if rng.random() < 0.15:
            stems.append(("fx", drums.riser(plan.duration, rng)))
    if rng.random() < 0.05:
        stems.append(("vinyl", drums.crackle(plan.duration, rng)))
    return stems


def render_track(seed: int, plan: Plan, can_sample: bool = True) -> tuple[np.ndarray | None, str]:
    """Plays, mixes and checks a track, with up to five attempts.

    Args:
        seed: seed of the whole set.
        plan: plan of the track.
        can_sample: whether FluidSynth and its soundfonts are installed.

    Returns:
        Samples as an array `(time, 2)`, int16, and `""`. If no attempt passed the check, `None` and the last fault.
    """
    reason = ""
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, plan.number, 1 + attempt])
        stems = [(role, audio) for role, audio in _stems(plan, rng, can_sample) if effects.rms(audio) > 1e-6]
        if not stems:
            reason = "silent"
            continue
        audio = mixing.mix(stems, mixing.STYLES[plan.style], rng)
        reason = fault(audio)
        if not reason:
            dither = (rng.random(audio.shape) - rng.random(audio.shape)).astype(np.float32)
            return np.clip(np.round(32767 * audio + dither), -32768, 32767).astype(np.int16), ""
    return None, reason
