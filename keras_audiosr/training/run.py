"""A training run in its folder. It trains until its limit, resumes from its last state, and keeps the best weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from ..presets.settings import OptimizerSettings
from ..processes.partial_files import write_json
from ..runners.checkpoint import CHECKPOINT, HISTORY, read_history, write_checksum
from .callbacks import BestCheckpoint
from .limits import Clock, Limit
from .loop import fit
from .sources import Batch, Source
from .state import Resume
from .step import Trainer


def run(
    trainer: Trainer,
    source: Source,
    held_out: Sequence[Batch],
    out: Path,
    *,
    limit: Limit,
    optimizer: OptimizerSettings,
    adversarial_from: float = 1.0,
    patience: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    metrics: Sequence[keras.metrics.Metric] = (),
    verbose: int = 0,
) -> list[dict[str, Any]]:
    """Trains in a folder, which receives `best.keras`, `history.json` and `state/`, or resumes a run that was killed.

    A run that has ended is not trained again.

    Args:
        trainer: a new trainer.
        source: source of the training windows.
        held_out: batches for the evaluation after each epoch. The weights with the lowest loss on them are kept. Once
            discriminators take part, the latest weights are kept, because their goal is not a low loss.
        out: the run's folder.
        limit: length of the run.
        optimizer: optimizer settings of a preset.
        adversarial_from: share of the run, 0 to 1, after which the trainer's discriminators take part.
        patience: number of epochs without a lower loss after which the run ends early; `None` for no early end.
        callbacks: additional callbacks. They are called before the state is saved.
        metrics: metrics of the held-out windows.
        verbose: above 0, a line is printed after each epoch.

    Returns:
        The history: one dict for each epoch.

    Raises:
        AudioSRError: a loss is not finite, or the saved state is damaged.
    """
    history = read_history(out)
    if history is not None:
        return history
    out.mkdir(parents=True, exist_ok=True)
    clock, best = Clock(), BestCheckpoint(out / CHECKPOINT)
    remembered: dict[Any, tuple[str, ...]] = {best: ("best",), clock: ("seconds",)}
    ending: list[keras.callbacks.Callback] = []
    if patience is not None:
        early = keras.callbacks.EarlyStopping("val_loss", patience=patience)
        remembered[early] = ("best", "wait", "best_epoch")
        ending = [early]
    resume = Resume(out / "state", trainer, remembered)
    fit(
        trainer,
        source,
        held_out,
        initial_epoch=resume.load(),
        limit=limit,
        optimizer=optimizer,
        adversarial_from=adversarial_from,
        callbacks=[best, *ending, *callbacks, resume],
        metrics=metrics,
        clock=clock,
        verbose=verbose,
    )
    if best.path.is_file():
        write_checksum(best.path)
    write_json(out / HISTORY, resume.history)
    return resume.history
