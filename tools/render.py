"""Renders hours of varied training music: it plays, mixes and masters scores, generated pieces and remixes of clips.

    python tools/render.py CORPUS OUT --hours 3 --seed 0      writes OUT/albums/<album>/*.flac and OUT/ATTRIBUTION.md
    python tools/render.py --describe FOLDER...               compares sets of FLAC files

CORPUS contains `midi/` (scores) and `train/` (clips with CORPUS.csv). Either folder may be missing. The next step is
`rip OUT/albums SHELF`. All tracks that share a composition are in one album, so that a split by album never divides a
composition. The clips of `train/` are linked into these albums as well, so training needs only OUT.
A track depends only on its number, the seed, the sources and the installed versions. If the command is run again, it
continues where it stopped. With more hours it adds tracks and changes none.
Requires `pip install '.[render]'`, and Debian's fluidsynth and soundfonts (the error message names what is missing).
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

# Each job is one process with one thread. Threads of the libraries would compete for the cores, and could change the
# last bit of a sum.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import soundfile
from rendering import soundfonts
from rendering.attribution import attribution
from rendering.measures import describe
from rendering.sources import album_of, corpus_clips, freedoom_scores, music21_scores
from rendering.tracks import Plan, plan_track, render_track
from tqdm import tqdm

from keras_audiosr.processes.partial_files import atomic_output

RATE = 44100


def make_plans(corpus: Path, hours: float, seed: int, can_sample: bool) -> list[Plan]:
    """Plans tracks until they fill these hours."""
    scores = freedoom_scores(corpus / "midi") if can_sample else []
    classical = music21_scores() if can_sample else []
    clips = corpus_clips(corpus / "train")
    plans: list[Plan] = []
    seconds = 0.0
    while seconds < 3600 * hours:
        plans.append(plan_track(seed, len(plans), scores, classical, clips))
        seconds += plans[-1].duration
    return plans


def write_track(albums: Path, seed: int, plan: Plan, can_sample: bool) -> str:
    """Renders one track if its file does not exist yet; returns why it was left out, or `""`."""
    path = albums / plan.path
    if path.is_file():
        return ""
    samples, reason = render_track(seed, plan, can_sample)
    if samples is None:
        return f"{plan.path}: {reason}"
    with atomic_output(path) as partial:
        soundfile.write(partial, samples, RATE, subtype="PCM_16")
    return ""


def link_clips(corpus: Path, albums: Path) -> None:
    """Links each clip of the corpus into the album of the tracks that are made from it."""
    for clip in corpus_clips(corpus / "train"):
        target = albums / album_of(clip.key) / f"{clip.title}.flac"
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(clip.path)
            except OSError:
                shutil.copyfile(clip.path, target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, help="folder with midi/ and train/")
    parser.add_argument("out", nargs="?", type=Path, help="output folder")
    parser.add_argument("--hours", type=float, default=1.0, help="hours of music in all (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed that the tracks are planned from (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="number of tracks rendered in parallel (default 1)")
    parser.add_argument("--describe", nargs="+", type=Path, metavar="FOLDER", help="compare sets of FLAC files")
    args = parser.parse_args()
    if args.describe:
        print(describe(args.describe))
        return 0
    if args.corpus is None or args.out is None or not args.corpus.is_dir():
        parser.error(f"CORPUS (an existing folder) and OUT are required; received {args.corpus} and {args.out}")
    lacking = soundfonts.missing()
    if lacking:
        parser.error(f"FluidSynth and its soundfonts are required to play scores; {lacking}")

    plans = make_plans(args.corpus, args.hours, args.seed, can_sample=True)
    albums = args.out / "albums"
    link_clips(args.corpus, albums)
    (args.out / "ATTRIBUTION.md").write_text(attribution(args.corpus, plans), "utf-8")
    # Processes are spawned, because forked ones would inherit locks of libraries that use threads.
    context = multiprocessing.get_context("spawn")
    failed = []
    with concurrent.futures.ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        futures = [pool.submit(write_track, albums, args.seed, plan, True) for plan in plans]
        for future in tqdm(concurrent.futures.as_completed(futures), total=len(futures), unit="track", disable=None):
            if future.result():
                failed.append(future.result())
    for reason in sorted(failed):
        print(f"left out: {reason}", file=sys.stderr)
    print(f"{len(plans) - len(failed)} tracks, {sum(plan.duration for plan in plans) / 3600:.2f} h, in {albums}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
