"""What a preset says, as frozen dataclasses: its network, its windows, its training, its export."""

import dataclasses
import math
from typing import Any

from ..errors import UsageError
from .reading import read_settings


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """A preset's `model`.

    Attributes:
        architecture: a key of `models.MODELS`.
        config: the arguments of its function.
    """

    architecture: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """A preset's `data`: windows of music as a network is trained on them.

    Attributes:
        window_length: samples.
        batch_size: windows a batch.
        min_level: windows whose lossless side has an RMS below this level are skipped, in dB relative to full scale (a
            constant 1.0 is 0 dB); `None` keeps all. This skips silence, and the stereo side of music that is mono.
        gain: `(low, high)` in dB; each window gets a random gain, the same on both sides.
        polarity: each window's sign flips at random, on both sides.
        lossless_share: share of the windows, 0 to 1, whose lossy side is replaced by the lossless one: what has nothing
            to restore, for a network to learn to leave alone.
        visits: times that each file is decoded in a pass, for a share of its windows each time. More of them bring
            windows of more files together, at the cost of decoding; with one, batches that follow each other
            come from the same few songs, and a network trained on them leans to the last it heard.
        undo_encoder_gain: the gain that LAME gave its MP3s is undone on the lossy side, as `restore` does for a model
            that was trained so.

    Raises:
        UsageError: a value out of its range.
    """

    window_length: int
    batch_size: int
    min_level: float | None = None
    gain: tuple[float, float] | None = None
    polarity: bool = False
    lossless_share: float = 0.0
    visits: int = 1
    undo_encoder_gain: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "window_length", "batch_size", "visits")
        if self.gain is not None and not self.gain[0] <= self.gain[1]:
            raise UsageError(f"gain must be (low, high) in dB; received {self.gain}; put the lower one first")
        if not 0.0 <= self.lossless_share <= 1.0:
            raise UsageError(f"lossless_share is a share, 0 to 1; received {self.lossless_share}; try 0.05")

    def as_cut(self) -> "WindowSettings":
        """The same windows as they were cut: each once, and none of them varied."""
        return dataclasses.replace(self, gain=None, polarity=False, lossless_share=0.0, visits=1)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """A preset's `training.optimizer`, as `optimizers.build_optimizer` and `limits.learning_rate` describe it.

    Raises:
        UsageError: another name than Adam's and SGD's, something that the optimizer needs is missing, or a learning
            rate is not above 0.
    """

    name: str
    learning_rate: float
    final_learning_rate: float
    ema_momentum: float
    clip_norm: float | None = None
    momentum: float | None = None
    adjustable_clip: float | None = None
    warm_up_steps: int = 0

    def __post_init__(self) -> None:
        needed = {"adam": ("clip_norm",), "sgd": ("momentum", "adjustable_clip")}
        if self.name not in needed:
            raise UsageError(f"optimizer must be 'adam' or 'sgd'; received {self.name!r}; use 'adam'")
        for key in needed[self.name]:
            if getattr(self, key) is None:
                raise UsageError(f"optimizer {self.name!r} needs {key!r}; there is none; add it")
        for key in ("learning_rate", "final_learning_rate"):
            if not 0.0 < getattr(self, key) < math.inf:
                raise UsageError(
                    f"{key} must be more than 0; received {getattr(self, key)}; give a number such as 0.0003"
                )


@dataclasses.dataclass(frozen=True)
class AdversarialSettings:
    """A preset's `training.adversarial`: discriminators, as `discriminators.Adversary` describes them.

    Attributes:
        start: share of the run, 0 to 1, from which on they take part.
    """

    start: float
    weight: float
    feature_weight: float
    kind: str = "spectral"
    learning_rate: float = 2e-4
    frame_lengths: tuple[int, ...] = (512, 1024, 2048)
    filters: int = 16
    lowest: float = 4000.0
    clip_norm: float = 1.0
    examples: int = 4
    samples: int = 16384


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """One term of a preset's `training.loss`, as `losses.build_loss` describes it."""

    name: str
    weight: float
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """A preset's `training`.

    Attributes:
        epochs: of a run that no minutes limit.
        steps_per_epoch: steps between two looks at held-out windows.
        validation_steps: batches of held-out windows, at most.
        patience: epochs without a lower loss after which a run ends that epochs limit.
        optimizer, loss, adversarial: what a step does.
        dtype_policy: Keras' name of it.
    """

    epochs: int
    steps_per_epoch: int
    validation_steps: int
    patience: int
    optimizer: OptimizerSettings
    loss: tuple[LossSettings, ...]
    dtype_policy: str = "float32"
    adversarial: AdversarialSettings | None = None

    def __post_init__(self) -> None:
        require_positive(self, "epochs", "steps_per_epoch", "validation_steps")
        if not self.loss:
            raise UsageError("a training needs a loss; received none; add one to 'loss'")


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """A preset's `export`.

    Attributes:
        window_length: samples that the exported model takes at once.
    """

    window_length: int

    def __post_init__(self) -> None:
        require_positive(self, "window_length")


@dataclasses.dataclass(frozen=True)
class Preset:
    """All that a preset says.

    Attributes:
        name: letters, digits, `_`, `-` and `.`: also that of its export's folder.
        description: what it is, in a sentence or two.
        sample_rate: Hz of the audio that the network takes.
        model, data, training, export: the network, the windows it is trained on, how it is, and what is made of it.
    """

    name: str
    description: str
    sample_rate: int
    model: ModelSettings
    data: WindowSettings
    training: TrainingSettings
    export: ExportSettings

    def __post_init__(self) -> None:
        require_positive(self, "sample_rate")


def read_preset(preset: Any, source: str) -> Preset:
    """The settings of a preset as JSON gave it; `source` is named in what is wrong with it.

    Raises:
        ArtifactError: a key is missing or unknown, or a value is of another type or out of its range; one line, with
            the nearest key.
    """
    return read_settings(Preset, preset, f"preset {source}")


def require_positive(settings: Any, *names: str) -> None:
    """Raises `UsageError` for a number below 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} must be at least 1; received {getattr(settings, name)}; give a positive number")
