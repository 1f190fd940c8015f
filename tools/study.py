"""Trains every network on the same pairs for the same time, measures them beside the baselines, and writes docs/study.

    python tools/study.py CORPUS WORK [--minutes 30] [--only ROW ...] [--cores 0] [--skip-training] [--out docs/study]
    python tools/study.py --smoke WORK

CORPUS: folders train/ and dev/ of FLAC files. WORK: where everything in between goes; interrupted, the same command
goes on where it was. A row trains on one core; `--cores 0 1` trains two at a time. `--smoke` runs the same code on the
bundled clip with tiny networks.
"""

import argparse
import concurrent.futures
import json
import os
import queue
import subprocess
import sys
from pathlib import Path

import numpy as np

TOOLS = Path(__file__).parent
sys.path.insert(0, str(TOOLS))
CLIP = TOOLS.parent / "tests" / "data" / "loop_tabla.flac"
# The file of the spectrum picture: every instrument at once, and highs to lose.
PICTURED = "fd_guit_map16"


def smoke_corpus(folder: Path) -> Path:
    """Three pieces of the bundled clip to train on, one to measure."""
    from keras_audiosr.audio.files import read, write

    clip, sample_rate = read(CLIP)
    for part, pieces in (("train", 3), ("dev", 1)):
        for index in range(pieces):
            target = folder / part / f"{part}{index}.flac"
            if not target.is_file():
                piece = np.roll(clip, index * sample_rate, axis=0)[: 3 * sample_rate]
                write(target, piece, sample_rate, "PCM_16")
    return folder


def prepare(corpus: Path, work: Path) -> dict[str, dict[str, Path]]:
    """corpus name -> part -> manifest."""
    from corpus import make_pairs
    from study_parts.baselines import LOW_RATES, low_rate_pairs

    manifests: dict[str, dict[str, Path]] = {"mp3@64k": {}, **{name: {} for name in LOW_RATES}}
    for part in ("train", "dev"):
        manifests["mp3@64k"][part] = pairs = make_pairs(corpus / part, work / part, ["mp3@64k"])
        for name, factor in LOW_RATES.items():
            manifests[name][part] = low_rate_pairs(pairs, factor, "cubic", work / part / name)
    return manifests


def train_rows(rows, manifests, work: Path, minutes: float, cores: list[int], smoke: bool) -> None:
    """Trains and exports each row in a process of its own, one a core at a time."""
    free: queue.SimpleQueue = queue.SimpleQueue()
    for core in cores:
        free.put(core)

    def one(row) -> None:
        folder = work / "rows" / row.name
        if (folder / "exported" / row.name / "metadata.json").is_file():
            return
        core = free.get()
        manifest = manifests[row.corpus]["train"]
        command = [sys.executable, "-m", "study_parts.training", row.name, manifest, folder, str(minutes)]
        paths = os.pathsep.join([str(TOOLS), str(TOOLS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(folder / "log.txt", "a") as log:
                subprocess.run(
                    [*map(str, command), *(["--smoke"] if smoke else [])],
                    env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
                    preexec_fn=lambda: os.sched_setaffinity(0, {core}),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=True,
                )
        except subprocess.CalledProcessError:
            # One row that fails must not cost the others their night; its log says why.
            print(f"{row.name} failed; see {folder / 'log.txt'}", file=sys.stderr)
        finally:
            free.put(core)

    with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
        list(pool.map(one, rows))


def measure_rows(rows, baselines, manifests, work: Path, visqol: bool) -> None:
    """Evaluates rows and baselines on dev; measures what rows cost. What is there is kept."""
    from study_parts.baselines import restore_all
    from study_parts.measuring import cost

    from keras_audiosr import evaluate
    from keras_audiosr.callbacks import write_json

    what = {}
    for row in rows:
        exported = work / "rows" / row.name / "exported" / row.name
        if (exported / "metadata.json").is_file():
            what[row.name] = (row.corpus, exported)
    for name, (corpus, _, method) in baselines.items():
        what[name] = (corpus, restore_all(manifests[corpus]["dev"], method, work / "rows" / name / "restored"))
    for name, (corpus, model) in what.items():
        folder = work / "rows" / name
        if not (folder / "evaluation.json").is_file():
            print(f"evaluate {name}", flush=True)
            table = evaluate(manifests[corpus]["dev"], model, visqol=visqol)
            write_json(folder / "evaluation.json", {"files": table.files, "about": table.about})
        if name not in baselines and not (folder / "cost.json").is_file():
            write_json(folder / "cost.json", cost(model, folder / "run" / "best.keras"))


def draw_spectra(rows, manifests, work: Path, path: Path) -> None:
    """The paper's Fig. 3 of one file, for every row on MP3."""
    from keras_audiosr import load_runner
    from keras_audiosr.datasets import Pair, read_manifest
    from keras_audiosr.datasets.decode import decode_pair
    from keras_audiosr.figures import spectrum_figure

    manifest = manifests["mp3@64k"]["dev"]
    pairs = read_manifest(manifest, Pair)
    pair = next((pair for pair in pairs if pair.title == PICTURED), pairs[0])
    lossless, lossy = decode_pair(pair, manifest.parent)
    signals = {"lossless": lossless, "lossy": lossy}
    for row in rows:
        exported = work / "rows" / row.name / "exported" / row.name
        if row.corpus == "mp3@64k" and (exported / "metadata.json").is_file():
            signals[row.name] = load_runner(exported).run(lossy, pair.sample_rate)
    spectrum_figure(path, signals, pair.sample_rate, f"{pair.title}, MP3 at 64 kbit/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0, help="CPU minutes of optimizer steps a row (default 30)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="these rows")
    parser.add_argument("--cores", nargs="+", type=int, default=[0], help="a row trains on each (default 0)")
    parser.add_argument("--skip-training", action="store_true", help="measure and write what is trained so far")
    parser.add_argument("--out", type=Path, help="folder of the result (default docs/study; WORK/study with --smoke)")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    from study_parts.baselines import BASELINES
    from study_parts.rows import ROWS
    from study_parts.summary import collect, draw_curves, to_markdown

    rows = [row for row in ROWS if args.only is None or row.name in args.only]
    if args.only and len(rows) < len(args.only):
        parser.error(f"a row is one of {', '.join(row.name for row in ROWS)}; received {' '.join(args.only)}")
    if args.smoke:
        args.corpus = smoke_corpus(args.work / "corpus")
    if args.corpus is None or not (args.corpus / "train").is_dir() or not (args.corpus / "dev").is_dir():
        parser.error(
            f"CORPUS needs folders train and dev of FLAC files; received {args.corpus}; see the first lines above"
        )
    manifests = prepare(args.corpus, args.work)
    if not args.skip_training:
        train_rows(rows, manifests, args.work, args.minutes, args.cores, args.smoke)
    measure_rows(rows, {} if args.only else BASELINES, manifests, args.work, visqol=not args.smoke)
    out = args.out or (args.work / "study" if args.smoke else TOOLS.parent / "docs" / "study")
    out.mkdir(parents=True, exist_ok=True)
    measured = collect(args.work)
    (out / "results.json").write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    (out / "table.md").write_text(to_markdown(measured) + "\n", "utf-8")
    draw_curves(measured, out / "curves.png")
    draw_spectra(rows, manifests, args.work, out / "spectra.png")
    print(to_markdown(measured))


if __name__ == "__main__":
    main()
