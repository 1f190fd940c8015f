"""What is played: scores and clips, with their titles, authors and licences, and the album each belongs to."""

import csv
import dataclasses
import hashlib
import re
from pathlib import Path

# Splits go by album, so whatever shares a composition, or is mixed together, lies in one of these.
ALBUMS = 24

# music21's corpus says that its encodings may be restricted; these alone state a licence that allows every use.
# Path in its corpus, title, licence and author of the encoding, as the file itself says.
MUSIC21 = (
    ("beach/prayer_of_a_tired_child", "Prayer of a Tired Child (A. Beach)", "CC-BY-SA", "Michael Scott Cuthbert"),
    ("ciconia/quod_jactatur", "Quod jactatur (J. Ciconia)", "CC-BY-SA-3.0", "Michael Scott Cuthbert"),
    ("corelli/opus3no1/1grave", "Sonata da chiesa op. 3 no. 1, Grave (A. Corelli)", "CC-BY", "not named in the file"),
    ("johnson_j_r/lift_every_voice", "Lift Every Voice (J. R. Johnson)", "CC0-1.0", "Michael Scott Asato Cuthbert"),
    ("leadSheet/fosterBrownHair", "Jeanie with the Light Brown Hair (S. Foster)", "public domain", "music21"),
    ("liliuokalani/aloha_oe", "Aloha Oe (Liliuokalani)", "CC0-1.0", "Michael Scott Asato Cuthbert"),
    ("luca/gloria", "Gloria (Luca)", "CC-BY-SA-3.0", "Michael Scott Cuthbert"),
    ("lusitano/allor_che_ignuda", "Allor che ignuda (V. Lusitano)", "CC0-1.0", "Michael Scott Asato Cuthbert"),
    ("schumann_clara/polonaise_op1n1", "Polonaise op. 1 no. 1 (C. Schumann)", "CC-BY-SA-4.0", "Cypressdome"),
    ("schumann_clara/polonaise_op1n2", "Polonaise op. 1 no. 2 (C. Schumann)", "CC-BY-SA-4.0", "Cypressdome"),
    ("schumann_clara/polonaise_op1n3", "Polonaise op. 1 no. 3 (C. Schumann)", "CC-BY-SA-4.0", "Cypressdome"),
    ("schumann_clara/polonaise_op1n4", "Polonaise op. 1 no. 4 (C. Schumann)", "CC-BY-SA-4.0", "Cypressdome"),
    ("weber/concertino_clarinet", "Concertino for clarinet (C. M. von Weber)", "public domain", "Oliver Seely"),
)

# Freedoom names three pieces of each game by what they are for, not by level.
_NAMED = {
    "intro": ("1", "Title"), "inter": ("1", "Intermission"), "victor": ("1", "Victory"),
    "dm2ttl": ("2", "Title"), "dm2int": ("2", "Intermission"), "read_m": ("2", "Story"),
    "fdmttl": ("DM", "Title"), "fdmint": ("DM", "Intermission"), "fdmrdm": ("DM", "Story"),
}  # fmt: skip

# MAP30 is "based on Paranoia", which is DM10: one composition.
_SAME = {"map30": "dm10", "introa": "intro"}


@dataclasses.dataclass(frozen=True)
class Source:
    """One score or clip.

    Attributes:
        key: of the composition; equal keys share an album.
        title: for file names and credits.
        author: who wrote or encoded it.
        licence: as its source says it.
        path: MIDI or FLAC file; for music21's scores the path in its corpus.
    """

    key: str
    title: str
    author: str
    licence: str
    path: str


def album_of(key: str) -> str:
    """Name of the album that a composition belongs to, by a hash of its key."""
    return f"album-{int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], 'big') % ALBUMS:02d}"


def _freedoom_credits(folder: Path) -> dict:
    """`{"dm01": (title, author)}` of today's music, from CREDITS-MUSIC; what was featured previously is left out."""
    found: dict = {}
    game = "1"
    for line in (folder / "CREDITS-MUSIC").read_text("utf-8").splitlines():
        if "Previously" in line:
            break
        game = "2" if "Phase 2" in line else "DM" if "FreeDM" in line else game
        match = re.match(r'\s*(\w+): (?:"(.*?)"|(\S+)) by (.*)', line)
        if match:
            name = match[1] if match[1].isupper() else (game, match[1])
            found[name] = (match[2] or match[3], match[4])
    return found


def freedoom_scores(folder: Path) -> list[Source]:
    """The game music in `corpus/midi`, one of each that is there twice."""
    if not (folder / "CREDITS-MUSIC").is_file():
        return []
    credits = _freedoom_credits(folder)
    scores = []
    for path in sorted(folder.glob("d_*.mid")):
        name = path.stem[2:]
        if name in _SAME and _SAME[name] == "intro":
            continue
        title, author = credits.get(_NAMED.get(name, name.upper()), (name, "Freedoom contributors"))
        scores.append(Source(_SAME.get(name, name), title, author, "BSD-3-Clause", str(path)))
    return scores


def music21_scores() -> list[Source]:
    """Scores of the installed music21 whose own text allows every use."""
    try:
        from music21 import corpus
    except ImportError:
        return []
    root = Path(corpus.__file__).parent
    return [
        Source(f"music21/{path}", title, author, licence, path)
        for path, title, licence, author in MUSIC21
        if list(root.glob(f"{path}.*"))
    ]


def corpus_clips(folder: Path) -> list[Source]:
    """The lossless clips of `corpus/train`, with what CORPUS.csv says of them."""
    if not (folder / "CORPUS.csv").is_file():
        return []
    with open(folder / "CORPUS.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        stem = Path(row["file"]).stem
        # Excerpts end in _0, _1; Freedoom's clips share the key of the score they were played from.
        key = re.sub(r"^fd_[a-z]+_", "", re.sub(r"_\d$", "", stem))
        key = _SAME.get(key, key)
        clips.append(Source(key, stem, row["attribution"], row["licence"], str(folder / row["file"])))
    return clips
