"""Checks the settings of a pipeline before anything is decoded: which pairs it reads, and which windows it cuts.

This module does not import TensorFlow, so that wrong settings are reported at once.
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
    """Settings that say which pairs of a manifest are read, in which order, and where their windows begin.

    Attributes:
        split: `"train"`, `"validation"` or `"test"`; albums belong to one split as a whole. `None` for all pairs.
        codecs: names such as `("mp3@64k",)`; `None` for all.
        sample_rate: Hz; pairs at another rate are left out.
        hop_length: samples from the start of one window to the start of the next; the window's length when `None`.
        shuffle: whether files and windows come in random order, with the windows of eight files mixed at a time.
            Otherwise files come in the manifest's order, their signals (mid before side) one after the other, and the
            windows of a signal in order of time.
        seed: seed of the order and of the augmentation.
        decoder: one of `decode.DECODERS`; `None` for the fastest, soundfile.
        split_seed, split_fractions: as for `split_albums`.

    Raises:
        UsageError: a value is out of its range.
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
    """Returns the settings of a pipeline: those given or the defaults, with the fields in `keywords` overridden.

    By default a window has 2,000 samples, as in the paper, and a batch has 32 windows.

    Raises:
        UsageError: a keyword is unknown, or a value is out of its range.
    """
    windows = windows or WindowSettings(window_length=WINDOW_LENGTH, batch_size=32)
    reading = reading or ReadSettings()
    names = [{field.name for field in dataclasses.fields(one)} for one in (windows, reading)]
    for key in keywords:
        if key not in names[0] | names[1]:
            near = nearest(key, sorted(names[0] | names[1]))
            raise UsageError(f"there is no setting {key!r} of windows; did you mean {near!r}?")
    of_windows, of_reading = ({key: keywords[key] for key in keywords if key in known} for known in names)
    return dataclasses.replace(windows, **of_windows), dataclasses.replace(reading, **of_reading)


def select_pairs(pairs: list[Pair], reading: ReadSettings) -> list[Pair]:
    """Selects the pairs of one split and of some codecs.

    Args:
        pairs: lines of a manifest.
        reading: settings, of which `split`, `codecs`, `split_seed` and `split_fractions` are used.

    Raises:
        ManifestError: no pair is left, or a codec is not in the manifest. The message lists what the manifest has.
    """
    split, codecs = reading.split, reading.codecs
    # All albums are split before codecs are selected, so that the selection does not move an album to another split.
    splits = split_albums((pair.album for pair in pairs), reading.split_seed, reading.split_fractions)
    if codecs is not None:
        codecs = [codecs] if isinstance(codecs, str) else list(codecs)
        present = sorted({pair.codec for pair in pairs})
        absent = [codec for codec in codecs if codec not in present]
        if absent or not codecs:
            raise ManifestError(
                f"codecs must be in the manifest, which has {', '.join(present)}; received"
                f" {', '.join(absent) or 'none'}; choose from these, or encode the missing ones"
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
    """The checked settings of a pipeline, and the numbers that follow from them.

    Attributes:
        pairs: the pairs that are read.
        folder: the manifest's folder.
        windows: settings of the windows.
        reading: settings of the reading.
        decoder: one of `decode.DECODERS`.
    """

    pairs: list[Pair]
    folder: Path
    windows: WindowSettings
    reading: ReadSettings
    decoder: str

    @property
    def hop_length(self) -> int:
        """Samples from the start of one window to the start of the next."""
        return self.reading.hop_length or self.windows.window_length

    @property
    def row_length(self) -> int:
        """Length in samples of the rows that windows are gathered from. Without overlap a row is a whole window."""
        return math.gcd(self.windows.window_length, self.hop_length)

    def num_windows(self, pair: Pair) -> int:
        """Returns the number of whole windows in one signal of a pair: mid, side, or a channel that has no partner."""
        return max(0, (pair.length - self.windows.window_length) // self.hop_length + 1)

    @property
    def total_windows(self) -> int:
        """Number of windows in one pass over all pairs, including silent ones."""
        return sum(self.num_windows(pair) * pair.channels for pair in self.pairs)


def make_plan(manifest: StrPath, windows: WindowSettings, reading: ReadSettings) -> Plan:
    """Reads the manifest, and checks that something in it fits the settings.

    Raises:
        ManifestError: the manifest cannot be read, or nothing in it fits.
        UsageError: settings contradict each other, or the decoder is not available.
    """
    if windows.visits > 1 and not reading.shuffle:
        raise UsageError(f"visits must be 1 without shuffling; received visits={windows.visits}; use visits=1")
    decoder = choose_decoder(reading.decoder)
    pairs = select_pairs(read_manifest(manifest, Pair), reading)
    fitting = [pair for pair in pairs if pair.sample_rate == reading.sample_rate]
    if not fitting:
        raise ManifestError(
            f"at least one pair must have a sample rate of {reading.sample_rate} Hz; none has, and {pairs[0].lossless}"
            f" has {pairs[0].sample_rate} Hz; use that rate"
        )
    plan = Plan(fitting, Path(manifest).parent, windows, reading, decoder)
    # A file that is too short for a window need not be decoded.
    long_enough = [pair for pair in fitting if plan.num_windows(pair)]
    if not long_enough:
        longest = max(pair.length for pair in fitting)
        raise ManifestError(
            f"at least one file must hold a window of {windows.window_length} samples; the longest has {longest};"
            " choose a smaller window_length"
        )
    return dataclasses.replace(plan, pairs=long_enough)
