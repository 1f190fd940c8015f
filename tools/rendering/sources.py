"""Lists the scores and clips that are rendered, with their titles, authors and licences, and assigns them to albums."""

import csv
import dataclasses
import hashlib
import re
from pathlib import Path

# Number of albums. Splits are made by album, so all tracks that share a composition or are mixed together are in one
# album.
ALBUMS = 24

# Path in music21's corpus, title, licence, and author of the encoding, as stated in each file. The corpus warns that
# encodings may be restricted. Only these files state a licence that allows every use.
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

# Name of the MIDI file -> (game, name in CREDITS-MUSIC), for pieces that do not belong to a level.
_NAMED = {
    "intro": ("1", "Title"), "inter": ("1", "Intermission"), "victor": ("1", "Victory"),
    "dm2ttl": ("2", "Title"), "dm2int": ("2", "Intermission"), "read_m": ("2", "Story"),
    "fdmttl": ("DM", "Title"), "fdmint": ("DM", "Intermission"), "fdmrdm": ("DM", "Story"),
}  # fmt: skip

# Pieces that are variants of another one. MAP30 is "based on Paranoia", which is DM10.
_SAME = {"map30": "dm10", "introa": "intro"}


@dataclasses.dataclass(frozen=True)
class Source:
    """One score or clip.

    Attributes:
        key: key of the composition; sources with equal keys share an album.
        title: title for file names and credits.
        author: author of the music or of its encoding.
        licence: licence as the source states it.
        path: path of the MIDI or FLAC file; for scores from music21, the path in its corpus.
    """

    key: str
    title: str
    author: str
    licence: str
    path: str


def album_of(key: str) -> str:
    """Returns the name of a composition's album, which follows from a hash of its key."""
    return f"album-{int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], 'big') % ALBUMS:02d}"


def _freedoom_credits(folder: Path) -> dict:
    """Reads title and author of each piece from CREDITS-MUSIC, without the pieces that were featured previously.

    Returns:
        `(title, author)` by level, such as `"DM01"`, or by game and name, such as `("1", "Title")`.
    """
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
    """Returns the game music in `corpus/midi`, without duplicates, or an empty list if there is no CREDITS-MUSIC."""
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
    """Returns the scores of `MUSIC21` that the installed music21 has, or an empty list without music21."""
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
    """Returns the lossless clips of `corpus/train` with the attributions and licences in its CORPUS.csv."""
    if not (folder / "CORPUS.csv").is_file():
        return []
    with open(folder / "CORPUS.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = []
    for row in rows:
        stem = Path(row["file"]).stem
        # Names of excerpts end in _0 or _1. Clips of Freedoom have the key of the score that they were played from.
        key = re.sub(r"^fd_[a-z]+_", "", re.sub(r"_\d$", "", stem))
        key = _SAME.get(key, key)
        clips.append(Source(key, stem, row["attribution"], row["licence"], str(folder / row["file"])))
    return clips
