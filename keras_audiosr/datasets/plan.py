"""Which pairs, cut into which windows: the arguments of a pipeline, checked before anything is decoded.

No TensorFlow here: what is wrong with a request is said at once.
"""

import dataclasses
import math
from pathlib import Path

from ..errors import ManifestError, UsageError
from .decode import choose_decoder
from .pairs import SPLITS, Pair, read_manifest, split_albums


def select_pairs(
    pairs: list[Pair],
    split: str | None = None,
    codecs=None,
    split_seed: int = 0,
    split_fractions: tuple[float, float] = (0.1, 0.0),
) -> list[Pair]:
    """The pairs of one split and of some codecs.

    Args:
        pairs: lines of a manifest.
        split: `"train"`, `"validation"`, `"test"`, or `None` for all.
        codecs: names such as `["mp3@64k"]`; `None` for all.
        split_seed, split_fractions: as for `split_albums`.

    Raises:
        ManifestError: nothing is left, or a codec is not in the manifest; says what there is.
        UsageError: no such split.
    """
    if split is not None and split not in SPLITS:
        raise UsageError(f"split must be one of {', '.join(SPLITS)}; got {split!r}; leave it out for all of them")
    # Of the whole shelf: which codecs are asked for moves no album.
    splits = split_albums((pair.album for pair in pairs), split_seed, split_fractions)
    if codecs is not None:
        codecs = [codecs] if isinstance(codecs, str) else list(codecs)
        present = sorted({pair.codec for pair in pairs})
        absent = [codec for codec in codecs if codec not in present]
        if absent or not codecs:
            raise ManifestError(
                f"codecs are some of the manifest's, {', '.join(present)}; got {', '.join(absent) or 'none'};"
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
    """The checked arguments of a pipeline, and what follows from them."""

    pairs: list[Pair]
    folder: Path
    window_length: int
    hop_length: int
    batch_size: int
    shuffle: bool
    visits: int
    seed: int
    gain: tuple[float, float] | None
    polarity: bool
    lossless_share: float
    min_level: float | None
    undo_encoder_gain: bool
    decoder: str

    @property
    def row_length(self) -> int:
        """Windows are gathered as rows of this many samples: whole windows where they do not overlap."""
        return math.gcd(self.window_length, self.hop_length)

    def num_windows(self, pair: Pair) -> int:
        """Whole windows in one channel of a pair."""
        return max(0, (pair.length - self.window_length) // self.hop_length + 1)

    @property
    def total_windows(self) -> int:
        """Windows in one pass over all pairs, before any is left out as silent."""
        return sum(self.num_windows(pair) * pair.channels for pair in self.pairs)


def make_plan(
    manifest,
    *,
    split: str | None = None,
    window_length: int = 2000,
    hop_length: int | None = None,
    batch_size: int = 32,
    codecs=None,
    sample_rate: int = 44100,
    shuffle: bool = True,
    visits: int = 1,
    seed: int = 0,
    gain: tuple[float, float] | None = None,
    polarity: bool = False,
    lossless_share: float = 0.0,
    min_level: float | None = None,
    undo_encoder_gain: bool = False,
    decoder: str | None = None,
    split_seed: int = 0,
    split_fractions: tuple[float, float] = (0.1, 0.0),
) -> Plan:
    """Reads the manifest and checks the arguments of `build_dataset`, which documents them.

    Raises:
        ManifestError: unreadable, or nothing in it fits the request.
        UsageError: an argument out of its range.
    """
    hop_length = window_length if hop_length is None else hop_length
    positive = {
        "window_length": window_length,
        "hop_length": hop_length,
        "batch_size": batch_size,
        "visits": visits,
    }
    for name, value in positive.items():
        if value < 1:
            raise UsageError(f"{name} must be at least 1; got {value}; give a positive number")
    if gain is not None and not gain[0] <= gain[1]:
        raise UsageError(f"gain must be (low, high) in dB; got {gain}; put the lower one first")
    if not 0.0 <= lossless_share <= 1.0:
        raise UsageError(f"lossless_share is a share, 0 to 1; got {lossless_share}; try 0.05")
    if visits > 1 and not shuffle:
        raise UsageError(f"files are visited once when windows keep their order; got visits={visits}; take 1")
    pairs = select_pairs(read_manifest(manifest, Pair), split, codecs, split_seed, split_fractions)
    for pair in pairs:
        if pair.sample_rate != sample_rate:
            raise ManifestError(
                f"every pair must have the sample rate asked for, {sample_rate} Hz; {pair.lossless} has"
                f" {pair.sample_rate} Hz; ask for that rate, or leave the file out"
            )
    plan = Plan(
        pairs=pairs,
        folder=Path(manifest).parent,
        window_length=window_length,
        hop_length=hop_length,
        batch_size=batch_size,
        shuffle=shuffle,
        visits=visits,
        seed=seed,
        gain=gain,
        polarity=polarity,
        lossless_share=lossless_share,
        min_level=min_level,
        undo_encoder_gain=undo_encoder_gain,
        decoder=choose_decoder(decoder),
    )
    # A file too short for one window would be decoded for nothing.
    long_enough = [pair for pair in pairs if plan.num_windows(pair)]
    if not long_enough:
        longest = max(pair.length for pair in pairs)
        raise ManifestError(
            f"at least one file must hold a window of {window_length} samples; the longest has {longest};"
            " take a smaller window_length"
        )
    return dataclasses.replace(plan, pairs=long_enough)
