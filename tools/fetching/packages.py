"""Debian packages that hold free music: where in them it lies, and how to get at it without installing them."""

import dataclasses
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .licences import Stanza, read_list, read_stanzas, stanza_of

_GAMES = "usr/share/games"


@dataclasses.dataclass(frozen=True)
class Package:
    """A package, and the way from its files to what its copyright file calls them.

    Attributes:
        name: Debian's.
        folder: in the package, where the music lies; an archive's path where it lies in one.
        inside: in the archive, the folder of the music; empty without an archive.
        source: what the copyright file calls `folder` (and `inside`).
        artist: of everything in it; empty where its copyright file or `ARTISTS` names one a file.
        licence: of everything in it, where its copyright file is no machine-readable one; else empty.
        proof: words that such a copyright file must hold, or the package is refused.
        list: in the package, the authors' own list of who made what, and its licence; it holds where it names a file.
    """

    name: str
    folder: str
    inside: str = ""
    source: str = ""
    artist: str = ""
    licence: str = ""
    proof: tuple[str, ...] = ()
    list: str = ""


PACKAGES = (
    Package(
        "fretsonfire-songs-muldjord",
        f"{_GAMES}/fretsonfire/data/songs/muldjord",
        artist="Muldjord",
        licence="CC-BY-SA-3.0",
        proof=("http://creativecommons.org/licenses/by-sa/3.0", "El Senator"),
    ),
    Package("hyperrogue-music", "usr/share/hyperrogue/music", source="music"),
    Package(
        "singularity-music",
        f"{_GAMES}/singularity/music",
        artist="Max McCracken",
        licence="CC-BY-SA-3.0",
        proof=("Max McCracken", "this License: Attribution, ShareAlike."),
    ),
    Package("ufoai-music", f"{_GAMES}/ufoai/base/0music.pk3", "music", source="base/music"),
    Package(
        "naev-data",
        "usr/share/naev/dat/snd/music",
        source="dat/snd/music",
        list="usr/share/naev/dat/snd/SOUND_LICENSE.yaml",
    ),
    Package("supertuxkart-data", f"{_GAMES}/supertuxkart/data", source="data"),
    Package(
        "0ad-data", f"{_GAMES}/0ad/mods/public/public.zip", "audio/music", source="audio/music", artist="Wildfire Games"
    ),
)  # fmt: skip

# Composers by how a file's name begins, where one stanza of a copyright file names several.
ARTISTS = {
    "ufoai-music": (
        ("Crystan", "Christian Hoffmann (Crystan)"),
        ("Marine", '"Marine" Baklund'),
        ("TheThings", "Slippycurb"),
        ("David", "David Reeves (Destructavator)"),
        ("azrael", "azrael1322"),
        ("karlmacklin", "Karl Macklin"),
        ("van_", 'Manuel "Vanethian" Marino'),
        ("returnjourney", "unnamed (UFO: Alien Invasion)"),
        ("dynamictest", "unnamed (UFO: Alien Invasion)"),
    ),
    "supertuxkart-data": (
        ("celtic", "0zone0ne and Krobonil"),
        ("landing_in", "0zone0ne and Krobonil"),
        ("intro2", "Mekathratos"),
        ("Battle_Theme_1", "Alexandr Zhelanov"),
        ("jumping", "Heuchi1"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Song:
    """A file of music in a package, and what may be done with it.

    Attributes:
        package, path: where it comes from; the path in the package, with an archive's inner path behind `!`.
        file: where it lies now.
        artist: one name, under which all of an artist's songs stand.
        credit: the copyright holders, as the package names them.
        licence: CC0, CC-BY, CC-BY-SA or public domain.
    """

    package: str
    path: str
    file: Path
    artist: str
    credit: str
    licence: str


def fetch(package: Package, debs: Path) -> Path:
    """The package's `.deb` in `debs`, downloaded there by apt-get unless it is there."""
    found = sorted(debs.glob(f"{package.name}_*.deb"))
    if not found:
        debs.mkdir(parents=True, exist_ok=True)
        subprocess.run(("apt-get", "download", package.name), cwd=debs, check=True)
        found = sorted(debs.glob(f"{package.name}_*.deb"))
    return found[-1]


def _extract(deb: Path, folder: Path, *patterns: str) -> None:
    """Unpacks the files of a `.deb` whose paths fit, and nothing else of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", str(deb)), stdout=subprocess.PIPE) as unpacked:
        subprocess.run(("tar", "-x", "-C", str(folder), "--wildcards", *patterns), stdin=unpacked.stdout, check=True)


def unpack(package: Package, deb: Path, folder: Path) -> tuple[Path, str]:
    """Unpacks a package's music and copyright file into `folder`; the music's folder, and the copyright file's text."""
    copyright_file = folder / f"usr/share/doc/{package.name}/copyright"
    music = folder / package.folder
    if not copyright_file.is_file():
        tail = f"./{package.folder}" if package.inside else f"./{package.folder}/*.ogg"
        lists = (f"./{package.list}",) if package.list else ()
        _extract(deb, folder, tail, f"./usr/share/doc/{package.name}/copyright", *lists)
    if package.inside:
        archive, music = music, folder / "unpacked"
        if archive.is_file():
            with zipfile.ZipFile(archive) as files:
                for name in files.namelist():
                    if name.startswith(f"{package.inside}/") and name.endswith(".ogg"):
                        files.extract(name, music)
            archive.unlink()  # 3 GB, of which the music is a fifteenth
        music = music / package.inside
    return music, copyright_file.read_text("utf-8", "replace")


def _artist(package: Package, file: Path, stanza: Stanza) -> str:
    for start, artist in ARTISTS.get(package.name, ()):
        if file.name.startswith(start):
            return artist
    if package.artist:
        return package.artist
    return stanza.holders[0].split("(http")[0].split("<")[0].strip() if stanza.holders else "unnamed"


def songs(package: Package, deb: Path, folder: Path) -> Iterator[Song | str]:
    """Each of a package's files of music, or a line that says why it may not be used.

    Raises:
        ValueError: when a copyright file that must be read by hand is not the one that was.
    """
    music, text = unpack(package, deb, folder)
    lacking = [words for words in package.proof if words not in text]
    if lacking:
        raise ValueError(f"{package.name}: its copyright file changed: it lacks {lacking[0]!r}; read it again")
    stanzas = read_stanzas(text)
    if package.list:
        stanzas += read_list((folder / package.list).read_text("utf-8"), f"{package.source}/")
    for file in sorted(music.rglob("*.ogg")):
        inner = file.relative_to(music).as_posix()
        stanza = stanza_of(f"{package.source}/{inner}", stanzas)
        if package.licence:
            stanza = Stanza((), (package.artist,), package.licence)
        licence = stanza.allowed() if stanza else None
        where = f"{package.folder}!{package.inside}/{inner}" if package.inside else f"{package.folder}/{inner}"
        if stanza is None or licence is None:
            yield f"{package.name}: {inner}: {stanza.licence if stanza else 'no licence named'}"
            continue
        credit = ", ".join(stanza.holders)
        yield Song(package.name, where, file, _artist(package, file, stanza), credit, licence)
