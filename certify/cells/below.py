"""Many cells below one maximum, given what is left of its answers.

What does not depend on the queries of a cell is formed once for each layout, and what does is a
table by query: a cell takes extremes over its rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from certify.cells.estimates import NOTHING, Cells, Examined, Open, Tokens, tested, wide
from certify.cells.scaled import Array


class Below:
    """Cells with some of these queries below one maximum, and what is left of its answers."""

    def __init__(self, cells: Cells, maximum: int, queries: Tokens, left: Open) -> None:
        """``queries``: ascending, all below the maximum or the maximum alone."""
        self.cells, self.maximum, self.queries, self.left = cells, maximum, queries, left
        s, answers = cells.s, left.answers
        self.direct = s.U_high[np.ix_(queries, answers)] - s.U_low[queries, maximum][:, None]
        self.places = s.D[:, answers] - s.D[:, maximum][:, None]
        self.held = cells.probabilities[:, : maximum + 1] * cells.beside(maximum)
        self._others = cells.of_others(maximum, queries)
        self._blocks: dict[bytes, Blocks] = {}

    def size(self, queries: Tokens) -> float:
        """Return how much the inputs with these queries count."""
        return float(self._others * self.held[-1, queries].sum())

    def work(self, starts: Tokens) -> tuple[int, int]:
        """Return the operations of a cell with this layout, and of each of its queries, beside six
        for each entry that is there.
        """
        n, answers = self.cells.positions, len(self.left.answers)
        blocks, several = len(starts), wide(starts)
        of_a_query = self.cells.work_of_spans(starts) + 2 * (n + 2) + 2 * answers
        return 6 * n * blocks + answers * (blocks + several + 13 * n), of_a_query

    def least_work(self, queries: Tokens, starts: Tokens) -> float:
        """Return no more than the operations of a cell."""
        fixed, of_a_query = self.work(starts)
        return float(fixed + of_a_query * len(queries))

    def blocks(self, starts: Tokens) -> Blocks:
        """Return the tables of one layout, by the first tokens of its blocks, the last being the
        maximum.
        """
        name = starts.tobytes()
        if name not in self._blocks:
            self._blocks[name] = Blocks(self, starts)
        return self._blocks[name]

    def weights(self, cell: Examined) -> Array:
        """Return how much the tokens of each block count at each position [n, blocks], the queries
        at the last.
        """
        return self.blocks(cell.starts).weights(cell.queries)

    def examine(self, queries: Tokens, starts: Tokens) -> Examined:
        """Return a cell after its extreme test, with what it removes.  (SPEC-7.5, SPEC-7.6)

        Requires: ``queries`` ascending, some of those given; ``starts`` as ``blocks`` takes them.
        Cost:     n |J| blocks, vectorised.
        """
        return self.blocks(starts).examine(queries)


class Blocks:
    """The tables of one layout: by query, what the ends of weights are extremes of, and by answer
    and block what brackets are, but for the direct path.
    """

    def __init__(self, below: Below, starts: Tokens) -> None:
        self.below, self.starts = below, starts
        cells, m, queries = below.cells, below.maximum, below.queries
        s, free = cells.s, cells.positions - 1
        high, low = cells.scores(m, queries)
        spans_high = np.maximum.reduceat(high, starts, axis=1)
        spans_low = np.minimum.reduceat(low, starts, axis=1)
        spans_high[:, -1] = spans_low[:, -1] = 0.0
        rows = np.arange(len(queries))
        block = np.searchsorted(starts, queries, side="right") - 1
        places = cells.places[queries]
        own_high, own_low = np.full(spans_high.shape, NOTHING), np.full(spans_low.shape, np.inf)
        own_high[rows, block] = np.where(queries == m, 0.0, high[rows, queries]) + places[:, free]
        own_low[rows, block] = np.where(queries == m, 0.0, low[rows, queries]) + places[:, free]
        self._high = np.hstack([spans_high, own_high, places[:, :free]])
        self._low = np.hstack([spans_low, own_low, places[:, :free]])
        floors = np.minimum.reduceat(s.A_low[: m + 1, m], starts)
        columns = s.A_high[: m + 1, below.left.answers]
        self._tops = np.maximum.reduceat(columns, starts, axis=0).T - floors
        self._weights = np.add.reduceat(below.held, starts, axis=1)
        self._work = below.work(starts)
        self._there = np.logical_or.reduceat(below.left.allowed, starts, axis=2)

    def ends(self, queries: Tokens) -> tuple[Array, Array]:
        """Return upper and lower ends of the weights [n, blocks], nothing and infinity for a block
        without a query at the last position.
        """
        rows, width = self._rows(queries), len(self.starts)
        high, low = self._high[rows].max(axis=0), self._low[rows].min(axis=0)
        upper = np.vstack([high[:width] + high[2 * width :, None], high[width : 2 * width]])
        lower = np.vstack([low[:width] + low[2 * width :, None], low[width : 2 * width]])
        top = upper.max()
        return np.exp(upper - top), np.exp(lower - top - 2 * self.below.cells.s.slack.theta)

    def brackets(self, queries: Tokens) -> Array:
        """Return upper bounds on the brackets [n, J, blocks], before slack."""
        direct = self.below.direct[self._rows(queries)].max(axis=0)
        found: Array = self._tops + (self.below.places + direct)[:, :, None]
        return found

    def weights(self, queries: Tokens) -> Array:
        """Return how much the tokens of each block count at each position [n, blocks], the queries
        at the last.
        """
        found, last = self._weights.copy(), np.zeros(self.below.maximum + 1)
        last[queries] = self.below.held[-1, queries]
        found[-1] = np.add.reduceat(last, self.starts)
        return found

    def terms(self, queries: Tokens) -> tuple[Array, float]:
        """Return upper bounds on the terms of each answer [n, J, blocks], nothing where a block has
        none, and on the sum of weights.
        """
        free = self.below.cells.positions - 1
        upper, lower = self.ends(queries)
        values = self.brackets(queries) + self.below.cells.s.slack.bracket
        there = self._there.copy()
        there[free] &= np.isfinite(lower[free])
        with np.errstate(invalid="ignore"):
            terms = np.where(values > 0, upper[:, None], lower[:, None]) * values
        return np.where(there, terms, NOTHING), float(upper.max(axis=1).sum())

    def examine(self, queries: Tokens) -> Examined:
        """Return a cell after its extreme test.  (SPEC-7.5, SPEC-7.6)"""
        below = self.below
        terms, heaviest = self.terms(queries)
        fixed, of_a_query = self._work
        entries = np.count_nonzero(np.isfinite(terms))
        work = float(fixed + of_a_query * len(queries) + 6 * entries)
        return tested(below.maximum, queries, self.starts, below.left, terms, work, heaviest)

    def _rows(self, queries: Tokens) -> Tokens:
        return np.searchsorted(self.below.queries, queries)


def lower_terms(cells: Cells, cell: Examined, answers: Tokens) -> Array:
    """Return lower bounds on the terms of these answers among those that are left
    [n, answers, blocks].  (SPEC-7.10)

    Requires: one query, single tokens, no path enclosed; ``answers`` index ``cell.left``.
    """
    chosen = replace(
        cell.left, answers=cell.left.answers[answers], allowed=cell.left.allowed[:, answers]
    )
    blocks = Below(cells, cell.maximum, cell.queries, chosen).blocks(cell.starts)
    upper, lower = blocks.ends(cell.queries)
    values = blocks.brackets(cell.queries) - cells.s.slack.bracket
    with np.errstate(invalid="ignore"):
        terms = np.where(values > 0, lower[:, None], upper[:, None]) * values
    return np.where(np.isfinite(cell.terms[:, answers]), terms, NOTHING)
