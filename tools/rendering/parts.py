"""Reads the parts of a score, which say what each instrument plays, from MIDI or MusicXML, and writes them as MIDI."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np

# Drums are on MIDI channel 10, which is number 9 when counted from 0. The other roles follow from the General MIDI
# family (program // 8).
DRUMS = 9
_ROLES = ("keys", "keys", "keys", "guitar", "bass", "pad", "pad", "lead", "lead", "lead", "lead", "pad", "pad")


@dataclasses.dataclass
class Part:
    """One instrument's music.

    Attributes:
        role: `"drums"`, `"bass"`, `"guitar"`, `"keys"`, `"pad"` or `"lead"`.
        notes: array `(notes, 4)`: start in s, duration in s, MIDI pitch, velocity in (0, 1].
        program: General MIDI program, 0 to 127.
        controls: pairs `(seconds, mido message)` of control changes and pitch bends.
    """

    role: str
    notes: np.ndarray
    program: int = 0
    controls: list = dataclasses.field(default_factory=list)


@functools.lru_cache(maxsize=8)
def _events(path: str) -> list:
    """Returns pairs `(seconds, message)` of a MIDI file, or of a score in music21's corpus."""
    import mido

    def read(file) -> list:
        seconds, events = 0.0, []
        for message in mido.MidiFile(file, clip=True):
            seconds += message.time
            if not message.is_meta and message.type != "sysex":
                events.append((seconds, message))
        return events

    if path.endswith(".mid"):
        return read(path)
    from music21 import corpus

    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "score.mid"
        corpus.parse(path).write("midi", midi)
        return read(midi)


def _notes(events: list, channel: int) -> np.ndarray:
    """Matches note-ons with note-offs; returns an array `(notes, 4)` as in `Part`."""
    sounding: dict = {}
    notes = []
    for seconds, message in events:
        if message.type not in ("note_on", "note_off") or message.channel != channel:
            continue
        if message.type == "note_on" and message.velocity:
            sounding.setdefault(message.note, []).append((seconds, message.velocity))
        elif sounding.get(message.note):
            start, velocity = sounding[message.note].pop(0)
            notes.append((start, max(seconds - start, 0.02), message.note, velocity / 127))
    return np.array(sorted(notes), dtype=float).reshape(-1, 4)


def _other_program(program: int, rng: np.random.Generator, freedom: float) -> int:
    """Changes the program to one of its family (probability `freedom`) or to any melodic one (a third of `freedom`)."""
    choice = rng.random()
    if choice < freedom:
        return program // 8 * 8 + int(rng.integers(8))
    return int(rng.integers(104)) if choice < 1.33 * freedom else program


def load_parts(path: str, duration: float, rng: np.random.Generator, freedom: float = 0.5) -> list[Part]:
    """Loads an excerpt of a score, and varies its tempo, key, instruments, velocities and timing.

    Args:
        path: MIDI file, or path in music21's corpus.
        duration: seconds; a shorter score is repeated.
        rng: source of all random choices.
        freedom: probability that a part gets another instrument of its family.

    Returns:
        The parts that have notes in the excerpt.
    """
    events = _events(path)
    speed = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
    transposition = int(rng.integers(-5, 6))
    # Repetitions follow each other half a second after the last event.
    total = events[-1][0] + 0.5
    first = next((seconds for seconds, message in events if message.type == "note_on"), 0.0)
    needed = duration * speed
    repeats = max(1, int(np.ceil((needed + first) / total)))
    events = [(seconds + turn * total, message) for turn in range(repeats) for seconds, message in events]
    begin = float(rng.uniform(first, max(first, repeats * total - needed)))

    parts = []
    for channel in range(16):
        notes = _notes(events, channel)
        inside = notes[(notes[:, 0] >= begin) & (notes[:, 0] < begin + needed)]
        if not len(inside):
            continue
        own = [(t, m) for t, m in events if getattr(m, "channel", None) == channel and t < begin + needed]
        programs = [m.program for t, m in own if m.type == "program_change" and t <= inside[0, 0]]
        program = programs[-1] if programs else 0
        drums = channel == DRUMS
        inside[:, 0] = (inside[:, 0] - begin) / speed
        inside[:, 1] /= speed
        _humanize(inside, rng)
        if not drums:
            inside[:, 2] = np.clip(inside[:, 2] + transposition, 12, 115)
            program = _other_program(program, rng, freedom)
        kept = ("control_change", "pitchwheel")
        controls = [(max(t - begin, 0.0) / speed, m) for t, m in own if m.type in kept]
        role = "drums" if drums else _ROLES[min(program // 8, len(_ROLES) - 1)]
        parts.append(Part(role, inside, program, controls))
    return parts


def _humanize(notes: np.ndarray, rng: np.random.Generator) -> None:
    """Varies starts by some milliseconds and velocities by some percent, in place."""
    sloppiness = rng.uniform(0.0, 0.012)
    notes[:, 0] = np.maximum(notes[:, 0] + sloppiness * rng.standard_normal(len(notes)), 0.0)
    notes[:, 3] = np.clip(notes[:, 3] * rng.normal(1.0, 0.08, len(notes)), 0.05, 1.0)


def write_midi(path, part: Part, drums_on_first: bool = False) -> None:
    """Writes one part as a MIDI file.

    Args:
        path: path of the file.
        part: the part to write.
        drums_on_first: whether drums are written to channel 1, for drum kits that are not General MIDI banks.
    """
    import mido

    channel = DRUMS if part.role == "drums" and not drums_on_first else 0
    timed = [(seconds, 1, message.copy(channel=channel, time=0)) for seconds, message in part.controls]
    if not (part.role == "drums" and drums_on_first):
        # The program change must follow a bank select (control 0 or 32) at the same time to take effect.
        timed.append((0.0, 2, mido.Message("program_change", channel=channel, program=part.program)))
    for start, length, pitch, velocity in part.notes:
        note = {"channel": channel, "note": int(pitch)}
        timed.append((start, 3, mido.Message("note_on", velocity=max(1, round(127 * velocity)), **note)))
        timed.append((start + length, 0, mido.Message("note_off", **note)))
    # FluidSynth stops at the last event, so one more event lets the last notes fade out.
    end = float((part.notes[:, 0] + part.notes[:, 1]).max()) + 4.0
    timed.append((end, 4, mido.Message("control_change", channel=channel, control=91, value=0)))
    timed.sort(key=lambda entry: entry[:2])
    file = mido.MidiFile(type=0, ticks_per_beat=1000)
    track = mido.MidiTrack()
    file.tracks.append(track)
    last = 0
    for seconds, _, message in timed:
        tick = round(2000 * seconds)
        track.append(message.copy(time=tick - last))
        last = tick
    file.save(path)
