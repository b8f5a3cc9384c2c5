"""Enclosures of attention weights, one bound per term for a whole cell, and the extreme test.  (SPEC 7.5, 7.6)

For the inputs of a cell (maximum m, query q in Q) and a wrong answer j, multiply logit_j - logit_m by the positive
softmax denominator and by one positive constant per query:

    correct  <=>  for every j != m:   sum over positions i of  weight_i(x_i) * bracket_i(x_i, j)  <  0
    bracket_i(t, j) = (EVOU[t,j] - EVOU[t,m]) + (PVOU[i,j] - PVOU[i,m]) + (EU[q,j] - EU[q,m])

Brackets are exact integers over 2^-value_scale.  Weights are the only intervals, at ``precision`` bits, scaled so
that none exceeds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from checker.exact import Row
from checker.interval import exp_enclosure, inverse_sqrt, shift_up
from checker.ledger import Ledger
from checker.model import Paths
from checker.proof import Cell, expand

Blocks = list[tuple[int, ...]]
End = tuple[tuple[int, ...], int, int]


@dataclass(frozen=True, slots=True)
class Weights:
    """Enclosures of the attention weights of one cell, all in one unit.

    ``lower[i][b] <= weight_i(t) <= upper[i][b]`` for every free position i, token t of block b and query q.
    ``last`` lists (queries, lower, upper): the last position, for the queries of each block that holds any.
    """

    lower: list[list[int]]
    upper: list[list[int]]
    last: list[End]

    def total_upper(self) -> int:
        """Return an upper bound on the sum of the weights of any input of the cell."""
        return sum(map(max, self.upper)) + max(upper for _, _, upper in self.last)


class Scores:
    """Enclosures of exponentials of exact scores divided by sqrt(d_head)."""

    def __init__(self, paths: Paths, precision: int, ledger: Ledger) -> None:
        self.paths, self.precision, self.ledger = paths, precision, ledger

    def exp_ends(self, below_low: int, below_high: int, precision: int) -> tuple[int, int]:
        """Return (lower, upper) with lower <= exp(-y/sqrt(d_head)) <= upper, in units of 2^-precision, for all y between.

        Requires: 0 <= below_low <= below_high, exact score differences.
        Cost:     two exponentials.
        """
        self.ledger.charge(exp=2)
        root_low, root_high = inverse_sqrt(self.paths.d_head, precision + 64)
        scale = self.paths.score_scale + precision + 64
        lower = exp_enclosure(below_high * root_high, scale, precision)[0]
        return lower, exp_enclosure(below_low * root_low, scale, precision)[1]

    def weights(self, queries: list[int], blocks: Blocks) -> Weights:
        """Return weights valid for every query at once, each query's scores taken relative to the maximum's.

        The maximum is the token of the last block.  Per query, EQKE[q,m] + kappa_q is subtracted from every score
        (kappa_q: the mean positional score, rounded down), and then one constant for the whole cell.
        Cost: per query two comparisons per token and position, two additions per block and position; two
              exponentials per block, free position and last-token class; two multiplications per
              (free position, block).
        """
        eqke, eqkp = self.paths.eqke, self.paths.eqkp
        maximum, free, twice = blocks[-1][0], len(eqkp[0]) - 1, 2 * len(queries)
        self.ledger.charge(2 * free * len(blocks), twice * (len(blocks) + free + 2), twice * (maximum + free + 2))
        takes = [itemgetter(*block, block[0]) for block in blocks]
        tokens = []
        for take in takes:
            picked = [(take(eqke[q]), eqke[q][maximum]) for q in queries]
            tokens.append((min(min(row) - base for row, base in picked), max(max(row) - base for row, base in picked)))
        kappas = [sum(eqkp[q][:free]) // max(free, 1) for q in queries]
        places = [[score - kappa for score in eqkp[q]] for q, kappa in zip(queries, kappas, strict=True)]
        spans = [(min(ends), max(ends)) for ends in zip(*places, strict=True)][:free]
        own = {q: eqke[q][q] - eqke[q][maximum] + place[free] for q, place in zip(queries, places, strict=True)}
        classes = [found for block in blocks if (found := tuple(q for q in block if q in own))]
        token_top = max(end for _, end in tokens)
        top = max([token_top + end for _, end in spans] + list(own.values()))
        bits = self.precision
        token_ends = [self.exp_ends(token_top - end, token_top - start, bits) for start, end in tokens]
        place_ends = [self.exp_ends(top - token_top - end, top - token_top - start, bits) for start, end in spans]
        reaches = [[own[q] for q in found] for found in classes]
        return Weights(
            [[token * place >> bits for token, _ in token_ends] for place, _ in place_ends],
            [[shift_up(token * place, bits) for _, token in token_ends] for _, place in place_ends],
            [(found, *self.exp_ends(top - max(r), top - min(r), bits)) for found, r in zip(classes, reaches, strict=True)],
        )


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

    def __init__(self, scores: Scores, cell: Cell, numerators: tuple[Row, ...]) -> None:
        """Set up a cell; ``numerators[i][t]`` is how much token t counts at position i (1 in the uniform scope)."""
        self.paths, self.maximum, self.queries, self.blocks = scores.paths, cell.maximum, expand(cell.queries), cell.blocks()
        self.contains_maximum = self.queries != [self.maximum]
        self.exact = len(self.queries) == 1 and len(self.blocks) == self.maximum + 1
        self.weights = scores.weights(self.queries, self.blocks)
        self.multiplicities = [[sum(map(row.__getitem__, block)) for block in self.blocks] for row in numerators[:-1]]
        column = self.paths.evou_columns[self.maximum]
        self.floors = [min(map(column.__getitem__, block)) for block in self.blocks]

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
        (free position, block), and per query three additions for the direct path and the last position; five
        more per free position, for the shift and for the sums of the test.
        """
        free, queries, tokens = len(self.multiplicities), len(self.queries), sum(map(len, self.blocks))
        entries = free * len(self.blocks) + len(self.weights.last)
        adds = entries + len(self.blocks) + 3 * queries + 5 * free + 4
        ledger.charge(mul=answers * entries, add=answers * adds, cmp=answers * (2 * entries + tokens + 2 * queries))
