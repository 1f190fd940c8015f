"""The settings of a restoration run and their options on the command line.

Each option is a field of `Settings`. The command line and the keywords of `keras_audiosr.restore` take their names from
these fields. `RestoreOptions` repeats them for type checkers.
"""

import argparse
import dataclasses
from typing import Any, TypedDict

from ..errors import UsageError

CLIPS = ("limit", "clamp", "none")
# Ways in which skipped songs and images can get into the output folder.
WAYS = ("copy", "link")
# Lowest and highest sample rate of an output in Hz. FLAC, soxr and common players support this range.
RATES = (8000, 192_000)
# Sample rates in Hz that the command line offers.
_USUAL_RATES = (44_100, 48_000, 96_000)


class RestoreOptions(TypedDict, total=False):
    """The keywords of `restore` that are fields of `Settings`, for type checkers."""

    subtype: str | None
    strength: float
    rate: int | None
    min_rate: int | None
    clip: str | None
    others: str | None
    overwrite: bool
    force: bool
    strict: bool
    dry_run: bool


def _option(default: Any, text: str, **arguments: Any) -> Any:
    """Declares a field that is also a command-line option, with its help text and arguments for `add_argument`."""
    return dataclasses.field(default=default, metadata={"help": text, **arguments})


def _rate(text: str) -> int | None:
    rates = {"keep": None, **{str(rate): rate for rate in _USUAL_RATES}}
    if text not in rates:
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(rates)})")
    return rates[text]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings with which songs are restored.

    Args:
        subtype: sample format of FLAC, WAV and AIFF: `"PCM_16"` (with TPDF dither), `"PCM_24"` or, for WAV and AIFF
            only, `"FLOAT"`. If `None`, samples have 24 bits.
        strength: share of the model's correction that is applied, from 0 (none) to 1 (all).
        rate: sample rate of the outputs in Hz, 8,000 to 192,000. libsoxr resamples songs of other rates. If `None`,
            each song keeps its sample rate.
        min_rate: lowest sample rate of the outputs in Hz, 8,000 to 192,000. Songs with a lower rate are resampled to
            it. All others keep their rate.
        clip: treatment of peaks beyond full scale. `"limit"` lowers the gain around true peaks, `"clamp"` clips the
            samples, and `"none"` leaves them, which needs the sample format `"FLOAT"`. If `None`, integer samples are
            clamped and floating-point samples are left alone.
        others: how skipped songs and images beside the songs get into the output folder. `"copy"` copies them.
            `"link"` makes hard links, which take no space, or copies if the disk has no hard links. If `None`, they are
            left out.
        overwrite: whether existing outputs are replaced.
        force: whether songs are also restored if they are lossless, of high bitrate or already restored.
        strict: whether a song fails if its file contains less or more than it declares, or if a part of it (channel
            layout, tags, chapters, pictures, sound tracks) does not fit into its output. If false, such a song causes a
            warning.
        dry_run: whether the run only reports what it would do.
        skip_done: whether an existing output counts as done if it was made from the same source with the same model
            and settings. If false, it is refused like any other existing file.

    Raises:
        UsageError: a value is out of its range, or both `rate` and `min_rate` are given.
    """

    subtype: str | None = _option(None, "sample format: PCM_24 (default), PCM_16 (dithered) or, in WAV and AIFF, FLOAT")
    strength: float = _option(1.0, "share of the correction that is applied, 0 to 1 (default: 1)", type=float)
    rate: int | None = _option(
        None, "sample rate of the output in Hz (default: keep)", type=_rate, metavar="{keep,44100,48000,96000}"
    )
    min_rate: int | None = _option(
        None, "resample songs with a lower sample rate to this one, in Hz", type=int, choices=_USUAL_RATES
    )
    clip: str | None = _option(
        None,
        "peaks beyond full scale: lower the gain around them, clamp the samples (default for integers), or keep them"
        " (FLOAT only)",
        choices=CLIPS,
    )
    others: str | None = _option(
        None, "copy or hard-link skipped songs and images into the output folder", choices=WAYS
    )
    overwrite: bool = _option(False, "replace existing outputs")
    force: bool = _option(False, "also restore songs that are lossless, of high bitrate, or already restored")
    strict: bool = _option(
        False, "fail if a file is truncated or joined, or if a part of it does not fit into the output"
    )
    dry_run: bool = _option(False, "only print what would be done, and how large the outputs would be")
    skip_done: bool = False

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"strength must be between 0 and 1; received {self.strength}; try 0.5")
        for rate in (self.rate, self.min_rate):
            if rate is not None and not RATES[0] <= rate <= RATES[1]:
                raise UsageError(
                    f"a sample rate must be between {RATES[0]} and {RATES[1]} Hz; received {rate} Hz; try 44100"
                )
        if self.rate is not None and self.min_rate is not None:
            raise UsageError(
                f"a run has either a rate or a lowest rate; received rate {self.rate} and min_rate {self.min_rate};"
                " leave one out"
            )
        for name, value, values in (("clip", self.clip, CLIPS), ("others", self.others, WAYS)):
            if value not in (None, *values):
                raise UsageError(f"{name} must be one of {', '.join(values)}; received {value!r}; try {values[0]}")

    def sample_format(self, suffix: str) -> str:
        """Returns the sample format of outputs with this suffix.

        Raises:
            UsageError: the output format does not support `subtype`, or `clip` is `"none"` with an integer format.
        """
        from ..files.writers import sample_format

        wanted = sample_format(suffix, self.subtype)
        if self.clip == "none" and wanted != "FLOAT":
            raise UsageError(
                f"only floating point holds samples beyond full scale; received clip none for {wanted};"
                " add --format wav --subtype FLOAT, or use limit"
            )
        return wanted

    def clips(self, subtype: str) -> str:
        """Returns the treatment of peaks beyond full scale for a sample format: `"limit"`, `"clamp"` or `"none"`."""
        return self.clip or ("none" if subtype == "FLOAT" else "clamp")

    def output_rate(self, sample_rate: int) -> int:
        """Returns the output's sample rate in Hz for a song with this sample rate in Hz."""
        return max(sample_rate, self.min_rate or 0) if self.rate is None else self.rate

    def recorded(self, suffix: str) -> dict:
        """Returns the settings that affect the samples. They become part of the output's record."""
        subtype = self.sample_format(suffix)
        return {
            "format": suffix.lower().lstrip("."),
            "subtype": subtype,
            "strength": self.strength,
            "rate": self.rate or (f"{self.min_rate} or higher" if self.min_rate else "keep"),
            "clip": self.clips(subtype),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field of `Settings` that the command line offers."""
    for field in dataclasses.fields(Settings):
        if field.metadata:
            option = f"--{field.name.replace('_', '-')}"
            values: dict[str, Any] = {"action": "store_true"} if field.default is False else {"default": field.default}
            parser.add_argument(option, **values, **field.metadata)


def settings_of(args: argparse.Namespace, skip_done: bool) -> Settings:
    """Returns the settings from parsed arguments of the command line.

    Args:
        args: result of a parser with the options of `add_arguments`.
        skip_done: as in `Settings`.

    Raises:
        UsageError: as for `Settings`.
    """
    asked = {field.name: getattr(args, field.name) for field in dataclasses.fields(Settings) if field.metadata}
    return Settings(**asked, skip_done=skip_done)
