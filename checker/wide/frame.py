"""The terms of one cell, of every answer at every vertex of its box.  (SPEC-16.5)"""

from collections.abc import Sequence
from operator import add

from checker.cells.cell import Allowed
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.places import Places
from checker.cells.terms import Frame, Term, Terms, Values, term_lower, term_upper
from checker.cells.weights import Scores, Weights
from checker.ground import record
from checker.wide.box import require_box
from checker.wide.hints import LAMBDA_BITS, Hints

Pair = tuple[int, int]
"""A wrong answer and a vertex, by its number."""

Brackets = list[list[int]]
"""By position and block."""


@record
class Head:
    """One head in one cell.  ``ends``: the sides of the box, both one for the first head."""

    paths: Paths
    weights: list[Weights]
    values: Values
    ends: tuple[int, ...]

    def brackets(self, j: int, right: int) -> Brackets:
        """Return the largest bracket of every position and block, without lambda.  (SPEC-16.5)"""
        values = self.values.above(j)
        shifts = [place[j] - place[right] for place in self.paths.pvou]
        return [[value + shift for value in values] for shift in shifts]

    def mean(self, brackets: Brackets) -> int:
        """Return lambda_h where no hint names it: the mean bracket of one tuple.  (SPEC-16.3)"""
        *free, last = self.weights
        chosen = [max(row) for row in free] + [min(last)]
        total = 0
        weighed = 0
        for row, values, b in zip(self.weights, brackets, chosen, strict=True):
            lower, _ = row[b]
            total += lower
            weighed += lower * values[b]
        return weighed // total if total else 0


class WideFrame(Frame):
    """One cell with its blocks, the weights of all heads, and its box.

    ``pairs``: the upper terms of the pairs of an answer and a vertex that are left.
    """

    def __init__(
        self,
        scores: Sequence[Scores],
        cell: Cell,
        named: Places,
        hints: Hints,
    ) -> None:
        """Set up a cell and test its box.

        Raises: Rejected (SPEC-16.4).
        Cost:   for each head the weights, and a comparison per block that no single window covers;
                and the test.
        """
        inputs = cell.inputs()
        super().__init__(scores[0], inputs, named.weights, named.scope)
        self.hints = hints
        self.unit = 1 << hints.scale
        sides = [side.over(hints.scale) for side in hints.box]
        self.scores_of_heads = list(scores)
        first = Head(self.paths, self.weights, self.values, (self.unit,))
        self.heads = [first]
        for own, ends in zip(scores[1:], sides, strict=True):
            self.ledger.charge(cmp=self.wide)
            weights = own.weights(self.queries, self.blocks)
            values = Values(own.tables, inputs)
            self.heads.append(Head(own.tables.paths, weights, values, ends))
        maximum = len(self.blocks) - 1 if self.forced else None
        weights_of_heads = [head.weights for head in self.heads]
        require_box(
            cell.where, weights_of_heads, sides, self.unit, maximum, self.ledger
        )
        self.pairs: dict[Pair, Terms] = {}

    @property
    def vertices(self) -> int:
        """Return how many vertices the box has."""
        return 1 << len(self.heads) - 1

    def upper_pairs(self, j: int, allowed: Allowed, mu: int) -> list[Terms]:
        """Return upper bounds on the terms of wrong answer j, with ``mu``, at every vertex.
        (SPEC-16.5)
        """
        chosen = self._chosen(allowed)
        flat = self._vertices(j, chosen, mu, term_upper)
        return [_by_position(terms, chosen) for terms in flat]

    def lower_terms(self, j: int, allowed: Allowed) -> Terms:
        """Return lower bounds on the terms of wrong answer j, the least over all vertices.
        (SPEC-16.5)

        Requires: ``exact``.
        """
        chosen = self._chosen(allowed)
        flat = self._vertices(j, chosen, -self.drop, term_lower)
        self.ledger.charge(cmp=len(flat) * len(flat[0]))
        # 16.5: at every vertex, those removed by the upper test too
        least = [min(column) for column in zip(*flat, strict=True)]
        return _by_position(least, chosen)

    def _chosen(self, allowed: Allowed) -> list[list[int]]:
        """Return per position the blocks that are allowed."""
        masks = self.values.masks
        pairs = zip(self.weights, allowed, strict=True)
        return [[b for b in row if tokens & masks[b]] for row, tokens in pairs]

    def _lambdas(
        self,
        j: int,
        mu: int,
        brackets: list[Brackets],
    ) -> list[int]:
        """Return lambda_h of every head, with the sum -(g + mu).  (SPEC-16.3)

        Cost: two operations per query; where no hint names the answer, for each head but the first
              a multiplication and two additions per position, and a multiplication.
        """
        paths = self.paths
        right = paths.right[self.maximum]
        self.ledger.charge(add=len(self.queries), cmp=len(self.queries))
        high = paths.eu_high
        low = paths.eu_low
        asked = self.queries
        direct = max(high[q][j] - low[q][right] for q in asked)
        if j in self.hints.lambdas:
            scale = paths.value_scale
            hints = self.hints.lambdas[j]
            others = [hint << scale >> LAMBDA_BITS for hint in hints]
        else:
            places = len(self.weights)
            count = len(self.heads) - 1
            self.ledger.charge(mul=count * (places + 1), add=2 * count * places)
            pairs = zip(self.heads[1:], brackets[1:], strict=True)
            others = [head.mean(rows) for head, rows in pairs]
        return [-(direct + mu) - sum(others), *others]

    def _vertices(
        self,
        j: int,
        chosen: list[list[int]],
        mu: int,
        term: Term,
    ) -> list[list[int]]:
        """Return for every vertex the terms of the chosen blocks, position by position.

        Cost: for each head an operation per block, one more for a block that no single window
              covers, two per position, three per term; for every other head two multiplications
              per term, and an addition per term for each vertex of the heads up to it.
        """
        right = self.paths.right[self.maximum]
        brackets = [head.brackets(j, right) for head in self.heads]
        lambdas = self._lambdas(j, mu, brackets)
        entries = sum(map(len, chosen))
        count = len(self.heads)
        self.ledger.charge(
            mul=entries * (3 * count - 2),
            add=count * (len(self.blocks) + 2 * len(chosen) + entries)
            + entries * 2 * (self.vertices - 1),
            cmp=count * (self.wide + entries),
        )
        found = [[0] * entries]
        for head, rows, own in zip(self.heads, brackets, lambdas, strict=True):
            terms = []
            for weights, row, blocks in zip(head.weights, rows, chosen, strict=True):
                terms += [term(weights[b], row[b] - own) for b in blocks]
            # an end of the box is not negative, so it keeps the side of a term
            scaled = [[end * value for value in terms] for end in head.ends]
            found = [list(map(add, sums, side)) for sums in found for side in scaled]
        return found


def _by_position(flat: list[int], chosen: list[list[int]]) -> Terms:
    """Return terms listed one after the other by position and block."""
    values = iter(flat)
    return [{b: next(values) for b in blocks} for blocks in chosen]
