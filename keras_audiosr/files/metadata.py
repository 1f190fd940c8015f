"""Holds a song's metadata: tags, pictures, chapters, and the names of items that could not be read."""

import dataclasses
import re
from collections.abc import Iterable

from mutagen.flac import Picture

from .tag_names import SPLIT_NAMES, VORBIS_ALIASES

Tags = dict[str, list[str]]

# Tags that describe the encoded stream (encoder, padding, layout) and do not apply to the output.
_OF_THE_STREAM = re.compile(
    r"ENCODER|ENCODING|ENCODERSETTINGS|ENCODER[ _]OPTIONS|ITUN(SMPB|PGAP)|WAVEFORMATEXTENSIBLE_\w*|"
    r"METADATA_BLOCK_PICTURE|COVERART(MIME)?"
)
# A program's name in a field that is meant for a person: "Lavf60.3.100", "iTunes 12.1".
_PROGRAM = re.compile(r"(?s)Lav[cf].*|.*\d\.\d.*")
# Measurements of the source's samples, which would be wrong for the output.
_MEASURED = re.compile(r"(REPLAYGAIN|R128|MP3GAIN)_\w*|RVA2|RVAD|RGAD|XRVA|ITUNNORM|ACCURATERIP\w*")
# The MIME type of a picture that is only a link: its data are a URL.
LINK = "-->"
FRONT_COVER = 3
_MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"RIFF": "image/webp",
}
_CHAPTER = re.compile(r"CHAPTER(\d{2,3})(NAME|URL)?")
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


# The name in `Metadata.unread` of a CUE sheet in a FLAC block. Tracks that were cut by it do not need it.
CUESHEET_BLOCK = "a CUESHEET block"


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A part of a recording.

    Attributes:
        start: seconds from its beginning.
        end: seconds; for the last chapter the end of the music, or 0.0 when unknown.
        title: its title; may be empty.
    """

    start: float
    end: float
    title: str = ""


@dataclasses.dataclass
class Metadata:
    """The metadata of a music file.

    Attributes:
        tags: values by Vorbis comment name, in capitals.
        pictures: cover art.
        chapters: in order.
        unread: names of items that do not fit into the other attributes.
        measured: measurements of the file's own samples, such as ReplayGain, by name; without values if they are not
            text.
    """

    tags: Tags = dataclasses.field(default_factory=dict)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    chapters: list[Chapter] = dataclasses.field(default_factory=list)
    unread: list[str] = dataclasses.field(default_factory=list)
    measured: Tags = dataclasses.field(default_factory=dict)

    def add(self, name: str, values: Iterable) -> None:
        """Adds values under a Vorbis comment name; tags that describe the encoded stream are dropped."""
        # Vorbis comment names: printable ASCII without '='. The part after a colon (whose rating it is) keeps its case.
        name, colon, whose = re.sub(r"[^\x20-\x3c\x3e-\x7d]", "", name).strip().partition(":")
        name = VORBIS_ALIASES.get(name.upper(), name.upper()) + colon + whose
        if not name or _OF_THE_STREAM.fullmatch(name):
            return
        if _MEASURED.fullmatch(name):
            self.measured.setdefault(name, []).extend(map(str, values))
            return
        for value in values:
            text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
            if name == "ENCODEDBY" and _PROGRAM.fullmatch(text):
                continue
            if name in SPLIT_NAMES:
                self._add_number(name, text)
            elif name in SPLIT_NAMES.values():
                self._add_part(name, text)
            elif text and text not in self.tags.setdefault(name, []):
                self.tags[name].append(text)

    def _add_number(self, name: str, text: str) -> None:
        # Examples are "3/12", "A1" (a vinyl record) and "B2/4".
        number, _, total = text.partition("/")
        self._add_part(name, number.strip())
        self._add_part(SPLIT_NAMES[name], total.strip())

    def _add_part(self, name: str, part: str) -> None:
        plain = str(int(part)) if part.isdecimal() and len(part) < 6 else part
        if plain and plain != "0":
            self.tags.setdefault(name, [plain])

    def add_picture(self, data: bytes, mime: str, kind: int = FRONT_COVER, description: str = "") -> None:
        """Adds a picture. The type that its bytes show takes precedence over the declared one."""
        if not data:
            return
        picture = Picture()
        found = next((known for magic, known in _MAGIC.items() if data.startswith(magic)), None)
        picture.mime = LINK if mime == LINK else found or mime or "image/jpeg"
        picture.data, picture.type, picture.desc = bytes(data), kind, description
        self.pictures.append(picture)

    def add_missing(self, other: "Metadata") -> None:
        """Adds what this tag lacks from another tag of the same file."""
        self.tags = {**other.tags, **self.tags}
        self.pictures = self.pictures or other.pictures
        self.chapters = self.chapters or other.chapters
        self.unread += other.unread
        self.measured = {**other.measured, **self.measured}


def take_chapters(tags: Tags) -> list[Chapter]:
    """Removes chapters (`CHAPTER001`, `CHAPTER001NAME`; Xiph's "Chapter Extension") from tags and returns them."""
    found: dict[str, dict[str, str]] = {}
    for name in [name for name in tags if _CHAPTER.fullmatch(name)]:
        number, part = _CHAPTER.fullmatch(name).groups()  # type: ignore[union-attr]
        found.setdefault(number.zfill(3), {})[part or "START"] = tags.pop(name)[0]
    starts = []
    for number in sorted(found):
        clock = _CLOCK.fullmatch(found[number].get("START", ""))
        if clock:
            seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
            starts.append((seconds, found[number].get("NAME", "")))
    return chapters_from(starts, 0.0)


def chapters_from(starts: Iterable[tuple[float, str]], end: float) -> list[Chapter]:
    """Returns chapters from start times in seconds and titles. Each ends where the next starts, the last at `end`."""
    ordered = sorted(starts)
    ends = [start for start, _ in ordered[1:]] + [end]
    return [Chapter(start, stop, title) for (start, title), stop in zip(ordered, ends, strict=False)]


def chapter_tags(chapters: Iterable[Chapter]) -> Tags:
    """Returns chapters as Vorbis comments."""
    tags: Tags = {}
    for number, chapter in enumerate(chapters, start=1):
        milliseconds = round(1000 * chapter.start)
        minutes, rest = divmod(milliseconds, 60_000)
        tags[f"CHAPTER{number:03d}"] = [f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"]
        if chapter.title:
            tags[f"CHAPTER{number:03d}NAME"] = [chapter.title]
    return tags
