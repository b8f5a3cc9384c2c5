"""Enclosures of attention weights, one per position and block for a whole cell.
(SPEC-6.4, SPEC-7.5)

For the inputs of a cell (maximum m, query q in Q) all weights of one input may be multiplied by one
positive number.  Per query that is exp of -(EQKE[q,m] + kappa_q), kappa_q = ``means`` of the
positional scores, and then one constant of the cell, so that no weight exceeds one.  Scores are
divided by sqrt(d_head) only inside ``exp_ends``.
"""

from collections.abc import Sequence

from checker.cells.tables import Layout, Line, Tables
from checker.float32.cells import REAL, Slack
from checker.ground import paired, record
from checker.ground.interval import Exponentials, shift_up

Ends = tuple[int, int]
"""The lower and the upper end of an enclosure."""

Weights = dict[int, Ends]
"""Of one position, by block."""

OneEnd = dict[int, int]
"""One end of the weights of one position, by block."""

BothEnds = tuple[list[OneEnd], list[OneEnd]]
"""The lower and the upper ends of weights, by position."""


def weighed(tokens: Sequence[Ends], places: Sequence[Ends], bits: int) -> BothEnds:
    """Return per position and block the lower and the upper ends of exp(H_b + h_i), the product of
    two enclosures, rounded outward.
    """
    down, up = zip(*tokens, strict=True)
    lows = []
    highs = []
    for low, high in places:
        lows.append({b: end * low >> bits for b, end in enumerate(down)})
        above = [shift_up(end * high, bits) for end in up]
        highs.append(dict(enumerate(above)))
    return lows, highs


def both_ends(lows: Sequence[OneEnd], highs: Sequence[OneEnd]) -> list[Weights]:
    """Return weights by position from their lower and their upper ends."""
    found = []
    for low, high in paired(lows, highs):
        found.append({b: (low[b], high[b]) for b in high})
    return found


def apart(weights: Sequence[Weights]) -> BothEnds:
    """Return the lower and the upper ends of weights, by position."""
    lows = []
    highs = []
    for row in weights:
        lows.append({b: low for b, (low, _) in row.items()})
        highs.append({b: high for b, (_, high) in row.items()})
    return lows, highs


@record
class Scores:
    """Enclosures of exponentials of scores divided by sqrt(d_head): exact scores, or
    ``slack.score_error`` below them.  (SPEC-12.5)
    """

    tables: Tables
    precision: int
    slack: Slack = REAL

    def exp_ends(self, below: Sequence[Ends], precision: int) -> list[Ends]:
        """Return those of ``Exponentials``."""
        paths = self.tables.paths
        scored = Exponentials(paths.d_head, paths.score_scale, self.tables.ledger)
        return scored.ends(below, precision)

    def _last(self, queries: Line, layout: Layout) -> dict[int, Ends]:
        """Return for each block that holds a query (L + l, H + h) of the last position: bounds on
        EQKE[q,q] - EQKE[q,m] + EQKP[q,n-1] - kappa_q for its queries.  (SPEC-7.5)

        Cost: per query below m an addition, or two if the ends differ.
        """
        paths = self.tables.paths
        m = layout.maximum
        spans: dict[int, Ends] = {}
        for q in queries:
            low = high = 0
            if q != m:  # the same number twice if paths are exact
                self.tables.ledger.charge(add=2 - paths.exact)
                low = paths.eqke_low[q][q] - paths.eqke_high[q][m]
                high = paths.eqke_high[q][q] - paths.eqke_low[q][m]
            place = self.tables.places[q][-1]
            low += place
            high += place
            b = layout.at[q]
            least, most = spans.get(b, (low, high))
            spans[b] = min(least, low), max(most, high)
        return spans

    def weights(self, queries: Line, layout: Layout) -> BothEnds:
        """Return per position and block lower and upper bounds on the weight of its tokens, for
        every query at once.  (SPEC-7.5)

        At the last position only blocks that hold a query have a weight.
        Cost: the spans; two comparisons per query and position, and two additions and two
              comparisons per query for the last position; two exponentials per block, position and
              block of queries; two multiplications and two additions per position and block.
        """
        places = self.tables.places
        bits = self.precision
        free = len(places[0]) - 1
        entries = free * len(layout.blocks)
        spans = self.tables.spans(queries, layout)
        self.tables.ledger.charge(
            mul=2 * entries,
            add=2 * (entries + len(queries)),
            cmp=2 * len(queries) * (free + 2) + 2 * entries,
        )
        columns = zip(*(places[q][:free] for q in queries), strict=True)
        reach = [(min(column), max(column)) for column in columns]  # 7.5: (l_i, h_i)
        own = self._last(queries, layout)
        # The constant of the cell: no upper end of an exponent is above zero.
        token_top = max(high for _, high in spans)
        tops = [token_top + high for _, high in reach]
        top = max(tops + [high for _, high in own.values()])
        rest = top - token_top
        # 12.5: lower ends are those of scores less by this
        wide = self.slack.score_error
        below = [(token_top - high, token_top - low + wide) for low, high in spans]
        tokens = self.exp_ends(below, bits)
        below = [(rest - high, rest - low) for low, high in reach]
        lows, highs = weighed(tokens, self.exp_ends(below, bits), bits)
        below = [(top - high, top - low + wide) for low, high in own.values()]
        last = self.exp_ends(below, bits)
        lows.append({b: low for b, (low, _) in paired(own, last)})
        highs.append({b: high for b, (_, high) in paired(own, last)})
        return lows, highs
