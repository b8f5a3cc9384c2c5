"""Enclosures of the softmax weights that heads give to positions.  (SPEC-13.4)

For each head and token of the last position there is a table of exponentials, of which every input
takes one for each position; its share is ``w / (w + r)``, which increases in w and decreases in r,
the sum of the other exponentials.
"""

from collections.abc import Sequence

from checker.ground import record
from checker.ground.exact import Matrix, hold
from checker.ground.interval import Enclosure, Exponentials
from checker.ground.ledger import Ledger

GUARD_BITS = 64
"""Bits of exponentials beyond the precision of shares."""


@record
class Scores:
    """Scores of a head, before the division by sqrt(d_head): a row for each token of the last
    position, of all tokens before it, stacked, and of itself.
    """

    rows: Matrix
    d_head: int
    bits: int

    def exponentials(self, values: Sequence[int], ledger: Ledger) -> list[Enclosure]:
        """Return enclosures at ``bits`` bits of the exponentials of scores less the largest.

        Cost: per score two exponentials, two multiplications, an addition, a comparison.
        """
        count = len(values)
        hold(2 * count, self.bits, ledger)
        ledger.charge(mul=2 * count, add=count, cmp=count)
        top = max(values)
        known = Exponentials(self.d_head, self.rows.scale, ledger)
        return known.ends([(top - x, top - x) for x in values], self.bits)


@record
class Shares:
    """The shares of a head.

    ``tables``: the exponentials of the scores.
    """

    scores: Scores
    precision: int
    tables: list[list[Enclosure]]

    def at(
        self,
        last: int,
        before: Sequence[int],
        ledger: Ledger,
    ) -> list[Enclosure]:
        """Return an enclosure of the share of every position but the last, over ``1 / (n
        2^precision)``.

        ``before`` has the stacked rows of an input's tokens before the last one, ``last`` the place
        of that.  Exact if all scores are equal.
        Cost: n comparisons, 2n additions, and per position but the last four multiplications and
              four additions; that of n exponentials if those of the tables are too small.
        """
        n = len(before) + 1
        ledger.charge(mul=4 * n - 4, add=6 * n - 4, cmp=n)
        chosen = [*before, -1]
        values = [self.scores.rows.rows[last][at] for at in chosen]
        unit = 1 << self.precision
        if values.count(values[0]) == n:
            return [(unit, unit)] * (n - 1)
        ends = [self.tables[last][at] for at in chosen]
        if sum(low for low, _ in ends) < unit:
            ends = self.scores.exponentials(values, ledger)
        lows = sum(low for low, _ in ends)
        highs = sum(high for _, high in ends)
        one = n * unit
        found = []
        for low, high in ends[:-1]:
            least = one * low // (low + highs - high)
            most = -(-one * high // (high + lows - low))
            found.append((least, most))
        return found


def shares_of(scores: Matrix, d_head: int, precision: int, ledger: Ledger) -> Shares:
    """Return the shares of a head.  Raises: Declined (SPEC-3.5).

    Cost: that of an exponential for each entry of the tables.
    """
    before = scores.width - scores.height
    kept = enumerate(scores.rows, before)
    rows = tuple((*row[:before], row[own]) for own, row in kept)
    known = Scores(Matrix(rows, scores.scale), d_head, precision + GUARD_BITS)
    tables = [known.exponentials(row, ledger) for row in rows]
    return Shares(known, precision, tables)
