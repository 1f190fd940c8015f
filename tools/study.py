"""Trains every network on the same pairs for the same time, measures them beside the baselines, and writes docs/study.

    python tools/study.py CORPUS WORK [--minutes 30] [--only ROW ...] [--cores 0] [--skip-training] [--out docs/study]
    python tools/study.py --smoke WORK

CORPUS contains the folders train/ and dev/ with FLAC files. WORK receives all intermediate files. If the command is
interrupted and run again, it continues where it stopped. Each row of the table is one trained network. A row is
measured as soon as it is trained, and OUT/rows/ROW.json keeps the results as a record. Rows with a record are not made
again, even on another machine with an empty WORK. The tables and pictures are made from the records alone. A record or
a folder of WORK that was made with other settings is refused. Each row trains on one core, so `--cores 0 1` trains two
rows in parallel. `--smoke` runs the same code on the bundled clip with tiny networks. If a row fails, the others
continue; the failure is reported at the end, with exit code 1.
"""

import argparse
import concurrent.futures
import os
import queue
import subprocess
import sys
from pathlib import Path

import numpy as np

TOOLS = Path(__file__).parent
sys.path.insert(0, str(TOOLS))
CLIP = TOOLS.parent / "tests" / "data" / "loop_tabla.flac"


def smoke_corpus(folder: Path) -> Path:
    """Writes three pieces of the bundled clip for training and one for measuring; returns `folder`."""
    from keras_audiosr.files.audio_files import read, write

    clip, sample_rate = read(CLIP)
    for part, pieces in (("train", 3), ("dev", 1)):
        for index in range(pieces):
            target = folder / part / f"{part}{index}.flac"
            if not target.is_file():
                piece = np.roll(clip, index * sample_rate, axis=0)[: 3 * sample_rate]
                write(target, piece, sample_rate, "PCM_16")
    return folder


def prepare(corpus: Path, work: Path, needed: set[str]) -> dict[str, dict[str, Path]]:
    """Makes the pairs of MP3 files and the needed pairs of low sample rates.

    Args:
        corpus: folder with `train/` and `dev/`.
        work: folder for the pairs.
        needed: names of the corpora that are needed.

    Returns:
        Corpus name -> part (`"train"` or `"dev"`) -> path of the manifest.
    """
    from corpus import make_pairs
    from study_parts.baselines import LOW_RATES, low_rate_pairs

    low_rates = {name: factor for name, factor in LOW_RATES.items() if name in needed}
    manifests: dict[str, dict[str, Path]] = {"mp3@64k": {}, **{name: {} for name in low_rates}}
    for part in ("train", "dev"):
        manifests["mp3@64k"][part] = pairs = make_pairs(corpus / part, work / part, ["mp3@64k"])
        for name, factor in low_rates.items():
            manifests[name][part] = low_rate_pairs(pairs, factor, "cubic", work / part / name)
    return manifests


def work_off(names, manifests, study, work: Path, cores: list[int], train: bool) -> list[str]:
    """Trains and measures each row in its own processes, with one row at a time on each core.

    Args:
        names: names of rows and baselines.
        manifests: the result of `prepare`.
        study: a `records.Study`.
        work: folder for intermediate files.
        cores: numbers of the CPU cores.
        train: whether to train rows, or only to measure them.

    Returns:
        One line for each failure.
    """
    from study_parts.records import BASELINES, KNOWN

    free: queue.SimpleQueue = queue.SimpleQueue()
    for core in cores:
        free.put(core)
    paths = os.pathsep.join([str(TOOLS), str(TOOLS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])

    def call(module: str, name: str, manifest: Path, core: int) -> None:
        print(f"{module} {name}", flush=True)
        folder = work / "rows" / name
        command = [sys.executable, "-m", f"study_parts.{module}", name, manifest, folder]
        command += [study.out, study.minutes, study.music, *(["--smoke"] if study.smoke else [])]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log.txt", "a") as log:
            subprocess.run(
                list(map(str, command)),
                env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )

    def one(name: str) -> str:
        parts = manifests[KNOWN[name][0]]
        core = free.get()
        try:
            if train and name not in BASELINES:
                call("training", name, parts["train"], core)
            call("measuring", name, parts["dev"], core)
        except subprocess.CalledProcessError:
            # The other rows go on, because a run takes a night.
            log = work / "rows" / name / "log.txt"
            lines = log.read_text("utf-8", "replace").splitlines() or ["no message"]
            failure = f"{name} failed: {lines[-1]}; see {log}"
            print(failure, file=sys.stderr, flush=True)
            return failure
        finally:
            free.put(core)
        return ""

    with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
        return [failure for failure in pool.map(one, names) if failure]


def make(study, names: list[str], args: argparse.Namespace) -> list[str]:
    """Makes the missing records, and writes the tables and pictures of all records.

    Args:
        study: a `records.Study`.
        names: names of rows and baselines.
        args: arguments of the command line.

    Returns:
        One line for each failure.
    """
    from study_parts.records import BASELINES, KNOWN, UNPROCESSED, claim, is_trained
    from study_parts.spectra import unprocessed
    from study_parts.summary import write_document

    from keras_audiosr.measures.visqol import require_visqol

    records = study.load()
    names = [name for name in names if name not in records]
    if args.skip_training:
        names = [name for name in names if name in BASELINES or is_trained(args.work / "rows" / name, name)]
    failures = []
    if names or UNPROCESSED not in records:
        if not study.smoke:
            require_visqol()
        claim(args.work, study.conditions(UNPROCESSED))
        rows = KNOWN if UNPROCESSED not in records else names
        manifests = prepare(args.corpus, args.work, {KNOWN[name][0] for name in rows})
        if UNPROCESSED not in records:
            study.save(UNPROCESSED, unprocessed({corpus: parts["dev"] for corpus, parts in manifests.items()}))
        failures = work_off(names, manifests, study, args.work, args.cores, not args.skip_training)
        records = study.load()
    if len(records) > 1:
        print(write_document(records, study.out))
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, help="folder with train/ and dev/")
    parser.add_argument("work", type=Path, help="folder for intermediate files")
    parser.add_argument("--minutes", type=float, default=30.0, help="CPU minutes of training for each row (default 30)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="train and measure only these rows")
    parser.add_argument("--cores", nargs="+", type=int, default=[0], help="numbers of the cores to use (default 0)")
    parser.add_argument("--skip-training", action="store_true", help="measure only the rows that are already trained")
    parser.add_argument("--out", type=Path, help="folder of the results (default: docs/study; WORK/study with --smoke)")
    parser.add_argument("--smoke", action="store_true", help="use the bundled clip and tiny networks")
    args = parser.parse_args()
    from study_parts.baselines import BASELINES
    from study_parts.records import Study, hash_of_music
    from study_parts.rows import ROWS

    from keras_audiosr.errors import UsageError

    rows = [row.name for row in ROWS if args.only is None or row.name in args.only]
    if args.only and len(rows) < len(args.only):
        parser.error(f"a row must be one of {', '.join(row.name for row in ROWS)}; received {' '.join(args.only)}")
    if args.smoke:
        args.corpus = smoke_corpus(args.work / "corpus")
    if args.corpus is None or not (args.corpus / "train").is_dir() or not (args.corpus / "dev").is_dir():
        parser.error(
            f"CORPUS must contain folders train and dev with FLAC files; received {args.corpus}; see the usage above"
        )
    out = args.out or (args.work / "study" if args.smoke else TOOLS.parent / "docs" / "study")
    study = Study(out, args.minutes, args.smoke, hash_of_music(args.corpus))
    try:
        # Baselines come first, because they take minutes and rows take a night.
        failures = make(study, [*([] if args.only else BASELINES), *rows], args)
    except UsageError as error:
        parser.error(str(error))
    if failures:
        # The failures were printed before. They are repeated here, so that they are the last lines of the output.
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
