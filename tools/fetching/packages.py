"""Lists Debian packages with free music, and extracts the music from them without installing them."""

import dataclasses
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .licences import Stanza, read_list, read_stanzas, stanza_of

_GAMES = "usr/share/games"


@dataclasses.dataclass(frozen=True)
class Package:
    """A Debian package, and how to find its music and the licences of the music.

    Attributes:
        name: Debian's name of the package.
        folder: path of the music's folder in the package, or of the archive that contains it.
        inside: path of the music's folder in the archive; empty if there is no archive.
        source: path that the copyright file uses for `folder` (and `inside`).
        artist: artist of the whole package; empty if the copyright file or `ARTISTS` names the artist of each file.
        licence: licence of the whole package, if its copyright file is not machine-readable; otherwise empty.
        proof: phrases that such a copyright file must contain; otherwise the package is refused.
        list: path in the package of a list of authors and licences for each file; it takes precedence over the
            copyright file. Empty if there is none.
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

# Composers by the prefix of the file name, for stanzas that name several composers.
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
    """A file of music from a package, with its artist and licence.

    Attributes:
        package: Debian's name of the package.
        path: path in the package; a path inside an archive follows after `!`.
        file: path of the extracted file.
        artist: the artist's name, the same for all songs of this artist.
        credit: the copyright holders, as the package names them.
        licence: CC0, CC-BY, CC-BY-SA (with version) or public domain.
    """

    package: str
    path: str
    file: Path
    artist: str
    credit: str
    licence: str


def fetch(package: Package, debs: Path) -> Path:
    """Returns the path of the package's `.deb` in the folder `debs`, and downloads it with apt-get if it is missing."""
    found = sorted(debs.glob(f"{package.name}_*.deb"))
    if not found:
        debs.mkdir(parents=True, exist_ok=True)
        subprocess.run(("apt-get", "download", package.name), cwd=debs, check=True)
        found = sorted(debs.glob(f"{package.name}_*.deb"))
    return found[-1]


def _extract(deb: Path, folder: Path, *patterns: str) -> None:
    """Extracts only the files of a `.deb` whose paths match the patterns."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", str(deb)), stdout=subprocess.PIPE) as unpacked:
        subprocess.run(("tar", "-x", "-C", str(folder), "--wildcards", *patterns), stdin=unpacked.stdout, check=True)


def unpack(package: Package, deb: Path, folder: Path) -> tuple[Path, str]:
    """Extracts a package's music and copyright file into `folder`.

    Returns:
        The folder of the music, and the text of the copyright file.
    """
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
            archive.unlink()  # it has 3 GB, and the music is only a fifteenth of it
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
    """Yields a `Song` for each file of music that may be used, and one line with the reason for each other file.

    Raises:
        ValueError: a copyright file that is not machine-readable lacks a phrase of `proof`.
    """
    music, text = unpack(package, deb, folder)
    lacking = [words for words in package.proof if words not in text]
    if lacking:
        raise ValueError(
            f"{package.name}: the copyright file has changed: it lacks {lacking[0]!r}; read it and update PACKAGES"
        )
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
            yield f"{package.name}: {inner}: {stanza.licence if stanza else 'no licence is stated'}"
            continue
        credit = ", ".join(stanza.holders)
        yield Song(package.name, where, file, _artist(package, file, stanza), credit, licence)
