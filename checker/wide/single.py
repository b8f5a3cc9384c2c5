"""One input by itself: both ends of the difference of its logits.  (SPEC-16.7)"""

from operator import add

from checker.cells.paths import Paths
from checker.cells.terms import term_lower, term_upper
from checker.cells.weights import Ends, Scores

MAX_PRECISION = 4096


def is_wrong(
    scores: list[Scores],
    right: int,
    tokens: tuple[int, ...],
    answers: list[int],
    mu: int,
) -> bool | None:
    """Return True if some answer reaches the right logit, False if all of them stay more than
    ``mu`` below it, None if 4 096 bits do not tell.  (SPEC-16.7)

    Cost: at every precision, for each head and position an addition and two exponentials, and for
          each answer nine operations per position and five more.
    """
    ledger = scores[0].tables.ledger
    means = len(scores) * len(answers)
    positions = len(tokens)
    precision = min(2 * scores[0].precision, MAX_PRECISION)
    while precision <= MAX_PRECISION:
        added = means * (7 * positions + 3) + len(scores) * positions
        ledger.charge(mul=2 * means * (positions + 1), add=added)
        weights = [_weights(own, tokens, precision) for own in scores]
        found = []
        for j in answers:
            ends = _difference(scores, weights, right, tokens, j, precision)
            found.append(ends)
        if any(low >= 0 for low, _ in found):
            return True
        if all(high + (mu << precision) < 0 for _, high in found):
            return False
        precision *= 2
    return None


def _weights(
    scores: Scores,
    tokens: tuple[int, ...],
    precision: int,
) -> list[Ends]:
    """Return the weight of every position, the largest being one."""
    paths = scores.tables.paths
    q = tokens[-1]
    keys = [paths.eqke_low[q][t] for t in tokens]
    exact = list(map(add, keys, paths.eqkp[q]))
    top = max(exact)
    return [scores.exp_ends(top - score, top - score, precision) for score in exact]


def _difference(
    scores: list[Scores],
    weights: list[list[Ends]],
    right: int,
    tokens: tuple[int, ...],
    j: int,
    precision: int,
) -> Ends:
    """Return both ends of logit_j - logit_m, over the scale of logits and ``precision`` bits more:
    G(q, j) + sum_h N_h / W_h.
    """
    direct = scores[0].tables.paths.eu_low[tokens[-1]]
    low = high = direct[j] - direct[right] << precision
    for own, row in zip(scores, weights, strict=True):
        least, most = _mean(_values(own.tables.paths, right, tokens, j), row, precision)
        low += least
        high += most
    return low, high


def _values(
    paths: Paths,
    right: int,
    tokens: tuple[int, ...],
    j: int,
) -> list[int]:
    """Return D_hi(t_i, j) of one head."""
    found = []
    for place, t in zip(paths.pvou, tokens, strict=True):
        value = paths.evou_low[t][j] - paths.evou_low[t][right]
        found.append(value + place[j] - place[right])
    return found


def _mean(values: list[int], weights: list[Ends], precision: int) -> Ends:
    """Return both ends of N_h / W_h, over ``precision`` bits more than the values."""
    least = sum(map(term_lower, weights, values)) << precision
    most = sum(map(term_upper, weights, values)) << precision
    whole_low = sum(low for low, _ in weights)
    whole_high = sum(high for _, high in weights)
    # a mean that is not negative is least over the largest denominator
    low = least // (whole_high if least >= 0 else whole_low)
    high = -(-most // (whole_low if most >= 0 else whole_high))
    return low, high
