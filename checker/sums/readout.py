"""What neurons write to the logits, by M itself or by two matrices.  (SPEC-13.3, SPEC-13.5)

Neuron i writes row i of M.  Where a proof names P and Q it writes row i of P, and the sum over
neurons is multiplied by Q afterwards; one entry more of the row bounds what ``P Q`` leaves out of
M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import mul

from checker.ground.exact import Matrix, Row, bits, hold
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots, weighed
from checker.sums.fold import PackedTables


@dataclass(frozen=True, slots=True)
class Logits:
    """What neurons add to the logits of an input, and a bound on the error of any difference."""

    values: list[int]
    error: int


@dataclass(frozen=True, slots=True)
class Readout:
    """Per neuron the entries of its row of P, or of M, and last ``rng(R_i)``, packed.

    ``counts``: how many entries of a row are not zero.  ``right``: Q^T, or nothing.
    """

    slots: Slots
    rows: tuple[int, ...]
    counts: tuple[int, ...]
    right: tuple[Row, ...]

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
        work = len(sums) * len(self.right)
        ledger.charge(mul=work, add=work)
        values = [sum(map(mul, sums, column)) for column in self.right]
        # Without Q the sums are the logits.
        return Logits(values if self.right else sums, error + rest)


def readout(
    columns: Matrix,
    rest: Sequence[int],
    right: tuple[Row, ...],
    room: int,
    ledger: Ledger,
) -> Readout:
    """Return packed rows for sums over neurons whose activations take at most ``room`` bits.

    ``columns`` is P or M, ``rest`` has ``rng(R_i)`` for every neuron.
    Raises: Declined (SPEC-3.5).
    """
    pairs = zip(columns.rows, rest, strict=True)
    rows = tuple((*row, last) for row, last in pairs)
    width = room + bits(Matrix(rows, 0)) + len(rows).bit_length()
    slots = Slots(len(rows[0]), width, 0)
    hold(len(rows), 8 * slots.width, ledger)
    counts = tuple(sum(map(bool, row)) for row in rows)
    return Readout(slots, tuple(map(slots.pack, rows)), counts, right)


@dataclass(frozen=True, slots=True)
class EveryNeuron:
    """A sum over all neurons that are on.  (SPEC-13.3)"""

    readout: Readout
    pre: PackedTables

    def logits(
        self, first: int, second: int, weights: Sequence[int], ledger: Ledger
    ) -> Logits:
        """Return what neurons add to the logits.  Cost: that of a row and of the readout."""
        activations = self.pre.at(first, second, weights, ledger)
        total = self.readout.total(activations, ledger)
        return self.readout.logits(total, 0, ledger)
