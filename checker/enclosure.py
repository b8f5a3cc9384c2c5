"""Enclosures of attention weights, and Lemma 1: one bound per term for a whole cell.  (SPEC 7.5)

For the inputs of a cell (maximum m, query q in Q) and a wrong answer j, multiply logit_j - logit_m by the positive
softmax denominator and by one positive constant per query:

    correct  <=>  for every j != m:   sum over positions i of  weight_i(x_i) * bracket_i(x_i, j)  <  0
    bracket_i(t, j) = (EVOU[t,j] - EVOU[t,m]) + (PVOU[i,j] - PVOU[i,m]) + (EU[q,j] - EU[q,m])

Brackets are exact integers over 2^-value_scale.  Weights are the only intervals, at ``precision`` bits, scaled so
that none exceeds one.
"""

from dataclasses import dataclass
from operator import itemgetter

from checker.interval import exp_enclosure, inverse_sqrt, shift_up
from checker.ledger import Ledger
from checker.model import Paths

Blocks = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Weights:
    """Enclosures of the attention weights of one cell, all in one unit.

    ``lower[i][b] <= weight_i(t) <= upper[i][b]`` for every free position i, token t of block b and query q.
    ``last`` lists (queries, lower, upper): the last position, for the queries of each block that holds any.
    """

    lower: list[list[int]]
    upper: list[list[int]]
    last: list[tuple[tuple[int, ...], int, int]]

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
        Cost: per query two comparisons per token and per position; two exponentials per block, free position
              and last-token class; two multiplications per (free position, block).
        """
        eqke, eqkp = self.paths.eqke, self.paths.eqkp
        maximum, free = blocks[-1][0], len(eqkp[0]) - 1
        takes = [itemgetter(*block, block[0]) for block in blocks]
        high, low, places = [], [], []
        for q in queries:
            row, base = eqke[q], eqke[q][maximum]
            picked = [take(row) for take in takes]
            high.append([max(scores) - base for scores in picked])
            low.append([min(scores) - base for scores in picked])
            kappa = sum(eqkp[q][:free]) // max(free, 1)
            places.append([score - kappa for score in eqkp[q]])
        tokens = [(min(lows), max(highs)) for lows, highs in zip(zip(*low, strict=True), zip(*high, strict=True), strict=True)]
        spans = [(min(ends), max(ends)) for ends in zip(*places, strict=True)][:free]
        own = {q: eqke[q][q] - eqke[q][maximum] + place[free] for q, place in zip(queries, places, strict=True)}
        classes = [found for block in blocks if (found := tuple(q for q in block if q in own))]
        token_top = max(end for _, end in tokens)
        top = max([token_top + end for _, end in spans] + list(own.values()))
        per_query = 2 * sum(map(len, blocks)) + 2 * len(eqkp[0])
        self.ledger.charge(mul=2 * free * len(blocks), add=len(queries) * per_query, cmp=len(queries) * per_query)
        bits = self.precision
        token_ends = [self.exp_ends(token_top - end, token_top - start, bits) for start, end in tokens]
        place_ends = [self.exp_ends(top - token_top - end, top - token_top - start, bits) for start, end in spans]
        reaches = [[own[q] for q in found] for found in classes]
        return Weights(
            [[token * place >> bits for token, _ in token_ends] for place, _ in place_ends],
            [[shift_up(token * place, bits) for _, token in token_ends] for _, place in place_ends],
            [(found, *self.exp_ends(top - max(r), top - min(r), bits)) for found, r in zip(classes, reaches, strict=True)],
        )
