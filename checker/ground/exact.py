"""Exact linear algebra on dyadic matrices: integers over one common power of two.  (SPEC-6.1)"""

from collections.abc import Sequence
from operator import add, mul

from checker.ground import record
from checker.ground.errors import require_form, require_support
from checker.ground.ledger import PLACE_BITS, Ledger, Room

MAX_TABLE_BITS = 1 << 28

Row = tuple[int, ...]


@record
class Matrix:
    """The matrix ``rows * 2^-scale``, with at least one row and column.

    ``scale`` may be negative.
    """

    rows: tuple[Row, ...]
    scale: int

    @property
    def entries(self) -> int:
        """Return how many numbers it holds."""
        return len(self.rows) * len(self.rows[0])


def bits(a: Matrix) -> int:
    """Return the bits of the largest entry."""
    return max((value.bit_length() for row in a.rows for value in row), default=0)


def shape(a: Matrix) -> tuple[int, int]:
    """Return the numbers of rows and of columns."""
    return len(a.rows), len(a.rows[0])


def require_room(entries: int, bits: int) -> None:
    """Decline a table of exact numbers that could take more than 2^28 bits.  (SPEC-3.5)"""
    require_support(
        entries * bits <= MAX_TABLE_BITS,
        "SPEC-3.5",
        "a table of exact numbers is too large to hold",
    )


def hold(entries: int, bits: int, room: Room) -> None:
    """Count a table about to be formed.

    Raises: Declined (SPEC-3.5) if it is too large by itself, or with all that was formed before.
    """
    require_room(entries, bits)
    room.hold(entries, bits)


def require_fit(a: Matrix, b: Matrix) -> None:
    """Refuse factors whose shapes do not fit, which only a hint can bring about.  (SPEC-6.6)"""
    require_form(
        len(a.rows[0]) == len(b.rows),
        "SPEC-6.6",
        "a hint does not fit the factor beside it",
    )


def product(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the exact product of two matrices.

    Cost:   rows * inner * columns multiplications and as many additions.
    Raises: Malformed (SPEC-6.6) if the shapes do not fit;
            Declined (SPEC-3.5) if the result could take too much room, before it is formed.
    """
    require_fit(a, b)
    inner, columns = shape(b)
    widest = bits(a) + bits(b) + inner.bit_length()
    hold(len(a.rows) * columns, widest, ledger)
    turned = transposed(b).rows
    rows = []
    for row in a.rows:
        ledger.charge(mul=inner * columns, add=inner * columns)
        rows.append(tuple(sum(map(mul, row, column)) for column in turned))
    return Matrix(tuple(rows), a.scale + b.scale)


def _zero_columns(a: Matrix, ledger: Ledger) -> set[int]:
    """Return which columns hold only zeros.  (SPEC-6.1)

    Cost: in each row a comparison for every column that holds only zeros above it.
    """
    left = list(range(len(a.rows[0])))
    for row in a.rows:
        ledger.charge(cmp=len(left))
        left = [i for i in left if row[i] == 0]
        if not left:
            break
    return set(left)


def _chosen(a: Matrix, kept: Sequence[int]) -> Matrix:
    """Return the matrix of some of the rows."""
    return Matrix(tuple(a.rows[i] for i in kept), a.scale)


def _without_zeros(
    front: Matrix, back: Matrix, ledger: Ledger
) -> tuple[Matrix, Matrix]:
    """Return two neighbours in a chain without the inner indices that add nothing to it; the first
    stays if none would.  (SPEC-6.1)

    Raises: Malformed (SPEC-6.6) if the shapes do not fit.
    """
    require_fit(front, back)
    zeros = _zero_columns(front, ledger)
    zeros |= _zero_columns(transposed(back), ledger)
    if not zeros:
        return front, back
    indices = range(len(back.rows))
    kept = [i for i in indices if i not in zeros] or [0]
    ledger.take(len(front.rows) * len(kept) * PLACE_BITS)
    columns = _chosen(transposed(front), kept)
    return transposed(columns), _chosen(back, kept)


def _association(sizes: Sequence[int]) -> tuple[int, int]:
    """Return the fewest multiplications for a chain with these rows and columns, and where to
    divide it first.
    """
    found = []
    for at in range(1, len(sizes) - 1):
        front = _association(sizes[: at + 1])
        back = _association(sizes[at:])
        joint = sizes[0] * sizes[at] * sizes[-1]
        found.append((front[0] + back[0] + joint, at))
    return min(found, default=(0, 0))


def _in_order(factors: Sequence[Matrix], ledger: Ledger) -> Matrix:
    """Return the product of a chain in the order that takes the fewest multiplications."""
    if len(factors) == 1:
        return factors[0]
    rows = [len(factor.rows) for factor in factors]
    _, at = _association([*rows, len(factors[-1].rows[0])])
    front = _in_order(factors[:at], ledger)
    return product(front, _in_order(factors[at:], ledger), ledger)


def multiply(factors: Sequence[Matrix], ledger: Ledger) -> Matrix:
    """Return the exact product of a short, non-empty chain of matrices.  (SPEC-6.1, SPEC-6.5)

    Cost:   that of looking for zeros between neighbours, and of the products of what is left, in
            the order that takes the fewest multiplications; so a vector stays a vector.
    Raises: as ``product``.
    """
    chain = list(factors)
    for i in range(len(chain) - 1):
        chain[i : i + 2] = _without_zeros(chain[i], chain[i + 1], ledger)
    return _in_order(chain, ledger)


def transposed(a: Matrix) -> Matrix:
    """Return the transpose."""
    return Matrix(tuple(zip(*a.rows, strict=True)), a.scale)


def rescale(a: Matrix, scale: int, room: Room) -> Matrix:
    """Return the same matrix over the finer power of two ``2^-scale``.

    Requires: scale >= a.scale.
    Raises:   Declined (SPEC-3.5) if the result could take too much room.
    """
    finer = scale - a.scale
    if finer == 0:
        return a
    hold(a.entries, bits(a) + finer, room)
    rows = (tuple(value << finer for value in row) for row in a.rows)
    return Matrix(tuple(rows), scale)


def add_row(a: Matrix, row: Matrix, ledger: Ledger) -> Matrix:
    """Return ``a`` with the single row of ``row`` added to every row.

    Cost: one addition per entry of ``a``.
    """
    scale = max(a.scale, row.scale)
    fine = rescale(a, scale, ledger)
    (extra,) = rescale(row, scale, ledger).rows
    widest = bits(Matrix((*fine.rows, extra), scale))
    hold(a.entries, widest + 1, ledger)
    ledger.charge(add=a.entries)
    rows = (tuple(map(add, entries, extra)) for entries in fine.rows)
    return Matrix(tuple(rows), scale)
