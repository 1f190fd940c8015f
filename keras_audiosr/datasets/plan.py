"""Which pairs, cut into which windows: the settings of a pipeline, checked before anything is decoded.

No TensorFlow here: what is wrong with a request is said at once.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..annotations import StrPath
from ..errors import ManifestError, UsageError
from ..presets.reading import nearest
from ..presets.settings import WindowSettings, require_positive
from ..shelf.manifests import SPLITS, Pair, read_manifest, split_albums
from .decode import choose_decoder

# Samples in a window where nobody names another length: those of the paper.
WINDOW_LENGTH = 2000


@dataclasses.dataclass(frozen=True)
class ReadSettings:
    """How a manifest is read: which of its pairs, in which order, on which grid of windows.

    Attributes:
        split: `"train"`, `"validation"` or `"test"`, by album; `None` for all.
        codecs: names such as `("mp3@64k",)`; `None` for all.
        sample_rate: Hz; pairs of another rate are left out.
        hop_length: samples from one window's start to the next; the window's length when `None`.
        shuffle: random order of files and windows, eight files mixed at a time. Else files in the
            manifest's order, their signals (mid before side) one after the other, their windows in time.
        seed: of the order, and of what varies windows.
        decoder: one of `decode.DECODERS`; `None` for the fastest, soundfile.
        split_seed, split_fractions: as for `split_albums`.

    Raises:
        UsageError: a value out of its range.
    """

    split: str | None = None
    codecs: Sequence[str] | None = None
    sample_rate: int = 44100
    hop_length: int | None = None
    shuffle: bool = True
    seed: int = 0
    decoder: str | None = None
    split_seed: int = 0
    split_fractions: tuple[float, float] = (0.1, 0.0)

    def __post_init__(self) -> None:
        if self.hop_length is not None:
            require_positive(self, "hop_length")
        if self.split is not None and self.split not in SPLITS:
            raise UsageError(
                f"split must be one of {', '.join(SPLITS)}; received {self.split!r}; leave it out for all of them"
            )


def settings_of(
    windows: WindowSettings | None, reading: ReadSettings | None, keywords: dict[str, Any]
) -> tuple[WindowSettings, ReadSettings]:
    """The settings of a pipeline; keywords are fields of either, and replace what is given whole.

    Without `windows` these have 2,000 samples, as in the paper, and 32 of them are a batch.

    Raises:
        UsageError: an unknown keyword, or a value out of its range.
    """
    windows = windows or WindowSettings(window_length=WINDOW_LENGTH, batch_size=32)
    reading = reading or ReadSettings()
    names = [{field.name for field in dataclasses.fields(one)} for one in (windows, reading)]
    for key in keywords:
        if key not in names[0] | names[1]:
            near = nearest(key, sorted(names[0] | names[1]))
            raise UsageError(f"windows have no setting {key!r}; did you mean {near!r}?")
    of_windows, of_reading = ({key: keywords[key] for key in keywords if key in known} for known in names)
    return dataclasses.replace(windows, **of_windows), dataclasses.replace(reading, **of_reading)


def select_pairs(pairs: list[Pair], reading: ReadSettings) -> list[Pair]:
    """The pairs of one split and of some codecs.

    Args:
        pairs: lines of a manifest.
        reading: whose `split`, `codecs`, `split_seed` and `split_fractions` decide.

    Raises:
        ManifestError: nothing is left, or a codec is not in the manifest; says what there is.
    """
    split, codecs = reading.split, reading.codecs
    # Of the whole shelf: which codecs are asked for moves no album.
    splits = split_albums((pair.album for pair in pairs), reading.split_seed, reading.split_fractions)
    if codecs is not None:
        codecs = [codecs] if isinstance(codecs, str) else list(codecs)
        present = sorted({pair.codec for pair in pairs})
        absent = [codec for codec in codecs if codec not in present]
        if absent or not codecs:
            raise ManifestError(
                f"codecs are some of the manifest's, {', '.join(present)}; received {', '.join(absent) or 'none'};"
                " name those, or encode what is missing"
            )
        pairs = [pair for pair in pairs if pair.codec in codecs]
    if split is None:
        return pairs
    kept = [pair for pair in pairs if splits[pair.album] == split]
    if not kept:
        listed = ", ".join(f"{album!r} ({found})" for album, found in sorted(splits.items())[:8])
        raise ManifestError(
            f"a split needs at least one album; {split!r} has none of the manifest's {len(splits)}: {listed};"
            " add albums, or change split_seed or split_fractions"
        )
    return kept


@dataclasses.dataclass(frozen=True)
class Plan:
    """The checked settings of a pipeline, and what follows from them.

    Attributes:
        pairs: those that are read.
        folder: the manifest's.
        windows: what windows are like.
        reading: how they are read.
        decoder: one of `decode.DECODERS`.
    """

    pairs: list[Pair]
    folder: Path
    windows: WindowSettings
    reading: ReadSettings
    decoder: str

    @property
    def hop_length(self) -> int:
        """Samples from one window's start to the next."""
        return self.reading.hop_length or self.windows.window_length

    @property
    def row_length(self) -> int:
        """Windows are gathered as rows of this many samples: whole windows where they do not overlap."""
        return math.gcd(self.windows.window_length, self.hop_length)

    def num_windows(self, pair: Pair) -> int:
        """Whole windows in one signal of a pair: mid, side, or a channel by itself."""
        return max(0, (pair.length - self.windows.window_length) // self.hop_length + 1)

    @property
    def total_windows(self) -> int:
        """Windows in one pass over all pairs, before any is left out as silent."""
        return sum(self.num_windows(pair) * pair.channels for pair in self.pairs)


def make_plan(manifest: StrPath, windows: WindowSettings, reading: ReadSettings) -> Plan:
    """Reads the manifest, and checks that something in it fits the settings.

    Raises:
        ManifestError: unreadable, or nothing in it fits.
        UsageError: settings that do not go together, or a decoder that is not there.
    """
    if windows.visits > 1 and not reading.shuffle:
        raise UsageError(
            f"files are visited once when windows keep their order; received visits={windows.visits}; take 1"
        )
    decoder = choose_decoder(reading.decoder)
    pairs = select_pairs(read_manifest(manifest, Pair), reading)
    fitting = [pair for pair in pairs if pair.sample_rate == reading.sample_rate]
    if not fitting:
        raise ManifestError(
            f"some pair must have the sample rate asked for, {reading.sample_rate} Hz; {pairs[0].lossless} has"
            f" {pairs[0].sample_rate} Hz, as all others have another; ask for that rate"
        )
    plan = Plan(fitting, Path(manifest).parent, windows, reading, decoder)
    # A file too short for one window would be decoded for nothing.
    long_enough = [pair for pair in fitting if plan.num_windows(pair)]
    if not long_enough:
        longest = max(pair.length for pair in fitting)
        raise ManifestError(
            f"at least one file must hold a window of {windows.window_length} samples; the longest has {longest};"
            " take a smaller window_length"
        )
    return dataclasses.replace(plan, pairs=long_enough)
