"""Outward-rounded enclosures of the two irrational functions: exp and the reciprocal square root.
(SPEC-6)

An enclosure at precision P is a pair of integers (lower, upper) standing for [lower, upper] * 2^-P.
``x >> s`` rounds toward minus infinity, ``-(-x >> s)`` toward plus infinity.
"""

from math import isqrt


def shift_up(value: int, bits: int) -> int:
    """Return the ceiling of ``value * 2^-bits``."""
    return -(-value >> bits)


def inverse_sqrt(d: int, precision: int) -> tuple[int, int]:
    """Return an enclosure of 1/sqrt(d) at ``precision`` bits.  (SPEC-6.2)

    Requires: d >= 1.
    Sound because r = isqrt(floor(4^P / d)) is the floor of 2^P/sqrt(d); exact when d is a power of
    four.
    """
    square = 1 << 2 * precision
    lower = isqrt(square // d)
    exact = lower * lower * d == square
    return lower, lower if exact else lower + 1


def exp_enclosure(y: int, scale: int, precision: int) -> tuple[int, int]:
    """Return an enclosure of exp(-y * 2^-scale) at ``precision`` bits, within [0, 1].  (SPEC-6.3)

    Requires: y >= 0, scale >= 0, precision >= 1.
    Cost:     about 3 sqrt(precision) multiplications of integers of that many bits.

    Proof, in units of u = 2^-W, W = precision + s + 8.  The argument is halved s times so that
    r = y 2^-(scale+s) < 2^-k.  Its integer part r' (a floor) has r' u <= r < (r' + 1) u, which
    moves exp(-r) by less than one u, downward.  Horner's step p -> 2^W - floor(r' p / (2^W j))
    multiplies an error by less than 2^-k <= 1/2 and adds less than 1, so after all steps the error
    is below 2.  The Taylor series of exp(-r') alternates with decreasing terms; the first term
    left out, r^(N+1)/(N+1)!, is below 2^-k(N+1) <= u.  In sum |p - exp(-r)| < 4 u.  Squaring s
    times outward (both ends are positive) keeps the enclosure, and the last shift is outward too.
    If y 2^-scale >= 0.694 precision then exp(-y 2^-scale) < 2^-precision because 0.694 > ln 2.
    """
    if y == 0:
        return 1 << precision, 1 << precision
    if 1000 * y >= 694 * precision << scale:
        return 0, 1
    k = isqrt(precision) + 1
    s = max(0, y.bit_length() - scale + k)
    width = precision + s + 8
    unit = 1 << width
    finer = width - scale - s
    r = y << finer if finer >= 0 else y >> -finer
    p = unit
    for j in range(width // k + 1, 0, -1):
        p = unit - (r * p >> width) // j
    lower = p - 4
    upper = min(p + 4, unit)
    for _ in range(s):
        lower = lower * lower >> width
        upper = shift_up(upper * upper, width)
    return lower >> (width - precision), shift_up(upper, width - precision)
