"""Makes docs/gallery/ again: listening pages of a few dev clips, restored with the bundled model, and their index.

    python tools/gallery.py PAIRS OUT

PAIRS: pairs.jsonl of corpus/dev (tools/release.sh makes it: WORK/dev/pairs/pairs.jsonl); OUT: docs/gallery.

Only clips that may be passed on are named here, each with the credit its licence asks for.
"""

import sys
import tempfile
from pathlib import Path

from keras_audiosr import report, restore
from keras_audiosr.audio.files import atomic_output
from keras_audiosr.codecs.spec import CodecSpec
from keras_audiosr.datasets.pairs import Pair, read_manifest
from keras_audiosr.errors import AudioSRError, ManifestError
from keras_audiosr.listening_page import FOLDER, linked

# Seconds a page: 16-bit FLAC of three signals is what a page weighs.
DURATION = 5.5

# The text of its licence, kept beside the pages.
FREEDOOM = "LICENSE-freedoom.txt"

# album in the manifest -> name of its pages, title, credit
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
# Which bitrates of which clip: the rate the model is for, and what is left to do at twice that.
CODECS = {"mp3@64k": tuple(CLIPS), "mp3@128k": ("fd_guit_map16",)}

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Gallery of keras_audiosr</title>
<style>
{style}
</style>
</head>
<body>
<header>
<h1>Hear what restoration does</h1>
<p>Music the network never learnt from: switch between lossless, lossy and restored while it plays, look at the
spectrograms, and find out in a blind test whether you can tell them apart. Headphones help.</p>
</header>
<main>
{cards}
</main>
<footer class="muted small">Made by tools/gallery.py. The figures hold lossy and restored music against the lossless
original, for the excerpt of the page; each page says how they are counted.</footer>
</body>
</html>
"""

CARD = """<section class="card">
<h2>{title}</h2>
<table>
<thead><tr><th>listen</th><th>SNR (dB)<br><small>higher is better</small></th>
<th>LSD<br><small>lower is better</small></th></tr></thead>
<tbody>{rows}</tbody>
</table>
<p class="small muted">{credit}</p>
</section>"""


def find(pairs: list[Pair], album: str, codec: str) -> Pair:
    for pair in pairs:
        if (pair.album, pair.codec) == (album, codec):
            return pair
    raise ManifestError(
        f"the manifest must be that of corpus/dev; it has no {codec} of {album}; tools/release.sh makes it"
    )


def row(codec: str, name: str, before: dict, after: dict) -> str:
    cells = [f"{before[metric]:.2f} → {after[metric]:.2f}" for metric in ("snr", "lsd")]
    spec = CodecSpec.parse(codec)
    link = f'<a href="{name}"><b>{spec.codec.upper()}, {spec.bitrate:g} kbit/s</b></a>'
    return f"<tr><td>{link}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def main(manifest: Path, out: Path) -> None:
    pairs = read_manifest(manifest, Pair)
    cards = []
    for album, (name, title, credit) in CLIPS.items():
        rows = []
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
            rows.append(row(codec, page.name, made.metrics["lossy"], made.metrics["restored"]))
            print(f"{page}  {page.stat().st_size / 1e6:.1f} MB")
        credit = linked(credit).replace(FREEDOOM, f'<a href="{FREEDOOM}">{FREEDOOM}</a>')
        cards.append(CARD.format(title=title, rows="".join(rows), credit=credit))
    with atomic_output(out / "index.html") as partial:
        style = (FOLDER / "page.css").read_text("utf-8")
        partial.write_text(INDEX.format(style=style, cards="\n".join(cards)), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except AudioSRError as error:
        sys.exit(f"tools/gallery.py: {error}")
