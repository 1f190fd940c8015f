"""The listening page: template, style and scripts beside this file, put together into one HTML file.

What the page does is in its scripts, one idea each: `player.js` plays in step, `spectrum.js` transforms, `plots.js`
draws on canvases, `pictures.js` zooms, `abx.js` is the blind test and `blind_test.js` its buttons, `mushra.js` is the
rating test and `rating_test.js` with `rating_test.html` its controls, `page.js` ties them together.
There is no framework and no build step, and nothing comes from the network.
"""

import base64
import dataclasses
import html
import io
import json
import re
from pathlib import Path

import numpy as np
import soundfile

from ..sound.dither import Dither

__all__ = ["Signal", "assemble", "encode_flac", "linked"]

FOLDER = Path(__file__).parent
# In the order in which they build on each other.
SCRIPTS = ("spectrum", "plots", "player", "abx", "blind_test", "mushra", "rating_test", "pictures", "page")

# Figure -> its name, what is better, and in which direction: up, down, or (0) nearer to zero.
METRICS = {
    "snr": ("SNR (dB)", "higher is better", +1),
    "si_sdr": ("SI-SDR (dB)", "higher is better", +1),
    "lsd": ("LSD", "lower is better", -1),
    "lsd_hf": ("LSD-HF", "lower is better", -1),
    "band_distance": ("Band distance (dB)", "level of the highs: lower is better", -1),
    "band_bias": ("Band bias (dB)", "level of the highs: nearer to 0 is better", 0),
    "envelope_line": ("Envelope line (dB)", "a buzz: no higher than lossless is best", -1),
    "crest_error": ("Crest error (dB)", "clicks: nearer to 0 is better", 0),
    "stereo_error": ("Stereo error", "width of the highs: lower is better", -1),
    "stereo_error_lf": ("Stereo error below cutoff", "lower is better", -1),
}

EMBEDDING = (
    "The sound is in the page as 16-bit FLAC at the sample rate above; TPDF dither was added to samples that 16 bits"
    " do not hold exactly. Loudness is K-weighted (ITU-R BS.1770, not gated). While you listen, every"
    " signal is turned down to the quietest one; pictures and figures are of the sound as it is in the files."
)


@dataclasses.dataclass(frozen=True)
class Signal:
    """One of the signals that the page switches between.

    Attributes:
        audio: array `(time, channels)` in [-1, 1], mono or stereo.
        file: name of the file it came from.
        sha256: of that file.
        coding: such as `"mp3, 64 kbit/s"`.
        cutoff: Hz above which it holds (almost) nothing.
        loudness: LUFS; minus infinity for silence.
        gain: factor it is played at.
    """

    audio: np.ndarray
    file: str
    sha256: str
    coding: str
    cutoff: float
    loudness: float
    gain: float


def encode_flac(audio: np.ndarray, sample_rate: int) -> bytes:
    """16-bit FLAC of a signal: exact where the samples are 16-bit, with TPDF dither where they are not.

    Args:
        audio: array `(time, channels)`; beyond full scale it is clamped.
        sample_rate: Hz.
    """
    samples = np.clip(np.rint(32768.0 * Dither(16)(audio)), -32768, 32767).astype(np.int16)
    memory = io.BytesIO()
    soundfile.write(memory, samples, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return memory.getvalue()


def linked(text: str) -> str:
    """Text as HTML, with its URLs as links."""
    return re.sub(r"https?://[^\s<>\"')]+[\w/]", r'<a href="\g<0>">\g<0></a>', html.escape(text))


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Cells are HTML already."""
    lines = ["<table><thead><tr>", *(f'<th scope="col">{cell}</th>' for cell in head), "</tr></thead><tbody>"]
    for first, *cells in rows:
        lines.append(f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "".join([*lines, "</tbody></table>"])


def _name(name: str) -> str:
    return f'<b data-name="{name}">{name}</b>'


def _figure(metric: str, row: dict, before: dict | None) -> str:
    if metric not in row:
        return ""
    if row[metric] is None:
        return "n/a"
    # Adding 0.0 turns the minus zero of a rounded trifle into zero.
    text = f"{round(row[metric], 2) + 0.0:.2f}".replace("-", "−")
    if before is None or before[metric] is None:
        return text
    change = round(row[metric] - before[metric], 2)
    if not change:
        return text
    direction = METRICS[metric][2]
    gain = direction * change if direction else abs(before[metric]) - abs(row[metric])
    verdict = "better" if gain > 0 else "worse"
    return f'{text} <span class="change {verdict}">{change:+.2f} ({verdict})</span>'.replace("-", "−")


def _figures(metrics: dict[str, dict] | None, definitions: list[str], missing: str) -> str:
    """The section with the metrics table; empty without a lossless original."""
    if metrics is None and not missing:
        return ""
    title = '<section class="card" aria-labelledby="figures-title"><h2 id="figures-title">Figures</h2>'
    if metrics is None:
        return f"{title}<p>{html.escape(missing)}</p></section>"
    # Lossless, lossy, and what is compared with the lossy music.
    names = ["lossless", *(name for name in metrics if name != "lossless")]
    rows = [
        [
            f"{label}<br><small>{hint}</small>",
            *(_figure(metric, metrics[name], metrics["lossy"] if name not in names[:2] else None) for name in names),
        ]
        for metric, (label, hint, _) in METRICS.items()
    ]
    head = ["against lossless", *map(_name, names)]
    notes = "".join(f"<p>{html.escape(text)}</p>" for text in definitions)
    return (
        f'{title}<div class="scroll">{_table(head, rows)}</div>'
        '<p class="muted small">The figures describe the excerpt that you hear.</p>'
        f'<details class="small"><summary>How they are computed</summary>{notes}</details></section>'
    )


def _files(signals: dict[str, Signal]) -> str:
    rows = []
    for name, signal in signals.items():
        loud = np.isfinite(signal.loudness)
        rows.append(
            [
                _name(name),
                f'<span class="file">{html.escape(signal.file)}</span>',
                html.escape(signal.coding),
                f"{signal.cutoff / 1000:.1f} kHz",
                f"{signal.loudness:.1f} LUFS".replace("-", "−") if loud else "silent",
                f"{20 * np.log10(signal.gain) + 0.0:.2f} dB".replace("-", "−"),
            ]
        )
    return _table(["", "file", "coding", "sound up to", "loudness", "played at"], rows)


def assemble(
    signals: dict[str, Signal],
    sample_rate: int,
    start: float,
    title: str,
    note: str,
    metrics: dict[str, dict] | None,
    definitions: list[str],
    missing: str,
    version: str,
    rated: bool = False,
) -> str:
    """Makes the page.

    Args:
        signals: name -> signal, in the order of the buttons; all of one length.
        sample_rate: Hz of all signals.
        start: seconds from the beginning of the music to that of the excerpt.
        title: heading.
        note: a paragraph under it; empty for none. URLs in it become links.
        metrics: the figures that `measures.songs.measure` gives for `lossy` and what is restored; `None` without a
            lossless original.
        definitions: how the metrics are counted, a paragraph each.
        missing: what stands in place of the metrics; empty for nothing.
        version: of the package.
        rated: whether the page has a rating test, for which one of the signals is `lossless`.

    Returns:
        The HTML document.
    """
    audio = next(iter(signals.values())).audio
    duration = len(audio) / sample_rate
    about = [
        {"name": name, "file": signal.file, "sha256": signal.sha256, "coding": signal.coding, "gain": signal.gain}
        for name, signal in signals.items()
    ]
    page = {"title": title, "start": start, "sampleRate": sample_rate, "version": version, "signals": about}
    sound = [
        f'<p><label>{name}<br><audio controls preload="none" src="data:audio/flac;base64,'
        f'{base64.b64encode(encode_flac(signal.audio, sample_rate)).decode()}"></audio></label></p>'
        for name, signal in signals.items()
    ]
    parts = {
        "title": html.escape(title),
        "excerpt": f"{duration:.1f} s from {start:.1f} s on · {sample_rate / 1000:g} kHz ·"
        f" {'stereo' if audio.shape[1] == 2 else 'mono'}",
        "note": f"<p>{linked(note)}</p>" if note else "",
        "rating": (FOLDER / "rating_test.html").read_text("utf-8") if rated else "",
        "figures": _figures(metrics, definitions, missing),
        "files": _files(signals),
        "embedding": html.escape(EMBEDDING),
        "sound": "\n".join(sound),
        "version": html.escape(version),
        "style": (FOLDER / "page.css").read_text("utf-8"),
        # "<" would let a file name end the script.
        "data": json.dumps(page, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "scripts": "\n".join((FOLDER / f"{name}.js").read_text("utf-8") for name in SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], (FOLDER / "page.html").read_text("utf-8"))
