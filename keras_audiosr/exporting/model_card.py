"""Writes the model card of an exported model: what the model is, what it is for, and what it is not for.

The card begins with the YAML header that the Hugging Face Hub reads (https://huggingface.co/docs/hub/model-cards).
"""

import json
import re

from ..measures.tables import COLUMNS, EvaluationTable

TEMPLATE = """{header}
# {name}

This model was exported by keras_audiosr {version}. It has {parameters:,} parameters. It processes one channel at a
time, at {sample_rate} Hz.

## What it does

The input is music that a lossy codec has damaged, such as MP3 at a low bitrate. The output has the same length, sample
rate and number of channels, and is closer to a lossless copy. Where the codec left a signal, the model reduces the
codec noise. Where the codec removed everything, the model adds plausible content.

## What it is for, and what it is not for

- It is for listening to old MP3s whose lossless source is lost.
- **It invents detail that was not in the file.** The sound that it adds above the codec's cutoff is plausible, but it
  is not the sound that was recorded. Do not use it as evidence, for forensics, or for archiving in place of the
  original. Do not pass a restored file off as a lossless one.
- It was trained on music at {sample_rate} Hz. For music at another sample rate, its correction is resampled and added.
  Speech, and codecs that were not part of its training, may improve less or become worse.
- It does not remove clipping, noise or hiss, and it does not fix dropouts.

## How to use it

    keras-audiosr restore song.mp3 --model FOLDER

In Python, call `keras_audiosr.load_runner(folder).run(lossy)`, where `lossy` is an array `(time, channels)` in [-1, 1].

A window has {window_length} samples. On each side, {context} of them are context. The samples between them do not
depend on the position of the window. Every exported file was compared with the Keras model. The largest differences
are: {worst}.
{device}
## Figures

{figures}

## Training data, licences and attribution

{attribution}

## Files

| file | bytes | SHA-256 |
|---|---:|---|
{files}
"""

STREAMING = """
Players use a step, `step(lossy, state) -> (restored, state)`, with a batch of 1. Begin with a state of zeros. Before
the music, feed the warm-up as silence and discard its output:

| file | samples in a step | delay of the output | latency | warm-up | state |
|---|---:|---:|---:|---:|---:|
{rows}
"""
VARIANTS = """
In the smaller variants the convolutions are quantized and the Fourier transform is not:

| file | noise below the change that the model makes |
|---|---:|
{rows}
"""

# Tags under which the Hub lists the model.
TAGS = (
    "keras", "litert", "tflite", "audio", "music", "audio-to-audio", "audio-restoration", "bandwidth-extension",
    "audio-super-resolution", "mp3",
)  # fmt: skip
# The Hub's value for a licence that is not stated.
NO_LICENCE = "unknown"
_LICENCE = re.compile(r"^Licen[cs]e of the weights: *([\w.+-]+?)\.?$", re.MULTILINE)

NO_FIGURES = "This export was not measured. `keras-audiosr evaluate` makes the table."
NO_ATTRIBUTION = "The training data was not recorded. Before you pass the model on, add what the licences require."


_BEFORE = "\n## Training data, licences and attribution\n\n"
_AFTER = "\n\n## Files\n"


def attribution_of(card: str) -> str | None:
    """Returns the section of a model card on training data, licences and authors; `None` if it has no content."""
    attribution = card.partition(_BEFORE)[2].rpartition(_AFTER)[0]
    if attribution in ("", NO_ATTRIBUTION):
        return None
    return "\n".join(line.removeprefix("##") for line in attribution.splitlines())


def model_card(metadata: dict, table: EvaluationTable | None, attribution: str | None) -> str:
    """Writes the model card.

    Args:
        metadata: the artefact's complete `metadata.json`.
        table: the results of `evaluate`, or `None`.
        attribution: Markdown that names training data, licences and authors, or `None`. The licence in the header comes
            from a line such as `Licence of the weights: MIT`; without such a line it is `unknown`.

    Returns:
        Markdown with a YAML header.
    """
    files = [f"| {name} | {entry['bytes']} | `{entry['sha256']}` |" for name, entry in metadata["files"].items()]
    return TEMPLATE.format(
        header=_header(metadata["name"], table, attribution or ""),
        **{key: metadata[key] for key in ("name", "version", "parameters", "sample_rate", "window_length", "context")},
        worst=", ".join(f"{name} {value:.1e}" for name, value in metadata["worst_difference"].items()),
        figures=NO_FIGURES if table is None else table.to_markdown().strip(),
        device=_streaming(metadata) + _variants(metadata),
        attribution=_below_heading(attribution or NO_ATTRIBUTION),
        files="\n".join(files),
    )


def _header(name: str, table: EvaluationTable | None, attribution: str) -> str:
    """Returns the YAML header, with the figures of restored music as the Hub's `model-index`."""
    stated = _LICENCE.search(attribution)
    lines = ["---", f"license: {stated[1].lower() if stated else NO_LICENCE}", "library_name: keras"]
    lines += ["pipeline_tag: audio-to-audio", "tags:", *(f"- {tag}" for tag in TAGS)]
    results: list[str] = []
    metrics: list[str] = []
    for row in [] if table is None else table.rows:
        if row["signal"] != "restored":
            continue
        means = {metric: row[metric]["mean"] for metric in COLUMNS if metric in row}
        figures = {metric: mean for metric, mean in means.items() if mean is not None}
        metrics += [metric for metric in figures if metric not in metrics]
        # Strings are written as JSON, because a JSON string is also a valid YAML string.
        results += ["  - task:", "      type: audio-to-audio", "    dataset:", "      type: music"]
        results += [f"      name: {json.dumps('music coded as ' + row['codec'])}", "    metrics:"]
        for metric, mean in figures.items():
            results += [
                f"    - type: {metric}",
                f"      name: {json.dumps(COLUMNS[metric])}",
                f"      value: {mean:.4g}",
            ]
    if results:
        lines += ["metrics:", *(f"- {metric}" for metric in metrics)]
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:", *results]
    return "\n".join([*lines, "---", ""])


def _streaming(metadata: dict) -> str:
    rows = [
        f"| {name} | {entry['hop_length']} | {entry['latency']} samples | {entry['algorithmic_latency_ms']} ms |"
        f" {entry['warm_up']} samples | {entry['state_bytes']:,} bytes |"
        for name, entry in metadata.get("streaming", {}).items()
    ]
    return STREAMING.format(rows="\n".join(rows)) if rows else ""


def _variants(metadata: dict) -> str:
    entries = metadata.get("variants", {}).items()
    rows = [f"| {name} | {entry['correction_snr']} dB |" for name, entry in entries]
    return VARIANTS.format(rows="\n".join(rows)) if rows else ""


def _below_heading(text: str) -> str:
    """Moves the headings of an included text two levels down, so that they stay inside their section."""
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in text.strip().splitlines())
