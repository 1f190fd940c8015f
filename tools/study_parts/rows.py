"""Defines the rows of the study: the network, the pairs, the loss and the optimizer of each."""

import copy
import dataclasses

from keras_audiosr.presets import load_preset

# Settings that all rows share. If a row has other settings, its note says so.
BATCH_SIZE = 16
WINDOW_LENGTH = 2000
EPOCHS = 10
VALIDATION_STEPS = 6
LOSS = [{"name": "l2", "weight": 1.0}]
OPTIMIZER = {"name": "adam", "learning_rate": 1e-3, "final_learning_rate": 1e-5, "clip_norm": 1.0}

# The loss of a released model, with frames that fit into a window of 2,000 samples.
SPECTRAL = [
    {
        "name": "multi_resolution_stft",
        "weight": 1.0,
        "config": {"frame_lengths": [256, 512, 1024], "convergence_weight": 0.5},
    },
    {"name": "negative_snr", "weight": 0.02},
]
STATISTICS = [{"name": "feature_statistics", "weight": 1.0}, {"name": "negative_snr", "weight": 0.02}]
VDSR_SGD = {
    "name": "sgd",
    "learning_rate": 0.1,
    "final_learning_rate": 1e-3,
    "momentum": 0.9,
    "adjustable_clip": 0.01,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One trained row.

    Attributes:
        name: name of the row and of its folder.
        preset: preset with the architecture and its sizes.
        note: how the row differs from the shared settings; empty if it does not.
        config: changes to the arguments of the architecture.
        loss: loss, as in a preset.
        optimizer: optimizer, as in a preset.
        window_length: samples of a training window, a multiple of the network's hop.
        corpus: `"mp3@64k"`, `"half_rate"` or `"quarter_rate"`.
        exported_length: samples of a window of the exported model; the shared length if `None`.
    """

    name: str
    preset: str
    note: str = ""
    config: dict = dataclasses.field(default_factory=dict)
    loss: list = dataclasses.field(default_factory=lambda: LOSS)
    optimizer: dict = dataclasses.field(default_factory=lambda: OPTIMIZER)
    window_length: int = WINDOW_LENGTH
    corpus: str = "mp3@64k"
    exported_length: int | None = None

    def settings(self, steps: int, smoke: bool) -> dict:
        """Returns the row's preset for `train`, with this number of optimizer steps in all (rounded up to epochs)."""
        preset = copy.deepcopy(load_preset(self.preset))
        preset["name"] = self.name
        preset["model"]["config"] |= self.config
        if smoke:
            _shrink(preset["model"]["config"])
        preset["data"] |= {"window_length": self.window_length, "batch_size": 2 if smoke else BATCH_SIZE}
        preset["data"] |= {"gain": None, "polarity": False, "lossless_share": 0.0, "min_level": -60.0, "visits": 6}
        epochs = 1 if smoke else EPOCHS
        steps_per_epoch = max(1, -(-steps // epochs))
        # The moving average of the weights covers two hundredths of the run.
        momentum = 1.0 - 1.0 / max(2.0, 0.02 * steps_per_epoch * epochs)
        preset["training"] |= {
            "epochs": epochs,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": 1 if smoke else VALIDATION_STEPS,
            "patience": epochs,
            "optimizer": {**self.optimizer, "ema_momentum": momentum},
            "loss": self.loss,
        }
        # Some released presets have these settings. They are removed, so that rows differ only as their notes say.
        preset["training"].pop("adversarial", None)
        preset["data"].pop("undo_encoder_gain", None)
        # One length for all rows whose receptive field it can contain. The U-Net and the transform need a power of two.
        preset["export"] = {"window_length": self.exported_length or (16384 if smoke else 65536)}
        return preset

    def definition(self, smoke: bool) -> dict:
        """Returns the settings without texts and without those that follow from the number of steps.

        They are the same on every machine, while the number of steps depends on its speed.
        """
        preset = self.settings(1000, smoke)
        del preset["name"], preset["description"]
        del preset["training"]["steps_per_epoch"], preset["training"]["optimizer"]["ema_momentum"]
        return preset


def _shrink(config: dict) -> None:
    """Reduces an architecture's arguments in place to a network that is small enough for a test."""
    config["filters"] = 0.02 if "num_levels" in config else 4
    for name in ("num_blocks", "num_units", "num_recursions", "num_layers"):
        if name in config and "dilation_rates" not in config:
            config[name] = min(config[name], 2)


# The rows in the order in which they are trained.
ROWS = (
    Row("paired_resnet", "paired_resnet_sample_44k", "the seed"),
    Row(
        "paired_resnet_frame",
        "paired_resnet_frame_1024_44k",
        "the seed at frame rate; windows of 2,048",
        window_length=2048,
    ),
    Row("vdsr", "vdsr_44k"),
    Row("srresnet", "srresnet_44k"),
    Row("audio_unet", "audio_unet_44k", "windows of 2,048", window_length=2048),
    Row("resnet", "resnet_44k"),
    Row("resnet_pre_activation", "resnet_pre_activation_44k"),
    Row("drrn_b1u9", "drrn_b1u9_44k"),
    Row("drcn", "drcn_44k", "without supervision; kernels of 3", {"supervision": 0.0}),
    Row("paired_resnet_row", "paired_resnet_sample_44k", "the seed's layers in a row", {"arrangement": "row"}),
    Row(
        "paired_resnet_frame_spectral",
        "paired_resnet_frame_1024_44k",
        "spectral loss; windows of 2,048",
        loss=SPECTRAL,
        window_length=2048,
    ),
    Row(
        "paired_resnet_frame_spectral_row",
        "paired_resnet_frame_1024_44k",
        "the same layers in a row; spectral loss; windows of 2,048",
        {"arrangement": "row"},
        loss=SPECTRAL,
        window_length=2048,
    ),
    Row("paired_resnet_spectral", "paired_resnet_sample_44k", "spectral loss", loss=SPECTRAL),
    Row("paired_resnet_statistics", "paired_resnet_sample_44k", "feature-statistics loss", loss=STATISTICS),
    Row("vdsr_clipped", "vdsr_44k", "SGD with adjustable gradient clipping, as published", optimizer=VDSR_SGD),
    Row("drcn_supervised", "drcn_44k", "every recursion supervised, as published; kernels of 3"),
    Row("audio_unet_half_rate", "audio_unet_44k", "windows of 2,048", window_length=2048, corpus="half_rate"),
    Row("audio_unet_quarter_rate", "audio_unet_44k", "windows of 2,048", window_length=2048, corpus="quarter_rate"),
    Row("drrn_b1u25", "drrn_b1u25_44k"),
    Row(
        "paired_resnet_frame_long",
        "paired_resnet_frame_1024_44k",
        "spectral loss of the release; windows of 16,384",
        loss=load_preset("paired_resnet_frame_1024_44k")["training"]["loss"],
        window_length=16384,
    ),
    Row("resnet_plain", "resnet_44k", "without shortcuts", {"variant": "plain"}),
    Row(
        "paired_resnet_bands",
        "paired_resnet_bands_44k",
        "the seed's tree on bands, with the excitation; spectral loss of the release; windows of 65,536",
        loss=load_preset("paired_resnet_bands_44k")["training"]["loss"],
        window_length=65536,
        # Its context is 42,496 samples on each side.
        exported_length=262144,
    ),
)
