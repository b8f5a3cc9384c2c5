"""The smooth activation functions ``x / (1 + exp(-z(x)))``, enclosed through exp.  (SPEC 4.5, 14.5)"""

from functools import cache
from math import isqrt

from checker.ground.interval import exp_enclosure

GUARD = 32


@cache
def slope(precision: int) -> int:
    """Return an integer that differs from ``sqrt(8/pi) * 2^precision`` by less than 2.

    Requires: precision <= 8 192.
    Machin: pi = 16 arctan(1/5) - 4 arctan(1/239).  Over ``unit`` the terms of the two alternating
    series are rounded down
    once each (repeated floors of divisions are the floor of the whole), and the terms left out sum
    to less than one.  Each
    has at most precision + 33 terms, so pi is wrong by less than 20 (precision + 34) < 2^18, of
    2^(precision + 32).
    At pi the slope of sqrt(8/x) is -0.26, so this moves the result by less than 2^-15; the two
    floors by less than 1.5.
    """
    unit, pi = 1 << precision + GUARD, 0
    for factor, x in ((16, 5), (-4, 239)):
        power, j = unit // x, 0
        while power:
            pi += factor * (1 - 2 * (j & 1)) * (power // (2 * j + 1))
            power, j = power // (x * x), j + 1
    return isqrt((unit << 2 * precision + 3) // pi)


def activated(
    function: str, ball: tuple[list[int], int], precision: int
) -> tuple[list[int], int]:
    """Return a ball around the activations of a ball.  (SPEC 14.5)

    Requires: ``function`` is relu; gelu_new, with z = sqrt(8/pi) (x + 0.044715 x^3); or silu, with
              z = x.

    Proof of the error for a middle x.  For gelu_new, t is wrong by at most one and z by at most
    ``abs(t)/2^(precision - 1) + 1.6 + 1``; the logistic function moves at most a quarter of that,
    less than ``blur``.
    E = exp(-abs(z)) is wrong by at most ``high - low``, and 1/(1 + E) by no more, for its
    derivative is at most 1;
    rounding adds less than one.  Multiplied by x, and rounded once for the value and once for the
    error: ``+ 2``.
    """
    if function == "relu":
        return [max(value, 0) for value in ball[0]], ball[1]
    found, error, one, million = [], 0, 1 << precision, 10**6 << 2 * precision
    for x in ball[0]:
        z, blur = x, 0
        if function == "gelu_new":
            t = x * (million + 44715 * x * x) // million
            z, blur = slope(precision) * t >> precision, (abs(t) >> precision + 1) + 2
        low, high = exp_enclosure(abs(z), precision, precision)
        share = (one << precision) // (one + low)
        found.append(x * (share if z >= 0 else one - share) >> precision)
        error = max(error, (abs(x) * (high - low + 1 + blur) >> precision) + 2)
    return found, 2 * ball[1] + error
