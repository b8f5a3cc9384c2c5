"""Outward-rounded enclosures of the two irrational functions: exp and the reciprocal square root.
(SPEC-6)

An enclosure at precision P is a pair of integers (lower, upper) standing for [lower, upper] * 2^-P.
``x >> s`` rounds toward minus infinity, ``-(-x >> s)`` toward plus infinity.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from math import isqrt

from checker.ground import record
from checker.ground.ledger import Ledger

Enclosure = tuple[int, int]
"""The lower and the upper end."""

GUARD_BITS = 12
"""Bits beyond the precision for exponentials: with these, 96 bits take three Taylor terms."""
TABLE_BITS = 36
"""Bits beyond those while tables of exponentials are formed: the 2^27th power of the first entry
has 2^27 times its error."""
REST_BITS = 27
"""What digits leave of an argument is below 2^-27."""
ROOT_BITS = 64
"""Bits of 1/sqrt(d_head) beyond the precision of exponentials."""


def shift_up(value: int, bits: int) -> int:
    """Return the ceiling of ``value * 2^-bits``."""
    return -(-value >> bits)


@cache
def inverse_sqrt(d: int, precision: int) -> Enclosure:
    """Return an enclosure of 1/sqrt(d) at ``precision`` bits.  (SPEC-6.2)

    Requires: d >= 1.
    Sound because r = isqrt(floor(4^P / d)) is the floor of 2^P/sqrt(d); exact when d is a power of
    four.
    """
    square = 1 << 2 * precision
    lower = isqrt(square // d)
    exact = lower * lower * d == square
    return lower, lower if exact else lower + 1


def taylor(r: int, width: int, k: int) -> int:
    """Return exp(-x) in units of u = 2^-width, wrong by at most 4, for every x of which r u is the
    floor.  (SPEC-6.3)

    Requires: 0 <= x <= 2^-k, k >= 1, width >= 1.

    Proof, W = width.  r u <= x < (r + 1) u, which moves exp(-x) by less than one u.  Horner's step
    p -> 2^W - floor(r p / (2^W j)) multiplies an error by at most 2^-k <= 1/2 and adds less than 1,
    so after all N steps the error is below 2.  The Taylor series of exp(-r u) alternates with
    decreasing terms; the first term left out, (r u)^(N+1)/(N+1)!, is at most 2^-k(N+1) <= u.
    """
    unit = 1 << width
    p = unit
    for j in range((width - 1) // k, 0, -1):
        p = unit - (r * p >> width) // j
    return p


@cache
def exp_tables(precision: int) -> tuple[list[list[int]], int]:
    """Return tables of exp(-d * 2^-s) by d, for s = 27, 18, 9 and 0, in units of u = 2^-W,
    W = precision + 12, and how far the product of one entry of each and of a Taylor sum less 4 may
    be too small.  (SPEC-6.3)

    Proof.  The first power of the first table is a Taylor sum of an exact argument, and 4 on each
    side.  A power times the first one, both ends rounded outward, encloses the next; the 512th is
    the first of the next table, for 512 = 2^9.  Entries are lower ends, too small by at most
    ``widest`` = w.  The five factors are at most one: too small by w, w, w, w and 8, they move
    their product by no more than the sum, and each of four floors by less than one.
    """
    width = precision + GUARD_BITS
    finer = width + TABLE_BITS
    p = taylor(1 << (finer - REST_BITS), finer, REST_BITS)
    low = p - 4
    high = p + 4
    tables = []
    widest = 0
    for last in (512, 512, 512, 694 * precision // 1000):
        low_factor = low
        high_factor = high
        low = high = 1 << finer
        table = [1 << width]
        for _ in range(last):
            low = low * low_factor >> finer
            high = shift_up(high * high_factor, finer)
            table.append(low >> TABLE_BITS)
            widest = max(widest, shift_up(high, TABLE_BITS) - table[-1])
        tables.append(table)
    return tables, 4 * widest + 8 + 4


def exp_enclosure(y: int, scale: int, precision: int) -> Enclosure:
    """Return an enclosure of exp(-y * 2^-scale) at ``precision`` bits, within [0, 1].  (SPEC-6.3)

    Requires: y >= 0, scale >= 0, precision >= 16.
    Cost:     that of ``exp_of_floor``.
    """
    if y == 0:
        return 1 << precision, 1 << precision
    width = precision + GUARD_BITS
    r = y << (width - scale) if scale <= width else y >> (scale - width)
    return exp_of_floor(r, precision)


@lru_cache(2)
def exp_of_floor(r: int, precision: int) -> Enclosure:
    """Return an enclosure of exp(-y) at ``precision`` bits for every y > 0 of which r u is the
    floor, u = 2^-W.  (SPEC-6.3)

    Both ends of a score that is known exactly ask for the same r, so the last one is remembered.
    Cost: about precision / 27 + 5 multiplications of integers of that many bits; for the first
          exponential of a precision about 1.4 precision + 3 000 more.

    Proof.  The argument is an integer, three digits of nine bits and a rest below 2^-27, of which
    ``rest`` units of 2^-W are the floor; exp of it is the product of exp of these five.  What is
    too small by less than ``error`` is below that plus ``error``; both shifts are outward.
    An integer part beyond the last table is above 0.694 precision; then exp of the argument is
    below 2^-precision, because 0.694 > ln 2.
    """
    tables, error = exp_tables(precision)
    third, second, first, whole = tables
    width = precision + GUARD_BITS
    digits = r >> (width - REST_BITS)
    units = digits >> 27
    if units >= len(whole):
        return 0, 1
    rest = r - (digits << (width - REST_BITS))
    p = whole[units] * first[digits >> 18 & 511] >> width
    p = p * second[digits >> 9 & 511] >> width
    p = p * third[digits & 511] >> width
    p = p * (taylor(rest, width, REST_BITS) - 4) >> width
    upper = shift_up(p + error, GUARD_BITS)
    return p >> GUARD_BITS, min(upper, 1 << precision)


def lower_exponentials(
    arguments: Iterable[int], precision: int
) -> tuple[list[int], int]:
    """Return lower bounds on exp(-y u) for all arguments y, u = 2^-precision, and how far one may
    be below the truth, in units of u.  (SPEC-6.3, SPEC-14.4)

    Requires: arguments >= 0, precision >= 16.

    Proof.  As for ``exp_of_floor``, of which these are the lower ends, without what a call and an
    upper end take: p is too small by at most ``error``, less than ``error >> GUARD_BITS`` and one
    more in units of u, and the last shift loses less than one.  What lies beyond the last table is
    below 1.
    """
    tables, error = exp_tables(precision)
    third, second, first, whole = tables
    width = precision + GUARD_BITS
    shift = width - REST_BITS
    mask = (1 << shift) - 1
    unit = 1 << width
    terms = range((width - 1) // REST_BITS, 0, -1)
    found = []
    for y in arguments:
        r = y << GUARD_BITS
        digits = r >> shift
        units = digits >> 27
        if units >= len(whole):
            found.append(0)
            continue
        rest = r & mask
        t = unit
        for j in terms:
            t = unit - (rest * t >> width) // j
        p = whole[units] * first[digits >> 18 & 511] >> width
        p = p * second[digits >> 9 & 511] >> width
        p = p * third[digits & 511] >> width
        found.append(p * (t - 4) >> width + GUARD_BITS)
    return found, (error >> GUARD_BITS) + 2


@record
class Exponentials:
    """Enclosures of exponentials of scores over ``2^-scale``, divided by sqrt(d_head).
    (SPEC-6.4)
    """

    d_head: int
    scale: int
    ledger: Ledger

    def ends(self, below: Sequence[Enclosure], precision: int) -> list[Enclosure]:
        """Return per pair (low, high) bounds (lower, upper) on exp(-y/sqrt(d_head)) for all y
        between, in units of 2^-precision.

        Requires: 0 <= low <= high, exact score differences.
        Cost:     two exponentials each.
        """
        self.ledger.charge(exp=2 * len(below))
        spare = precision + ROOT_BITS
        root_low, root_high = inverse_sqrt(self.d_head, spare)
        scale = self.scale + spare
        found = []
        for low, high in below:
            # The largest y gives the lower end, the smallest the upper end.
            lower = exp_enclosure(high * root_high, scale, precision)[0]
            upper = exp_enclosure(low * root_low, scale, precision)[1]
            found.append((lower, upper))
        return found
