"""Reads and writes ID3v2 tags (MP3, WAV, AIFF), including ratings, credits, comments and chapters."""

import contextlib
import re
from collections.abc import Iterable
from typing import Any

from mutagen import id3
from mutagen.flac import Picture

from .metadata import Chapter, Metadata, Tags, chapters_from
from .tag_names import ID3_FRAMES, ID3_NAMES, MUSICIP, ROLES, TXXX_DESCRIPTIONS, TXXX_NAMES

MUSICBRAINZ = "http://musicbrainz.org"
# Frames that describe the encoded bytes, or list chapters that have their own frames.
_OF_THE_STREAM = {
    "TSSE", "TLEN", "TSIZ", "TFLT", "MLLT", "SEEK", "ASPI", "AENC", "ENCR", "POSS", "RBUF", "CTOC",
}  # fmt: skip
_MEASURED = {"RVA2", "RVAD", "RGAD", "XRVA"}
# Descriptions of comments in which iTunes stores values, and mutagen stores the comment of ID3v1.
_ITUNES = re.compile(r"iTun(NORM|SMPB|PGAP)")
_ID3V1 = "ID3v1 Comment"
_WITH_ROLE = re.compile(r"(?s)(.*\S)\s+\(([^()]+)\)")
_LRC = re.compile(r"\[(\d+):(\d\d(?:\.\d+)?)\](.*)")
_STEPS = 255  # of a POPM's rating
_UTF8 = id3.Encoding.UTF8
# mutagen stores the length of a CTOC in one byte.
MOST_CHAPTERS = 255


def with_role(name: str, role: str) -> str:
    """Returns a name such as `"Joe Barr (Piano)"`, as Vorbis comments store performers."""
    return f"{name} ({role})" if role and role.lower() != "performer" else name


def read_id3(found: id3.ID3, metadata: Metadata) -> None:
    """Adds the contents of an ID3 tag."""
    starts: list[tuple[float, str]] = []
    end = 0.0
    for frame in found.values():
        # A frame that cannot be read must not prevent reading the others.
        try:
            if frame.FrameID == "CHAP":
                title = frame.sub_frames.get("TIT2")
                starts.append((frame.start_time / 1000, str(title.text[0]) if title else ""))
                end = max(end, frame.end_time / 1000)
            elif not _read_frame(frame, metadata):
                metadata.unread.append(frame.FrameID)
        except Exception:
            metadata.unread.append(frame.FrameID)
    # The comment of ID3v1 is cut at 30 characters, so it is used only if there is no other.
    for frame in found.getall(f"COMM:{_ID3V1}"):
        if "COMMENT" not in metadata.tags:
            metadata.add("COMMENT", frame.text)
    metadata.unread += (raw[:4].decode("ascii", "replace") for raw in getattr(found, "unknown_frames", []))
    metadata.chapters += chapters_from(starts, end)


def _read_frame(frame: Any, metadata: Metadata) -> bool:
    """Reads a frame; returns whether it is known, even if it is dropped."""
    name, add = frame.FrameID, metadata.add
    if name == "APIC":
        metadata.add_picture(frame.data, frame.mime, int(frame.type), frame.desc)
    elif name == "TXXX" and frame.desc.upper() == MUSICIP.upper():
        add("FINGERPRINT", (MUSICIP + text for text in frame.text))
    elif name == "TXXX":
        add(TXXX_NAMES.get(frame.desc.upper(), frame.desc), frame.text)
    elif name == "COMM":
        if _ITUNES.fullmatch(frame.desc):
            add(frame.desc, frame.text)
        elif frame.desc != _ID3V1:
            add("COMMENT", (with_role(str(text), frame.desc) for text in frame.text))
    elif name == "USLT":
        add("LYRICS", [frame.text])
    elif name == "SYLT":
        lines = [f"[{time // 60000:02d}:{time % 60000 / 1000:05.2f}]{text.strip()}" for text, time in frame.text]
        add("SYNCEDLYRICS", ["\n".join(lines)])
    elif name == "UFID":
        text = frame.data.decode("ascii")
        add("MUSICBRAINZ_TRACKID" if frame.owner == MUSICBRAINZ else f"UFID:{frame.owner}", [text])
    elif name == "TCON":
        add("GENRE", frame.genres)
    elif name == "POPM":
        add(f"RATING:{frame.email}".rstrip(":"), [f"{frame.rating / _STEPS:.4f}"])
        count = getattr(frame, "count", 0)
        add(f"PLAYCOUNT:{frame.email}".rstrip(":"), [count] if count else [])
    elif name == "PCNT":
        add("PLAYCOUNT", [frame.count])
    elif name in ("TIPL", "IPLS", "TMCL"):
        for role, person in frame.people:
            known = {key.lower(): value for key, value in ROLES.items()}.get(role.lower())
            add(known or "PERFORMER", [person if known else with_role(person, role)])
    elif name == "WXXX":
        add(f"URL:{frame.desc}".rstrip(":"), [frame.url])
    elif name in ID3_NAMES:
        add(ID3_NAMES[name], [frame.url] if name.startswith("W") else frame.text)
    elif name.startswith("W"):
        add(name, [frame.url])
    elif name.startswith("T") and name not in _OF_THE_STREAM:
        add(name, frame.text)
    elif name in _MEASURED:
        add(name, [])
    else:
        return name in _OF_THE_STREAM
    return True


def fill_id3(found: Any, tags: Tags, pictures: Iterable[Picture], chapters: list[Chapter]) -> None:
    """Adds frames for tags, pictures and chapters. Numbers include their totals, as `"3/12"`."""
    people: dict[str, list[list[str]]] = {"TIPL": [], "TMCL": []}
    roles = {value: key for key, value in ROLES.items()}
    counts = {name.partition(":")[2]: values[0] for name, values in tags.items() if name.startswith("PLAYCOUNT:")}
    for name, values in tags.items():
        base, _, whose = name.partition(":")
        if name == "COMMENT":
            _add_comments(found, values)
        elif name == "LYRICS":
            for number, text in enumerate(values):
                found.add(id3.USLT(encoding=_UTF8, lang="XXX", desc=str(number or ""), text=text))
        elif name == "SYNCEDLYRICS":
            lines = [_LRC.fullmatch(line) for line in values[0].splitlines()]
            timed = [(line[3], round(60_000 * int(line[1]) + 1000 * float(line[2]))) for line in lines if line]
            found.add(id3.SYLT(encoding=_UTF8, lang="XXX", format=2, type=1, desc="", text=timed))
        elif name == "MUSICBRAINZ_TRACKID" or base == "UFID":
            owner = whose if base == "UFID" else MUSICBRAINZ
            found.add(id3.UFID(owner=owner, data=values[0].encode("ascii", "replace")))
        elif base == "RATING" and whose and _share(values[0]) is not None:
            count = counts.pop(whose, "0")
            rating, plays = round(_STEPS * (_share(values[0]) or 0.0)), int(count) if count.isdecimal() else 0
            found.add(id3.POPM(email=whose, rating=rating, count=plays))
        elif base == "PLAYCOUNT" and (f"RATING:{whose}" in tags or (not whose and values[0].isdecimal())):
            if not whose:
                found.add(id3.PCNT(count=int(values[0])))
        elif name in roles:
            people["TIPL"] += [[roles[name], value] for value in values]
        elif name == "PERFORMER":
            split = [_WITH_ROLE.fullmatch(value) for value in values]
            people["TMCL"] += [
                [match[2], match[1]] if match else ["performer", value]
                for match, value in zip(split, values, strict=True)
            ]
        elif name == "FINGERPRINT" and all(value.startswith(MUSICIP) for value in values):
            found.add(id3.TXXX(encoding=_UTF8, desc=MUSICIP, text=[value.removeprefix(MUSICIP) for value in values]))
        elif base == "URL":
            found.add(id3.WXXX(encoding=_UTF8, desc=whose, url=values[0]))
        elif name in ("LICENSE", "WEBSITE") and all(value.startswith("http") for value in values):
            found.add(getattr(id3, ID3_FRAMES[name])(url=values[0]))
        elif name in ID3_FRAMES and not ID3_FRAMES[name].startswith("W"):
            found.add(getattr(id3, ID3_FRAMES[name])(encoding=_UTF8, text=values))
        elif len(name) == 4 and name[0] in "TW" and name in id3.Frames and name not in ("TXXX", "WXXX"):
            arguments = {"url": values[0]} if name[0] == "W" else {"encoding": _UTF8, "text": values}
            found.add(id3.Frames[name](**arguments))
        else:
            found.add(id3.TXXX(encoding=_UTF8, desc=TXXX_DESCRIPTIONS.get(name, name), text=values))
    for frame, listed in people.items():
        if listed:
            found.add(getattr(id3, frame)(encoding=_UTF8, people=listed))
    for number, picture in enumerate(pictures):
        # Frames with the same description replace each other.
        description = picture.desc or ("" if not number else str(number))
        found.add(id3.APIC(encoding=_UTF8, mime=picture.mime, type=picture.type, desc=description, data=picture.data))
    _add_chapters(found, chapters[:MOST_CHAPTERS])


def _share(text: str) -> float | None:
    """Parses a rating from 0 to 1; returns `None` for another scale."""
    with contextlib.suppress(ValueError):
        value = float(text)
        return value if 0.0 <= value <= 1.0 else None
    return None


def _add_comments(found: Any, values: list[str]) -> None:
    plain = []
    for value in values:
        described = _WITH_ROLE.fullmatch(value)
        if described:
            found.add(id3.COMM(encoding=_UTF8, lang="XXX", desc=described[2], text=[described[1]]))
        else:
            plain.append(value)
    if plain:
        found.add(id3.COMM(encoding=_UTF8, lang="XXX", desc="", text=plain))


def _add_chapters(found: Any, chapters: list[Chapter]) -> None:
    names = [f"chp{number}" for number in range(len(chapters))]
    for name, chapter in zip(names, chapters, strict=True):
        titles = [id3.TIT2(encoding=_UTF8, text=[chapter.title])] if chapter.title else []
        start, end = round(1000 * chapter.start), round(1000 * max(chapter.end, chapter.start))
        found.add(id3.CHAP(element_id=name, start_time=start, end_time=end, sub_frames=titles))
    if names:
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        found.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=names, sub_frames=[]))
