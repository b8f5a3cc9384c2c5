"""Activations of balls: ReLU, and ``x / (1 + exp(-z(x)))`` through exp.  (SPEC-4.5, SPEC-14.5)"""

from functools import cache
from math import isqrt

from checker.ground.interval import lower_exponentials
from checker.leaves.balls import Ball, largest

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

    Requires: ``function`` is relu; gelu_new, with z = sqrt(8/pi) (x + 0.044715 x^3) and at least 32
              bits; or silu, with z = x.

    Proof of the error for a middle x.  For gelu_new, z is wrong by at most
    ``15.6 abs(z) + 1.1`` units; the logistic function moves at most a quarter of that, less than
    ``blur``.
    w is at most ``below`` less than E = exp(-abs(z)), so 1/(1 + E) and E/(1 + E) are wrong by no
    more, for their derivatives are at most 1.  Multiplied by x, and rounded once for the value and
    once for the error: ``+ 2``.
    """
    if function == "relu":
        # Lipschitz constant 1.
        positive = [x if x > 0 else 0 for x in ball.middles]
        return Ball(positive, ball.radius)
    zs = ball.middles
    blur = 0
    if function == "gelu_new":
        a = slope(precision)
        b = 44715 * a // MILLION
        twice = 2 * precision
        zs = [x * (a + (b * x * x >> twice)) >> precision for x in zs]
        blur = 4 * (largest(zs) >> precision) + 5
    one = 1 << precision
    weights, below = lower_exponentials(map(abs, zs), precision)
    found = list[int]()
    for x, z, w in zip(ball.middles, zs, weights, strict=True):
        scaled = x << precision if z >= 0 else x * w
        found.append(scaled // (one + w))
    error = (ball.top() * (below + blur) >> precision) + 2
    # Lipschitz constant 2.
    return Ball(found, 2 * ball.radius + error)
