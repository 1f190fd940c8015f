"""Makes aligned pairs from a folder of lossless clips with `rip` and `encode`. A second run makes only what is missing.

python tools/corpus.py CLIPS OUT --codec mp3@64k [--codec ...] [--jobs N]
"""

import argparse
import os
import re
from pathlib import Path

from keras_audiosr import encode, rip


def link_albums(clips: Path, albums: Path) -> None:
    """Links each clip into the folder of its album, which is named after the clip's subfolder, or else after the clip.

    Names of excerpts of one composition end in `_0`, `_1` and so on. They belong to one album, because splits are made
    by album.
    """
    for clip in sorted(clips.rglob("*.flac")):
        folder = clip.parent.relative_to(clips)
        album = re.sub(r"_[0-9]$", "", clip.stem) if folder == Path() else "_".join(folder.parts)
        link = albums / album / clip.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(clip.resolve())


def make_pairs(clips, out, codecs, jobs: int = os.cpu_count() or 1) -> Path:
    """Rips and encodes a folder of clips; returns the path of `pairs.jsonl`."""
    out = Path(out)
    link_albums(Path(clips), out / "albums")
    rip(out / "albums", out / "tracks", jobs=jobs)
    encode(out / "tracks" / "tracks.jsonl", out / "pairs", codecs, jobs=jobs)
    return out / "pairs" / "pairs.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", help="folder of FLAC files")
    parser.add_argument("out", help="folder that receives albums/, tracks/ and pairs/")
    parser.add_argument("--codec", action="append", required=True, help="codec as for encode; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel jobs (default: one per core)")
    args = parser.parse_args()
    print(make_pairs(args.clips, args.out, args.codec, args.jobs))


if __name__ == "__main__":
    main()
