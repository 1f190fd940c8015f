"""Stage 3, the optional cache: pairs -> TFRecord windows. The pipeline also cuts windows on the fly."""

import argparse
from collections.abc import Sequence

from . import beam


def window(
    manifest,
    out,
    window_length: int = 2000,
    hop_length: int | None = None,
    *,
    split: str | None = None,
    codecs=None,
    sample_rate: int = 44100,
    min_level: float | None = None,
    undo_encoder_gain: bool = False,
    shard_size: int = 4096,
    overwrite: bool = False,
    jobs: int = 1,
    runner: str = "local",
    beam_options: str | Sequence[str] = (),
) -> dict:
    """Cuts a manifest's pairs into windows and writes them as TFRecord shards.

    `keras_audiosr.datasets.read_records(out)` reads them back: the same windows, in the same
    order, as `build_dataset(manifest, shuffle=False, ...)`.

    Args:
        manifest: path of a pair manifest, as `encode` writes it.
        out: folder to make; it appears when all is written.
        window_length: samples.
        hop_length: samples from one window's start to the next; `window_length` when `None`.
        split: `"train"`, `"validation"` or `"test"`, by album; `None` for all.
        codecs: names such as `["mp3@64k"]`; `None` for all.
        sample_rate: Hz, of every pair.
        min_level: windows whose lossless side has an RMS below this level, in dB relative to full scale, are skipped.
        undo_encoder_gain: whether the gain that LAME gave its MP3s is undone on the lossy side. A preset that is to be
            trained on the windows says in its `data` whether it is.
        shard_size: windows a shard.
        overwrite: replace `out`, a folder of windows.
        jobs: processes of Beam's runner on this machine; the local runner uses every core.
        runner: `"local"`, or `"beam"` for an Apache Beam pipeline; the shards are the same.
        beam_options: of the pipeline, such as `"--runner=FlinkRunner ..."`; Beam's own runner when empty.

    Returns:
        The index written beside the shards, see `datasets.records.write_records`.

    Raises:
        OutputExistsError: `out` exists.
        ManifestError: the manifest is unreadable, or holds nothing that fits the request.
        AudioFileError: a file is missing or damaged, or `out` cannot be written.
    """
    from .datasets.records import write_records

    return write_records(
        manifest,
        out,
        window_length=window_length,
        hop_length=hop_length,
        split=split,
        codecs=codecs,
        sample_rate=sample_rate,
        min_level=min_level,
        undo_encoder_gain=undo_encoder_gain,
        shard_size=shard_size,
        overwrite=overwrite,
        jobs=jobs,
        runner=runner,
        beam_options=beam_options,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `keras-audiosr window`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="pairs.jsonl, written by 'keras-audiosr encode'")
    parser.add_argument("out", metavar="OUT", help="folder to make")
    parser.add_argument("--window-length", type=int, default=2000, metavar="SAMPLES", help="default: %(default)s")
    parser.add_argument("--hop-length", type=int, metavar="SAMPLES", help="default: the window length")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="by album; default: everything")
    parser.add_argument("--codec", action="append", metavar="CODEC", help="such as mp3@64k; repeatable; default: all")
    parser.add_argument(
        "--sample-rate", type=int, default=44100, metavar="HZ", help="of the pairs; default: %(default)s"
    )
    parser.add_argument(
        "--min-level", type=float, metavar="DB", help="skip windows whose RMS is below; default: keep all"
    )
    parser.add_argument("--undo-encoder-gain", action="store_true", help="MP3s as loud as what LAME was given")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder of windows")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of Beam here (default: 1)")
    beam.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr window`."""
    index = window(
        args.manifest,
        args.out,
        args.window_length,
        args.hop_length,
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
