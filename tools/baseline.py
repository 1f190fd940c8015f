"""Evaluates the bundled models, or others, on one set of pairs, and writes JSON files and tables.

    python tools/baseline.py PAIRS OUT [--model MODEL] [--codec CODEC] [--limit HZ] [--visqol] [--zimtohrli]

PAIRS is a pairs.jsonl, which tools/corpus.py makes from a folder of clips. OUT receives MODEL.json with the figures of
every file for each model, summary.md with one short table for each model, and baseline.md with all tables.
"""

import argparse
from pathlib import Path

from keras_audiosr import evaluate

BUNDLED = Path(__file__).parents[1] / "exported_models"
# Rows of the short table: measure, title, decimals, and whether the unprocessed files have a row too.
SUMMARY = (
    ("visqol", "ViSQOL", 2, True),
    ("zimtohrli", "Zimtohrli", 2, True),
    ("lsd", "LSD", 2, True),
    ("snr", "SNR (dB)", 2, True),
    ("band_distance", "band distance (dB)", 1, True),
    ("band_bias_8k", "bias from 8 to 16 kHz (dB)", 1, False),
    ("band_bias_16k", "bias from 16 kHz (dB)", 1, False),
    ("envelope_line", "envelope line (dB)", 1, False),
    ("crest_error", "crest error (dB)", 1, False),
    ("stereo_error", "stereo error", 2, False),
)


def summary(rows: list[dict]) -> str:
    """Returns the short table with the means of all files, with one column for each codec."""
    signals = {signal: [row for row in rows if row["signal"] == signal] for signal in ("unprocessed", "restored")}
    codecs = [row["codec"] for row in signals["restored"]]
    lines = [f"| | {' | '.join(codecs)} |", "|---|" + "---:|" * len(codecs)]
    for measure, words, digits, with_unprocessed in SUMMARY:
        if not any(row.get(measure, {}).get("files") for row in signals["restored"]):
            continue
        for signal in ("unprocessed", "restored") if with_unprocessed else ("restored",):
            means = [row.get(measure, {}).get("mean") for row in signals[signal]]
            cells = ["n/a" if mean is None else f"{mean + 0.0:.{digits}f}" for mean in means]
            lines.append(f"| {words}, {signal} | {' | '.join(cells)} |")
    lossless = {row["envelope_line"]["mean"] for row in rows if row["signal"] == "lossless"} - {None}
    if lossless:
        lines += ["", f"Envelope line of the lossless files: {min(lossless):.1f} dB."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", help="pairs.jsonl")
    parser.add_argument("out", type=Path, help="folder that receives MODEL.json, summary.md and baseline.md")
    parser.add_argument("--model", action="append", help="model as for evaluate; repeatable (default: all bundled)")
    parser.add_argument("--codec", action="append", help="such as mp3@64k; repeatable (default: all)")
    parser.add_argument("--limit", type=float, help="frequency in Hz up to which the lossless files are complete")
    parser.add_argument("--visqol", action="store_true", help="measure ViSQOL too")
    parser.add_argument("--zimtohrli", action="store_true", help="measure Zimtohrli too")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel processes (default 1)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sections, summaries, definitions = [], [], []
    for model in args.model or sorted(path.parent for path in BUNDLED.glob("*/metadata.json")):
        table = evaluate(
            args.pairs,
            model,
            codecs=args.codec,
            visqol=args.visqol,
            zimtohrli=args.zimtohrli,
            jobs=args.jobs,
            limit=args.limit,
        )
        (args.out / f"{Path(model).name}.json").write_text(table.to_json(), "utf-8")
        definitions = table.definitions
        sections.append(f"## {Path(model).name}\n\n{table.tables()}\n")
        summaries.append(f"## {Path(model).name}\n\n{summary(table.rows)}\n")
        print(summaries[-1], flush=True)
    (args.out / "summary.md").write_text("\n".join(summaries), "utf-8")
    (args.out / "baseline.md").write_text("\n".join([*sections, *(f"- {text}" for text in definitions), ""]), "utf-8")


if __name__ == "__main__":
    main()
