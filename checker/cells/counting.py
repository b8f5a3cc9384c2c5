"""Method ``count``: sequences counted by integer generating functions.  (SPEC 7.9, 7.10)

For terms g_i(b) with maxima M_i put T = sum M_i.  An input has sum g_i >= 0 exactly when its
deficits
M_i - g_i(b_i) >= 0 add up to at most T.  Divided by a step and rounded, deficits become small
integers, and the
inputs whose deficits add up to at most T are the coefficients of degree <= T of a product of
polynomials.
Polynomials are packed into one integer with slots wide enough for the number of all inputs.
"""

from collections.abc import Callable
from math import prod
from operator import floordiv

from checker.cells.parse import Share
from checker.cells.terms import Frame, Terms, max_of_terms
from checker.ground.errors import require, require_support
from checker.ground.ledger import Ledger

MAX_POLYNOMIAL_BITS = 1 << 22
"""Two factors as large as this are multiplied in less than a second.  (SPEC 3.5)"""


def _within(
    frame: Frame, deficits: list[dict[int, int]], limit: int, ledger: Ledger
) -> int:
    """Return the weight of the cell's inputs whose deficits add up to at most ``limit``.

    Cost: a multiplication and an addition per position, distinct deficit and coefficient of the
          product, no more than
          limit + 1, for every 512 bits of a slot; an addition per coefficient, for every 512 bits
          squared; twice if the
          inputs without the maximum at a free position are taken off.
    """
    slot = prod(map(sum, frame.multiplicities)).bit_length() + 1
    require_support(
        slot * (limit + 1) <= MAX_POLYNOMIAL_BITS,
        "SPEC-3.5",
        "a polynomial is too large to multiply",
    )
    live, last, words = (
        (1 << slot * (limit + 1)) - 1,
        len(frame.blocks) - 1,
        -(-slot // 512),
    )
    counts = []
    for dropped in (-1, last) if frame.forced else (-1,):
        packed, degree = 1, 0
        for weights, row in zip(frame.multiplicities, deficits, strict=True):
            held = {
                block: deficit
                for block, deficit in row.items()
                if deficit <= limit and block != dropped
            }
            coefficients = {
                d: sum(weights[b] for b in held if held[b] == d)
                for d in set(held.values())
            }
            degree += max(coefficients, default=0)
            work = (min(limit, degree) + 1) * len(coefficients) * words
            ledger.charge(mul=work, add=work)
            packed = (
                packed
                * sum(
                    weight << slot * deficit for deficit, weight in coefficients.items()
                )
                & live
            )
        ledger.charge(add=(min(limit, degree) + 1) * words**2)
        counts.append(packed % ((1 << slot) - 1))
    return counts[0] - sum(counts[1:])


def _counted(
    frame: Frame,
    terms: Terms,
    bins: int,
    scaled: Callable[[int, int], int],
    ledger: Ledger,
) -> int:
    """Return the weight of the inputs whose deficits, ``scaled`` by a step, add up to at most the
    sum of the largest terms.

    Ensures: for upper terms and deficits rounded down, an input that fails is never missed; for
             lower terms and deficits
             rounded up, every input counted fails.
    Cost: a multiplication, an addition and a comparison per term, and the polynomials.
    """
    tops, entries = [max(row.values()) for row in terms.rows], sum(map(len, terms.rows))
    ledger.charge(mul=entries, add=entries, cmp=entries)
    total, step = sum(tops), (sum(tops) // bins if bins else sum(tops)) + 1
    if total < 0:
        return 0
    deficits = [
        {b: scaled(top - term, step) for b, term in row.items()}
        for row, top in zip(terms.rows, tops, strict=True)
    ]
    return _within(frame, deficits, total // step, ledger)


def failures_upper(
    frame: Frame, answers: dict[int, Terms], shares: tuple[Share, ...], ledger: Ledger
) -> int:
    """Return an upper bound on the weight of the cell's inputs that some answer may win.  (SPEC
    7.9)

    Each share counts once for the termwise maximum over its answers; an empty list of answers takes
    all that are
    left.  The shares are added: an input lost to several answers may be counted several times,
    never missed (the caller caps).
    Raises: Rejected (SPEC-7.9) unless the shares cover every answer not proved beaten.
    """
    left, total = dict(answers), 0
    for bins, named in shares:
        chosen = [left.pop(j) for j in (named or tuple(left)) if j in left]
        if chosen:
            total += _counted(frame, max_of_terms(chosen), bins, floordiv, ledger)
    require(
        not left,
        "SPEC-7.9",
        f"the blocks of a count at maximum {frame.maximum} leave out answer {next(iter(left), 0)}",
    )
    return total


def failures_lower(
    frame: Frame, answers: dict[int, Terms], shares: tuple[Share, ...], ledger: Ledger
) -> int:
    """Return a lower bound on the weight of the cell's inputs that some answer wins for certain.
    (SPEC 7.10)

    Raises: Rejected (SPEC-7.10) if there is a share and the terms of the cell are not exact.
    Every answer named is counted by itself.  One input may be lost to several answers, so the
    largest count is taken;
    counts of different answers are never added.
    """
    require(
        frame.exact or not shares,
        "SPEC-7.10",
        f"a lower count at maximum {frame.maximum} needs exact paths",
    )
    lowers = (
        (frame.lower_terms(j, frame.allowed(answers[j])), bins)
        for bins, chosen in shares
        for j in chosen
        if j in answers
    )
    return max(
        [
            _counted(frame, terms, bins, lambda gap, step: -(-gap // step), ledger)
            for terms, bins in lowers
        ],
        default=0,
    )
