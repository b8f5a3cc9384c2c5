"""Method ``screen``: one cheap test of every wrong answer, for all inputs with one maximum at once.
(SPEC-7.15)

Every input with maximum m holds m at least once.  So if F bounds the term of m and M the term of
any token, at any position and for any query, then F + (n-1) M bounds the sum.
"""

from collections.abc import Callable

from checker.cells.cell import Answers, Inputs
from checker.cells.tables import Layout
from checker.cells.terms import term_upper
from checker.cells.weights import Ends, Scores

Screened = tuple[Answers, int | None, int]
"""The answers that a screen leaves with the tokens they may win with, the largest sum removed, None
if there is none; and W, which no input's sum of weights exceeds.
"""


class Screen:
    """A cell of all inputs with one maximum; it hands down what its test leaves.  (SPEC-7.15)"""


def _weights(scores: Scores, inputs: Inputs, layout: Layout) -> list[Ends]:
    """Return per block bounds on the weight of its tokens, at any position and for any query.

    Cost: the spans of the queries; two exponentials per block.
    """
    tables = scores.tables
    spans = tables.spans(inputs.queries, layout)  # (L_b, H_b)
    high = tables.place_high[inputs.maximum]  # h
    low = tables.place_low[inputs.maximum] - scores.slack.score_error  # l; 12.5
    top = max(most for _, most in spans) + high
    below = [(top - most - high, top - least - low) for least, most in spans]
    return scores.exp_ends(below, scores.precision)


def _kept(
    terms: list[int],
    n: int,
) -> tuple[list[int], int | None]:
    """Return the blocks with which an answer with these terms may still win, and the largest sum
    removed.  (SPEC-7.15)
    """
    own = terms[-1]  # F
    largest = max(terms)  # M
    bound = (n - 1) * largest + own
    if bound < 0:  # F + (n-1) M < 0: the answer is beaten
        return [], bound
    # A block b below m goes if f(b,j) + F + (n-2) M < 0, with 0 for n-2 if n = 1.
    need = -own - max(n - 2, 0) * largest
    last = len(terms) - 1
    kept = [b for b, term in enumerate(terms) if term >= need or b == last]
    lost = [term for term in terms[:-1] if term < need]
    return kept, max(lost) - need if lost else None


def screened(
    scores: Scores,
    inputs: Inputs,
    answers: Answers,
    mu: int,
) -> Screened:
    """Return what is left of these answers, ``mu`` added to every bracket.

    Cost: that of the weights; per answer and block two additions, a multiplication and three
          comparisons, and one more for a block of several tokens; per answer one comparison per
          position and six more.
    """
    tables = scores.tables
    m = inputs.maximum
    right = tables.paths.right[m]
    places = tables.paths.pvou
    n = len(places)
    blocks = inputs.blocks
    layout = tables.layout(blocks)
    weights = _weights(scores, inputs, layout)
    # min_t EVOU[t,m] + min_i PVOU[i,m] + min_q (EU[q,m] - mean_q) - mu
    least = tables.direct_low[m][right] + min(row[right] for row in places) - mu
    wide = sum(first < last for first, last in blocks)
    entries = len(answers) * len(blocks)
    tables.ledger.charge(
        mul=entries + 2 * len(answers),
        add=4 * (len(answers) + len(blocks)) + 2 * entries,
        cmp=3 * entries + (wide + n + 2) * (len(answers) + 1),
    )

    def brackets(j: int) -> list[int]:
        shift = tables.direct_high[m][j] + max(row[j] for row in places) - least
        return [value + shift for value in layout.above(j)]

    return left_by(answers, brackets, weights, layout.masks, n)


def left_by(
    answers: Answers,
    brackets: Callable[[int], list[int]],
    weights: list[Ends],
    masks: list[int],
    n: int,
) -> Screened:
    """Return what is left of answers with these brackets, by block.  (SPEC-7.15)"""
    left = {}
    removed = []
    for j, allowed in answers.items():
        terms = list(map(term_upper, weights, brackets(j)))  # f(b,j)
        kept, bound = _kept(terms, n)
        if bound is not None:
            removed.append(bound)
        if kept:
            tokens = sum(masks[b] for b in kept)
            left[j] = tuple(tokens & held for held in allowed)
    heaviest = n * max(high for _, high in weights)
    return left, max(removed, default=None), heaviest
