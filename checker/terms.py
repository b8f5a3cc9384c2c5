"""The working view of one cell: its blocks, term bounds and the extreme test.  (SPEC 7.5, 7.6)"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from checker.enclosure import Scores, Weights
from checker.exact import Row
from checker.ledger import Ledger
from checker.model import Paths
from checker.proof import Cell

End = tuple[tuple[int, ...], int, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """For one wrong answer, one number per (free position, block) and one for the last position.

    Which side they bound is said by the function that made them.
    """

    rows: list[list[int]]
    last: int

    def extreme(self, contains_maximum: bool, /) -> int:
        """Return an upper bound on the sum of upper terms over all inputs of the cell.  (SPEC 7.6)

        Requires: the maximum's own block is the last of each row; if the inputs must contain the maximum in a
                  free position then there is a free position.
        """
        tops = [max(row) for row in self.rows]
        forced = max(row[-1] - top for row, top in zip(self.rows, tops, strict=True)) if contains_maximum else 0
        return sum(tops) + forced + self.last


def max_of_terms(parts: Sequence[Terms]) -> Terms:
    """Return the termwise maximum over several answers."""
    rows = [[max(entry) for entry in zip(*row, strict=True)] for row in zip(*(part.rows for part in parts), strict=True)]
    return Terms(rows, max(part.last for part in parts))


class Frame:
    """One cell with its blocks and weights.  ``exact``: one query and single tokens, so that brackets are exact."""

    def __init__(self, paths: Paths, scores: Scores, cell: Cell, numerators: tuple[Row, ...]) -> None:
        """Set up a cell; what it takes to test it is formed when first needed.

        ``numerators[i][t]`` is how much token t counts at position i; all ones for the uniform scope.
        """
        self.paths, self.scores, self.numerators = paths, scores, numerators
        self.maximum, self.queries, self.blocks = cell.maximum, cell.tokens(), cell.blocks()
        self.contains_maximum = self.queries != [self.maximum]
        self.exact = len(self.queries) == 1 and len(self.blocks) == self.maximum + 1

    @cached_property
    def weights(self) -> Weights:
        """Return the enclosures of the attention weights."""
        return self.scores.weights(self.queries, self.blocks)

    @cached_property
    def multiplicities(self) -> list[list[int]]:
        """Return per free position and block how much the block's tokens count."""
        return [[sum(map(row.__getitem__, block)) for block in self.blocks] for row in self.numerators[:-1]]

    @cached_property
    def floors(self) -> list[int]:
        """Return per block the least EVOU of its tokens at the maximum."""
        column = self.paths.evou_columns[self.maximum]
        return [min(map(column.__getitem__, block)) for block in self.blocks]

    def upper_terms(self, j: int, mu: int) -> Terms:
        """Return upper bounds on the terms of wrong answer j, ``mu`` added to every bracket.  (SPEC 7.5)

        Ensures: for every input of the cell, weight * (bracket + mu) <= the term of its block, at each position.
        """
        w = self.weights
        return self._terms(j, mu, w.upper, w.lower, [(queries, high, low) for queries, low, high in w.last])

    def lower_terms(self, j: int) -> Terms:
        """Return lower bounds on the terms of wrong answer j.  (SPEC 7.10)

        Requires: ``exact``.
        """
        w = self.weights
        return self._terms(j, 0, w.lower, w.upper, list(w.last))

    def _terms(self, j: int, mu: int, grow: list[list[int]], shrink: list[list[int]], last: list[End]) -> Terms:
        """Return bracket * weight per entry: the weight's end from ``grow`` for a positive bracket, else from ``shrink``."""
        m, eu, pvou, column = self.maximum, self.paths.eu, self.paths.pvou, self.paths.evou_columns[j]
        directs = {q: eu[q][j] - eu[q][m] for q in self.queries}
        direct = max(directs.values())
        tops = [max(map(column.__getitem__, block)) - floor for block, floor in zip(self.blocks, self.floors, strict=True)]
        rows = []
        for place, grown, shrunk in zip(pvou, grow, shrink, strict=False):
            shift = place[j] - place[m] + direct + mu
            values = [top + shift for top in tops]
            rows.append([(g if v > 0 else s) * v for v, g, s in zip(values, grown, shrunk, strict=True)])
        base, shift = self.paths.evou_columns[m], pvou[-1][j] - pvou[-1][m] + mu
        brackets = [max(column[q] - base[q] + directs[q] for q in queries) + shift for queries, _, _ in last]
        return Terms(rows, max((g if v > 0 else s) * v for v, (_, g, s) in zip(brackets, last, strict=True)))

    def charge_terms(self, ledger: Ledger, answers: int) -> None:
        """Charge for the terms and the extreme test of so many wrong answers.  (SPEC 8.1)

        Per answer: a maximum over every block's tokens, one addition, multiplication and comparison per
        (free position, block), and per query two additions each for the direct path and the last position.
        """
        free, queries, tokens = len(self.numerators) - 1, len(self.queries), sum(map(len, self.blocks))
        entries = free * len(self.blocks) + len(self.weights.last)
        adds = entries + len(self.blocks) + 4 * queries + 4 * free
        ledger.charge(mul=answers * entries, add=answers * adds, cmp=answers * (2 * entries + tokens + 2 * queries))
