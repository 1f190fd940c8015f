"""Makes the index of docs/gallery/ from the listening pages there, with players, thumbnails, figures and credits.

    python tools/gallery_index.py docs/gallery

tools/gallery.py calls it after it has made the pages. Each player plays a few seconds of a page's lossy or restored
music at the level of the page. Each thumbnail shows the spectrogram of the same seconds.
"""

import base64
import dataclasses
import html
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import soundfile

from keras_audiosr.listening_page import FOLDER, METRICS, encode_flac
from keras_audiosr.processes.partial_files import atomic_output

# Seconds of each excerpt.
SECONDS = 3.0
PLAYED = ("lossy", "restored")
# The measures whose figures the index shows.
SHOWN = ("snr", "lsd")
# Height of a thumbnail in pixels, and its highest frequency in Hz.
HEIGHT, HIGHEST = 120, 20000.0
HOP = 512

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
.excerpts {{ display: grid; gap: 12px 24px; margin: 8px 0; }}
.excerpts {{ grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); }}
.excerpts figure {{ margin: 0; }}
.excerpts img {{ display: block; width: 100%; height: {height}px; border-radius: 6px; }}
.excerpts figcaption {{ margin: 4px 0; font-weight: 600; color: var(--tone); }}
h3 {{ margin: 16px 0 4px; font-size: 1rem; }}
</style>
</head>
<body>
<header>
<nav class="small"><a href="../index.html">keras_audiosr</a></nav>
<h1>Hear what restoration does</h1>
<p>The network was not trained on this music. Each player holds the first {seconds:g} seconds of an excerpt. The page of
the excerpt switches between lossless, lossy and restored music while it plays, shows spectrograms, and has a blind test
that tells you whether you hear a difference. Headphones help.</p>
</header>
<main>
{cards}
</main>
<footer class="muted small">Made by tools/gallery.py. The figures compare lossy and restored music with the lossless
original, for the excerpt of the page; each page explains how they are computed.</footer>
</body>
</html>
"""

EXCERPT = """<h3><a href="{page}">{coding}: listen and compare</a></h3>
<div class="excerpts">
{players}
</div>
<p class="small">{figures}</p>"""

PLAYER = """<figure><img src="{picture}" alt="Spectrogram of the {name} music, 0 to {highest:g} kHz" loading="lazy">
<figcaption data-name="{name}">{name}</figcaption>
<audio controls preload="none" src="{sound}" aria-label="{title}, {coding}, {name}"></audio></figure>"""


@dataclasses.dataclass(frozen=True)
class Page:
    """The contents of a listening page.

    Attributes:
        title: heading, such as `"Tabla, mp3@64k"`.
        credit: HTML of the paragraph that names the authors of the music.
        coding: codec and bitrate of the lossy file, such as `"mp3, 64 kbit/s"`.
        sounds: name -> array `(time, channels)` at the level at which the page plays it.
        sample_rate: Hz.
        figures: measure -> its figures for the lossy and for the restored music, as text.
    """

    title: str
    credit: str
    coding: str
    sounds: dict[str, np.ndarray]
    sample_rate: int
    figures: dict[str, tuple[str, str]]


def read_page(path: Path) -> Page:
    """Reads a page that `report` made with a lossless original and a note.

    Raises:
        ValueError: the file is not such a page.
    """
    text = path.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    credit = re.search(r"<header>.*</p>\s*<p[^>]*>(.*?)</p>\s*</header>", text, re.DOTALL)
    streams = re.findall(r'src="data:audio/flac;base64,([^"]+)"', text)
    if not found or not credit:
        raise ValueError(f"a page of the gallery must be made by report with a note; {path} is not such a page")
    data = json.loads(found[1])
    sounds = {}
    for signal, stream in zip(data["signals"], streams, strict=True):
        sounds[signal["name"]] = (
            soundfile.read(io.BytesIO(base64.b64decode(stream)), always_2d=True)[0] * signal["gain"]
        )
    figures = {}
    for metric in SHOWN:
        label = html.escape(METRICS[metric][0])
        cells = re.search(rf'<th scope="row">{re.escape(label)}<br>.*?</th>(.*?)</tr>', text)
        if not cells:
            raise ValueError(f"a page of the gallery must have figures; {path} has no {label}")
        values = re.findall(r"<td>([^<]*)", cells[1])
        figures[metric] = (values[-2].strip(), values[-1].strip())
    coding = next(signal["coding"] for signal in data["signals"] if signal["name"] == "lossy")
    return Page(data["title"], credit[1], coding, sounds, data["sampleRate"], figures)


def spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Computes a spectrogram as the pages of `report` do.

    Args:
        audio: array `(time, channels)`.
        sample_rate: Hz.

    Returns:
        Levels in dB, at least -100: array `(HEIGHT, frames)` with the highest frequency in the first row.
    """
    window = np.hanning(2049)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(audio, 2048, axis=0)[::HOP]
    power = (np.abs(np.fft.rfft(frames * window)) ** 2).mean(axis=1) / (2048 / 4) ** 2
    last = int(min(HIGHEST, sample_rate / 2) / sample_rate * 2048)
    rows = np.array([part.mean(axis=0) for part in np.array_split(power[:, :last].T, HEIGHT)])
    return 10 * np.log10(np.maximum(rows[::-1], 1e-10))


def write_excerpt(page: Path, made: Page) -> str:
    """Writes the sounds and pictures of a page's excerpt into its folder; returns the HTML that shows them."""
    from matplotlib import image

    excerpts = {name: made.sounds[name][: round(SECONDS * made.sample_rate)] for name in PLAYED}
    levels = {name: spectrogram(audio, made.sample_rate) for name, audio in excerpts.items()}
    top = max(float(level.max()) for level in levels.values())
    coding = ", ".join([made.coding.split(",")[0].upper(), *made.coding.split(",")[1:]]).replace(",  ", ", ")
    players = []
    for name, audio in excerpts.items():
        sound, picture = page.with_suffix(f".{name}.flac"), page.with_suffix(f".{name}.webp")
        sound.write_bytes(encode_flac(audio, made.sample_rate))
        # Both pictures have the same scale, which spans 80 dB.
        image.imsave(picture, levels[name], vmin=top - 80, vmax=top, cmap="magma", pil_kwargs={"quality": 80})
        shown = {"picture": picture.name, "sound": sound.name, "name": name, "coding": coding}
        players.append(PLAYER.format(**shown, title=html.escape(made.title), highest=HIGHEST / 1000))
    figures = "; ".join(
        f"{METRICS[metric][0]} {before} → <b>{after}</b> ({METRICS[metric][1]})"
        for metric, (before, after) in made.figures.items()
    )
    return EXCERPT.format(page=page.name, coding=coding, players="\n".join(players), figures=figures)


def write_index(folder: Path, linked_files: tuple[str, ...] = ()) -> None:
    """Writes `index.html`, and the sounds and pictures that it shows.

    Args:
        folder: folder with the pages `NAME_CODEC.html`; pages with the same NAME share a card.
        linked_files: names of files in the folder that become links where the credits mention them.
    """
    cards: dict[str, list[str]] = {}
    titles, credits = {}, {}
    for page in sorted(folder.glob("*_*.html")):
        made = read_page(page)
        name = page.name.split("_")[0]
        titles[name] = made.title.rsplit(",", 1)[0]
        credits[name] = made.credit
        for file in linked_files:
            credits[name] = credits[name].replace(file, f'<a href="{file}">{file}</a>')
        cards.setdefault(name, []).append(write_excerpt(page, made))
    shown = "\n".join(
        f'<section class="card">\n<h2>{html.escape(titles[name])}</h2>\n{"".join(parts)}\n'
        f'<p class="small muted">{credits[name]}</p>\n</section>'
        for name, parts in cards.items()
    )
    with atomic_output(folder / "index.html") as partial:
        style = (FOLDER / "page.css").read_text("utf-8")
        partial.write_text(INDEX.format(style=style, cards=shown, seconds=SECONDS, height=HEIGHT), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write_index(Path(sys.argv[1]), tuple(path.name for path in Path(sys.argv[1]).glob("LICENSE-*.txt")))
