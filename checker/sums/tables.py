"""Rows of the folded tables, packed: exactly, or rounded down within a bound.  (SPEC-13.3)

An input's row is the sum of its operands' rows and, for each head and position but the last, of a
share times two rows.  Rounded rows are shorter and their sums much quicker; what is not decided by
them is by exact ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from checker.ground.exact import Matrix, bits, hold
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.sums.fold import Folded

ROUNDING_BITS = 24
"""Roundings of tables move a margin by less than 2^-24.  (SPEC-13.3)"""


@dataclass(frozen=True, slots=True)
class Input:
    """Where an input is found: its operands' rows of the first table, and its stacked rows."""

    first: int
    second: int
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rounding:
    """How many bits entries of tables lose, and bytes sums with shares."""

    bits: int
    bytes: int


EXACT = Rounding(0, 0)


def rounding_of(folded: Folded, precision: int, spread: int) -> Rounding:
    """Return how much may be rounded.

    ``spread`` is at least how much a margin moves if all entries of an input's row do by one;
    ``precision`` is that of shares.
    Ensures: what rounding moves is less than 2^-24.
    """
    scale = folded.tables[0].scale
    heads = len(folded.scores)
    least = ROUNDING_BITS + ((3 + 2 * heads) * spread).bit_length()
    spare = min(min(scale, least) + precision - least, precision)
    return Rounding(max(0, scale - least), max(0, spare) // 8 if heads else 0)


@dataclass(frozen=True, slots=True)
class PackedTables:
    """Some columns of the tables, packed.  Rows that are asked for have entries below ``2^bits``."""

    slots: Slots
    columns: int
    bits: int
    base: list[int]
    moved: list[list[int]]

    def at(self, where: Input, shares: Sequence[Sequence[int]], ledger: Ledger) -> list[int]:
        """Return the row of an input; ``shares`` has per head one for each position but the last.
        (SPEC-13.3)

        Cost: per column an addition, and for each share a multiplication and two additions.
        """
        *before, last = where.rows
        count = len(before) * len(self.moved)
        columns = self.columns
        ledger.charge(mul=columns * count, add=columns * (1 + 2 * count))
        scalars = [1]
        rows = [self.base[where.first] + self.base[where.second]]
        for table, weights in zip(self.moved, shares, strict=True):
            scalars += weights
            rows += [table[row] + table[last] for row in before]
        return self.slots.combine(scalars, rows)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables, packed.  Rows are over ``unit 2^scale``, less ``shift`` bits; ``2^scale`` is that
    of the tables, ``unit`` what shares are over, or 1.

    ``error``: less than which every entry is too small, over ``unit 2^scale``.
    ``bits_above``: how many bits a pre-activation may have above the point.
    """

    pre: PackedTables
    direct: PackedTables
    shift: int
    error: int
    bits_above: int


def _packed(
    tables: Sequence[Matrix], columns: slice, unit: int, rounding: Rounding, ledger: Ledger
) -> PackedTables:
    """Return these columns of the tables, packed.  Raises: Declined (SPEC-3.5)."""
    lost = rounding.bits
    parts = [
        Matrix(tuple(tuple(entry >> lost for entry in row[columns]) for row in table.rows), 0)
        for table in tables
    ]
    count = len(parts[0].rows[0])
    # Two rows of the first table; of every other two, times shares that sum to at most one.
    terms = 2 * len(tables)
    width = max(map(bits, parts)) + unit.bit_length() + terms.bit_length()
    slots = Slots(count, width, rounding.bytes)
    hold(sum(len(part.rows) for part in parts), 8 * slots.width, ledger)
    base, *moved = (list(map(slots.pack, part.rows)) for part in parts)
    whole = [row * unit for row in base]
    return PackedTables(slots, count, width - 8 * rounding.bytes, whole, moved)


def packed(folded: Folded, unit: int, rounding: Rounding, ledger: Ledger) -> Tables:
    """Return the tables, packed, for shares over ``unit``.  Raises: Declined (SPEC-3.5)."""
    neurons = len(folded.M.rows)
    pre, direct = (
        _packed(folded.tables, columns, unit, rounding, ledger)
        for columns in (slice(neurons), slice(neurons, None))
    )
    by_tables = 2 * len(folded.tables) * unit if rounding.bits else 0
    by_sums = 1 << 8 * rounding.bytes if rounding.bytes else 0
    error = by_tables + by_sums << rounding.bits
    shift = rounding.bits + 8 * rounding.bytes
    below = folded.tables[0].scale - shift + unit.bit_length() - 1
    return Tables(pre, direct, shift, error, max(0, pre.bits - below))
