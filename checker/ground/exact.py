"""Exact linear algebra on dyadic matrices: integers over one common power of two.  (SPEC-6.1)"""

from collections.abc import Callable, Iterable, Sequence
from operator import add, mul, sub

from checker.ground import paired, record
from checker.ground.errors import require_form, require_support
from checker.ground.ledger import PLACE_BITS, Ledger, Room

MAX_TABLE_BITS = 1 << 28

Row = tuple[int, ...]
Rows = tuple[Row, ...]


@record
class Matrix:
    """The matrix ``rows * 2^-scale``, with at least one row and column.

    ``scale`` may be negative.
    """

    rows: Rows
    scale: int

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self.rows[0])

    @property
    def entries(self) -> int:
        """Return how many numbers it holds."""
        return self.height * self.width

    def cut(self, first: int, end: int | None = None) -> "Matrix":
        """Return the rows from ``first`` to before ``end``; negative numbers count from behind."""
        return Matrix(self.rows[first:end], self.scale)

    def chosen(self, numbers: Iterable[int]) -> "Matrix":
        """Return the rows with these numbers."""
        return Matrix(tuple(self.rows[i] for i in numbers), self.scale)


def longest(rows: Iterable[Sequence[int]]) -> int:
    """Return the bits of the largest number."""
    return max((value.bit_length() for row in rows for value in row), default=0)


def bits(a: Matrix) -> int:
    """Return the bits of the largest entry."""
    return longest(a.rows)


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
        a.width == b.height,
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
    widest = bits(a) + bits(b) + b.height.bit_length()
    hold(a.height * b.width, widest, ledger)
    turned = transposed(b).rows
    rows = []
    for row in a.rows:
        ledger.charge(mul=b.entries, add=b.entries)
        rows.append(tuple(sum(map(mul, row, column)) for column in turned))
    return Matrix(tuple(rows), a.scale + b.scale)


def _zero_columns(a: Matrix, ledger: Ledger) -> set[int]:
    """Return which columns hold only zeros.  (SPEC-6.1)

    Cost: in each row a comparison for every column that holds only zeros above it.
    """
    left = list(range(a.width))
    for row in a.rows:
        ledger.charge(cmp=len(left))
        left = [i for i in left if row[i] == 0]
        if not left:
            break
    return set(left)


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
    kept = [i for i in range(back.height) if i not in zeros] or [0]
    ledger.take(front.height * len(kept) * PLACE_BITS)
    columns = transposed(front).chosen(kept)
    return transposed(columns), back.chosen(kept)


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
    heights = [factor.height for factor in factors]
    _, at = _association([*heights, factors[-1].width])
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
    rows = tuple(tuple(value << finer for value in row) for row in a.rows)
    return Matrix(rows, scale)


def aligned(matrices: Iterable[Matrix], room: Room) -> list[Matrix]:
    """Return the matrices over their finest scale.  Raises: Declined (SPEC-3.5)."""
    given = list(matrices)
    scale = max(matrix.scale for matrix in given)
    return [rescale(matrix, scale, room) for matrix in given]


def below(a: Matrix, b: Matrix, room: Room) -> Matrix:
    """Return the rows of ``a``, then those of ``b``."""
    upper, lower = aligned((a, b), room)
    return Matrix(upper.rows + lower.rows, upper.scale)


def beside(a: Matrix, b: Matrix, room: Room) -> Matrix:
    """Return the matrix ``[a | b]``."""
    left, right = aligned((a, b), room)
    rows = tuple(one + other for one, other in paired(left.rows, right.rows))
    return Matrix(rows, left.scale)


def _entrywise(
    combine: Callable[[int, int], int], a: Matrix, b: Matrix, ledger: Ledger
) -> Matrix:
    """Return the sums or differences of entries; a single row of ``b`` goes with every row.

    Cost: one addition per entry of ``a``.
    """
    left, right = aligned((a, b), ledger)
    hold(a.entries, max(bits(left), bits(right)) + 1, ledger)
    ledger.charge(add=a.entries)
    others = right.rows * (a.height // b.height)
    pairs = paired(left.rows, others)
    rows = tuple(tuple(map(combine, *pair)) for pair in pairs)
    return Matrix(rows, left.scale)


def plus(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return ``a + b``, or ``a`` with the only row of ``b`` added to every row.

    Cost: one addition per entry of ``a``.
    """
    return _entrywise(add, a, b, ledger)


def minus(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return ``a - b``.

    Requires: equal shapes.
    Cost:     one addition per entry.
    """
    return _entrywise(sub, a, b, ledger)
