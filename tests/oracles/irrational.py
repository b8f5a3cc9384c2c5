"""Four independent oracles for floor(exp(-y * 2^-scale) * 2^precision).

exp of a non-zero rational is irrational, so for y > 0 the floor f is all there is to
know at a precision: an interval [lo, hi] encloses the value exactly when lo <= f and
f + 1 <= hi.  Each oracle asks another library for an enclosure of the value with
more and more bits until both ends have the same floor, and no two of them share code:
Arb (python-flint), MPFR with directed rounding (gmpy2), the decimal module
(correctly rounded by its specification), mpmath with a wide safety margin.
"""

from __future__ import annotations

import decimal
import random
from collections.abc import Callable, Iterator
from math import ceil

import flint
import gmpy2
import mpmath

Point = tuple[int, int, int]  # y, scale, precision
Oracle = Callable[[int, int, int], int]


def floor_by_arb(y: int, scale: int, precision: int) -> int:
    """Return the floor by Arb's balls."""
    extra = 40
    while True:
        with flint.ctx.workprec(precision + extra):
            value = _exact_ball(-y, -scale).exp() * _exact_ball(1, precision)
            found = value.floor().unique_fmpz()
        if found is not None:
            return int(found)
        extra *= 4


def _exact_ball(mantissa: int, exponent: int) -> flint.arb:
    return flint.arb((flint.fmpz(mantissa), flint.fmpz(exponent)))


def floor_by_mpfr(y: int, scale: int, precision: int) -> int:
    """Return the floor by MPFR, rounded down and rounded up."""
    extra = 40
    while True:
        bits = max(precision + extra, y.bit_length() + 2)
        ends = []
        for rounding in (gmpy2.RoundDown, gmpy2.RoundUp):
            with gmpy2.context(
                precision=bits, round=rounding, emin=gmpy2.get_emin_min(), emax=gmpy2.get_emax_max()
            ):
                argument = gmpy2.div_2exp(gmpy2.mpfr(-y), scale)
                value = gmpy2.mul_2exp(gmpy2.exp(argument), precision)
                ends.append(int(gmpy2.floor(value)))
        if ends[0] == ends[1]:
            return ends[0]
        extra *= 4


def floor_by_decimal(y: int, scale: int, precision: int) -> int:
    """Return the floor by the decimal module, whose exp is correctly rounded."""
    extra = 12
    while True:
        digits = ceil(precision * 0.30103) + extra
        wide = decimal.Context(
            prec=scale + len(str(y)) + 10, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX
        )
        narrow = decimal.Context(prec=digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
        # y / 2^scale = y 5^scale / 10^scale: exact.
        value = narrow.exp(wide.scaleb(decimal.Decimal(-y * 5**scale), -scale))
        below, above = (
            int(_floor_of_product(end, precision))
            for end in (value.next_minus(narrow), value.next_plus(narrow))
        )
        if below == above:
            return below
        extra *= 4


def _floor_of_product(value: decimal.Decimal, precision: int) -> int:
    """Return the floor of value * 2^precision, exactly (value > 0)."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << precision) // denominator


def floor_by_mpmath(y: int, scale: int, precision: int) -> int:
    """Return the floor by mpmath, trusting no more than half of its extra bits."""
    extra = 80
    while True:
        with mpmath.workprec(max(precision + extra, y.bit_length() + 2)):
            value = mpmath.exp(mpmath.ldexp(mpmath.mpf(-y), -scale))
            slack = mpmath.ldexp(1, -precision - extra // 2)
            below, above = (
                int(mpmath.floor(mpmath.ldexp(v, precision)))
                for v in (value - slack, value + slack)
            )
        if below == above:
            return below
        extra *= 4


ORACLES: dict[str, Oracle] = {
    "arb": floor_by_arb,
    "mpfr": floor_by_mpfr,
    "decimal": floor_by_decimal,
    "mpmath": floor_by_mpmath,
}


def random_points(rng: random.Random, count: int, precision: int) -> Iterator[Point]:
    """Yield arguments of every size, from far below one unit to where exp vanishes."""
    for number in range(count):
        scale = rng.choice((0, 1, 8, 40, precision // 2, precision, precision + 30, 2 * precision))
        kind = number % 4
        if kind == 0:  # near zero
            y = rng.randrange(1, 1 << rng.randint(1, max(1, scale)))
        elif kind == 1:  # around one
            y = rng.randrange(1, (4 << scale) + 1)
        elif kind == 2:  # anywhere that leaves something on the grid
            y = rng.randrange(1, (precision << scale) + 1)
        else:  # few bits, like differences of weights
            y = rng.randrange(1, 1 << 12) << rng.randint(0, scale)
            y = min(y, 2 * precision << scale)
        yield y, scale, precision


def points_near_the_grid(rng: random.Random, count: int, precision: int) -> Iterator[Point]:
    """Yield arguments whose exp lies just above, or just below, a multiple of 2^-precision.

    For a grid value g the two integers around -ln(g 2^-precision) 2^scale: with the
    lower, exp exceeds g by about g 2^-scale; with the upper, it falls short of g.
    """
    top = 1 << precision
    for number in range(count):
        kind = number % 4
        if kind == 0:
            g = rng.randrange(1, 9)
        elif kind == 1:
            g = top - rng.randrange(1, 9)
        elif kind == 2:
            g = rng.randrange(1, top)
        else:
            g = 1 << rng.randrange(precision)
        scale = precision + rng.choice((8, 30, 64, precision))
        with mpmath.workprec(2 * scale + 200):
            exact = mpmath.ldexp(mpmath.log(mpmath.mpf(top) / g), scale)
            below = int(mpmath.floor(exact))
        if below > 0:
            yield below, scale, precision
        yield below + 1, scale, precision
