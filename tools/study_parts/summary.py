"""Makes the study's tables and curves from the records alone."""

from pathlib import Path

import numpy as np

from keras_audiosr.processes.partial_files import atomic_output, write_json
from study_parts.records import KNOWN
from study_parts.spectra import draw_spectra

METRICS = {
    "snr": "SNR (dB)",
    "si_sdr": "SI-SDR (dB)",
    "lsd": "LSD",
    "lsd_lf": "LSD below",
    "lsd_hf": "LSD above",
    "visqol": "ViSQOL",
}
CORPORA = {
    "mp3@64k": "MP3 at 64 kbit/s",
    "half_rate": "Half the sample rate",
    "quarter_rate": "A quarter of the sample rate",
}
# A curve counts as flat if validation improves by at most this much during the last fifth of a run.
FLAT = {"val_snr": 0.1, "val_lsd": 0.02}


def _mean(files: list[dict], signal: str, metric: str) -> float | None:
    values = [file[signal][metric] for file in files if file[signal].get(metric) is not None]
    return float(np.mean(values)) if values else None


def collect(records: dict[str, dict]) -> list[dict]:
    """Returns one dict for each measured row, with its mean measures, the unprocessed ones, and its costs."""
    rows = []
    for name, (corpus, note) in KNOWN.items():
        if name not in records:
            continue
        record = records[name]
        files = record["files"]
        row = {"name": name, "corpus": corpus, "note": note, "files": len(files)}
        row["metrics"] = {metric: _mean(files, "restored", metric) for metric in METRICS}
        row["unprocessed"] = {metric: _mean(files, "unprocessed", metric) for metric in METRICS}
        row |= record.get("cost", {})
        if "training" in record:
            row |= _training(record["training"])
        rows.append(row)
    return rows


def _training(facts: dict) -> dict:
    preset = facts["preset"]
    samples = facts["steps"] * preset["data"]["batch_size"] * preset["data"]["window_length"]
    return {
        "cpu_minutes": facts["cpu_seconds"] / 60,
        "steps": facts["steps"],
        "minutes_heard": samples / preset["sample_rate"] / 60,
        "flat": _is_flat(facts["history"]),
        "curve": [[entry["val_loss"], entry["val_snr"], entry["val_lsd"]] for entry in facts["history"]],
    }


def _is_flat(history: list[dict]) -> bool | None:
    """Whether both drawn curves are flat at the end; `None` if the run is too short to decide."""
    last = len(history) // 5
    if not last:
        return None
    snr, lsd = ([entry[name] for entry in history] for name in FLAT)
    won = max(snr) - max(snr[:-last]), min(lsd[:-last]) - min(lsd)
    return all(gain <= most for gain, most in zip(won, FLAT.values(), strict=True))


def _number(value, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def to_markdown(rows: list[dict]) -> str:
    """Returns one table for each corpus, with the unprocessed files in the first row."""
    lines = []
    heads = [
        "",
        "parameters",
        "GMAC/s",
        "CPU min",
        "heard min",
        "flat",
        "x real time",
        *METRICS.values(),
        "what is different",
    ]
    for corpus, title in CORPORA.items():
        group = [row for row in rows if row["corpus"] == corpus]
        if not group:
            continue
        lines += [f"### {title}", "", "| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 2) + "---|"]
        lossy = {"name": "unprocessed", "metrics": group[0]["unprocessed"], "note": "doing nothing"}
        for row in [lossy, *group]:
            flat = {True: "yes", False: "no", None: ""}[row.get("flat")]
            cells = [
                row["name"],
                _number(row.get("parameters"), 0),
                _number(row.get("gmac_per_second"), 1),
                _number(row.get("cpu_minutes"), 0),
                _number(row.get("minutes_heard"), 1),
                flat,
                _number(row.get("times_real_time"), 1),
                *(_number(row["metrics"][metric], 2) for metric in METRICS),
                row["note"],
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, *_processors(rows)])


def _processors(rows: list[dict]) -> list[str]:
    """Returns one line for each processor with the rows measured on it, because speeds of different ones differ."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if "processor" in row:
            names.setdefault(row["processor"], []).append(row["name"])
    return [f"Speed on one thread of {processor}: {', '.join(group)}.\n" for processor, group in names.items()]


def draw_curves(rows: list[dict], path: Path) -> None:
    """Draws validation SNR and LSD over each run, with two panels for each corpus."""
    from matplotlib.figure import Figure

    trained = [row for row in rows if "curve" in row]
    corpora = [corpus for corpus in CORPORA if any(row["corpus"] == corpus for row in trained)]
    heights = [2 if corpus == "mp3@64k" else 1 for corpus in corpora]
    figure = Figure(figsize=(12, 3 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(corpora), 2, sharex=True, squeeze=False, height_ratios=heights)
    for index, row in enumerate(trained):
        axes = panels[corpora.index(row["corpus"])]
        curve = np.array(row["curve"])
        minutes = np.arange(1, len(curve) + 1) / len(curve) * row["cpu_minutes"]
        style = ("-", "--", ":")[index // 10]
        for axis, column in zip(axes, (1, 2), strict=True):
            axis.plot(minutes, curve[:, column], style, color=f"C{index % 10}", marker=".", label=row["name"])
    for axes, corpus in zip(panels, corpora, strict=True):
        axes[0].set(ylabel="SNR (dB)", title=CORPORA[corpus])
        axes[1].set(ylabel="LSD", title=CORPORA[corpus])
    for axis in panels[-1]:
        axis.set(xlabel="CPU minutes")
    lines = [line for axes in panels for line in axes[0].get_lines()]
    figure.legend(handles=lines, loc="outside right upper", fontsize="small")
    with atomic_output(path) as partial:
        figure.savefig(partial, dpi=90)


def write_document(records: dict[str, dict], out: Path) -> str:
    """Writes results.json, table.md, curves.png and spectra.png; returns the tables."""
    rows = collect(records)
    tables = to_markdown(rows)
    write_json(out / "results.json", rows)
    with atomic_output(out / "table.md") as partial:
        partial.write_text(tables + "\n", "utf-8")
    draw_curves(rows, out / "curves.png")
    draw_spectra(records, out / "spectra.png")
    return tables
