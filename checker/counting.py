"""Method ``count``: sequences counted by integer generating functions.  (SPEC 7.9, 7.10)

For terms g_i(b) with maxima M_i put T = last + sum M_i.  A sequence has sum g_i + last >= 0 exactly when its deficits
M_i - g_i(b_i) >= 0 add up to at most T.  Divided by a step and rounded, deficits become small integers, and the
sequences whose deficits add up to at most T are the coefficients of degree <= T of a product of polynomials.
Polynomials are packed into one integer with slots wide enough for the number of all sequences.
"""

from math import prod

from checker.enclosure import Frame, Terms, max_of_terms
from checker.errors import require
from checker.ledger import Ledger
from checker.proof import Share


def _within(frame: Frame, deficits: list[list[int]], limit: int, ledger: Ledger) -> int:
    """Return the weight of the cell's sequences whose deficits add up to at most ``limit``.

    Cost: (limit + 1) multiplications and additions per position and per distinct deficit, for every 512 bits of a slot,
          twice if the sequences without the maximum are taken off.
    """
    slot = prod(map(sum, frame.multiplicities)).bit_length() + 1
    live = (1 << slot * (limit + 1)) - 1
    passes = (0, 1) if frame.contains_maximum else (0,)
    counts = []
    for dropped in passes:
        packed = 1
        for weights, row in zip(frame.multiplicities, deficits, strict=True):
            width = len(row) - dropped
            coefficients: dict[int, int] = {}
            for deficit, weight in zip(row[:width], weights[:width], strict=True):
                if deficit <= limit:
                    coefficients[deficit] = coefficients.get(deficit, 0) + weight
            work = (limit + 1) * len(coefficients) * -(-slot // 512)
            ledger.charge(mul=work, add=work)
            packed = packed * sum(weight << slot * deficit for deficit, weight in coefficients.items()) & live
        counts.append(packed % ((1 << slot) - 1))
    return counts[0] - sum(counts[1:])


def _scaled(frame: Frame, terms: Terms, bins: int, ledger: Ledger) -> tuple[list[list[int]], int, int]:
    """Return (deficits, T, step): how far each term is below its position's largest, and what may be lost in all."""
    tops = [max(row) for row in terms.rows]
    total = sum(tops) + terms.last
    entries = len(frame.multiplicities) * len(frame.blocks)
    ledger.charge(mul=entries, add=entries, cmp=entries)
    deficits = [[top - term for term in row] for row, top in zip(terms.rows, tops, strict=True)]
    return deficits, total, (total // bins if bins else total) + 1


def count_upper(frame: Frame, terms: Terms, bins: int, ledger: Ledger) -> int:
    """Return an upper bound on the weight of the sequences whose upper terms sum to zero or more.  (SPEC 7.9)

    Deficits are rounded down, so a sequence that fails is never missed.
    """
    deficits, total, step = _scaled(frame, terms, bins, ledger)
    if total < 0:
        return 0
    return _within(frame, [[deficit // step for deficit in row] for row in deficits], total // step, ledger)


def count_lower(frame: Frame, terms: Terms, bins: int, ledger: Ledger) -> int:
    """Return a lower bound on the weight of the sequences whose lower terms sum to zero or more.  (SPEC 7.10)

    Deficits are rounded up, so every sequence counted does fail.
    """
    deficits, total, step = _scaled(frame, terms, bins, ledger)
    if total < 0:
        return 0
    return _within(frame, [[-(-deficit // step) for deficit in row] for row in deficits], total // step, ledger)


def failures_upper(frame: Frame, answers: dict[int, Terms], shares: tuple[Share, ...], ledger: Ledger) -> int:
    """Return an upper bound on the weight of the cell's sequences that some answer may win.  (SPEC 7.9)

    Each share counts once for the termwise maximum over its answers; an empty list of answers takes all that are
    left.  The shares are added: a sequence lost to several answers may be counted several times, never missed (the caller caps).
    Raises: Rejected (SPEC-7.9) unless the shares cover every answer not proved beaten.
    """
    left = dict(answers)
    total = 0
    for bins, named in shares:
        chosen = [left.pop(j) for j in (named or tuple(left)) if j in left]
        if chosen:
            total += count_upper(frame, max_of_terms(chosen), bins, ledger)
    require(not left, "SPEC-7.9", f"the blocks of a count at maximum {frame.maximum} leave out answer {next(iter(left), 0)}")
    return total


def failures_lower(frame: Frame, answers: dict[int, Terms], shares: tuple[Share, ...], ledger: Ledger) -> int:
    """Return a lower bound on the weight of the cell's sequences that some answer wins for certain.  (SPEC 7.10)

    Requires: ``frame.exact`` if there is any share.
    Every answer named is counted by itself.  One input may be lost to several answers, so the largest count is taken;
    counts of different answers are never added.
    """
    named = [(j, bins) for bins, chosen in shares for j in chosen if j in answers]
    frame.charge_terms(ledger, len(named))
    return max([count_lower(frame, frame.lower_terms(j), bins, ledger) for j, bins in named], default=0)
