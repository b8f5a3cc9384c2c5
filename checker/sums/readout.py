"""What neurons write to the logits, by M itself or by two matrices.  (SPEC-13.3, SPEC-13.5)

Neuron i writes row i of M.  Where a proof names P and Q it writes row i of P, and the sum over
neurons is multiplied by Q afterwards; one entry more of the row bounds what ``P Q`` leaves out of
M.
"""

from collections.abc import Sequence
from itertools import compress

from checker.ground import paired, record
from checker.ground.exact import Matrix, Row, bits
from checker.ground.ledger import Ledger
from checker.ground.packed import weighed
from checker.sums.fold import Factor, factor


@record
class Logits:
    """The logits of an input, or a part of them, and a bound on the error of any difference."""

    values: list[int]
    error: int


@record
class Readout:
    """What each neuron that is on writes.

    ``left``:   per neuron the entries of its row of P, or of M, and last ``rng(R_i)``.
    ``counts``: how many entries of a row are not zero.
    ``right``:  Q, or nothing.
    """

    left: Factor
    counts: Row
    right: Factor | None

    def written(
        self, rows: Sequence[int], activations: Sequence[int], ledger: Ledger
    ) -> Logits:
        """Return what neurons with these pre-activations add to the logits.

        Cost: a comparison per neuron; per entry that is not zero, of neurons that are on, a
              multiplication and an addition; that of the logits.
        """
        on = [value > 0 for value in activations]
        work = sum(compress(self.counts, on))
        ledger.charge(mul=work, add=work, cmp=len(on))
        active = compress(activations, on)
        total = weighed(active, compress(self.left.rows, on))
        return self.logits(total, 0, ledger)

    def logits(self, total: int, error: int, ledger: Ledger) -> Logits:
        """Return the logits of a sum of packed rows whose differences are wrong by ``error``
        besides.

        Cost: that of the product with Q.
        """
        *sums, rest = self.left.slots.combine((1,), (total,))
        values = self.right.times(sums, ledger) if self.right else sums
        return Logits(values, error + rest)


def readout(
    columns: Matrix,
    rest: Sequence[int],
    right: Matrix | None,
    room: int,
    ledger: Ledger,
) -> Readout:
    """Return packed rows for sums over neurons whose activations take at most ``room`` bits.

    ``columns`` is P or M; ``rest`` has ``rng(R_i)`` for every neuron; ``right`` is Q, over the
    scale that makes P Q that of R.
    Raises: Declined (SPEC-3.5).
    """
    pairs = paired(columns.rows, rest)
    left = Matrix(tuple((*row, end) for row, end in pairs), 0)
    counts = tuple(sum(map(bool, row)) for row in left.rows)
    summed = room + bits(left) + len(counts).bit_length()
    turned = factor(right, summed, ledger) if right else None
    return Readout(factor(left, room, ledger), counts, turned)
