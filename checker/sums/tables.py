"""Rows of the folded tables, packed: exactly, or rounded down within a bound.  (SPEC-13.3)

An input's row is the sum of its operands' rows and, for each head and position but the last, of a
share times two rows.  Rounded rows are shorter and their sums much quicker; what they leave open is
tried again with exact ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from checker.ground.exact import Matrix, bits, hold
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.sums.fold import Folded

ROUNDING_BITS = 24
"""What is rounded moves a margin by less than 2^-24.  (SPEC-13.3)"""


@dataclass(frozen=True, slots=True)
class Input:
    """Where an input is found: its operands' rows of the first table, and its stacked rows."""

    first: int
    second: int
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rounding:
    """How many bits entries of the tables lose, how many bytes sums of rows, and how many bits
    entries of M.
    """

    bits: int
    bytes: int
    writing: int


EXACT = Rounding(0, 0, 0)


def rounding_of(folded: Folded, M: Matrix, precision: int, spread: int) -> Rounding:
    """Return how much may be rounded, so that tables and M each move a margin by less than 2^-24.

    ``precision``: the bits that shares add below the point.
    ``spread``:    at least how much a margin moves if all entries of an input's row do by one.
    """
    scale = folded.scale
    terms = 2 * len(folded.tables)
    least = ROUNDING_BITS + ((terms + 1) * spread).bit_length()
    spare = min(scale, least) + precision - least
    widest = max(bits(Matrix(table, 0)) for table in folded.tables)
    # No sum of activations has more bits above the point.
    above = max(0, widest - scale) + terms.bit_length() + len(M.rows).bit_length()
    return Rounding(
        bits=max(0, scale - least),
        bytes=max(0, min(spare, precision)) // 8,
        writing=max(0, M.scale - ROUNDING_BITS - above),
    )


@dataclass(frozen=True, slots=True)
class PackedTables:
    """Columns of the tables, packed.

    ``bits``:  entries of a row that is asked for are below ``2^bits``.
    ``shift``: what brings them to the scale of the tables and of shares.
    ``error``: less than which they are too small then.
    """

    slots: Slots
    columns: int
    base: list[int]
    moved: list[list[int]]
    bits: int
    shift: int
    error: int

    def at(self, where: Input, shares: Sequence[Sequence[int]], ledger: Ledger) -> list[int]:
        """Return the row of an input; ``shares`` has per head one for each position but the last.
        (SPEC-13.3)

        Cost: per column an addition, and for each share a multiplication and two additions.
        """
        *before, last = where.rows
        count = len(before) * len(self.moved) * self.columns
        ledger.charge(mul=count, add=self.columns + 2 * count)
        scalars = [1]
        rows = [self.base[where.first] + self.base[where.second]]
        for table, own in zip(self.moved, shares, strict=True):
            scalars += own
            rows += [table[row] + table[last] for row in before]
        return self.slots.combine(scalars, rows)


def packed(
    folded: Folded, columns: slice, unit: int, rounding: Rounding, ledger: Ledger
) -> PackedTables:
    """Return these columns of the tables, packed, for shares over ``unit``.

    Raises: Declined (SPEC-3.5).
    """
    lost = rounding.bits
    dropped = 8 * rounding.bytes
    parts = [
        Matrix(tuple(tuple(x >> lost for x in row[columns]) for row in table), 0)
        for table in folded.tables
    ]
    count = len(parts[0].rows[0])
    # Two rows of the first table; of every other two, times shares that sum to at most one.
    terms = 2 * len(parts)
    width = max(map(bits, parts)) + (terms * unit).bit_length()
    slots = Slots(count, width, rounding.bytes)
    hold(sum(len(part.rows) for part in parts), 8 * slots.width, ledger)
    base, *moved = (list(map(slots.pack, part.rows)) for part in parts)
    by_tables = terms * unit if lost else 0
    by_sums = 1 << dropped if dropped else 0
    return PackedTables(
        slots=slots,
        columns=count,
        base=[row * unit for row in base],
        moved=moved,
        bits=width - dropped,
        shift=lost + dropped,
        error=by_tables + by_sums << lost,
    )
