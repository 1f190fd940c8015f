"""Collects hours of free, nearly lossless music from Debian packages, and adds lossless clips.

    python tools/fetch_music.py CORPUS OUT [--debs FOLDER]

Writes OUT/train/ALBUM/*.flac and OUT/real/ALBUM/*.flac (44.1 kHz, 16 bits), OUT/catalog.jsonl, OUT/ATTRIBUTION.md, and
OUT/refused.txt with the reason for each file that was left out.
CORPUS contains `train/` (lossless clips) and `near/` (nearly lossless music), each with a CORPUS.csv. Either folder may
be missing. Packages are taken from FOLDER. Missing ones are downloaded into it with apt-get (2.5 GB in all). Nothing is
installed. If the command is run again, it continues where it stopped. Each artist is one album, so that a split by
album never divides an artist. `real` is only for measuring: it has excerpts by artists that do not occur in `train`.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fetching.attribution import attribution
from fetching.packages import PACKAGES, fetch, songs
from fetching.tracks import Track, clips, decode, write
from tqdm import tqdm


def finished(out: Path) -> dict[str, dict]:
    """Returns the catalog entries of an earlier, interrupted run whose files exist, by their source."""
    catalog = out / "catalog.jsonl"
    if not catalog.is_file():
        return {}
    lines = [json.loads(line) for line in catalog.read_text("utf-8").splitlines() if line.endswith("}")]
    return {line["source"]: line for line in lines if (out / line["path"]).is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder with train/ and near/")
    parser.add_argument("out", type=Path, help="output folder")
    parser.add_argument("--debs", type=Path, help="folder for the downloaded packages (default: OUT/debs)")
    args = parser.parse_args()

    sources, refused = clips(args.corpus), []
    for package in PACKAGES:
        deb = fetch(package, args.debs or args.out / "debs")
        for song in songs(package, deb, args.out / "packages" / package.name):
            if isinstance(song, str):
                refused.append(song)
            else:
                sources.append(Track.of_song(song))
    done, catalog = finished(args.out), []
    for track in tqdm(sources, unit="track", disable=None):
        if track.source in done:
            catalog.append(done[track.source])
            continue
        audio, measured, reason = decode(track)
        if audio is None:
            refused.append(f"{track.source}: {reason}")
            continue
        catalog.append(write(args.out, track, audio, measured))
        with open(args.out / "catalog.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(catalog[-1]) + "\n")
    (args.out / "catalog.jsonl").write_text("".join(json.dumps(line) + "\n" for line in catalog), "utf-8")
    (args.out / "ATTRIBUTION.md").write_text(attribution(catalog), "utf-8")
    (args.out / "refused.txt").write_text("".join(f"{line}\n" for line in refused), "utf-8")
    for split in ("train", "real"):
        found = [entry for entry in catalog if entry["split"] == split]
        hours = sum(entry["seconds"] for entry in found) / 3600
        print(f"{split}: {len(found)} tracks, {hours:.2f} h, {len({entry['artist'] for entry in found})} artists")
    print(f"left out {len(refused)} files; {args.out / 'refused.txt'} has the reasons")
    return 0


if __name__ == "__main__":
    sys.exit(main())
