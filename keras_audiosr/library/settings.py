"""How songs are restored: one choice for a whole run."""

import dataclasses

from ..audio.writers import sample_format
from ..errors import UsageError

CLIPS = ("limit", "clamp", "none")
# Hz. What FLAC, soxr and every player agree on.
RATES = (8000, 192_000)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How songs are restored.

    Args:
        subtype: `"PCM_16"`, `"PCM_24"` or, in WAV and AIFF, `"FLOAT"`; `None` for 24 bits.
        strength: share of the model's correction, 0 to 1.
        rate: Hz of the outputs; each song's own when `None`.
        clip: what happens beyond full scale: `"limit"`, `"clamp"`, `"none"`; by `None` integers are clamped and
            floating point is left alone.
        overwrite: whether existing outputs are replaced.
        skip_done: whether an output that was made the same way counts as done; else it is refused like any other.
        force: whether lossless and restored files are restored too.
        strict: whether a file that holds less or more than it declares is a failure.
        dry_run: whether nothing is written.

    Raises:
        UsageError: a value out of its range.
    """

    subtype: str | None = None
    strength: float = 1.0
    rate: int | None = None
    clip: str | None = None
    overwrite: bool = False
    skip_done: bool = False
    force: bool = False
    strict: bool = False
    dry_run: bool = False

    def __post_init__(self):
        # Written so that NaN fails too.
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"strength lies between 0 and 1; received {self.strength}; try 0.5")
        if self.rate is not None and not RATES[0] <= self.rate <= RATES[1]:
            raise UsageError(
                f"a sample rate lies between {RATES[0]} and {RATES[1]} Hz; received {self.rate}; try 44100"
            )
        if self.clip not in (None, *CLIPS):
            raise UsageError(f"clip is one of {', '.join(CLIPS)}; received {self.clip!r}; try limit")

    def sample_format(self, suffix: str) -> str:
        """The subtype of outputs with this suffix.

        Raises:
            UsageError: the format does not have it, or it cannot hold what `clip` asks for.
        """
        wanted = sample_format(suffix, self.subtype)
        if self.clip == "none" and wanted != "FLOAT":
            raise UsageError(
                f"only floating point holds samples beyond full scale; received clip none for {wanted};"
                " add --format wav --subtype FLOAT, or take limit"
            )
        return wanted

    def clips(self, subtype: str) -> str:
        """What happens beyond full scale in this subtype."""
        return self.clip or ("none" if subtype == "FLOAT" else "clamp")

    def recorded(self, suffix: str) -> dict:
        """What of this changes the samples: the settings that a record keeps."""
        subtype = self.sample_format(suffix)
        return {
            "format": suffix.lower().lstrip("."),
            "subtype": subtype,
            "strength": self.strength,
            "rate": self.rate or "keep",
            "clip": self.clips(subtype),
        }
