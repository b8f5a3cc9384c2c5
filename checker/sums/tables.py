"""Rows of the folded tables, packed: exactly, or rounded down within a bound.  (SPEC-13.3)

The row of an input is the sum of those of its tokens and, for each head and position but the last,
of a share times two rows.  Rounded rows are shorter and their sums much quicker; what they leave
open is tried again with exact ones.
"""

from collections.abc import Sequence

from checker.ground import paired, record
from checker.ground.exact import Matrix, bits, hold
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.sums.fold import Folded

ROUNDING_BITS = 32
"""Rounded tables move a margin by less than 2^-32.  (SPEC-13.3)"""


@record
class PackedTables:
    """Columns of the tables, packed.

    ``bits``:  entries of a row that is asked for are below ``2^bits``.
    ``shift``: what brings them to the scale of the tables and of shares.
    ``error``: less than which they are too small then.
    """

    slots: Slots
    base: list[int]
    moved: list[list[int]]
    bits: int
    shift: int
    error: int

    def at(
        self, rows: Sequence[int], shares: Sequence[Sequence[int]], ledger: Ledger
    ) -> list[int]:
        """Return the row of the input with these stacked rows; ``shares`` has per head one for each
        position but the last.  (SPEC-13.3)

        Cost: per column and position but the last an addition, and for each share a multiplication
              and two additions.
        """
        *before, last = rows
        entries = len(before) * self.slots.columns
        count = entries * len(self.moved)
        ledger.charge(mul=count, add=entries + 2 * count)
        scalars = [1]
        terms = [sum(self.base[row] for row in rows)]
        for table, own in paired(self.moved, shares):
            scalars += own
            terms += [table[row] + table[last] for row in before]
        return self.slots.combine(scalars, terms)


@record
class Fineness:
    """What shares are over, ``over 2^precision``; and how fine tables and M are at most, multiples
    of ``2^-scale``.
    """

    over: int
    precision: int
    scale: int

    def lost(self, scale: int) -> int:
        """Return how many bits a matrix over ``2^-scale`` loses."""
        return max(0, scale - self.scale)


def packed(
    folded: Folded, columns: slice, fineness: Fineness, ledger: Ledger
) -> PackedTables:
    """Return these columns of the tables, packed.  Raises: Declined (SPEC-3.5)."""
    lost = fineness.lost(folded.scale)
    # Where tables are rounded, so are sums of rows, to whole bytes.
    dropped = fineness.precision // 8 if lost else 0
    unit = fineness.over << fineness.precision
    rounded = []
    for table in folded.tables:
        rows = (tuple(entry >> lost for entry in row[columns]) for row in table)
        rounded.append(Matrix(tuple(rows), 0))
    # A row of every position; of every head two, times shares that sum to at most one.
    terms = len(folded.sizes) + 2 * len(folded.scores)
    width = max(map(bits, rounded)) + (terms * unit).bit_length()
    slots = Slots(rounded[0].width, width, dropped)
    hold(sum(folded.sizes) * len(rounded), 8 * slots.width, ledger)
    base, *moved = (list(map(slots.pack, table.rows)) for table in rounded)
    return PackedTables(
        slots=slots,
        base=[row * unit for row in base],
        moved=moved,
        bits=width - 8 * dropped,
        shift=lost + 8 * dropped,
        error=(terms + 1) * unit << lost if lost else 0,
    )
