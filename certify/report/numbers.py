"""Numbers for readers, never better than what was proved: bounds are rounded to the safe side."""

from __future__ import annotations

from fractions import Fraction

from certify.decimals import cut, raised

SPACE = "\N{NO-BREAK SPACE}"
LARGEST_WRITTEN = 10**15
"""Larger counts are written with a power of ten."""
MOST_DECIMALS = 14
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def grouped(count: int) -> str:
    """Return a count with its digits in threes: ``16 777 216``."""
    return f"{count:,}".replace(",", SPACE)


def at_least(count: int) -> str:
    """Return a count that is a lower bound; a long one rounded down, as ``1.329 × 10³⁶``."""
    return grouped(count) if count < LARGEST_WRITTEN else _scientific(count, up=0)


def at_most(count: int) -> str:
    """Return a count that is an upper bound; a long one rounded up."""
    return grouped(count) if count < LARGEST_WRITTEN else _scientific(count, up=1)


def about(count: int) -> str:
    """Return a count that is known exactly; a long one is said to be rounded."""
    return grouped(count) if count < LARGEST_WRITTEN else f"about {_scientific(count, up=0)}"


def lead(margin: Fraction | float, digits: int = 4) -> str:
    """Return a proved margin with so many decimals, rounded down.

    Requires: it is not negative.
    """
    return cut(*Fraction(margin).as_integer_ratio(), digits)


def _scientific(count: int, up: int) -> str:
    exponent = len(str(count)) - 1
    unit = 10 ** (exponent - 3)
    mantissa = count // unit + (1 if up and count % unit else 0)
    if mantissa == 10_000:
        mantissa, exponent = 1_000, exponent + 1
    power = str(exponent).translate(_RAISED)
    return f"{mantissa // 1000}.{mantissa % 1000:03d}{SPACE}×{SPACE}10{power}"


def _decimals(part: int, total: int) -> int:
    """Return how many decimals a percentage needs to show some digits of a share and of what it
    lacks.
    """
    smaller = min(part, total - part)
    if smaller == 0:
        return 1
    decimals = 2
    while smaller * 10**decimals < total and decimals < MOST_DECIMALS:
        decimals += 1
    return decimals


def percent_down(part: int, total: int) -> str:
    """Return a share as a percentage, rounded down."""
    return _percent(cut(100 * part, total, _decimals(part, total)))


def percent_up(part: int, total: int) -> str:
    """Return a share as a percentage, rounded up."""
    return _percent(raised(100 * part, total, _decimals(part, total)))


def _percent(text: str) -> str:
    shorter = text.removesuffix(".0")
    return f"{shorter}{SPACE}%"


def one_in(part: int, total: int) -> int:
    """Return the largest n such that ``part`` is at most one n-th of ``total``.

    Requires: 0 < part <= total.
    """
    return total // part
