"""Boxes of wide cells, as tight as the checker's own test lets them be."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from checker.wide import box
from checker.wide.frame import WideFrame
from checker.wide.hints import Side

BITS = 30


def tightest(passes: Callable[[int, int], bool]) -> tuple[int, int]:
    """Return (a, e) such that a 2^e passes and a less does not.

    Requires: what passes is all from some number on.
    """
    exponent = -60
    while exponent < 100 and not passes(1, exponent):
        exponent += 4
    high, exponent = 1 << BITS, exponent - BITS
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle, exponent) else (middle, high)
    return high, exponent


def side_of(first: Any, other: Any, maximum: int | None) -> Side:
    """Return a side that is as tight as the checker's own test allows, or the widest."""

    def is_above(mantissa: int, exponent: int) -> bool:
        factors = 1 << max(-exponent, 0), mantissa << max(exponent, 0)
        return box._largest(first, other, factors, maximum) <= 0

    def is_below(mantissa: int, exponent: int) -> bool:
        # of the reciprocal: W_h <= mantissa 2^exponent W_0
        factors = 1 << max(-exponent, 0), mantissa << max(exponent, 0)
        return box._largest(other, first, factors, maximum) <= 0

    above, below = tightest(is_above), tightest(is_below)
    two = Fraction(2)
    exponent = max(min(above[1], 128), -128)
    low = 1 / (below[0] * two ** below[1]) / two**exponent
    high = above[0] * two ** above[1] / two**exponent
    return Side(int(low), max(-int(-high // 1), int(low)), exponent)


MOST = 1 << 31


def bounds_of(whole: WideFrame, k: int) -> tuple[int, int]:
    """Return bounds of one neuron as tight as the checker's own test lets them be."""
    ends = []
    for sign in (-1, 1):
        low, high = -MOST, MOST
        while high - low > 1:
            middle = (low + high) // 2
            bounds = (-MOST, middle) if sign > 0 else (-middle, MOST)
            low, high = (low, middle) if whole._is_read(k, bounds) else (middle, high)
        ends.append(sign * high)
    return min(ends), max(ends)
