"""One network's training on an accelerator, under JAX: as long as it is given, on windows that others make.

python -m accelerator.training PRESET OUT --minutes 8      train_accelerated.py starts it, and prepares OUT's parent
"""

import argparse
import json
import math
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import keras
import numpy as np
from keras import ops

from keras_audiosr.callbacks import write_json
from keras_audiosr.losses import MultiResolutionSTFT, NegativeSNR, build_loss
from keras_audiosr.models import build_model
from keras_audiosr.presets import load_preset
from keras_audiosr.runners.checkpoint import CHECKPOINT, PRESET, write_checksum
from keras_audiosr.versions import versions

from .pairs import Pool, draw

# Steps in which the learning rate rises from nothing.
_WARM_UP = 500
# Seconds between looks at the held-out windows, and how many of these the device takes at once.
_BETWEEN = 30.0
_AT_ONCE = 20
# Steps that may be on their way: with more, the clock would run ahead of the device.
_STEPS_AHEAD = 20


def learning_rate(config: dict, step: int, share: float) -> float:
    """That of a preset's optimizer after a share of the time: half a cosine, as `train`'s is over the steps."""
    first, last = config["learning_rate"], config["final_learning_rate"]
    rate = last + 0.5 * (first - last) * (1.0 + math.cos(math.pi * min(1.0, share)))
    return rate * min(1.0, (step + 1) / _WARM_UP)


def batches(pool: Pool, data: dict, batch_size: int, seed: int) -> Iterator[tuple]:
    """Endless `(lossy, lossless)`, each `(batch, time, 1)`, on the device, drawn ahead in a thread."""
    windows, slot_versions = pool.open()
    rng = np.random.default_rng(seed)
    ready: queue.Queue = queue.Queue(8)

    def work() -> None:
        while True:
            batch = draw(windows, slot_versions, batch_size, rng)
            gain = 10.0 ** (rng.uniform(*data["gain"], batch_size) / 20.0)
            gain *= np.where(rng.random(batch_size) < 0.5, -1.0, 1.0) if data["polarity"] else 1.0
            batch *= gain.astype(np.float32)[:, None, None]
            whole = rng.random(batch_size) < data["lossless_share"]
            batch[whole, 0] = batch[whole, 1]
            ready.put((jax.device_put(batch[:, 0, :, None]), jax.device_put(batch[:, 1, :, None])))

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield ready.get()


class Trainer:
    """A network, its optimizer, and the running average of its weights.

    Args:
        preset: what to train.
        seed: of the first weights.
    """

    def __init__(self, preset: dict, seed: int):
        keras.utils.set_random_seed(seed)
        self.config = preset["training"]["optimizer"]
        self.model = build_model(preset["model"]["architecture"], **preset["model"]["config"])
        self.loss = build_loss(preset["training"]["loss"])
        self._optimizer = keras.optimizers.Adam(1.0, global_clipnorm=self.config["clip_norm"])
        self._optimizer.build(self.model.trainable_variables)
        self._others = [variable.value for variable in self.model.non_trainable_variables]
        self._weights = [variable.value for variable in self.model.trainable_variables]
        self.averages = [np.array(weight) for weight in self._weights]
        self._slots = [variable.value for variable in self._optimizer.variables]
        self._jitted = jax.jit(self._pure_step, donate_argnums=(0, 1, 2))

    def restored(self, weights, lossy):
        """What the network with these weights makes of a batch."""
        return self.model.stateless_call(weights, self._others, lossy)[0]

    def _pure_step(self, weights, averages, slots, rate, lossy, lossless):
        def objective(weights):
            return ops.mean(self.loss.call(lossless, self.restored(weights, lossy)))

        value, gradients = jax.value_and_grad(objective)(weights)
        slots = [
            ops.cast(rate, "float32") if variable.path.endswith("learning_rate") else slot
            for variable, slot in zip(self._optimizer.variables, slots, strict=True)
        ]
        weights, slots = self._optimizer.stateless_apply(slots, gradients, weights)
        kept = self.config["ema_momentum"]
        averages = [kept * old + (1.0 - kept) * new for old, new in zip(averages, weights, strict=True)]
        return weights, averages, slots, value

    def step(self, rate: float, lossy, lossless):
        """One step at a learning rate; returns the loss."""
        state = self._jitted(self._weights, self.averages, self._slots, rate, lossy, lossless)
        self._weights, self.averages, self._slots, value = state
        return value

    def save(self, path: Path) -> None:
        """Writes the network with the averaged weights as a `.keras` file, whole or not at all."""
        for variable, average in zip(self.model.trainable_variables, self.averages, strict=True):
            variable.assign(average)
        partial = path.with_name(f"partial.{path.name}")
        self.model.save(partial)
        partial.replace(path)


class HeldOut:
    """Windows that nothing is trained on, and how the averaged weights do on them."""

    def __init__(self, folder: Path, trainer: Trainer):
        self._codecs = np.array(json.loads((folder / "codecs.json").read_text("utf-8")))
        self._windows = np.load(folder / "held_out.npy")
        lsd, snr = MultiResolutionSTFT((2048,), convergence_weight=0.0), NegativeSNR()
        self._restored = jax.jit(trainer.restored)
        self._loss, self._lsd, self._snr = (jax.jit(loss.call) for loss in (trainer.loss, lsd, snr))

    def measure(self, weights) -> dict:
        """The loss, and for each codec LSD as a share of unprocessed and SNR over unprocessed."""
        count = len(self._windows) // _AT_ONCE * _AT_ONCE
        parts = []
        for batch in np.split(self._windows[:count], count // _AT_ONCE):
            lossy, lossless = batch[:, 0, :, None], batch[:, 1, :, None]
            restored = self._restored(weights, lossy)
            lsd = self._lsd(lossless, restored) / self._lsd(lossless, lossy)
            snr = self._snr(lossless, lossy) - self._snr(lossless, restored)
            parts.append(np.stack([self._loss(lossless, restored), lsd, snr]))
        loss, lsd, snr = np.concatenate(parts, axis=1)
        found: dict = {"val_loss": float(loss.mean())}
        for codec in dict.fromkeys(self._codecs[:count].tolist()):
            chosen = self._codecs[:count] == codec
            found[codec] = [round(float(lsd[chosen].mean()), 4), round(float(snr[chosen].mean()), 3)]
        return found


def train(preset: dict, out: Path, minutes: float, batch_size: int, seed: int) -> None:
    """Trains for some minutes; keeps the weights with the lowest loss on the held-out windows."""
    pool = Pool(**json.loads((out.parent / "pool.json").read_text("utf-8")))
    trainer = Trainer(preset, seed)
    held_out = HeldOut(out.parent, trainer)
    stream = batches(pool, preset["data"], batch_size, seed)
    history: list[dict] = []
    # The clock starts behind the compiler, which comes twice: what a step returns is not quite of the first types.
    for _ in range(2):
        value = trainer.step(0.0, *next(stream)).block_until_ready()
    held_out.measure(trainer.averages)
    start = looked = time.monotonic()
    step = 0

    def look() -> None:
        seen = {"epoch": len(history), "step": step, "seconds": round(time.monotonic() - start, 1)}
        seen |= {"loss": float(value)} | held_out.measure(trainer.averages)
        if all(seen["val_loss"] < before["val_loss"] for before in history):
            trainer.save(out / CHECKPOINT)
        history.append(seen)
        print(preset["name"], json.dumps(seen), flush=True)

    while (share := (time.monotonic() - start) / (60.0 * minutes)) < 1.0:
        value = trainer.step(learning_rate(trainer.config, step, share), *next(stream))
        step += 1
        if step % _STEPS_AHEAD == 0:
            value.block_until_ready()
        if time.monotonic() - looked > _BETWEEN:
            looked = time.monotonic()
            look()
    look()
    write_checksum(out / CHECKPOINT)
    write_json(out / "history.json", history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    # The transform and its exact inverse are products of matrices, and want every bit.
    jax.config.update("jax_default_matmul_precision", "float32")
    preset = load_preset(args.preset)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / PRESET, preset)
    arguments = {"minutes": args.minutes, "batch_size": args.batch_size, "seed": args.seed, "preset": preset}
    record = {"arguments": arguments, "device": jax.devices()[0].device_kind, "versions": versions()}
    write_json(args.out / "run.json", record)
    train(preset, args.out, args.minutes, args.batch_size, args.seed)


if __name__ == "__main__":
    main()
