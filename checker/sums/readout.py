"""What neurons write to the logits, by M itself or by two matrices.  (SPEC-13.3, SPEC-13.5)

Neuron i writes row i of M.  Where a proof names P and Q it writes row i of P, and the sum over
neurons is multiplied by Q afterwards; one entry more of the row bounds what ``P Q`` leaves out of
M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from checker.ground.exact import Matrix, bits, hold
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots, weighed
from checker.sums.tables import Input, PackedTables


@dataclass(frozen=True, slots=True)
class Logits:
    """What neurons add to the logits of an input, and a bound on the error of any difference."""

    values: list[int]
    error: int


@dataclass(frozen=True, slots=True)
class Right:
    """Q, packed, of so many entries."""

    slots: Slots
    rows: list[int]
    entries: int


@dataclass(frozen=True, slots=True)
class Readout:
    """Per neuron the entries of its row of P, or of M, and last ``rng(R_i)``, packed.

    ``counts``:     how many entries of a row are not zero.
    ``rest_shift``: what brings ``rng(R_i)`` to the scale of logits.
    """

    slots: Slots
    rows: tuple[int, ...]
    counts: tuple[int, ...]
    rest_shift: int
    right: Right | None

    def total(self, activations: Sequence[int], ledger: Ledger) -> int:
        """Return what neurons with these pre-activations write, packed.

        Cost: a comparison per neuron; per entry that is not zero, of neurons that are on, a
              multiplication and an addition.
        """
        on = [value > 0 for value in activations]
        work = sum(compress(self.counts, on))
        ledger.charge(mul=work, add=work, cmp=len(on))
        active = compress(activations, on)
        rows = compress(self.rows, on)
        return weighed(active, rows)

    def logits(self, total: int, error: int, ledger: Ledger) -> Logits:
        """Return the logits of a sum of packed rows whose differences are wrong by ``error``
        besides.

        Cost: that of the product with Q.
        """
        *sums, rest = self.slots.combine((1,), (total,))
        error += rest << self.rest_shift
        if not self.right:
            return Logits(sums, error)
        ledger.charge(mul=self.right.entries, add=self.right.entries)
        return Logits(self.right.slots.combine(sums, self.right.rows), error)


def readout(
    columns: Matrix, rest: Sequence[int], right: Matrix | None, room: int, ledger: Ledger
) -> Readout:
    """Return packed rows for sums over neurons whose activations take at most ``room`` bits.

    ``columns`` is P or M; ``rest`` has ``rng(R_i)`` for every neuron, which is rounded up to as many
    bits as P has; ``right`` is Q over the scale that makes P Q that of R.
    Raises: Declined (SPEC-3.5).
    """
    most = bits(columns)
    rest_shift = max(0, max(rest).bit_length() - most)
    last = [shift_up(value, rest_shift) for value in rest]
    rows = tuple((*row, end) for row, end in zip(columns.rows, last, strict=True))
    # One bit more, for an end that was rounded up.
    width = room + most + 1 + len(rows).bit_length()
    slots = Slots(len(rows[0]), width, 0)
    hold(len(rows), 8 * slots.width, ledger)
    counts = tuple(sum(map(bool, row)) for row in rows)
    packed = tuple(map(slots.pack, rows))
    turned = right and _right(right, width, ledger)
    return Readout(slots, packed, counts, rest_shift, turned)


def _right(Q: Matrix, room: int, ledger: Ledger) -> Right:
    """Return Q, packed, for sums of at most ``room`` bits.  Raises: Declined (SPEC-3.5)."""
    columns = len(Q.rows[0])
    slots = Slots(columns, room + bits(Q) + len(Q.rows).bit_length(), 0)
    hold(len(Q.rows), 8 * slots.width, ledger)
    return Right(slots, list(map(slots.pack, Q.rows)), len(Q.rows) * columns)


@dataclass(frozen=True, slots=True)
class EveryNeuron:
    """A sum over all neurons that are on.  (SPEC-13.3)"""

    readout: Readout
    pre: PackedTables

    def logits(
        self, where: Input, shares: Sequence[Sequence[int]], ledger: Ledger
    ) -> Logits:
        """Return what neurons add to the logits.  Cost: that of a row and of the readout."""
        activations = self.pre.at(where, shares, ledger)
        total = self.readout.total(activations, ledger)
        return self.readout.logits(total, 0, ledger)
