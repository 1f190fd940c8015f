"""Stage 5: trains a preset's network on windows of music, and writes a checkpoint and the history."""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..annotations import StrPath
from ..errors import AudioSRError, UsageError, cause
from ..presets import DEFAULT_PRESET, load_preset
from ..presets.settings import read_preset
from ..processes.partial_files import remove_abandoned, write_json
from ..processes.versions import versions
from ..runners.checkpoint import CHECKPOINT, RECORD, kept_epoch, read_history, read_record

# Most changed settings that an error message lists, and most characters of each value in it.
_MOST_CHANGES = 5
_LONGEST = 24


def _claim(out: Path, arguments: dict) -> None:
    """Makes the run's folder, or checks that an existing one belongs to the same run."""
    record = out / RECORD
    if not record.is_file():
        if out.is_dir():
            remove_abandoned(out)  # left by a run that was killed while it wrote its first file
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(f"a new run needs an empty folder; {out} has other files; name another folder with -o")
        out.mkdir(parents=True, exist_ok=True)
        write_json(record, {"arguments": arguments, "versions": versions()})
        return
    before = read_record(out)["arguments"]
    if before != arguments:
        changes = list(_changes(before, arguments))
        told = ", ".join(changes[:_MOST_CHANGES])
        told += f" and {len(changes) - _MOST_CHANGES} more" if len(changes) > _MOST_CHANGES else ""
        ended = read_history(out) is not None and (out / CHECKPOINT).is_file()
        fix = "name another folder with -o, or use the old values"
        if ended:
            fix = f"to train its weights further, add --initial-weights {out} and name another folder with -o"
        raise UsageError(
            f"a run {'that has ended keeps' if ended else 'resumes with'} the settings and the music it began with;"
            f" {'' if ended else f'in {out} '}{told}; {fix}"
        )


def _changes(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yields the full name of each setting that differs, with its old and its new value."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        texts = ["not set" if value is None else json.dumps(value) for value in (before, now)]
        old, new = (text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in texts)
        yield f"{name} was {old} and is now {new}"


def _give_back(out: Path) -> None:
    """Removes the files of a run that failed before its first step, so that another run can use the folder."""
    if (out / RECORD).is_file():
        for name in (RECORD, "corpus.json"):
            (out / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            out.rmdir()


def _set_learning_rate(settings: dict, learning_rate: float) -> None:
    """Replaces the highest learning rate of a preset's optimizer, and scales the final rate by the same factor."""
    optimizer = read_preset(settings, settings["name"]).training.optimizer
    final = optimizer.final_learning_rate * learning_rate / optimizer.learning_rate
    changed = dataclasses.replace(optimizer, learning_rate=learning_rate, final_learning_rate=final)
    settings["training"]["optimizer"] |= {
        "learning_rate": changed.learning_rate,
        "final_learning_rate": changed.final_learning_rate,
    }


def _keeps_the_folder(strategy: str | None) -> bool:
    if strategy is None:
        return True
    from ..training.distribution import is_chief

    return is_chief(strategy)


def train(
    preset: StrPath = DEFAULT_PRESET,
    manifest: StrPath = "pairs.jsonl",
    out: StrPath = "run",
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    steps_per_epoch: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    strategy: str | None = None,
    data_service: str | None = None,
    windows: StrPath | None = None,
    pool: StrPath | None = None,
    initial_weights: StrPath | None = None,
    verbose: int = 0,
) -> dict:
    """Trains a preset's network on a manifest's pairs, or on music that is varied and encoded during training.

    Windows come from the albums of the `"train"` split. The checkpoint with the lowest loss on the `"validation"` split
    is kept, or the latest one when the preset's discriminators take part. The run's folder holds `best.keras` (and its
    SHA-256 when the run has ended), `preset.json`, `run.json` (arguments, seed, versions, hash of the manifest),
    `corpus.json` (hashes of the music), `history.csv`, `history.json`, `tensorboard/` (with audio and spectrograms of
    fixed clips) and `state/`. Called again with the same folder, `train` resumes the run. The weights are then those of
    a run that was never interrupted, unless the run is limited by minutes or trains on a pool.

    Args:
        preset: name of a preset, or path of a preset's JSON file.
        manifest: path of the pair manifest that `encode` wrote. It is not used with `pool`.
        out: the run's folder.
        epochs: number of epochs; the preset's when `None`.
        minutes: length of the run in minutes, instead of epochs. Validation and the time before a resume count. The
            learning rate follows the share of the minutes that is over.
        steps_per_epoch: optimizer steps between two evaluations on held-out windows; the preset's when `None`.
        learning_rate: highest learning rate of the run; the preset's when `None`. The final learning rate of the preset
            is scaled by the same factor. Training that begins with `initial_weights` needs a lower rate than training
            that begins with random weights.
        seed: seed of the initial weights, the order of the windows and their augmentation.
        strategy: `"mirrored"` for all GPUs of this machine; `"multi_worker"` for the machines in `TF_CONFIG`, which all
            run this function with a shared folder `out`; `None` for one device. The batches are the same in all cases.
        data_service: address of a tf.data service's dispatcher, `grpc://HOST:PORT`, whose workers prepare the windows.
        windows: folder of training windows that `window` wrote from the same manifest. They are read instead of the
            pairs. With `data_service` the service's workers must find them under the same path.
        pool: `catalog.jsonl` of lossless music (`tools/fetch_music.py`), which is copied into the folder `music` of the
            run; or this folder of another run, whose copy is then read in place. Processes vary, encode and decode this
            music while the network trains on the results.
        initial_weights: model whose weights the network begins with, as `runners.load_model` takes it: a run, a
            checkpoint, an exported model, or the name of a preset with bundled weights. With a few albums of your own,
            such training takes less time. Most weight arrays must have the shapes of the preset's network. The network
            keeps its random values for the others, with a warning.
        verbose: above 0, a line is printed after each epoch.

    Returns:
        `{"best": path of best.keras, "history": list of one dict for each epoch}`.

    Raises:
        UsageError: the preset is unknown, the folder belongs to another run or to a run on other music, `strategy` is
            not available, or arguments do not fit together.
        ArtifactError: the preset's recipe has a wrong key or type.
        ManifestError: the manifest or the windows do not fit the preset.
        AudioSRError: the loss became NaN, the folder cannot be written, or another worker was lost.
    """
    from ..training.limits import Limit

    settings = load_preset(preset)
    if learning_rate is not None:
        _set_learning_rate(settings, learning_rate)
    recipe = read_preset(settings, settings["name"])
    out = Path(out)
    training = {**settings["training"]}
    training["steps_per_epoch"] = training["steps_per_epoch"] if steps_per_epoch is None else steps_per_epoch
    if minutes is None:
        training["epochs"] = training["epochs"] if epochs is None else epochs
        limit = Limit(training["steps_per_epoch"], epochs=training["epochs"])
    else:
        limit = Limit(training["steps_per_epoch"], epochs=epochs, minutes=minutes)
    settings["training"] = training
    if data_service is not None and windows is None:
        raise UsageError(
            f"a data service needs windows; received {data_service} without --windows; name the folder that"
            " 'keras-audiosr window' wrote"
        )
    if pool is not None and (strategy, windows) != (None, None):
        raise UsageError(f"a pool needs no strategy or windows; received {strategy} and {windows}; leave them out")
    music = Path(manifest) if pool is None else _catalog(Path(pool))
    from ..training.runs import Job, train_on_pairs, train_on_pool

    names = _names(music, settings) if pool is None else []
    corpus = hashlib.sha256(music.read_bytes()).hexdigest()
    # Converted to JSON and back, so that a resumed run compares equal types.
    arguments = json.loads(json.dumps({"preset": settings, "corpus_sha256": corpus, "seed": seed}))
    if pool is None:
        # A run that began with windows of left and right cannot resume with windows of mid and side.
        arguments["signals"] = "mid and side"
    if minutes is not None:
        arguments["minutes"] = minutes
    weights = None
    if initial_weights is not None:
        from ..runners import load_model

        weights = load_model(initial_weights).get_weights()
        arguments["initial_weights_sha256"] = hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()
    held, keeps = (out / RECORD).exists(), _keeps_the_folder(strategy)
    try:
        if keeps:
            _claim(out, arguments)
        history = read_history(out)
        if history is None:
            job = Job(settings, recipe, limit, out, seed, weights, verbose)
            if pool is not None:
                history = train_on_pool(job, music)
            else:
                if keeps:
                    from ..training.fingerprint import hold_to_corpus

                    hold_to_corpus(out / "corpus.json", music.parent, names)
                shards = None if windows is None else Path(windows)
                history = train_on_pairs(job, music, strategy, data_service, shards)
    except AudioSRError:
        if keeps and not held and not (out / "state").exists() and not (out / "music").exists():
            _give_back(out)
        raise
    except OSError as error:
        raise AudioSRError(
            f"the run's folder must be writable; {out}: {cause(error)}; check its permissions and the free space"
        ) from error
    return {"best": out / "best.keras", "history": history}


def _names(manifest: Path, settings: dict) -> list[str]:
    """Returns the files of a manifest's pairs. Prints how many pairs are left out because of their sample rate."""
    from ..datasets import Pair, read_manifest

    pairs, rate = read_manifest(manifest, Pair), settings["sample_rate"]
    others = [pair for pair in pairs if pair.sample_rate != rate]
    if others and len(others) < len(pairs):
        print(
            f"{len(others)} of {len(pairs)} pairs are left out: {settings['name']!r} is trained at {rate} Hz, and"
            f" {others[0].lossless} has {others[0].sample_rate} Hz",
            file=sys.stderr,
        )
    return [name for pair in pairs for name in (pair.lossless, pair.lossy)]


def _catalog(pool: Path) -> Path:
    """Returns the file that lists the music of a pool."""
    found = pool / "collection.json" if pool.is_dir() else pool
    if not found.is_file():
        raise UsageError(
            f"a pool needs a catalog of music; {pool} is neither a file nor a folder with a collection.json;"
            " tools/fetch_music.py makes one"
        )
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr train`."""
    parser.add_argument("preset", help=f"name of a preset (such as {DEFAULT_PRESET}), or path of its JSON file")
    manifest_help = "pairs.jsonl that 'keras-audiosr encode' wrote (default: pairs.jsonl); not used with --pool"
    parser.add_argument("manifest", nargs="?", default="pairs.jsonl", help=manifest_help)
    parser.add_argument("-o", "--out", default="run", help="folder of the run; a run in it is resumed (default: run)")
    parser.add_argument("--epochs", type=int, help="number of epochs (default: the preset's)")
    parser.add_argument("--minutes", type=float, help="length of the run in minutes, instead of in epochs")
    parser.add_argument("--steps-per-epoch", type=int, help="optimizer steps in an epoch (default: the preset's)")
    rate_help = "highest learning rate (default: the preset's); use a lower one with --initial-weights"
    parser.add_argument("--learning-rate", type=float, help=rate_help)
    seed_help = "seed of initial weights, order of windows and augmentation (default: 0)"
    parser.add_argument("--seed", type=int, default=0, help=seed_help)
    initial_help = "begin with the weights of this run, checkpoint, exported model or bundled preset"
    parser.add_argument("--initial-weights", metavar="MODEL", help=initial_help)
    strategy_help = "mirrored: all GPUs of this machine; multi_worker: all machines in TF_CONFIG (docs/scale_out.md)"
    parser.add_argument("--strategy", choices=("mirrored", "multi_worker"), help=strategy_help)
    service_help = "dispatcher of a tf.data service that prepares the windows; needs --windows (docs/scale_out.md)"
    parser.add_argument("--data-service", metavar="grpc://HOST:PORT", help=service_help)
    windows_help = "folder of windows that 'window --split train' wrote, which are read instead of the pairs"
    parser.add_argument("--windows", metavar="FOLDER", help=windows_help)
    pool_help = (
        "catalog.jsonl of lossless music (tools/fetch_music.py), which is varied and encoded during training. The"
        " music is copied to OUT/music; another run can share this copy if it is given that folder as CATALOG"
    )
    parser.add_argument("--pool", metavar="CATALOG", help=pool_help)


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr train`; returns the exit code."""
    result = train(
        args.preset,
        args.manifest,
        args.out,
        epochs=args.epochs,
        minutes=args.minutes,
        steps_per_epoch=args.steps_per_epoch,
        learning_rate=args.learning_rate,
        seed=args.seed,
        strategy=args.strategy,
        data_service=args.data_service,
        windows=args.windows,
        pool=args.pool,
        initial_weights=args.initial_weights,
        verbose=1,
    )
    best, count = kept_epoch(result["history"]), len(result["history"])
    bands = f", band distance {best['val_band_distance']:.2f} dB" if "val_band_distance" in best else ""
    print(
        f"{count} epoch{'s' if count > 1 else ''}; kept: epoch {best['epoch'] + 1}, validation loss"
        f" {best['val_loss']:.4f}, SNR {best['val_snr']:.2f} dB, LSD {best['val_lsd']:.3f}{bands}; {result['best']}"
    )
    return 0
