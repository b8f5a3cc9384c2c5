"""Bounds on the terms of a wrong answer, one per position and block for a whole cell.  (SPEC-7.5)

For an input with maximum m and query q, and a wrong answer j, multiply logit_j - logit_m by the
positive softmax denominator (Lemma 4.4):

    correct  <=>  for every j != m:  sum over positions i of  weight_i * bracket_i(t_i, j)  <  0
    bracket_i(t, j) = (EVOU[t,j] - EVOU[t,m]) + (PVOU[i,j] - PVOU[i,m]) + (EU[q,j] - EU[q,m])

Brackets are exact integers over 2^-value_scale, or bounds on them where a path is enclosed; weights
are those of ``weights.py``.  The last position is a position like the others, with the blocks that
hold a query of the cell.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from checker.cells.cell import Allowed, Failures, Inputs
from checker.cells.weights import Ends, Scores, Weights, both_ends
from checker.ground import paired, record
from checker.ground.exact import Row
from checker.statement.scope import Scope

BlockTerms = dict[int, int]
"""A number for every block with which an answer may still win at one position."""

Terms = list[BlockTerms]
"""The numbers of one wrong answer by position; which side they bound is said by the function that
made them.
"""

Term = Callable[[Ends, int], int]


def term_upper(weight: Ends, bracket: int) -> int:
    """Return the largest value of weight * bracket: f of Lemma 7.5, v the bracket."""
    low, high = weight
    return bracket * (high if bracket > 0 else low)


def term_lower(weight: Ends, bracket: int) -> int:
    """Return the smallest value of weight * bracket: the mirrored term of SPEC-7.8."""
    low, high = weight
    return bracket * (low if bracket > 0 else high)


def max_of_terms(parts: Sequence[Terms]) -> Terms:
    """Return the blockwise maximum over several answers; a block is left if it is left for any of
    them.
    """
    rows = []
    for held in zip(*parts, strict=True):
        largest = dict(held[0])
        for row in held[1:]:
            for b, term in row.items():
                if b not in largest or term > largest[b]:
                    largest[b] = term
        rows.append(largest)
    return rows


def multiplicities(inputs: Inputs, counts: Sequence[Row]) -> list[list[int]]:
    """Return how much the tokens of each block count at each position.  (SPEC-7.8)"""
    *free, last = counts
    asked = [0] * len(last)  # 7.8: at the last position only the queries count
    for q in inputs.queries:
        asked[q] = last[q]
    return [
        [sum(row[first : end + 1]) for first, end in inputs.blocks]
        for row in [*free, asked]
    ]


@record
class Brackets:
    """Bounds on the brackets of an answer: the sum of one number by block and one by position."""

    blocks: list[int]
    places: list[int]


class Frame:
    """One cell with its blocks and weights.

    ``exact``: one query, single tokens and exact paths, so that brackets are exact.
    ``mirrored``: whether terms can be bounded from below.  (SPEC-7.10, SPEC-15.5)
    ``stretch``: how many times less than those tested another answer may be beaten by.
    ``multiplicities[i][b]``: how much the tokens of block b count at position i.  (SPEC-7.8)
    """

    stretch = 1

    def __init__(
        self,
        scores: Scores,
        inputs: Inputs,
        counts: Sequence[Row],
        scope: Scope,
    ) -> None:
        """Set up a cell; ``counts[i][t]`` is how much token t counts at position i (1 in the
        uniform scope), that of the maximum marked (SPEC-5.3).

        Cost: the weights, and one comparison per block that no single window covers.
        """
        tables = scores.tables
        self.scores = scores
        self.paths = tables.paths
        self.ledger = tables.ledger
        self.maximum = m = inputs.maximum
        self.queries = inputs.queries
        self.blocks = inputs.blocks
        self.forced = inputs.forced
        self.scope = scope
        self.drop = scores.slack.raised(0)  # 12.5: B/rho
        single = len(self.queries) == 1 and len(self.blocks) == m + 1
        self.exact = self.mirrored = self.paths.exact and single
        self.layout = layout = tables.layout(inputs.blocks)
        self.lows, self.highs = scores.weights(self.queries, layout)
        self.multiplicities = multiplicities(inputs, counts)
        self.masks = layout.masks
        self.wide = layout.wide
        self.ledger.charge(cmp=self.wide)

    @property
    def weights(self) -> list[Weights]:
        """Both ends of the weights, by position and block."""
        return both_ends(self.lows, self.highs)

    def allowed(self, terms: Terms) -> Allowed:
        """Return per position the tokens of the blocks that are left."""
        return tuple(sum(self.masks[b] for b in row) for row in terms)

    def upper_terms(
        self,
        j: int,
        allowed: Allowed,
        mu: int,
    ) -> Terms:
        """Return upper bounds on the terms of wrong answer j, ``mu`` added to every bracket.
        (SPEC-7.5)

        Ensures: for every input of the cell, weight * (bracket + mu) <= the term of its block, at
                 each position.  Blocks without a token in ``allowed`` have no term.
        """
        return self._terms(j, allowed, mu, term_upper)

    def lower_terms(self, j: int, allowed: Allowed) -> Terms:
        """Return lower bounds on the terms of wrong answer j.  (SPEC-7.8, SPEC-7.10, SPEC-12.5)

        Requires: ``exact``.
        """
        return self._terms(j, allowed, -self.drop, term_lower)

    def _terms(
        self,
        j: int,
        allowed: Allowed,
        mu: int,
        term: Term,
    ) -> Terms:
        """Return the term of every block that is allowed: v times one end of its weight for v above
        zero, the other end for others.  (SPEC-7.5)

        Cost: the brackets; per entry an addition, a multiplication and a comparison.
        """
        masks = self.masks
        positive = self.lows
        negative = self.highs
        if term is term_upper:
            positive = self.highs
            negative = self.lows
        chosen = [
            [b for b in row if tokens & masks[b]]
            for row, tokens in paired(positive, allowed)
        ]
        entries = sum(map(len, chosen))
        self.ledger.charge(mul=entries, add=entries, cmp=entries)
        found = self.brackets(j, mu, term)
        values = found.blocks
        rows = []
        parts = zip(found.places, positive, negative, chosen, strict=True)
        for shift, above, below, blocks in parts:
            row = {}
            for b in blocks:
                v = values[b] + shift
                row[b] = v * (above[b] if v > 0 else below[b])
            rows.append(row)
        return rows

    def brackets(self, j: int, mu: int, term: Term) -> Brackets:
        """Return v of wrong answer j, ``mu`` added; ``term`` says for which terms.  (SPEC-7.5)

        Cost: per query two operations for the direct path; per block an addition, and a comparison
              if no single window covers it; per position three additions.
        """
        paths = self.paths
        right = paths.right[self.maximum]
        queries = len(self.queries)
        self.ledger.charge(
            add=queries + len(self.blocks) + 3 * len(paths.pvou),
            cmp=queries + self.wide,
        )
        # max_q (EU[q,j] - EU[q,m]), and per block max_t EVOU[t,j] - min_t EVOU[t,m]
        high = paths.eu_high
        low = paths.eu_low
        asked = self.queries
        direct = max(high[q][j] - low[q][right] for q in asked)
        places = [row[j] - row[right] + direct + mu for row in paths.pvou]
        return Brackets(self.layout.above(j), places)


@record
class Left:
    """What is left of a cell for its method to prove: the upper terms, with ``mu``, of every answer
    that may still win on one of its inputs, which weigh ``size`` together.
    """

    where: str
    frame: Frame
    terms: dict[int, Terms]
    mu: int
    size: int


class Leaf(Protocol):
    """A method that proves something of a cell."""

    def failures(self, left: Left) -> Failures:
        """Return bounds on the failing weight, some answer being left.  (SPEC-7.6 to SPEC-7.14)"""
