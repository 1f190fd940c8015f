"""Makes docs/gallery/: listening pages of a few clips, restored with the bundled model, and their index.

    python tools/gallery.py PAIRS OUT

PAIRS: pairs.jsonl of corpus/dev (tools/release.sh makes it: WORK/dev/pairs/pairs.jsonl); OUT: docs/gallery.

The gallery has only clips that may be redistributed, each with the credit that its licence requires.
"""

import sys
import tempfile
from pathlib import Path

from gallery_index import write_index

from keras_audiosr import report, restore
from keras_audiosr.errors import AudioSRError, ManifestError
from keras_audiosr.shelf.manifests import Pair, read_manifest

# Seconds of music on each page. Three signals as 16-bit FLAC make up most of a page's size.
DURATION = 5.5

# File with Freedoom's licence, in the folder of the pages.
FREEDOOM = "LICENSE-freedoom.txt"

# Album in the manifest -> name of its pages, title, credit.
CLIPS = {
    "fd_guit_map16": (
        "guitars",
        "Guitars",
        "“Reflection” by Scragadelic, from Freedoom (© 2001–2024 contributors to the Freedoom project, BSD-3-Clause,"
        f" see {FREEDOOM}), played on Black and Green Guitars by Karoryfer Lecolds (CC0) and the Fluid R3"
        " soundfont by Frank Wen (MIT).",
    ),
    "loop_tabla": (
        "tabla",
        "Tabla",
        "loop_tabla from sonic-pi-samples (CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/).",
    ),
    "piano_GriegE_Troldtog": (
        "piano",
        "Piano",
        "Edvard Grieg, “Troldtog” (March of the Trolls), Lyric Pieces op. 54; score from the Mutopia Project (public"
        " domain), played on the samples of the Splendid Grand Piano (public domain).",
    ),
    "cello_double": (
        "cello",
        "Cello",
        "“cello-double” by the Music Technology Group, Universitat Pompeu Fabra, from sms-tools (CC BY 4.0,"
        " https://creativecommons.org/licenses/by/4.0/); an excerpt, coded and restored.",
    ),
}
# Codec -> albums. 64 kbit/s shows what the model is made for, and 128 kbit/s what it does at twice that bitrate.
CODECS = {"mp3@64k": tuple(CLIPS), "mp3@128k": ("fd_guit_map16",)}


def find(pairs: list[Pair], album: str, codec: str) -> Pair:
    """Returns the pair of an album in a codec.

    Raises:
        ManifestError: there is none.
    """
    for pair in pairs:
        if (pair.album, pair.codec) == (album, codec):
            return pair
    raise ManifestError(
        f"the manifest must be that of corpus/dev; it has no pair of {album} in {codec}; make it with tools/release.sh"
    )


def main(manifest: Path, out: Path) -> None:
    """Makes the pages and the index in the folder `out` from the pairs of `manifest`."""
    pairs = read_manifest(manifest, Pair)
    for album, (name, title, credit) in CLIPS.items():
        for codec in (codec for codec, albums in CODECS.items() if album in albums):
            pair = find(pairs, album, codec)
            lossy, lossless = manifest.parent / pair.lossy, manifest.parent / pair.lossless
            page = out / f"{name}_{codec.replace('@', '_')}.html"
            with tempfile.TemporaryDirectory() as folder:
                restored = Path(folder) / f"{lossy.stem}.restored.flac"
                restore(lossy, restored)
                made = report(
                    lossy, restored, lossless, page, None, DURATION, f"{title}, {codec}", credit, overwrite=True
                )
            assert made.metrics is not None, made.warnings
            print(f"{page}  {page.stat().st_size / 1e6:.1f} MB")
    write_index(out, (FREEDOOM,))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except AudioSRError as error:
        sys.exit(f"tools/gallery.py: {error}")
