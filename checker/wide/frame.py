"""The terms of one cell, of every answer at every vertex of its box.  (SPEC-16.5)"""

from collections.abc import Sequence
from operator import add

from checker.cells.cell import Allowed, Inputs
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.places import Places
from checker.cells.tables import Tables
from checker.cells.terms import Frame, Term, Terms, term_lower, term_upper
from checker.cells.weights import Scores, Weights, both_ends
from checker.ground import record
from checker.ground.errors import require
from checker.ground.exact import Row
from checker.wide.box import largest_sum, require_box
from checker.wide.heads import Heads
from checker.wide.hints import LAMBDA_BITS, Hints
from checker.wide.mlp import (
    BOUND_BITS,
    Bounds,
    Neurons,
    Plane,
    Rounding,
    down,
    pushed,
    up,
)
from checker.wide.norm import NormedScores

Pair = tuple[int, int]
"""A wrong answer and a vertex, by its number."""

Brackets = list[list[int]]
"""By position and block."""


def tables_of(scores: Scores, places: int) -> Sequence[Tables]:
    """Return the tables of every position, which are the same ones where no norm is."""
    own = scores.places if isinstance(scores, NormedScores) else ()
    return own or (scores.tables,) * places


class LowValues:
    """Values of the tokens of each block, with the ends that mirrored terms take."""

    def __init__(self, tables: Tables, inputs: Inputs) -> None:
        self.layout = tables.layout(inputs.blocks)
        self.paths = tables.paths
        self.right = tables.paths.right[inputs.maximum]
        self.tokens = [first for first, _ in inputs.blocks]
        self.lows = [tables.value_low.windows(*block) for block in inputs.blocks]

    def above(self, j: int) -> list[int]:
        """Return EVOU[t,j] - EVOU[t,m] or more for all tokens of every block."""
        return self.layout.above(j)

    def below(self, j: int) -> list[int]:
        """Return EVOU[t,j] - EVOU[t,m] or less for the first token of every block."""
        low = self.paths.evou_low
        high = self.paths.evou_high
        right = self.right
        return [low[t][j] - high[t][right] for t in self.tokens]


@record
class Head:
    """One head in one cell.  ``values``: by position; ``ends``: the sides of the box, both one for
    the first head.
    """

    paths: Paths
    weights: list[Weights]
    values: list[LowValues]
    ends: tuple[int, ...]

    def highest(self, j: int, right: int) -> Brackets:
        """Return the largest bracket of every position and block, without lambda.  (SPEC-16.5)"""
        tops = {values: values.above(j) for values in set(self.values)}
        return self._shifted(tops, j, right)

    def lowest(self, j: int, right: int) -> Brackets:
        """Return the smallest bracket where all blocks are single tokens."""
        floors = {values: values.below(j) for values in set(self.values)}
        return self._shifted(floors, j, right)

    def _shifted(
        self,
        found: dict[LowValues, list[int]],
        j: int,
        right: int,
    ) -> Brackets:
        rows = []
        for values, place in zip(self.values, self.paths.pvou, strict=True):
            shift = place[j] - place[right]
            rows.append([value + shift for value in found[values]])
        return rows

    def most_read(self, column: int) -> Brackets:
        """Return the most of what a column reads, of every position and block."""
        windows = self.values[0].layout.value_tops
        tops = [max(one[column], two[column]) for one, two in windows]
        return [[top + place[column] for top in tops] for place in self.paths.pvou]

    def least_read(self, column: int) -> Brackets:
        """Return the negative of the least of what a column reads, of every position and block."""
        windows = self.values[0].lows
        lows = [min(one[column], two[column]) for one, two in windows]
        return [[-low - place[column] for low in lows] for place in self.paths.pvou]

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
        read: Heads,
    ) -> None:
        """Set up a cell and test its box, and the bounds of its neurons.

        Raises: Rejected (SPEC-16.4, SPEC-16.11).
        Cost:   for each head the weights, and a comparison per block that no single window covers;
                and the test.
        """
        inputs = cell.inputs()
        counts = named.marked(cell.maximum)
        super().__init__(scores[0], inputs, counts, named.scope)
        self.hints = hints
        self.unit = 1 << hints.scale
        self.final = read.final
        self.neurons = read.neurons
        self.scores_of_heads = list(scores)
        sides = [side.over(hints.scale) for side in hints.box]
        self.heads: list[Head] = []
        weights = self.weights
        every = [(self.unit,), *sides]
        for own, ends in zip(scores, every, strict=True):
            places = tables_of(own, len(named.weights))
            values = {tables: LowValues(tables, inputs) for tables in set(places)}
            self.ledger.charge(cmp=self.wide * len(values))
            if self.heads:
                layout = own.tables.layout(self.blocks)
                weights = both_ends(*own.weights(self.queries, layout))
            by_place = [values[tables] for tables in places]
            self.heads.append(Head(own.tables.paths, weights, by_place, ends))
        self.held = len(self.blocks) - 1 if self.forced else None
        weights_of_heads = [head.weights for head in self.heads]
        where = cell.where
        require_box(where, weights_of_heads, sides, self.unit, self.held, self.ledger)
        self.pairs: dict[Pair, Terms] = {}
        for k, bounds in enumerate(hints.neurons):
            require(
                self._is_read(k, bounds),
                "SPEC-16.11",
                f"{where}: neuron {k} may read something outside of its bounds",
            )

    @property
    def vertices(self) -> int:
        """Return how many vertices the box has."""
        return 1 << len(self.heads) - 1

    def upper_pairs(self, j: int, allowed: Allowed, mu: int) -> list[Terms]:
        """Return upper bounds on the terms of wrong answer j, with ``mu``, at every vertex.
        (SPEC-16.5)
        """
        right = self.paths.right[self.maximum]
        if self.neurons:
            plane = self.neurons.above(j, right, self.hints.neurons)
            direct, brackets = self._bent(self.neurons, j, plane, up)
        else:
            high = self.paths.eu_high
            low = self.paths.eu_low
            asked = self.queries
            direct = max(high[q][j] - low[q][right] for q in asked)
            brackets = [head.highest(j, right) for head in self.heads]
        if self.final:
            direct += self.final.above(j, right, self.final.ends)
        chosen = self._chosen(allowed)
        flat = self._vertices(j, chosen, direct + mu, brackets, term_upper)
        return [_by_position(terms, chosen) for terms in flat]

    def lower_terms(self, j: int, allowed: Allowed) -> Terms:
        """Return lower bounds on the terms of wrong answer j, the least over all vertices.
        (SPEC-16.5)

        Requires: ``exact``: one query, single tokens, both ends known.
        """
        right = self.paths.right[self.maximum]
        if self.neurons:
            plane = self.neurons.below(j, right, self.hints.neurons)
            direct, brackets = self._bent(self.neurons, j, plane, down)
        else:
            (q,) = self.queries
            direct = self.paths.eu_low[q][j] - self.paths.eu_high[q][right]
            brackets = [head.lowest(j, right) for head in self.heads]
        if self.final:
            direct += self.final.below(j, right, self.final.ends)
        chosen = self._chosen(allowed)
        flat = self._vertices(j, chosen, direct - self.drop, brackets, term_lower)
        self.ledger.charge(cmp=len(flat) * len(flat[0]))
        return _by_position(least_over_vertices(flat), chosen)

    def _bent(
        self,
        neurons: Neurons,
        j: int,
        plane: Plane,
        rounded: Rounding,
    ) -> tuple[int, list[Brackets]]:
        """Return the largest direct path and the brackets of all heads with a plane over what the
        neurons read.  (SPEC-16.11)

        Cost: a multiplication and an addition per neuron and query, and per neuron, head and token
              or position.
        """
        paths = self.paths
        right = paths.right[self.maximum]
        first = neurons.first
        asked = tuple(paths.eu_low[q] for q in self.queries)
        held_rows = self.maximum + 1 + len(paths.pvou)
        rows = len(asked) + len(self.heads) * held_rows
        self.ledger.charge(mul=rows * neurons.count, add=rows * neurons.count)
        own = pushed(asked, first, plane, rounded)
        pairs = zip(asked, own, strict=True)
        direct = max(row[j] - row[right] + push for row, push in pairs)
        finer = plane.scale + BOUND_BITS - paths.value_scale
        brackets = []
        for head in self.heads:
            held = head.paths.evou_low[: self.maximum + 1]
            tokens = _differences(held, j, right, pushed(held, first, plane, rounded))
            tops = [max(tokens[start : end + 1]) for start, end in self.blocks]
            there = head.paths.pvou
            places = _differences(there, j, right, pushed(there, first, plane, rounded))
            brackets.append([[top + place for top in tops] for place in places])
        return direct + rounded(plane.constant, finer), brackets

    def _is_read(self, k: int, bounds: Bounds) -> bool:
        """Return whether neuron k reads nothing outside of its bounds on the cell.  (SPEC-16.11)

        Cost: that of two answers.
        """
        neurons = self.neurons
        if neurons is None:
            return False
        column = neurons.first + k
        least, most = bounds
        scale = self.paths.value_scale
        asked = [self.paths.eu_low[q][column] for q in self.queries]
        # what is read is at most the upper bound, and its negative at most that of the lower one
        above = max(asked) - down(most, BOUND_BITS - scale)
        below = up(least, BOUND_BITS - scale) - min(asked)
        highs = [head.most_read(column) for head in self.heads]
        lows = [head.least_read(column) for head in self.heads]
        chosen = [list(row) for row in self.weights]
        sums = []
        for direct, brackets in ((above, highs), (below, lows)):
            flat = self._vertices(column, chosen, direct, brackets, term_upper)
            sums += [
                largest_sum(_by_position(terms, chosen), self.held) for terms in flat
            ]
        return max(sums) <= 0

    def _chosen(self, allowed: Allowed) -> list[list[int]]:
        """Return per position the blocks that are allowed."""
        masks = self.masks
        pairs = zip(self.highs, allowed, strict=True)
        return [[b for b in row if tokens & masks[b]] for row, tokens in pairs]

    def _lambdas(
        self,
        j: int,
        direct: int,
        brackets: list[Brackets],
    ) -> list[int]:
        """Return lambda_h of every head, with the sum -direct.  (SPEC-16.3)

        Cost: where no hint names the answer, for each head but the first a multiplication and two
              additions per position, and a multiplication.
        """
        if j in self.hints.lambdas:
            scale = self.paths.value_scale
            hints = self.hints.lambdas[j]
            others = [hint << scale >> LAMBDA_BITS for hint in hints]
        else:
            places = len(self.highs)
            count = len(self.heads) - 1
            self.ledger.charge(mul=count * (places + 1), add=2 * count * places)
            pairs = zip(self.heads[1:], brackets[1:], strict=True)
            others = [head.mean(rows) for head, rows in pairs]
        return [-direct - sum(others), *others]

    def _vertices(
        self,
        j: int,
        chosen: list[list[int]],
        direct: int,
        brackets: list[Brackets],
        term: Term,
    ) -> list[list[int]]:
        """Return for every vertex the terms of the chosen blocks, position by position.

        ``direct``: g + mu, and what the final norm adds.
        Cost: two operations per query and three more; for each head an operation per block, one
              more for a block that no single window covers, two per position, three per term; for
              every other head two multiplications per term, and an addition per term for each
              vertex of the heads up to it.
        """
        lambdas = self._lambdas(j, direct, brackets)
        entries = sum(map(len, chosen))
        count = len(self.heads)
        own = len(self.blocks) + 2 * len(chosen) + entries
        sums = entries * 2 * (self.vertices - 1)
        queries = len(self.queries)
        self.ledger.charge(
            mul=entries * (3 * count - 2) + 2,
            add=count * own + sums + queries + 1,
            cmp=count * (self.wide + entries) + queries,
        )
        found = [[0] * entries]
        for head, rows, shift in zip(self.heads, brackets, lambdas, strict=True):
            terms = []
            for weights, row, blocks in zip(head.weights, rows, chosen, strict=True):
                terms += [term(weights[b], row[b] - shift) for b in blocks]
            # an end of the box is not negative, so it keeps the side of a term
            scaled = [[end * value for value in terms] for end in head.ends]
            found = [
                list(map(add, before, side)) for before in found for side in scaled
            ]
        return found


def _differences(
    rows: tuple[Row, ...],
    j: int,
    right: int,
    pushes: list[int],
) -> list[int]:
    """Return the difference of two entries of every row, with what is added to it."""
    pairs = zip(rows, pushes, strict=True)
    return [row[j] - row[right] + push for row, push in pairs]


def least_over_vertices(flat: list[list[int]]) -> list[int]:
    """Return the least over all vertices, those removed by the upper test too.  (SPEC-16.5)"""
    return [min(column) for column in zip(*flat, strict=True)]


def _by_position(flat: list[int], chosen: list[list[int]]) -> Terms:
    """Return terms listed one after the other by position and block."""
    values = iter(flat)
    return [{b: next(values) for b in blocks} for blocks in chosen]
