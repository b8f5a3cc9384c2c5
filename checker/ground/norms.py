"""Hinted matrices, roots and norms of rows, rounded up.
(SPEC-6.5 to SPEC-6.7, SPEC-12.2)
"""

from math import isqrt
from operator import mul

from checker.ground.decode import fields, integer, integers, listing
from checker.ground.errors import require_form
from checker.ground.exact import (
    Matrix,
    plus,
    product,
    transposed,
)
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger

TABLE_SCALE = 48
"""Bounds and ends that are not exact are rounded outward to multiples of 2^-48.  (SPEC-6.5)"""


def parse_matrix(value: object, where: str, most: int = 1024) -> Matrix:
    """Return a hinted matrix of at most ``most`` rows and columns.  (SPEC-6.5)

    Raises: Malformed, Declined (SPEC-3.5).
    """
    found = fields(value, where, "exponent rows")
    rows = tuple(
        integers(row, where, -(2**31), 2**31, most)
        for row in listing(found["rows"], where, most)
    )
    widths = set(map(len, rows))
    require_form(
        len(widths) == 1 and 0 not in widths, "SPEC-6.5", f"{where} is no matrix"
    )
    return Matrix(rows, -integer(found["exponent"], f"{where} exponent", -128, 128))


def low_rank(left: Matrix, right: Matrix, whole: Matrix, ledger: Ledger) -> Matrix:
    """Return the product of two hinted matrices that stands for part of ``whole``.  (SPEC-6.6)

    Cost:   that of the product.
    Raises: Malformed (SPEC-6.6) if it would have another shape, before it is formed.
    """
    fits = (left.height, right.width) == (whole.height, whole.width)
    require_form(fits, "SPEC-6.6", "a hint has another shape")
    return product(left, right, ledger)


def centred(a: Matrix, ledger: Ledger) -> Matrix:
    """Return ``a`` with the mean of each row, rounded down, taken off the row: as last factor, a
    constant for each row.

    Cost: one multiplication per row, two additions per entry.
    """
    ledger.charge(mul=a.height, add=a.entries)
    means = tuple(-(sum(row) // len(row)) for row in a.rows)
    return transposed(plus(transposed(a), Matrix((means,), a.scale), ledger))


def ranges(a: Matrix, ledger: Ledger) -> list[int]:
    """Return of each row its largest minus its smallest entry.

    Cost: two comparisons per entry, an addition per row.
    """
    ledger.charge(add=a.height, cmp=2 * a.entries)
    return [max(row) - min(row) for row in a.rows]


def raised(value: int, scale: int, target: int) -> int:
    """Return the ceiling of ``value * 2^(target - scale)``."""
    return shift_up(value, max(scale - target, 0)) << max(target - scale, 0)


def root_up(value: int, scale: int, times: int) -> int:
    """Return the ``2^times``-th root of ``value * 2^-scale`` over 2^-48, rounded up.

    Requires: value >= 0.
    Sound because the ceiling of the square root of a ceiling is at least the square root.
    """
    value = raised(value, scale, TABLE_SCALE << times)
    for _ in range(times):
        value = isqrt(value - 1) + 1 if value else 0
    return value


def squares(a: Matrix, ledger: Ledger) -> list[int]:
    """Return the sum of squares of each row, over twice the scale.

    Cost: a multiplication and an addition per entry.
    """
    ledger.charge(mul=a.entries, add=a.entries)
    return [sum(map(mul, row, row)) for row in a.rows]
