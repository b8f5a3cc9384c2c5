"""The tie rule, and the sign of what is no tie, for one input with exact paths.  (SPEC-7.8)

Positions with equal exact scores have equal weights, so their exact brackets are added first.  If
all these sums are zero the logits are equal: a tie, hence wrong.  Otherwise they differ (distinct
algebraic exponents have exponentials that are linearly independent over the algebraic numbers), so
some precision decides the sign.
"""

from operator import add

from checker.cells.terms import term_lower, term_upper
from checker.cells.weights import Scores

MAX_PRECISION = 4096


def is_wrong(
    scores: Scores,
    right: int,
    tokens: tuple[int, ...],
    answers: list[int],
) -> bool | None:
    """Return whether some answer reaches the right logit on one input; None if 4 096 bits do not
    tell.

    Requires: exact paths.
    """
    paths = scores.tables.paths
    q = tokens[-1]
    keys = [paths.eqke_low[q][t] for t in tokens]
    exact = list(map(add, keys, paths.eqkp[q]))
    signs = []
    for j in answers:
        direct = paths.eu_low[q][j] - paths.eu_low[q][right]
        sums = dict.fromkeys(exact, 0)
        scores.tables.ledger.charge(add=5 * len(tokens))
        for i, t in enumerate(tokens):
            value = paths.evou_low[t][j] - paths.evou_low[t][right]
            place = paths.pvou[i][j] - paths.pvou[i][right]
            sums[exact[i]] += value + place + direct  # D_i(t, j) of Lemma 4.4
        sums = {score: value for score, value in sums.items() if value}
        signs.append(_sign(scores, sums))
    if 0 in signs or 1 in signs:  # a tie is wrong
        return True
    return None if None in signs else False


def _sign(scores: Scores, sums: dict[int, int]) -> int | None:
    """Return the sign of the sum of exp(score/sqrt(d_head)) * value, value != 0, or None if 4 096
    bits do not tell.
    """
    if not sums:  # the tie rule
        return 0
    top = max(sums)
    work = 2 * len(sums)
    precision = min(2 * scores.precision, MAX_PRECISION)
    while precision <= MAX_PRECISION:
        scores.tables.ledger.charge(mul=work, add=work)
        weights = scores.exp_ends([(top - x, top - x) for x in sums], precision)
        if sum(map(term_lower, weights, sums.values())) > 0:
            return 1
        if sum(map(term_upper, weights, sums.values())) < 0:
            return -1
        precision *= 2
    return None
