"""Exact linear algebra on dyadic matrices: integers over one common power of two.  (SPEC 6.1)"""

from dataclasses import dataclass
from operator import add, mul

from checker.errors import require_support
from checker.ledger import Ledger

MAX_TABLE_BITS = 1 << 29

Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The matrix ``rows * 2^-scale``; ``scale >= 0``."""

    rows: tuple[Row, ...]
    scale: int


def _bits(a: Matrix) -> int:
    return max((value.bit_length() for row in a.rows for value in row), default=0)


def require_room(entries: int, bits: int) -> None:
    """Decline a table of exact numbers that could take more than 2^29 bits.  (SPEC 3.5)"""
    require_support(entries * bits <= MAX_TABLE_BITS, "SPEC-3.5", "a table of exact numbers is too large to hold")


def product(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the exact product of two matrices.

    Cost:   rows * inner * columns multiplications and as many additions.
    Raises: Declined (SPEC-3.5) if the result could take more than 2^29 bits, before it is formed.
    """
    inner, columns = len(b.rows), tuple(zip(*b.rows, strict=True))
    require_room(len(a.rows) * len(columns), _bits(a) + _bits(b) + inner.bit_length())
    rows = []
    for row in a.rows:
        ledger.charge(mul=inner * len(columns), add=inner * len(columns))
        rows.append(tuple(sum(map(mul, row, column)) for column in columns))
    return Matrix(tuple(rows), a.scale + b.scale)


def rescale(a: Matrix, scale: int) -> Matrix:
    """Return the same matrix over the finer power of two ``2^-scale``.

    Requires: scale >= a.scale.
    Raises:   Declined (SPEC-3.5) if the result could take more than 2^29 bits.
    """
    require_room(sum(map(len, a.rows)), _bits(a) + scale - a.scale)
    return Matrix(tuple(tuple(value << scale - a.scale for value in row) for row in a.rows), scale)


def add_row(a: Matrix, row: Matrix, ledger: Ledger) -> Matrix:
    """Return ``a`` with the single row of ``row`` added to every row.

    Cost: one addition per entry of ``a``.
    """
    scale = max(a.scale, row.scale)
    fine, extra = rescale(a, scale), rescale(row, scale).rows[0]
    ledger.charge(add=len(a.rows) * len(extra))
    return Matrix(tuple(tuple(map(add, entries, extra)) for entries in fine.rows), scale)
