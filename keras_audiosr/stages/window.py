"""Stage 3, an optional cache: pairs -> TFRecord windows. The input pipeline also cuts windows from pairs itself."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..annotations import StrPath
from ..presets.settings import WindowSettings
from ..processes import beam

if TYPE_CHECKING:
    from ..datasets.plan import ReadSettings


def window(
    manifest: StrPath,
    out: StrPath,
    windows: WindowSettings | None = None,
    reading: "ReadSettings | None" = None,
    *,
    shard_size: int = 4096,
    overwrite: bool = False,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
    **keywords: Any,
) -> dict:
    """Cuts a manifest's pairs into windows of mid and of side and writes them as TFRecord shards.

    `keras_audiosr.datasets.read_records(out)` reads them back. It gives the same windows, in the same order, as
    `build_dataset(manifest, shuffle=False, ...)`.

    Args:
        manifest: path of a pair manifest, as `encode` writes it.
        out: folder to make. It appears when everything is written.
        windows: settings of the windows, such as a preset's `data`; 2,000 samples when `None`. Batches and variations
            of the windows are made when they are read.
        reading: which pairs are read; all of 44,100 Hz when `None`.
        shard_size: number of windows in a shard.
        overwrite: whether `out`, an earlier folder of windows, may be replaced.
        jobs: number of processes of Beam's runner on this machine. The local runner uses every core.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline, which gives the same shards.
        beam_options: options of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.
        **keywords: fields of both settings instead, as for `build_dataset`: `window_length`, `hop_length`, `split`,
            `codecs`, `sample_rate`, `min_level`, `undo_encoder_gain` and others.

    Returns:
        The index that is written beside the shards; see `datasets.shards.write_records`.

    Raises:
        OutputExistsError: `out` exists.
        ManifestError: the manifest cannot be read, or no pair fits the request.
        AudioFileError: a file is missing or damaged, or `out` cannot be written.
        UsageError: an unknown keyword, or a value out of its range.
    """
    from ..datasets.plan import settings_of
    from ..datasets.shards import write_records

    return write_records(
        manifest,
        out,
        *settings_of(windows, reading, keywords),
        shard_size=shard_size,
        overwrite=overwrite,
        jobs=jobs,
        runner=runner,
        beam_options=beam_options,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `keras-audiosr window`."""
    from ..datasets.plan import WINDOW_LENGTH, ReadSettings

    parser.add_argument("manifest", metavar="MANIFEST", help="pairs.jsonl, written by 'keras-audiosr encode'")
    parser.add_argument("out", metavar="OUT", help="new folder for the shards")
    parser.add_argument(
        "--window-length", type=int, default=WINDOW_LENGTH, metavar="SAMPLES", help="default: %(default)s"
    )
    parser.add_argument("--hop-length", type=int, metavar="SAMPLES", help="default: the window length")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="by album; default: everything")
    parser.add_argument(
        "--codec", action="append", metavar="CODEC", help="such as mp3@64k; may be repeated; default: all"
    )
    parser.add_argument(
        "--sample-rate",
        type=int,
        default=ReadSettings.sample_rate,
        metavar="HZ",
        help="pairs of other rates are left out; default: %(default)s",
    )
    parser.add_argument(
        "--min-level", type=float, metavar="DB", help="skip windows whose RMS is below this level; default: keep all"
    )
    parser.add_argument("--undo-encoder-gain", action="store_true", help="undo the gain that LAME applied to MP3s")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder of windows")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes of Beam on this machine (default: 1)"
    )
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr window`; returns the exit code."""
    index = window(
        args.manifest,
        args.out,
        window_length=args.window_length,
        hop_length=args.hop_length,
        split=args.split,
        codecs=args.codec,
        sample_rate=args.sample_rate,
        min_level=args.min_level,
        undo_encoder_gain=args.undo_encoder_gain,
        overwrite=args.overwrite,
        jobs=args.jobs,
        runner=args.runner,
        beam_options=args.beam_options,
    )
    print(
        f"{index['windows']} windows of {index['window_length']} samples in {len(index['shards'])} shards: {args.out}"
    )
    return 0
