"""Method ``count``: sequences counted by integer generating functions.  (SPEC-7.9, SPEC-7.10)

For terms g_i(b) with maxima M_i put T = sum M_i.  An input has sum g_i >= 0 exactly when its
deficits M_i - g_i(b_i) >= 0 add up to at most T.  Divided by a step and rounded, deficits become
small integers, and the inputs whose deficits add up to at most T are the coefficients of degree
<= T of a product of polynomials.  Polynomials are packed into one integer with slots wide enough
for the number of all inputs.
"""

from collections.abc import Callable
from itertools import accumulate
from math import prod
from operator import floordiv, mul
from struct import unpack

from checker.cells.cell import Failures
from checker.cells.terms import Frame, Left, Terms, max_of_terms
from checker.ground import paired, record
from checker.ground.errors import require, require_support

MAX_POLYNOMIAL_BITS = 1 << 22
"""Two factors as large as this are multiplied in less than a second.  (SPEC-3.5)"""


@record
class Share:
    """A number of bins and the wrong answers they are spent on."""

    bins: int
    answers: tuple[int, ...]


@record
class Count:
    """A leaf whose failures are counted, for the shares of ``blocks`` and of ``lower``."""

    blocks: tuple[Share, ...]
    lower: tuple[Share, ...] = ()

    def failures(self, left: Left) -> Failures:
        """Return bounds on the failing weight."""
        upper = self.upper_count(left)
        return Failures(self.lower_count(left), min(upper, left.size))

    def upper_count(self, left: Left) -> int:
        """Return an upper bound on the weight of the inputs that some answer may win.  (SPEC-7.9)

        Each share counts once for the termwise maximum over its answers; an empty list of answers
        takes all that are left.  The shares are added: an input lost to several answers may be
        counted several times, never missed (the caller caps).
        Raises: Rejected (SPEC-7.9) unless the shares cover every answer not proved beaten.
        """
        unnamed = dict(left.terms)
        total = 0
        for share in self.blocks:
            named = share.answers or tuple(unnamed)
            chosen = [unnamed.pop(j) for j in named if j in unnamed]
            if chosen:
                total += _counted(
                    left.frame, max_of_terms(chosen), share.bins, floordiv
                )
        require(
            not unnamed,
            "SPEC-7.9",
            f"{left.where}: the blocks leave out answer {next(iter(unnamed), 0)}",
        )
        return total

    def lower_count(self, left: Left) -> int:
        """Return a lower bound on the weight of the inputs that some answer wins for certain.
        (SPEC-7.10)

        Every answer named is counted by itself.  One input may be lost to several answers, so the
        largest count is taken; counts of different answers are never added.
        Raises: Rejected (SPEC-7.10) if there is a share and the terms of the cell are not exact.
        """
        frame = left.frame
        require(
            frame.mirrored or not self.lower,
            "SPEC-7.10",
            f"{left.where}: a lower count needs one query, single tokens and exact paths",
        )
        largest = 0
        for share in self.lower:
            for j in share.answers:
                if j in left.terms:  # 7.10: named, and not removed
                    terms = frame.lower_terms(j, frame.allowed(left.terms[j]))
                    found = _counted(frame, terms, share.bins, rounded_up)
                    largest = max(largest, found)
        return largest


def rounded_up(deficit: int, step: int) -> int:
    """Return the quotient rounded up."""
    return -(-deficit // step)


def _counted(
    frame: Frame,
    terms: Terms,
    bins: int,
    scaled: Callable[[int, int], int],
) -> int:
    """Return the weight of the inputs whose deficits, ``scaled`` by a step, add up to at most the
    sum of the largest terms.

    Ensures: for upper terms and deficits rounded down, an input that fails is never missed; for
             lower terms and deficits rounded up, every input counted fails.
    Cost: a multiplication, an addition and a comparison per term, and the polynomials.
    """
    entries = sum(map(len, terms))
    frame.ledger.charge(mul=entries, add=entries, cmp=entries)
    tops = [max(row.values()) for row in terms]  # M_i
    total = sum(tops)  # T
    if total < 0:
        return 0
    step = (total // bins if bins else total) + 1
    deficits = [
        {b: scaled(top - term, step) for b, term in row.items()}
        for top, row in paired(tops, terms)
    ]
    return _within(frame, deficits, total // step)


def _within(
    frame: Frame,
    deficits: Terms,
    limit: int,
) -> int:
    """Return the weight of the cell's inputs whose deficits add up to at most ``limit``.

    Cost: a multiplication and an addition per position, distinct deficit and coefficient of the
          product, no more than limit + 1, for every 512 bits of a slot; an addition per
          coefficient, for every 512 bits squared; twice if the inputs without the maximum at a
          free position are taken off.
    """
    slot = prod(map(sum, frame.multiplicities)).bit_length() + 1
    require_support(
        slot * (limit + 1) <= MAX_POLYNOMIAL_BITS,
        "SPEC-3.5",
        "a polynomial is too large to multiply",
    )
    words = -(-slot // 512)
    half = len(deficits) // 2
    found = []
    # 7.9: minus the same without block {m} if the query is below m
    for left_out in (None, len(frame.blocks) - 1) if frame.forced else (None,):
        factors = []
        degree = 0
        for weights, row in paired(frame.multiplicities, deficits):
            counts: dict[int, int] = {}
            for b, deficit in row.items():
                if deficit <= limit and b != left_out:
                    counts[deficit] = counts.get(deficit, 0) + weights[b]
            factors.append(counts)
            degree += max(counts, default=0)
            work = (min(limit, degree) + 1) * len(counts) * words
            frame.ledger.charge(mul=work, add=work)
        frame.ledger.charge(add=(min(limit, degree) + 1) * words**2)
        front = _product(factors[:half], limit)
        # up to each degree, how much the other positions count
        back = [*accumulate(_product(factors[half:], limit))]
        found.append(sum(map(mul, front, reversed(back))))
    return frame.scope.counted(found[0] - sum(found[1:]))


def _product(factors: list[dict[int, int]], limit: int) -> list[int]:
    """Return the coefficients of the degrees up to ``limit`` of a product of polynomials."""
    # 7.9: slots are wider than the sum of all coefficients, so nothing carries
    size = prod(sum(counts.values()) for counts in factors).bit_length() // 8 + 1
    slot = 8 * size
    live = (1 << slot * (limit + 1)) - 1
    packed = 1
    for counts in factors:
        factor = sum(count << slot * degree for degree, count in counts.items())
        packed = packed * factor & live
    slots = packed.to_bytes(size * (limit + 1), "little")
    parts = unpack(f"{size}s" * (limit + 1), slots)
    return [int.from_bytes(part, "little") for part in parts]
