"""Method ``screen``: one cheap test of every wrong answer, for all inputs with one maximum at once.
(SPEC 7.15)

Every input with maximum m holds m at least once.  So if F bounds the term of m and M the term of
any token, at any
position and for any query, then F + (n-1) M bounds the sum.
"""

from checker.cells.parse import Cell, expand
from checker.cells.terms import Allowed, Scores


def screened(
    scores: Scores, cell: Cell, answers: dict[int, Allowed], mu: int
) -> tuple[dict[int, Allowed], int | None, int]:
    """Return the answers that may still win with the tokens they may win with, the largest sum
    removed, and a weight.

    The weight bounds the sum of the weights of any input from above; sums are those of the upper
    terms, with ``mu``.
    Cost: the spans of the queries; two exponentials per block; per answer and block two additions,
          a multiplication and
          three comparisons, and one more for a block of several tokens; per answer one comparison
          per position and six more.
    """
    tables, m, blocks = scores.tables, cell.maximum, cell.blocks()
    paths, n = tables.paths, len(tables.paths.pvou)
    highs, most, least = (
        tables.direct_high[m],
        tables.place_high[m],
        tables.place_low[m],
    )
    spans = scores.spans(expand(cell.queries), blocks)
    top = max(high for _, high in spans) + most
    least -= scores.slack.score_error
    ends = [
        scores.exp_ends(top - high - most, top - low - least, scores.precision)
        for low, high in spans
    ]
    values = [
        (tables.value_high.windows(a, b), tables.value_low.windows(a, b))
        for a, b in blocks
    ]
    lowest = tables.direct_low[m][m] + min(row[m] for row in paths.pvou) - mu
    floors = [min(one[m], two[m]) + lowest for _, (one, two) in values]
    entries, wide, adds = (
        len(answers) * len(blocks),
        sum(a < b for a, b in blocks),
        4 * (len(answers) + len(blocks)),
    )
    tables.ledger.charge(
        entries + 2 * len(answers),
        adds + 2 * entries,
        3 * entries + (wide + n + 2) * (len(answers) + 1),
    )
    heaviest, left, removed = n * max(high for _, high in ends), {}, []
    masks = [(2 << b) - (1 << a) for a, b in blocks]
    for j, allowed in answers.items():
        shift = highs[j] + max(row[j] for row in paths.pvou)
        brackets = [
            max(one[j], two[j]) + shift - floor
            for ((one, two), _), floor in zip(values, floors, strict=True)
        ]
        terms = [
            end[bracket > 0] * bracket
            for end, bracket in zip(ends, brackets, strict=True)
        ]
        largest, need = max(terms), -terms[-1]
        if (n - 1) * largest < need:
            removed.append((n - 1) * largest - need)
            continue
        need -= max(n - 2, 0) * largest
        hopeless = [term for term in terms[:-1] if term < need]
        removed += [max(hopeless) - need] if hopeless else []
        mask = (
            sum(mask for mask, term in zip(masks, terms, strict=True) if term >= need)
            | masks[-1]
        )
        left[j] = tuple(mask & tokens for tokens in allowed)
    return left, max(removed, default=None), heaviest
