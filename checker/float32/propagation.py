"""What an allowed float32 execution may do to attention weights and logits, bounded by norms.
(SPEC 12.2)

Everything here is an upper bound: norms are rounded up to multiples of 2^-48, other numbers are
fractions, rounded up
where they would grow long.  Not done here: nothing follows the rounding of single terms; one bound
serves all inputs.
"""

from fractions import Fraction
from math import isqrt

from checker.ground.exact import Matrix, add_row, product
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, root_up, squares

ONE, UNIT, TINY = Fraction(1), Fraction(1, 1 << 24), Fraction(1, 1 << 100)
SHORT_BITS = 96
LARGEST = 1 << 126


def gamma(k: int) -> Fraction:
    """Return gamma_k = k u / (1 - k u)."""
    return Fraction(k, (1 << 24) - k)


def shortened(value: Fraction, by: Fraction = ONE) -> Fraction:
    """Return ``value``, divided by a positive number, rounded up to a multiple of 2^-96."""
    return Fraction(
        over(value * Fraction(by.denominator, by.numerator), SHORT_BITS),
        1 << SHORT_BITS,
    )


def over(value: Fraction, scale: int) -> int:
    """Return ``value`` over 2^-scale, rounded up."""
    return -(-(value.numerator << scale) // value.denominator)


def norms(a: Matrix, ledger: Ledger) -> list[Fraction]:
    """Return upper bounds on the Euclidean norms of the rows.  Cost: a multiplication and an
    addition per entry.
    """
    return [
        Fraction(root_up(value, 2 * a.scale, 1), 1 << TABLE_SCALE)
        for value in squares(a, ledger)
    ]


def norm_of(a: Matrix, ledger: Ledger) -> Fraction:
    """Return an upper bound on the Frobenius norm.  Cost: a multiplication and an addition per
    entry, an addition per row.
    """
    ledger.charge(add=len(a.rows))
    return Fraction(root_up(sum(squares(a, ledger)), 2 * a.scale, 1), 1 << TABLE_SCALE)


def affine(
    x: Fraction, error: Fraction, rows: int, weight: Fraction, bias: Fraction
) -> Fraction:
    """Return the error of a computed ``x W + b``, W with so many rows, x wrong by ``error``.  (SPEC
    12.2)
    """
    return shortened(
        error * weight + gamma(rows + 1) * ((x + error) * weight + bias) + TINY
    )


def reach(
    first: Matrix, second: Matrix, w: Matrix, bias: Matrix, ledger: Ledger
) -> Fraction:
    """Return a bound on the norm of any ``(x + y) W + b``, x and y rows.  Cost: two products, a sum
    of rows, norms.
    """
    one = add_row(product(first, w, ledger), bias, ledger)
    return max(norms(one, ledger)) + max(norms(product(second, w, ledger), ledger))


def theta_of(
    q: tuple[Fraction, Fraction], k: tuple[Fraction, Fraction], h: int, eps: Fraction
) -> tuple[Fraction, Fraction]:
    """Return bounds on a computed score, and on the logarithm of a weight's relative error.  (SPEC
    12.3)

    ``q`` and ``k`` are bounds on the norms of queries and keys and on their errors.
    """
    down = Fraction(1 << 64, isqrt(h << 128))
    moved = (
        q[0] * k[1]
        + q[1] * k[0]
        + q[1] * k[1]
        + gamma(h + 4) * (q[0] + q[1]) * (k[0] + k[1])
    )
    score, inexact = shortened(moved * down + TINY), eps + UNIT
    return q[0] * k[0] + score, score + 2 * UNIT * (
        q[0] * k[0] * down + score
    ) + shortened(inexact, 1 - inexact)
