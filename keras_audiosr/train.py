"""Stage 5: windows and a preset -> checkpoint and history."""

import argparse
import functools
import hashlib
import json
import sys
from pathlib import Path

from .errors import AudioSRError, UsageError
from .presets import DEFAULT_PRESET, load_preset
from .versions import versions

# Clips that TensorBoard plays after every epoch.
_NUM_CLIPS = 4


def _claim(out: Path, arguments: dict) -> None:
    """Makes the run's folder, or checks that the one there belongs to the same run."""
    from .callbacks import write_json

    record = out / "run.json"
    if not record.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise UsageError(f"a run needs an empty folder or its own; {out} holds other files; name another folder")
        out.mkdir(parents=True, exist_ok=True)
        write_json(record, {"arguments": arguments, "versions": versions()})
        return
    before = json.loads(record.read_text("utf-8"))["arguments"]
    keys = arguments.keys() | before.keys()
    changed = sorted(key for key in keys if before.get(key) != arguments.get(key))
    if changed:
        raise UsageError(
            f"a run resumes with the arguments and the corpus it began with; {out} differs in"
            f" {', '.join(changed)}; name another folder, or bring them back"
        )


def _keeps_the_folder(strategy: str) -> bool:
    from .distribution import is_chief

    return is_chief(strategy)


def train(
    preset=DEFAULT_PRESET,
    manifest="pairs.jsonl",
    out="run",
    *,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    seed: int = 0,
    strategy: str | None = None,
    data_service: str | None = None,
    windows=None,
    initial_weights=None,
    verbose: int = 0,
) -> dict:
    """Trains a preset's network on a manifest's pairs with `compile` and `fit`.

    Windows come from the albums of the `"train"` split; the checkpoint with the
    lowest loss on the `"validation"` split is kept. The run's folder holds
    `best.keras` (and its SHA-256, once the run has ended), `preset.json`,
    `run.json` (arguments, seed, versions, hash of the manifest), `corpus.json`
    (hashes of the music), `history.csv`, `history.json`, `tensorboard/` (with
    audio and spectrograms of fixed clips) and `state/`. Called again on the same
    folder it resumes; the weights are those of a run that was never interrupted.

    Args:
        preset: name of a preset, or path of a preset's JSON file.
        manifest: path of the pair manifest that `encode` wrote.
        out: the run's folder.
        epochs: number of epochs; the preset's when `None`.
        steps_per_epoch: optimizer steps an epoch; the preset's when `None`.
        seed: of the initial weights, the order of windows and their augmentation.
        strategy: `"mirrored"` for all devices of this machine, `"multi_worker"` for the machines in `TF_CONFIG`, each
            running this with a folder `out` that they share; `None` for one device. The batches are the same ones.
        data_service: address of a tf.data service's dispatcher, `grpc://HOST:PORT`, whose workers prepare the windows.
        windows: folder of training windows that `window` wrote of the same manifest; for `data_service`. Its path
            must hold for the service's workers too.
        initial_weights: what `runners.load_model` takes (a run, a checkpoint, an exported model, or the name of a
            preset with bundled weights) to begin with: a shorter way on your own albums. Its arrays must have the
            shapes of the preset's; what has no arrays of its own, such as `lookahead`, may differ.
        verbose: as in `keras.Model.fit`.

    Returns:
        `{"best": path of best.keras, "history": list of one dict an epoch}`.

    Raises:
        UsageError: the preset is unknown, the folder belongs to another run or to one on other music, or `strategy`
            cannot be had.
        ManifestError: the manifest, or the windows, do not fit the preset.
        AudioSRError: the loss became NaN, the folder cannot be written, or another worker is lost.
    """
    settings = load_preset(preset)
    manifest, out = Path(manifest), Path(out)
    training = {**settings["training"]}
    training["epochs"] = training["epochs"] if epochs is None else epochs
    training["steps_per_epoch"] = training["steps_per_epoch"] if steps_per_epoch is None else steps_per_epoch
    if min(training["epochs"], training["steps_per_epoch"]) < 1:
        raise UsageError("epochs and steps_per_epoch must be at least 1; leave them out for the preset's")
    if (data_service is None) != (windows is None):
        raise UsageError(
            f"a data service needs windows and windows need one; received {data_service} and {windows}; name both, or"
            " neither to decode the pairs here"
        )
    settings["training"] = training
    from .datasets import Pair, read_manifest
    from .datasets.fingerprint import hold_to_corpus

    pairs = read_manifest(manifest, Pair)
    corpus = hashlib.sha256(manifest.read_bytes()).hexdigest()
    # Through JSON, so that a resumed run compares like with like.
    arguments = json.loads(json.dumps({"preset": settings, "corpus_sha256": corpus, "seed": seed}))
    weights = None
    if initial_weights is not None:
        from .runners import load_model

        weights = load_model(initial_weights).get_weights()
        arguments["initial_weights_sha256"] = hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()
    try:
        if strategy is None or _keeps_the_folder(strategy):
            _claim(out, arguments)
        ended = out / "history.json"
        if ended.is_file():
            return {"best": out / "best.keras", "history": json.loads(ended.read_text("utf-8"))}
        if strategy is None or _keeps_the_folder(strategy):
            names = [name for pair in pairs for name in (pair.lossless, pair.lossy)]
            hold_to_corpus(out / "corpus.json", manifest.parent, names)
        return _fit(settings, manifest, out, seed, verbose, len(pairs), strategy, data_service, windows, weights)
    except OSError as error:
        raise AudioSRError(f"the run's folder must be writable; {out}: {error}; check its rights and space") from error


def _fit(
    settings: dict, manifest: Path, out: Path, seed: int, verbose: int, num_pairs: int,
    strategy_name: str | None, data_service: str | None, windows, weights,
) -> dict:  # fmt: skip
    import keras
    import tensorflow as tf

    from . import distribution
    from .callbacks import BestCheckpoint, ClipSummaries, Resume, StopOnNaN, write_json
    from .datasets.pipeline import build_dataset, build_training_stream, file_errors
    from .losses import build_loss
    from .metrics import LSD, SNR
    from .models import build_model
    from .optimizers import build_optimizer
    from .runners.checkpoint import write_checksum

    training, data = settings["training"], settings["data"]
    steps = training["steps_per_epoch"]
    # The same weights on every run: no kernel may add up in the order its threads finish.
    tf.config.experimental.enable_op_determinism()
    strategy = distribution.connect(strategy_name)
    replicas = strategy.num_replicas_in_sync
    if data["batch_size"] % replicas:
        raise UsageError(
            f"a batch is dealt out in equal slices; {data['batch_size']} windows do not part into {replicas}; change"
            " batch_size in the preset"
        )
    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_global_policy(training["dtype_policy"])
    with strategy.scope():
        model = build_model(settings["model"]["architecture"], **settings["model"]["config"])
        if weights is not None:
            _begin_with(model, weights)
        model.compile(
            optimizer=build_optimizer(training["optimizer"], training["epochs"] * steps, replicas),
            loss=build_loss(training["loss"]),
            metrics=[SNR(), LSD()],
        )
        model.optimizer.build(model.trainable_variables)

    common = {"sample_rate": settings["sample_rate"], "seed": seed}
    kept = ("window_length", "batch_size", "min_level", "undo_encoder_gain")
    held_out = {name: data[name] for name in kept if name in data}
    validation = build_dataset(manifest, split="validation", drop_remainder=True, **common, **held_out)
    validation = validation.take(training["validation_steps"]).cache()
    with file_errors():
        count = validation.reduce(0, lambda total, _: total + 1)
    if count == 0:
        raise UsageError(
            f"the validation split must fill a batch of {data['batch_size']} windows; {manifest}'s {num_pairs} pairs"
            " do not; add albums, or lower batch_size in the preset"
        )
    # Silent windows are left out, so Keras cannot know how many batches there are.
    validation = validation.apply(tf.data.experimental.assert_cardinality(tf.cast(count, tf.int64)))
    lossy, lossless = next(iter(validation.unbatch().batch(_NUM_CLIPS)))

    with distribution.own_folder(strategy_name, out) as folder, file_errors():
        early = keras.callbacks.EarlyStopping("val_loss", patience=training["patience"])
        best = BestCheckpoint(folder / "best.keras")
        resume = Resume(folder / "state", {early: ("best", "wait", "best_epoch"), best: ("best",)})
        initial_epoch = resume.load(model)
        distribution.agree(strategy, initial_epoch)
        if data_service is None:
            stream = build_training_stream(manifest, steps, initial_epoch, split="train", **common, **data)
        else:
            from .datasets.service import build_served_stream

            arguments = common | {name: value for name, value in data.items() if name != "visits"}
            arguments |= {"batch_size": data["batch_size"] // replicas, "initial_epoch": initial_epoch}
            # The workers of one run share what the service prepares.
            job = f"{out.absolute()} from epoch {initial_epoch}"
            stream = build_served_stream(data_service, windows, manifest, job=job, **arguments)
            stream = distribution.take_turns(strategy, stream)
        log = folder / "history.csv"
        _truncate(log, initial_epoch)
        callbacks = [
            StopOnNaN(),
            # Averages the weights for validation and for what is kept; gives the raw ones back to training.
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            best,
            early,
            keras.callbacks.CSVLogger(str(log), append=True),
            keras.callbacks.TensorBoard(str(folder / "tensorboard")),
            ClipSummaries(folder / "tensorboard" / "clips", lossy.numpy(), lossless.numpy(), settings["sample_rate"]),
            resume,
        ]
        write_json(folder / "preset.json", settings)
        # The stream has shuffled; Keras warns of what it would not do.
        fit = functools.partial(model.fit, shuffle=False)
        if strategy_name is not None:
            fit = functools.partial(distribution.fit, strategy, model)
        fit(
            stream,
            epochs=training["epochs"],
            initial_epoch=initial_epoch,
            steps_per_epoch=steps,
            validation_data=validation,
            callbacks=callbacks,
            verbose=verbose,
        )
        if best.path.is_file():
            write_checksum(best.path)
        write_json(folder / "history.json", resume.history)
    return {"best": out / "best.keras", "history": resume.history}


def _begin_with(model, weights: list) -> None:
    """Gives a new network the weights of another one."""
    shapes = [tuple(weight.shape) for weight in model.weights], [weight.shape for weight in weights]
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"initial weights must fit the preset's network; it has {len(shapes[0])} arrays, they are {len(shapes[1])},"
            " or their shapes differ; take weights of a network of the same sizes"
        )
    model.set_weights(weights)


def _truncate(log: Path, epochs: int) -> None:
    """Drops the rows of epochs that a resumed run repeats, and a row cut short by a kill."""
    if log.is_file():
        rows = log.read_text("utf-8").splitlines(keepends=True)
        log.write_text("".join(rows[: epochs + 1]), "utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `keras-audiosr train`."""
    parser.add_argument("preset", help=f"a preset's name (such as {DEFAULT_PRESET}) or its JSON file")
    parser.add_argument("manifest", help="the pairs.jsonl that encode wrote")
    parser.add_argument("-o", "--out", default="run", help="the run's folder; resumes what is there (default: run)")
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument("--steps-per-epoch", type=int, help="instead of the preset's")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: 0)")
    initial_help = "a run, checkpoint, exported model or preset with weights to begin with"
    parser.add_argument("--initial-weights", metavar="MODEL", help=initial_help)
    strategy_help = "train on all devices of this machine, or on the machines in TF_CONFIG (docs/scale_out.md)"
    parser.add_argument("--strategy", choices=("mirrored", "multi_worker"), help=strategy_help)
    service_help = "dispatcher of a tf.data service that prepares the windows (docs/scale_out.md)"
    parser.add_argument("--data-service", metavar="grpc://HOST:PORT", help=service_help)
    parser.add_argument("--windows", metavar="FOLDER", help="what 'window --split train' wrote, for the data service")


def run(args: argparse.Namespace) -> int:
    """Runs `keras-audiosr train`; returns the exit code."""
    interactive = sys.stdout.isatty()
    result = train(
        args.preset,
        args.manifest,
        args.out,
        epochs=args.epochs,
        steps_per_epoch=args.steps_per_epoch,
        seed=args.seed,
        strategy=args.strategy,
        data_service=args.data_service,
        windows=args.windows,
        initial_weights=args.initial_weights,
        verbose=1 if interactive else 2,
    )
    best = min(result["history"], key=lambda entry: entry["val_loss"])
    print(
        f"{len(result['history'])} epochs; best: epoch {best['epoch'] + 1}, validation loss {best['val_loss']:.4f},"
        f" SNR {best['val_snr']:.2f} dB, LSD {best['val_lsd']:.3f}; {result['best']}"
    )
    return 0
