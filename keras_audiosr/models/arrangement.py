"""Arranges residual units in parallel, with their results added in pairs, or in a row, one after the other."""

from collections.abc import Callable
from typing import Any

from keras import layers

ARRANGEMENTS = ("paired", "row")

# (features, remaining look-ahead, dilation rate, name) -> (features, remaining look-ahead)
Unit = Callable[[Any, int | None, int, str], tuple[Any, int | None]]
# (features, padding, name) -> features
Carry = Callable[[Any, str, str], Any]


def paddings(lookahead: int | None, kernel_size: int, *dilation_rates: int) -> tuple[list[str], int | None]:
    """Returns the paddings of consecutive convolutions, and the look-ahead that remains.

    A convolution is centred (`"same"`) if the look-ahead suffices, and causal otherwise.
    """
    found = []
    for dilation_rate in dilation_rates:
        ahead = kernel_size // 2 * dilation_rate
        found.append("same" if lookahead is None or lookahead >= ahead else "causal")
        if lookahead is not None and lookahead >= ahead:
            lookahead -= ahead
    return found, lookahead


def check_arrangement(num_units: int, dilation_rates: tuple[int, ...], arrangement: str, lookahead: int | None) -> None:
    """Raises a `ValueError` if the units cannot be arranged with these arguments."""
    if num_units < 2 or num_units & (num_units - 1):
        raise ValueError(f"num_units must be a power of two, 2 or more; received {num_units}; try 4")
    if len(dilation_rates) != num_units:
        raise ValueError(f"dilation_rates needs one number per unit, {num_units} in all; received {dilation_rates}")
    if arrangement not in ARRANGEMENTS:
        raise ValueError(f"arrangement must be 'paired' or 'row'; received {arrangement!r}; try 'paired'")
    if lookahead is not None and lookahead < 0:
        raise ValueError(f"lookahead must be None, 0 or more; received {lookahead}; try 3")


def arrange(
    features: Any,
    arrangement: str,
    unit: Unit,
    carry: Carry,
    kernel_size: int,
    dilation_rates: tuple[int, ...],
    lookahead: int | None,
) -> tuple[Any, int | None]:
    """Builds the units in one of `ARRANGEMENTS`.

    Args:
        features: input of the first units.
        arrangement: `"paired"` or `"row"`. Both have the same layers with the same numbers of weights.
        unit: applies a residual unit.
        carry: applies the convolution that passes a sum to the next layer.
        kernel_size: number of taps of the convolution in `carry`.
        dilation_rates: dilation rate of each unit.
        lookahead: future frames that the units may use, or `None` for no limit.

    Returns:
        The resulting features, and the look-ahead that remains.
    """
    if arrangement == "row":
        for index, rate in enumerate(dilation_rates):
            features, lookahead = unit(features, lookahead, rate, f"unit_{index}")
        for index in range(len(dilation_rates) - 1):
            (padding,), lookahead = paddings(lookahead, kernel_size, 1)
            features = carry(features, padding, f"carry_{index}")
        return features, lookahead
    units = [unit(features, lookahead, rate, f"unit_{index}") for index, rate in enumerate(dilation_rates)]
    results = [result for result, _ in units]
    # All units begin with the same look-ahead. A sum looks ahead as far as the unit that used most of it.
    lookahead = None if lookahead is None else min(left for _, left in units if left is not None)
    layer = 0
    while len(results) > 1:
        (padding,), lookahead = paddings(lookahead, kernel_size, 1)
        names = [f"layer_{layer}_pair_{index}" for index in range(len(results) // 2)]
        pairs = zip(results[::2], results[1::2], names, strict=True)
        sums = [(layers.Add(name=f"{name}_add")([left, right]), name) for left, right, name in pairs]
        results = [carry(total, padding, name) for total, name in sums]
        layer += 1
    return results[0], lookahead
