"""Enclosures of attention weights, one bound per term for a whole cell, and the extreme test.
(SPEC 7.5, 7.6)

For the inputs of a cell (maximum m, query q in Q) and a wrong answer j, multiply logit_j - logit_m
by the positive
softmax denominator and by one positive constant per query:

    correct  <=>  for every j != m:   sum over positions i of  weight_i(x_i) * bracket_i(x_i, j)  <
    0
    bracket_i(t, j) = (EVOU[t,j] - EVOU[t,m]) + (PVOU[i,j] - PVOU[i,m]) + (EU[q,j] - EU[q,m])

Brackets are exact integers over 2^-value_scale (or bounds on them, where a path is enclosed);
weights are
intervals at ``precision`` bits, scaled so that none exceeds one.  The last position is a position
like the others,
with the blocks that hold a query of the cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

from checker.cells.parse import Cell, Range, expand
from checker.cells.tables import Line, Tables
from checker.float32.cells import REAL, Slack
from checker.ground.exact import Row
from checker.ground.interval import exp_enclosure, inverse_sqrt, shift_up

Allowed = tuple[int, ...]
"""Per position, the tokens with which an answer may still win, as a bit mask.  (SPEC 7.6)"""

Ends = dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Terms:
    """For one wrong answer, per position, one number for every block with which it may still win.

    Which side the numbers bound is said by the function that made them.  ``maximum`` is the block
    of the maximum;
    ``forced``: the inputs hold the maximum in a free position.
    """

    rows: list[dict[int, int]]
    maximum: int
    forced: bool

    def tested(self) -> tuple["Terms | None", int | None]:
        """Return the terms that a failing input may hold, or None, and the largest sum removed.
        (SPEC 7.6)

        Requires: upper terms.  Sums that no input has are not counted among those removed.
        """
        if not all(self.rows):
            return None, None
        tops, m = [max(row.values()) for row in self.rows], self.maximum
        gains = (
            {i: row[m] - tops[i] for i, row in enumerate(self.rows[:-1]) if m in row}
            if self.forced
            else {-1: 0}
        )
        total, ordered = sum(tops), nlargest(2, gains, key=gains.__getitem__)
        if not ordered or total + gains[ordered[0]] < 0:
            return None, total + gains[ordered[0]] if ordered else None
        kept, removed = list[dict[int, int]](), list[int]()
        for i, (row, top) in enumerate(zip(self.rows, tops, strict=True)):
            here, base = m if i < len(self.rows) - 1 else None, top - total
            needs = [base - gains[k] for k in ordered if k != i][:1]
            least = {
                b: base if b == here else needs[0] for b in row if b == here or needs
            }
            kept.append({b: row[b] for b, need in least.items() if row[b] >= need})
            lost = [row[b] for b in least if b != here and b not in kept[i]]
            removed += [max(lost) - needs[0]] if lost else []
            removed += [row[m] - base] if here in least.keys() - kept[i].keys() else []
        return Terms(kept, m, self.forced), max(removed, default=None)


class Scores:
    """Enclosures of exponentials of scores divided by sqrt(d_head): exact scores, or
    ``slack.score_error`` below them.  (SPEC 12.5)
    """

    def __init__(self, tables: Tables, precision: int, slack: Slack = REAL) -> None:
        self.tables, self.precision, self.ledger, self.slack = (
            tables,
            precision,
            tables.ledger,
            slack,
        )

    def exp_ends(
        self, below_low: int, below_high: int, precision: int
    ) -> tuple[int, int]:
        """Return (lower, upper) with lower <= exp(-y/sqrt(d_head)) <= upper, in units of
        2^-precision, for all y between.

        Requires: 0 <= below_low <= below_high, exact score differences.
        Cost:     two exponentials.
        """
        self.ledger.charge(exp=2)
        paths = self.tables.paths
        root_low, root_high = inverse_sqrt(paths.d_head, precision + 64)
        scale = paths.score_scale + precision + 64
        lower = exp_enclosure(below_high * root_high, scale, precision)[0]
        return lower, exp_enclosure(below_low * root_low, scale, precision)[1]

    def spans(self, queries: Line, blocks: list[Range]) -> list[tuple[int, int]]:
        """Return per block bounds on the scores of its tokens less that of the maximum, the last
        block, for every query.

        Cost: that of ``Tables.differences``, and two comparisons per query and block; none for the
              maximum itself.
        """
        self.ledger.charge(cmp=2 * len(queries) * (len(blocks) - 1))
        ends = [
            self.tables.differences(queries, first, last, blocks[-1][0])
            for first, last in blocks[:-1]
        ]
        return [(min(low), max(high)) for low, high in ends] + [(0, 0)]

    def _own(self, q: int, maximum: int) -> tuple[int, int]:
        """Return bounds on the score of the last position, less that of the maximum and kappa_q."""
        (low,), (high,) = (
            self.tables.differences([q], q, q, maximum) if q != maximum else ([0], [0])
        )
        return low + self.tables.places[q][-1], high + self.tables.places[q][-1]

    def weights(self, queries: Line, blocks: list[Range]) -> list[Ends]:
        """Return per position and block (lower, upper) bounds on the weight of its tokens, for
        every query at once.

        The maximum is the token of the last block.  Per query, EQKE[q,m] + kappa_q is subtracted
        from every score
        (kappa_q: the mean positional score, rounded down), and then one constant for the whole
        cell.  At the last
        position only blocks that hold a query have a weight.
        Cost: the spans; two comparisons per query and position, and two additions and two
              comparisons per query for the
              last position; two exponentials per block, position and block of queries; two
              multiplications and two
              additions per position and block.
        """
        maximum, places, bits = blocks[-1][0], self.tables.places, self.precision
        free = len(places[0]) - 1
        spans = self.spans(queries, blocks)
        entries = free * len(blocks)
        self.ledger.charge(
            mul=2 * entries,
            add=2 * (entries + len(queries)),
            cmp=2 * len(queries) * (free + 2) + 2 * entries,
        )
        reach = [
            (min(scores), max(scores))
            for scores in zip(*(places[q][:free] for q in queries), strict=True)
        ]
        own = {}
        for b, (first, last) in enumerate(blocks):
            ends = [self._own(q, maximum) for q in queries if first <= q <= last]
            if ends:
                own[b] = min(low for low, _ in ends), max(high for _, high in ends)
        token_top = max(high for _, high in spans)
        top = max(
            [token_top + high for _, high in reach] + [high for _, high in own.values()]
        )
        wide = self.slack.score_error
        tokens = [
            self.exp_ends(token_top - high, token_top - low + wide, bits)
            for low, high in spans
        ]
        shifts = [
            self.exp_ends(top - token_top - high, top - token_top - low, bits)
            for low, high in reach
        ]
        found = [
            {
                b: (low * down >> bits, shift_up(high * up, bits))
                for b, (low, high) in enumerate(tokens)
            }
            for down, up in shifts
        ]
        return [
            *found,
            {
                b: self.exp_ends(top - high, top - low + wide, bits)
                for b, (low, high) in own.items()
            },
        ]


def max_of_terms(parts: Sequence[Terms]) -> Terms:
    """Return the blockwise maximum over several answers; a block is left if it is left for any of
    them.
    """
    found = zip(*(part.rows for part in parts), strict=True)
    rows = [
        {b: max(row[b] for row in held if b in row) for b in sorted(set().union(*held))}
        for held in found
    ]
    return Terms(rows, parts[0].maximum, parts[0].forced)


class Frame:
    """One cell with its blocks and weights.  ``exact``: one query and single tokens, so that
    brackets are exact.
    """

    def __init__(self, scores: Scores, cell: Cell, numerators: tuple[Row, ...]) -> None:
        """Set up a cell; ``numerators[i][t]`` is how much token t counts at position i (1 in the
        uniform scope).

        Cost: the weights, and one comparison per block of several tokens.
        """
        self.tables, self.maximum, self.queries, self.blocks = (
            scores.tables,
            cell.maximum,
            expand(cell.queries),
            cell.blocks(),
        )
        self.drop = scores.slack.raised(0)
        paths, last = self.tables.paths, len(self.blocks) - 1
        self.forced = self.queries != [self.maximum]
        self.exact = paths.exact and len(self.queries) == 1 and last == self.maximum
        self.weights = scores.weights(self.queries, self.blocks)
        self.turned = [
            {b: (high, low) for b, (low, high) in row.items()} for row in self.weights
        ]
        self.multiplicities = [
            [sum(row[first : end + 1]) for first, end in self.blocks]
            for row in numerators[:-1]
        ]
        self.multiplicities += [
            [
                sum(numerators[-1][q] for q in self.queries if a <= q <= b)
                for a, b in self.blocks
            ]
        ]
        self.masks = [(2 << end) - (1 << first) for first, end in self.blocks]
        self.tops = [
            self.tables.value_high.windows(first, end) for first, end in self.blocks
        ]
        self.wide = sum(one is not two for one, two in self.tops)
        lows = [self.tables.value_low.windows(first, end) for first, end in self.blocks]
        self.tables.ledger.charge(cmp=self.wide)
        self.floors = [min(one[self.maximum], two[self.maximum]) for one, two in lows]

    def allowed(self, terms: Terms) -> Allowed:
        """Return per position the tokens of the blocks that are left."""
        return tuple(sum(self.masks[b] for b in row) for row in terms.rows)

    def upper_terms(self, j: int, allowed: Allowed, mu: int) -> Terms:
        """Return upper bounds on the terms of wrong answer j, ``mu`` added to every bracket.  (SPEC
        7.5)

        Ensures: for every input of the cell, weight * (bracket + mu) <= the term of its block, at
                 each position.
                 Blocks without a token in ``allowed`` have no term.
        """
        return self._terms(j, allowed, mu, self.turned)

    def lower_terms(self, j: int, allowed: Allowed) -> Terms:
        """Return lower bounds on the terms of wrong answer j.  (SPEC 7.10)

        Requires: ``exact``.
        """
        return self._terms(j, allowed, -self.drop, self.weights)

    def _terms(self, j: int, allowed: Allowed, mu: int, ends: list[Ends]) -> Terms:
        """Return bracket * weight per entry: the first of ``ends`` for a positive bracket, else the
        second.

        Cost: per query two operations for the direct path; per block two, or three if it has
              several tokens; per
              position three additions; per entry an addition, a multiplication and a comparison.
        """
        m, paths, rows = self.maximum, self.tables.paths, []
        chosen = [
            [b for b in row if mask & self.masks[b]]
            for row, mask in zip(ends, allowed, strict=True)
        ]
        entries, queries = sum(map(len, chosen)), len(self.queries)
        adds = queries + len(self.blocks) + 3 * len(chosen) + entries
        self.tables.ledger.charge(
            mul=entries, add=adds, cmp=queries + self.wide + entries
        )
        direct = max(paths.eu_high[q][j] - paths.eu_low[q][m] for q in self.queries)
        tops = [
            max(one[j], two[j]) - floor
            for (one, two), floor in zip(self.tops, self.floors, strict=True)
        ]
        for place, row, blocks in zip(paths.pvou, ends, chosen, strict=True):
            shift = place[j] - place[m] + direct + mu
            brackets = [(b, tops[b] + shift) for b in blocks]
            rows.append({b: row[b][bracket <= 0] * bracket for b, bracket in brackets})
        return Terms(rows, len(self.blocks) - 1, self.forced)
