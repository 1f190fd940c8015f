"""Composes pieces in pop and electronic styles: a progression, a beat, a bass, chords, arpeggios and a melody."""

import numpy as np

from .parts import Part

# Semitones above the root.
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))

# Each pattern maps General MIDI's percussion keys to the sixteenths of a bar at which they sound.
_BEATS = (
    {36: (0, 4, 8, 12), 42: (2, 6, 10, 14), 39: (4, 12)},
    {36: (0, 8, 10), 38: (4, 12), 42: tuple(range(0, 16, 2))},
    {36: (0, 6, 10), 38: (4, 12), 42: tuple(range(16)), 46: (14,)},
    {36: (0, 10), 38: (8,), 42: tuple(range(0, 16, 2)), 70: tuple(range(16))},
    {36: (0, 3, 8, 11), 38: (4, 12), 51: tuple(range(0, 16, 4))},
    {36: (0, 10), 38: (4, 7, 9, 12, 15), 42: tuple(range(0, 16, 2))},
    {36: (0, 4, 8, 12), 38: (4, 12), 49: (0,), 46: (2, 6, 10, 14)},
)


def beat(tempo: float, duration: float, rng: np.random.Generator) -> Part:
    """Composes a drum part with fills, short rolls of the hi-hat, and a crash cymbal every eight bars.

    Args:
        tempo: beats per minute.
        duration: seconds.
        rng: source of all random choices.
    """
    pattern = _BEATS[int(rng.integers(len(_BEATS)))]
    step = 60.0 / tempo / 4
    swing = rng.choice([0.0, 0.0, 0.15, 0.3]) * step
    notes = []
    for number in range(int(duration / step)):
        bar, place = divmod(number, 16)
        at = number * step + (swing if place % 2 else 0.0)
        for key, places in pattern.items():
            if place in places and rng.random() < 0.97:
                notes.append((at, 0.1, key, rng.uniform(0.75, 1.0) if place % 4 == 0 else rng.uniform(0.4, 0.85)))
        if bar % 8 == 0 and place == 0:
            notes.append((at, 1.0, 49, 0.9))
        if bar % 4 == 3 and place >= 12 and rng.random() < 0.6:
            notes.append((at, 0.1, int(rng.choice([38, 45, 47, 50])), rng.uniform(0.5, 0.9)))
        if rng.random() < 0.06:
            notes += [(at + third * step / 3, 0.03, 42, 0.5) for third in range(3)]
    return Part("drums", np.array(notes))


def compose(duration: float, rng: np.random.Generator) -> list[Part]:
    """Composes a piece of this many seconds; returns its parts, with drums in three of four pieces."""
    tempo, root = float(rng.uniform(68, 174)), int(rng.integers(36, 48))
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    bar = 240.0 / tempo
    progression = rng.integers(0, len(scale), int(rng.choice([2, 4, 4, 8])))
    bars = int(np.ceil(duration / bar))

    def tone(degree: int) -> int:
        octave, place = divmod(int(degree), len(scale))
        return root + 12 * octave + scale[place]

    bass, chords, arpeggio, melody = [], [], [], []
    rhythm = np.sort(rng.choice(16, int(rng.integers(1, 9)), replace=False))
    bass_rhythm = np.sort(rng.choice(16, int(rng.integers(1, 9)), replace=False))
    order = rng.integers(0, 7, 16)
    places = np.sort(rng.choice(16, rng.integers(2, 8), replace=False))
    motif = [(int(place), int(rng.integers(5, 15))) for place in places]
    for number in range(bars):
        degree, begin = int(progression[number % len(progression)]), number * bar
        for place, after in zip(bass_rhythm, [*bass_rhythm[1:], 16], strict=True):
            pitch = tone(degree) + (12 if rng.random() < 0.15 else 0)
            bass.append((begin + place * bar / 16, 0.9 * (after - place) * bar / 16, pitch, rng.uniform(0.7, 1)))
        for place, after in zip(rhythm, [*rhythm[1:], 16], strict=True):
            voicing = [tone(degree + third) + 12 for third in (0, 2, 4, 6)[: int(rng.integers(3, 5))]]
            length = 0.95 * (after - place) * bar / 16
            chords += [(begin + place * bar / 16, length, pitch, rng.uniform(0.6, 0.9)) for pitch in voicing]
        for place in range(16):
            pitch = tone(degree + 2 * int(order[place] % 4)) + 24
            arpeggio.append((begin + place * bar / 16, 0.8 * bar / 16, pitch, rng.uniform(0.4, 0.9)))
        for (place, step), after in zip(motif, [*[place for place, _ in motif[1:]], 16], strict=True):
            if rng.random() < 0.85:
                moved = step + int(rng.integers(-1, 2))
                length = 0.95 * (after - place) * bar / 16
                melody.append((begin + place * bar / 16, length, tone(moved) + 12, rng.uniform(0.6, 1)))
    programs = {"bass": (32, 40), "pad": (48, 56), "keys": (0, 32), "lead": (56, 96)}
    wanted = [("bass", bass, 0.9), ("pad", chords, 0.8), ("keys", arpeggio, 0.5), ("lead", melody, 0.8)]
    parts = [
        Part(role, np.array(notes), int(rng.integers(*programs[role])))
        for role, notes, likely in wanted
        if notes and rng.random() < likely
    ]
    if rng.random() < 0.75 or not parts:
        parts.append(beat(tempo, duration, rng))
    for part in parts:
        part.notes = part.notes[part.notes[:, 0] < duration]
    return [part for part in parts if len(part.notes)]
