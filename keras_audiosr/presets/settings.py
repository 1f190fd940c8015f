"""The settings of a preset as frozen dataclasses: its network, its windows, its training and its export."""

import dataclasses
import math
from typing import Any

from ..errors import UsageError
from .reading import read_settings


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The section `model` of a preset.

    Attributes:
        architecture: a key of `models.MODELS`.
        config: the arguments of that function.
    """

    architecture: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """The section `data` of a preset, which describes the windows of music that a network is trained on.

    Attributes:
        window_length: samples per window.
        batch_size: windows per batch.
        min_level: RMS level in dB relative to full scale (a constant 1.0 is 0 dB). Windows whose lossless side is
            quieter are skipped, which leaves out silence and the side channel of mono music. `None` keeps all windows.
        gain: `(low, high)` in dB. Each window is scaled by a random gain in this range, the same for the lossy and the
            lossless side. `None` leaves the levels unchanged.
        polarity: whether the sign of each window is flipped at random, on both sides.
        lossless_share: share of the windows, 0 to 1, whose lossy side is replaced by the lossless one, so that the
            network learns to leave undamaged music unchanged.
        visits: how often each file is decoded in a pass. Each time a share of its windows is taken. With more visits a
            batch mixes windows of more files, but decoding takes longer. With one visit, consecutive batches come from
            the same few songs, and the network adapts to the last of them.
        undo_encoder_gain: whether the gain that LAME applied to an MP3 is undone on the lossy side. `restore` does the
            same for models that were trained in this way.

    Raises:
        UsageError: a value is out of its range.
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
        """Returns settings for the same windows without augmentation: each window comes once and unchanged."""
        return dataclasses.replace(self, gain=None, polarity=False, lossless_share=0.0, visits=1)


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """The section `training.optimizer` of a preset.

    `training.optimizers.build_optimizer` and `training.limits.learning_rate` describe the fields.

    Raises:
        UsageError: the name is neither `"adam"` nor `"sgd"`, a field that the optimizer needs is missing, or a learning
            rate is not a finite number above 0.
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
                raise UsageError(f"optimizer {self.name!r} needs {key!r}; received none; add it")
        for key in ("learning_rate", "final_learning_rate"):
            if not 0.0 < getattr(self, key) < math.inf:
                raise UsageError(
                    f"{key} must be more than 0; received {getattr(self, key)}; give a number such as 0.0003"
                )


@dataclasses.dataclass(frozen=True)
class AdversarialSettings:
    """The section `training.adversarial` of a preset. `training.discriminators.Adversary` describes the other fields.

    Attributes:
        start: share of the run, 0 to 1, after which the discriminators take part.
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
    """One term of a preset's `training.loss`. `losses.build_loss` describes the fields."""

    name: str
    weight: float
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """The section `training` of a preset.

    Attributes:
        epochs: number of epochs of a run that is not limited by minutes.
        steps_per_epoch: number of training steps between two evaluations on held-out windows.
        validation_steps: largest number of batches of held-out windows per evaluation.
        patience: number of epochs without a lower validation loss after which a run ends. It has no effect if the run
            is limited by minutes or has discriminators.
        optimizer, loss, adversarial: the optimizer, the terms of the loss, and the discriminators (`None` for none).
        dtype_policy: name of Keras' dtype policy.

    Raises:
        UsageError: a value is out of its range, or there is no loss.
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
            raise UsageError("training needs a loss; received none; add one to 'loss'")


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """The section `export` of a preset.

    Attributes:
        window_length: samples that the exported model takes at once.

    Raises:
        UsageError: `window_length` is below 1.
    """

    window_length: int

    def __post_init__(self) -> None:
        require_positive(self, "window_length")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A whole preset.

    Attributes:
        name: name of the preset and of the folder of its exported model: letters, digits, `_`, `-` and `.`.
        description: one or two sentences about the model.
        sample_rate: sample rate in Hz of the audio that the network takes.
        model, data, training, export: the network, the windows that it is trained on, the training, and the export.

    Raises:
        UsageError: `sample_rate` is below 1.
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
    """Converts a preset from parsed JSON to its settings. Error messages name it by `source`.

    Raises:
        ArtifactError: a key is missing or unknown, or a value has the wrong type or is out of its range. The message
            has one line, and names the nearest key for an unknown one.
    """
    return read_settings(Preset, preset, f"preset {source}")


def require_positive(settings: Any, *names: str) -> None:
    """Raises a `UsageError` if one of the named numbers is below 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} must be at least 1; received {getattr(settings, name)}; give a positive number")
