"""Activations of balls: ReLU, and ``x / (1 + exp(-z(x)))`` through exp.  (SPEC-4.5, SPEC-14.5)"""

from functools import cache
from math import isqrt

from checker.ground.interval import exp_enclosure
from checker.leaves.balls import Ball

GUARD = 32
MILLION = 10**6


@cache
def slope(precision: int) -> int:
    """Return an integer that differs from ``sqrt(8/pi) * 2^precision`` by less than 2.

    Requires: precision <= 8 192.
    Machin: pi = 16 arctan(1/5) - 4 arctan(1/239).  Over ``unit`` the terms of the two alternating
    series are rounded down once each (repeated floors of divisions are the floor of the whole), and
    the terms left out sum to less than one.  Each has at most precision + 33 terms, so pi is wrong
    by less than 20 (precision + 34) < 2^18, of 2^(precision + 32).
    At pi the slope of sqrt(8/x) is -0.26, so this moves the result by less than 2^-15; the two
    floors by less than 1.5.
    """
    unit = 1 << precision + GUARD
    pi = 0
    for factor, x in ((16, 5), (-4, 239)):
        power = unit // x
        odd = 1
        sign = factor
        while power:
            pi += sign * (power // odd)
            power = power // (x * x)
            odd = odd + 2
            sign = -sign
    return isqrt((unit << 2 * precision + 3) // pi)


def activated(function: str, ball: Ball, precision: int) -> Ball:
    """Return a ball around the activations of a ball.  (SPEC-14.5)

    Requires: ``function`` is relu; gelu_new, with z = sqrt(8/pi) (x + 0.044715 x^3); or silu, with
              z = x.

    Proof of the error for a middle x.  For gelu_new, t is wrong by at most one and z by at most
    ``abs(t)/2^(precision - 1) + 1.6 + 1``; the logistic function moves at most a quarter of that,
    less than ``blur``.
    E = exp(-abs(z)) is wrong by at most ``high - low``, and 1/(1 + E) by no more, for its
    derivative is at most 1; rounding adds less than one.  Multiplied by x, and rounded once for the
    value and once for the error: ``+ 2``.
    """
    if function == "relu":
        # Lipschitz constant 1.
        return Ball([max(value, 0) for value in ball.middles], ball.radius)
    found = list[int]()
    error = 0
    one = 1 << precision
    million = MILLION << 2 * precision
    for x in ball.middles:
        z = x
        blur = 0
        if function == "gelu_new":
            t = x * (million + 44715 * x * x) // million
            z = slope(precision) * t >> precision
            blur = (abs(t) >> precision + 1) + 2
        low, high = exp_enclosure(abs(z), precision, precision)
        logistic = (one << precision) // (one + low)
        found.append(x * (logistic if z >= 0 else one - logistic) >> precision)
        moved = abs(x) * (high - low + 1 + blur)
        error = max(error, (moved >> precision) + 2)
    # Lipschitz constant 2.
    return Ball(found, 2 * ball.radius + error)
