"""The listening page, an HTML file that is assembled from the template, the style sheet and the scripts in this folder.

Each script has one task. `player.js` plays the signals in step. `spectrum.js` computes spectra, `plots.js` draws them,
and `pictures.js` lets the user zoom. `abx.js` is the blind test, and `blind_test.js` has its buttons. `mushra.js` is
the rating test, and `rating_test.js` and `rating_test.html` have its controls. `page.js` connects all of them. There is
no framework and no build step, and the page loads nothing from the network.
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
# The scripts, in an order in which each one uses only earlier ones when it is loaded.
SCRIPTS = ("spectrum", "plots", "player", "abx", "blind_test", "mushra", "rating_test", "pictures", "page")

# For each metric its name, a hint, and which values are better: higher (+1), lower (-1), or nearer to zero (0).
METRICS = {
    "snr": ("SNR (dB)", "higher is better", +1),
    "si_sdr": ("SI-SDR (dB)", "higher is better", +1),
    "lsd": ("LSD", "lower is better", -1),
    "lsd_hf": ("LSD-HF", "lower is better", -1),
    "band_distance": ("Band distance (dB)", "level of the highs: lower is better", -1),
    "band_bias": ("Band bias (dB)", "level of the highs: nearer to 0 is better", 0),
    "envelope_line": ("Envelope line (dB)", "buzz: best if not above lossless", -1),
    "crest_error": ("Crest error (dB)", "clicks: nearer to 0 is better", 0),
    "stereo_error": ("Stereo error", "width of the highs: lower is better", -1),
    "stereo_error_lf": ("Stereo error below cutoff", "lower is better", -1),
}

EMBEDDING = (
    "The page contains the sound as 16-bit FLAC at the sample rate above. TPDF dither was added to samples that 16 bits"
    " cannot represent exactly. Loudness is K-weighted (ITU-R BS.1770, not gated). The player turns every signal down"
    " to the loudness of the quietest one. Pictures and figures show the sound at the levels of the files."
)


@dataclasses.dataclass(frozen=True)
class Signal:
    """One of the signals that the page switches between.

    Attributes:
        audio: array `(time, channels)` in [-1, 1], mono or stereo.
        file: name of the file that the signal comes from.
        sha256: hash of that file.
        coding: codec and bitrate, such as `"mp3, 64 kbit/s"`.
        cutoff: frequency in Hz above which there is practically no signal.
        loudness: loudness in LUFS; minus infinity for silence.
        gain: factor by which the player scales the signal.
    """

    audio: np.ndarray
    file: str
    sha256: str
    coding: str
    cutoff: float
    loudness: float
    gain: float


def encode_flac(audio: np.ndarray, sample_rate: int) -> bytes:
    """Encodes a signal as 16-bit FLAC. Samples that 16 bits cannot represent exactly get TPDF dither.

    Args:
        audio: array `(time, channels)`. Samples beyond full scale are clamped.
        sample_rate: Hz.
    """
    samples = np.clip(np.rint(32768.0 * Dither(16)(audio)), -32768, 32767).astype(np.int16)
    memory = io.BytesIO()
    soundfile.write(memory, samples, sample_rate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return memory.getvalue()


def linked(text: str) -> str:
    """Converts text to HTML, with its URLs as links."""
    return re.sub(r"https?://[^\s<>\"')]+[\w/]", r'<a href="\g<0>">\g<0></a>', html.escape(text))


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Returns an HTML table. The cells must be HTML already."""
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
    # Adding 0.0 turns the minus zero of a rounded small number into zero.
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
    """Returns the section with the table of metrics, or nothing without a lossless original."""
    if metrics is None and not missing:
        return ""
    title = '<section class="card" aria-labelledby="figures-title"><h2 id="figures-title">Figures</h2>'
    if metrics is None:
        return f"{title}<p>{html.escape(missing)}</p></section>"
    # The third and later columns are the versions that are compared with the lossy music.
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
        signals: the signals by name, in the order of the buttons. All have the same length.
        sample_rate: sample rate of all signals in Hz.
        start: seconds from the beginning of the music to the beginning of the excerpt.
        title: heading of the page.
        note: a paragraph below the heading, or empty. URLs in it become links.
        metrics: the metrics that `measures.songs.measure` returns for the lossy and the restored signals; `None`
            without a lossless original.
        definitions: the definitions of the metrics, one paragraph each.
        missing: text that replaces the metrics if they could not be computed, or empty.
        version: version of the package.
        rated: whether the page has a rating test, which needs a signal with the name `lossless`.

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
        # A "<" in a file name could end the script element.
        "data": json.dumps(page, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "scripts": "\n".join((FOLDER / f"{name}.js").read_text("utf-8") for name in SCRIPTS),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], (FOLDER / "page.html").read_text("utf-8"))
