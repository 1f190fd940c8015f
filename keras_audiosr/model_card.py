"""The model card that goes with an exported model: what it is, what it is for, and what it is not."""

from .tables import EvaluationTable

TEMPLATE = """# {name}

Exported by keras_audiosr {version}. {parameters:,} parameters, {sample_rate} Hz, one channel at a time.

## What it does

Takes music that a lossy codec (such as MP3 at a low bitrate) has damaged, and returns music of the same length,
sample rate and channels that is closer to what a lossless copy would have been: less codec noise where there is
a signal, and plausible content where the codec cut it off.

## What it is for, and what it is not

- For listening: old MP3s whose lossless source is lost.
- **It invents detail that was not in the file.** What it adds above the codec's cutoff sounds likely; it is not
  a recovery of what was recorded. Do not use it as evidence, for forensics, for archiving in place of the
  original, or to pass a lossy file off as a lossless one.
- It was trained on music at {sample_rate} Hz. At other sample rates only its correction is resampled and added.
  Speech, and codecs it never heard in training, may gain less or suffer.
- It does not remove clipping, noise or hiss, and does not mend dropouts.

## How to use it

    keras-audiosr restore song.mp3

or, in Python, `keras_audiosr.load_runner(folder).run(lossy)`, with `lossy` an array `(time, channels)` in [-1, 1].

A window has {window_length} samples, of which {context} on each side are context: the samples between do not
depend on where windows begin. `model.tflite` (signature `lossy` -> `restored`, batch 1) and the SavedModel `1/`
(signature `serving_default`, any batch) were compared with the Keras model on export; largest difference: {worst}.
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
For players, `step(lossy, state) -> (restored, state)`, batch 1, state zero at first:

| file | samples a step | output lags by | heard after | silence first | state |
|---|---:|---:|---:|---:|---:|
{rows}
"""
VARIANTS = """
Smaller variants, their convolutions quantized and their Fourier transform not:

| file | noise under what the model changes |
|---|---:|
{rows}
"""

NO_FIGURES = "Not measured for this export; `keras-audiosr evaluate` makes the table."
NO_ATTRIBUTION = "Not recorded for this export. Before passing it on, add what its training data's licences ask for."


_BEFORE = "\n## Training data, licences and attribution\n\n"
_AFTER = "\n\n## Files\n"


def attribution_of(card: str) -> str | None:
    """What a model card says of training data, licences and authors; `None` when it says nothing."""
    attribution = card.partition(_BEFORE)[2].rpartition(_AFTER)[0]
    if attribution in ("", NO_ATTRIBUTION):
        return None
    return "\n".join(line.removeprefix("##") for line in attribution.splitlines())


def model_card(metadata: dict, table: EvaluationTable | None, attribution: str | None) -> str:
    """Writes the model card.

    Args:
        metadata: the artefact's complete `metadata.json`.
        table: what `evaluate` found, or `None`.
        attribution: Markdown that names training data, licences and authors, or `None`.

    Returns:
        Markdown.
    """
    files = [f"| {name} | {entry['bytes']} | `{entry['sha256']}` |" for name, entry in metadata["files"].items()]
    return TEMPLATE.format(
        **{key: metadata[key] for key in ("name", "version", "parameters", "sample_rate", "window_length", "context")},
        worst=", ".join(f"{name} {value:.1e}" for name, value in metadata["worst_difference"].items()),
        figures=NO_FIGURES if table is None else table.to_markdown().strip(),
        device=_streaming(metadata) + _variants(metadata),
        attribution=_below_heading(attribution or NO_ATTRIBUTION),
        files="\n".join(files),
    )


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
    """Headings of an included text two levels down, so that they stay inside their section."""
    return "\n".join(f"##{line}" if line.startswith("#") else line for line in text.strip().splitlines())
