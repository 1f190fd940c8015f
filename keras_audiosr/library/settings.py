"""How songs are restored: one choice for a whole run, and its options on the command line.

An option is declared once, as a field of `Settings`. Its name gives the option of the command line and the keyword of
`keras_audiosr.restore`, whose type checkers read `RestoreOptions`.
"""

import argparse
import dataclasses
from typing import Any, TypedDict

from ..errors import UsageError

CLIPS = ("limit", "clamp", "none")
# How what was skipped comes into the output folder.
WAYS = ("copy", "link")
# Hz. What FLAC, soxr and every player agree on.
RATES = (8000, 192_000)
# Hz that the command line offers.
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
    """A field that the command line offers too, with its help text and arguments of `add_argument`."""
    return dataclasses.field(default=default, metadata={"help": text, **arguments})


def _rate(text: str) -> int | None:
    rates = {"keep": None, **{str(rate): rate for rate in _USUAL_RATES}}
    if text not in rates:
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(rates)})")
    return rates[text]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How songs are restored.

    Args:
        subtype: sample format of FLAC, WAV and AIFF: `"PCM_16"` (with TPDF dither), `"PCM_24"` or, in WAV and AIFF,
            `"FLOAT"`; 24 bits when `None`.
        strength: share of the model's correction that is applied, 0 (none) to 1.
        rate: sample rate of the outputs in Hz, resampled by libsoxr; each song keeps its own when `None`.
        min_rate: lowest sample rate of the outputs in Hz. Songs of a lower rate are resampled to it; all others keep
            their own.
        clip: what happens to peaks beyond full scale: `"limit"` turns the gain down around true peaks, `"clamp"` cuts
            the samples, `"none"` leaves them. When `None`, integers are clamped and floating point is left alone.
        others: how songs that are skipped and images beside the songs come into the output folder: `"copy"`, or
            `"link"` for hard links, which take no space (copies where the disk has none). Not at all when `None`.
        overwrite: whether existing outputs are replaced.
        force: whether lossless songs and songs that were restored before are restored too.
        strict: whether a song is a failure if its file holds less or more than it declares, or if something of it (a
            channel layout, tags, chapters, pictures, sound tracks) does not fit into its output. Otherwise there is a
            warning.
        dry_run: whether the run stops at saying what it would do.
        skip_done: whether an output that was made in the same way counts as done. Otherwise it is refused like any
            other file.

    Raises:
        UsageError: a value out of its range, or both `rate` and `min_rate`.
    """

    subtype: str | None = _option(None, "sample format: PCM_24 (default), PCM_16 (dithered) or, in WAV and AIFF, FLOAT")
    strength: float = _option(1.0, "share of the correction that is applied, 0 to 1 (default: 1)", type=float)
    rate: int | None = _option(
        None, "sample rate of the output in Hz (default: keep)", type=_rate, metavar="{keep,44100,48000,96000}"
    )
    min_rate: int | None = _option(
        None, "raise songs of a lower sample rate to this one, in Hz; leave the others", type=int, choices=_USUAL_RATES
    )
    clip: str | None = _option(
        None, "peaks beyond full scale: turn them down, cut them (default), or keep them (FLOAT)", choices=CLIPS
    )
    others: str | None = _option(
        None, "bring skipped songs and folder images into the output folder, as copies or hard links", choices=WAYS
    )
    overwrite: bool = _option(False, "replace existing outputs")
    force: bool = _option(False, "also restore lossless songs and songs that were restored before")
    strict: bool = _option(False, "fail where a file is cut short or joined, or where something of it is left out")
    dry_run: bool = _option(False, "say what would be done, and how large the outputs would be")
    skip_done: bool = False

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"strength must be between 0 and 1; received {self.strength}; try 0.5")
        for rate in (self.rate, self.min_rate):
            if rate is not None and not RATES[0] <= rate <= RATES[1]:
                raise UsageError(
                    f"a sample rate must be between {RATES[0]} and {RATES[1]} Hz; received {rate}; try 44100"
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
        """The subtype of outputs with this suffix.

        Raises:
            UsageError: the format does not have it, or it cannot hold what `clip` asks for.
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
        """What happens beyond full scale in this subtype."""
        return self.clip or ("none" if subtype == "FLOAT" else "clamp")

    def output_rate(self, sample_rate: int) -> int:
        """The sample rate in Hz of the output of a song with this one."""
        return max(sample_rate, self.min_rate or 0) if self.rate is None else self.rate

    def recorded(self, suffix: str) -> dict:
        """What of this changes the samples: the settings that a record keeps."""
        subtype = self.sample_format(suffix)
        return {
            "format": suffix.lower().lstrip("."),
            "subtype": subtype,
            "strength": self.strength,
            "rate": self.rate or (f"{self.min_rate} or higher" if self.min_rate else "keep"),
            "clip": self.clips(subtype),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that are fields of `Settings`."""
    for field in dataclasses.fields(Settings):
        if field.metadata:
            option = f"--{field.name.replace('_', '-')}"
            values: dict[str, Any] = {"action": "store_true"} if field.default is False else {"default": field.default}
            parser.add_argument(option, **values, **field.metadata)


def settings_of(args: argparse.Namespace, skip_done: bool) -> Settings:
    """The settings that the command line asks for.

    Raises:
        UsageError: as for `Settings`.
    """
    asked = {field.name: getattr(args, field.name) for field in dataclasses.fields(Settings) if field.metadata}
    return Settings(**asked, skip_done=skip_done)
