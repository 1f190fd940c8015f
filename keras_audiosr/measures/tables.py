"""The tables of `evaluate`: for each codec a row of lossy and a row of restored music, as JSON and Markdown."""

import dataclasses
import json
import re

import numpy as np

__all__ = ["EvaluationTable"]

# Column headings. Metrics without a unit show their change in percent.
COLUMNS = {"snr": "SNR (dB)", "si_sdr": "SI-SDR (dB)", "lsd": "LSD", "lsd_hf": "LSD-HF"}
COLUMNS |= {"visqol": "ViSQOL", "zimtohrli": "Zimtohrli"}
PERCENT = ("lsd", "lsd_hf")
# Column headings of the second table. It has a row of lossless music, which shows what can be reached, and no changes.
HIGHS = {
    "band_distance": "Band distance (dB)",
    "band_bias_8k": "Bias 8 to 16 kHz (dB)",
    "band_bias_16k": "Bias from 16 kHz (dB)",
    "envelope_line": "Envelope line (dB)",
    "crest_error": "Crest error (dB)",
    "stereo_error": "Stereo error",
    "stereo_error_lf": "Stereo error below cutoff",
}
# The note below the second table.
_HIGHS_NOTE = (
    "This table describes the highs: their level (band distance and bias), buzzing (envelope line), clicks (crest"
    " error) and the width of the stereo image (stereo error). Mean ± standard deviation over the files that can be"
    " judged."
)


def _codec_key(codec: str) -> tuple:
    """Returns a sort key: `mp3@64k` comes before `mp3@128k`, then `mp3@V6`, then `mp3@V0`, by the size of the file."""
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
    # Adding 0.0 turns a minus zero, which rounding can cause, into zero.
    if "percent" in change:
        return f"{text} ({round(change['percent']) + 0.0:+.0f} %)"
    return f"{text} ({round(change['difference'], 2) + 0.0:+.2f})"


@dataclasses.dataclass(frozen=True)
class EvaluationTable:
    """The results of `evaluate`.

    Attributes:
        rows: three rows for each codec, whose `signal` is `"lossless"` (only with the envelope line), `"unprocessed"`
            and `"restored"`. Each metric is a dict `{"mean", "std", "files"}` over the files. The restored row has a
            `change` against the unprocessed row for each metric, a dict `{"difference"}`, for LSD also `"percent"`.
        files: one dict for each pair: `lossless`, `lossy`, `codec`, `duration` in seconds, `cutoff` in Hz,
            `lossless_envelope_line` in dB, and the metrics of `unprocessed` and `restored`, as returned by
            `measures.songs.measure`. A metric is `None` if it cannot be judged.
        definitions: definitions of the metrics, which are printed under the tables.
        about: arguments, versions and hashes.
    """

    rows: list[dict]
    files: list[dict]
    definitions: list[str]
    about: dict

    @classmethod
    def from_files(cls, files: list[dict], definitions: list[str], about: dict) -> "EvaluationTable":
        """Builds the table: means and population standard deviations for each codec."""
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
        """Returns the tables and the definitions as Markdown."""
        return "\n\n".join([self.tables(), *self.definitions]) + "\n"

    def tables(self) -> str:
        """Returns the table of metrics and the table of the highs as Markdown."""
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
        """Returns all attributes as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
