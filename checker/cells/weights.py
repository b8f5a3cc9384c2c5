"""Enclosures of attention weights, one per position and block for a whole cell.
(SPEC-6.4, SPEC-7.5)

For the inputs of a cell (maximum m, query q in Q) all weights of one input may be multiplied by one
positive number.  Per query that is exp of -(EQKE[q,m] + kappa_q), kappa_q = ``means`` of the
positional scores, and then one constant of the cell, so that no weight exceeds one.  Scores are
divided by sqrt(d_head) only inside ``exp_ends``.
"""

from checker.cells.cell import Range
from checker.cells.tables import Line, Tables
from checker.float32.cells import REAL, Slack
from checker.ground import record
from checker.ground.interval import exp_enclosure, inverse_sqrt, shift_up
from checker.ground.ledger import Ledger

Ends = tuple[int, int]
"""The lower and the upper end of an enclosure."""

Weights = dict[int, Ends]
"""Of one position, by block."""


@record
class Exponentials:
    """Enclosures of exponentials of scores over ``2^-scale``, divided by sqrt(d_head)."""

    d_head: int
    scale: int
    ledger: Ledger

    def ends(self, below_low: int, below_high: int, precision: int) -> Ends:
        """Return (lower, upper) with lower <= exp(-y/sqrt(d_head)) <= upper, in units of
        2^-precision, for all y between.

        Requires: 0 <= below_low <= below_high, exact score differences.
        Cost:     two exponentials.
        """
        self.ledger.charge(exp=2)
        root_low, root_high = inverse_sqrt(self.d_head, precision + 64)
        scale = self.scale + precision + 64
        # The largest y gives the lower end, the smallest the upper end.
        lower = exp_enclosure(below_high * root_high, scale, precision)[0]
        return lower, exp_enclosure(below_low * root_low, scale, precision)[1]


def weighed(tokens: list[Ends], place: Ends, bits: int) -> Weights:
    """Return per block exp(H_b + h_i), the product of two enclosures, rounded outward."""
    down, up = place
    return {
        b: (lower * down >> bits, shift_up(upper * up, bits))
        for b, (lower, upper) in enumerate(tokens)
    }


@record
class Scores:
    """Enclosures of exponentials of scores divided by sqrt(d_head): exact scores, or
    ``slack.score_error`` below them.  (SPEC-12.5)
    """

    tables: Tables
    precision: int
    slack: Slack = REAL

    def exp_ends(
        self,
        below_low: int,
        below_high: int,
        precision: int,
    ) -> Ends:
        """Return those of ``Exponentials``."""
        paths = self.tables.paths
        scored = Exponentials(paths.d_head, paths.score_scale, self.tables.ledger)
        return scored.ends(below_low, below_high, precision)

    def spans(self, queries: Line, blocks: list[Range]) -> list[Ends]:
        """Return (L_b, H_b) per block: bounds on the scores of its tokens less that of the maximum,
        for every query; (0, 0) for the last block, the maximum itself.  (SPEC-7.5)

        Cost: that of ``Tables.differences``, and two comparisons per query and block; none for the
              maximum itself.
        """
        *others, (maximum, _) = blocks
        self.tables.ledger.charge(cmp=2 * len(queries) * len(others))
        spans = []
        for first, last in others:
            low, high = self.tables.differences(queries, first, last, maximum)
            spans.append((min(low), max(high)))
        return [*spans, (0, 0)]

    def _last(self, queries: Line, blocks: list[Range]) -> Weights:
        """Return for each block that holds a query (L + l, H + h) of the last position: bounds on
        EQKE[q,q] - EQKE[q,m] + EQKP[q,n-1] - kappa_q for its queries.  (SPEC-7.5)
        """
        m = blocks[-1][0]
        spans = {}
        for b, (first, last) in enumerate(blocks):
            lows = []
            highs = []
            for q in queries:
                if first <= q <= last:
                    low = [0]
                    high = [0]
                    if q != m:
                        low, high = self.tables.differences([q], q, q, m)
                    lows.append(low[0] + self.tables.places[q][-1])
                    highs.append(high[0] + self.tables.places[q][-1])
            if lows:
                spans[b] = min(lows), max(highs)
        return spans

    def weights(self, queries: Line, blocks: list[Range]) -> list[Weights]:
        """Return per position and block (lower, upper) bounds on the weight of its tokens, for
        every query at once.  (SPEC-7.5)

        At the last position only blocks that hold a query have a weight.
        Cost: the spans; two comparisons per query and position, and two additions and two
              comparisons per query for the last position; two exponentials per block, position and
              block of queries; two multiplications and two additions per position and block.
        """
        places = self.tables.places
        bits = self.precision
        free = len(places[0]) - 1
        entries = free * len(blocks)
        spans = self.spans(queries, blocks)
        self.tables.ledger.charge(
            mul=2 * entries,
            add=2 * (entries + len(queries)),
            cmp=2 * len(queries) * (free + 2) + 2 * entries,
        )
        columns = zip(*(places[q][:free] for q in queries), strict=True)
        reach = [(min(column), max(column)) for column in columns]  # 7.5: (l_i, h_i)
        own = self._last(queries, blocks)
        # The constant of the cell: no upper end of an exponent is above zero.
        token_top = max(high for _, high in spans)
        tops = [token_top + high for _, high in reach]
        top = max(tops + [high for _, high in own.values()])
        # 12.5: lower ends are those of scores less by this
        wide = self.slack.score_error
        tokens = [
            self.exp_ends(token_top - high, token_top - low + wide, bits)
            for low, high in spans
        ]
        rows = []
        for low, high in reach:
            base = top - token_top
            place = self.exp_ends(base - high, base - low, bits)
            rows.append(weighed(tokens, place, bits))
        last = {
            b: self.exp_ends(top - high, top - low + wide, bits)
            for b, (low, high) in own.items()
        }
        return [*rows, last]
