"""The table `evaluate` makes: a row of lossy and a row of restored music per codec, as JSON and Markdown."""

import dataclasses
import json
import re

import numpy as np

__all__ = ["EvaluationTable"]

# Column heads; in percent goes the change of what has no decibels or points of its own.
COLUMNS = {"snr": "SNR (dB)", "si_sdr": "SI-SDR (dB)", "lsd": "LSD", "lsd_hf": "LSD-HF"}
COLUMNS |= {"visqol": "ViSQOL", "zimtohrli": "Zimtohrli"}
PERCENT = ("lsd", "lsd_hf")
# Of a second table, which has a row for lossless music too: it says what there is to reach, and nothing is changed.
HIGHS = {
    "band_distance": "Band distance (dB)",
    "band_bias_8k": "Bias 8 to 16 kHz (dB)",
    "band_bias_16k": "Bias from 16 kHz (dB)",
    "envelope_line": "Envelope line (dB)",
    "crest_error": "Crest error (dB)",
    "stereo_error": "Stereo error",
    "stereo_error_lf": "Stereo error below cutoff",
}
# What is below that table, before the definitions.
_HIGHS_NOTE = (
    "The highs: levels (band distance and bias), structure (envelope line: a buzz; crest error: clicks) and width."
    " Mean ± standard deviation over the files that can be judged."
)


def _codec_key(codec: str) -> tuple:
    """`mp3@64k` before `mp3@128k`, and both before `mp3@V6` before `mp3@V0`: the smaller file first."""
    ascending = re.sub(r"@V(\d)", lambda quality: f"@V{9 - int(quality[1])}", codec)
    return tuple(float(part) if part[:1].isdigit() else part for part in re.split(r"(\d+(?:\.\d+)?)", ascending))


def _summary(values: list[float | None]) -> dict:
    there = [value for value in values if value is not None]
    if not there:
        return {"mean": None, "std": None, "files": 0}
    return {"mean": float(np.mean(there)), "std": float(np.std(there)), "files": len(there)}


def _change(before: dict, after: dict, metric: str) -> dict | None:
    if before["mean"] is None or after["mean"] is None:
        return None
    change = {"difference": after["mean"] - before["mean"]}
    if metric in PERCENT and before["mean"] > 0:
        change["percent"] = 100.0 * change["difference"] / before["mean"]
    return change


def _cell(summary: dict, change: dict | None) -> str:
    if summary["mean"] is None:
        return "n/a"
    text = f"{summary['mean']:.2f} ± {summary['std']:.2f}"
    if change is None:
        return text
    # Adding 0.0 turns the minus zero of a rounded trifle into zero.
    if "percent" in change:
        return f"{text} ({round(change['percent']) + 0.0:+.0f} %)"
    return f"{text} ({round(change['difference'], 2) + 0.0:+.2f})"


@dataclasses.dataclass(frozen=True)
class EvaluationTable:
    """What `evaluate` found.

    Attributes:
        rows: for each codec one row with `signal` `"lossless"`, which has the envelope line alone, one with
            `"unprocessed"` and one with `"restored"`; each metric as `{"mean", "std", "files"}` over the files;
            `change` against the unprocessed row as `{"difference"}`, for LSD with `"percent"`.
        files: every pair's figures: `lossless`, `lossy`, `codec`, `duration` s, `cutoff` Hz, `lossless_envelope_line`
            dB, and the metrics of `unprocessed` and `restored`, as `measures.songs.measure` gives them; `None` where a
            metric is not defined.
        definitions: how the metrics are computed; printed under the table.
        about: arguments, versions, hashes.
    """

    rows: list[dict]
    files: list[dict]
    definitions: list[str]
    about: dict

    @classmethod
    def from_files(cls, files: list[dict], definitions: list[str], about: dict) -> "EvaluationTable":
        """Means and standard deviations (of the files themselves, not of a sample) per codec."""
        rows = []
        for codec in sorted({file["codec"] for file in files}, key=_codec_key):
            group = [file for file in files if file["codec"] == codec]
            metrics = [metric for metric in COLUMNS | HIGHS if metric in group[0]["unprocessed"]]
            before, after = (
                {metric: _summary([file[signal][metric] for file in group]) for metric in metrics}
                for signal in ("unprocessed", "restored")
            )
            changes = {metric: _change(before[metric], after[metric], metric) for metric in metrics}
            if "envelope_line" in metrics:
                line = _summary([file["lossless_envelope_line"] for file in group])
                rows.append({"codec": codec, "signal": "lossless", "files": len(group), "envelope_line": line})
            rows.append({"codec": codec, "signal": "unprocessed", "files": len(group), **before})
            rows.append({"codec": codec, "signal": "restored", "files": len(group), **after, "change": changes})
        return cls(rows, files, definitions, about)

    def to_markdown(self) -> str:
        """The tables, and the definitions under them."""
        return "\n".join([self.tables(), *self.definitions, ""])

    def tables(self) -> str:
        """The table, and that of the highs."""
        lines = self._table(COLUMNS, [row for row in self.rows if row["signal"] != "lossless"], changes=True)
        lines += ["", "Mean ± standard deviation over the files; in brackets the change against unprocessed."]
        if any(metric in row for row in self.rows for metric in HIGHS):
            lines += ["", *self._table(HIGHS, self.rows, changes=False), "", _HIGHS_NOTE]
        return "\n".join(lines)

    @staticmethod
    def _table(columns: dict[str, str], rows: list[dict], changes: bool) -> list[str]:
        metrics = [metric for metric in columns if any(metric in row for row in rows)]
        lines = ["| codec | | files | " + " | ".join(columns[metric] for metric in metrics) + " |"]
        lines.append("|---|---|---:|" + "---|" * len(metrics))
        for row in rows:
            change = row.get("change", {}) if changes else {}
            cells = [_cell(row[metric], change.get(metric)) if metric in row else "" for metric in metrics]
            lines.append(f"| {row['codec']} | {row['signal']} | {row['files']} | " + " | ".join(cells) + " |")
        return lines

    def to_json(self) -> str:
        """Everything, as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
