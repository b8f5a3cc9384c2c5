"""The extreme test, with which most cells begin, and the method that is no more.  (SPEC-7.6)

In the words of 7.6: ``M_i`` is the largest term of position i, ``F_i`` its term of {m}, and a sum
is the largest that an input could have, so a negative one is no failing input's.
"""

from checker.cells.cell import Failures
from checker.cells.terms import BlockTerms, Left, Terms
from checker.ground.errors import require

NOWHERE = -1
"""A place that is no position."""


def extreme_test(
    terms: Terms,
    maximum: int,
    *,
    forced: bool,
) -> tuple[Terms | None, int | None]:
    """Return the upper terms with which an answer may still win, None if it cannot, and the largest
    sum that was removed, None if there is none.  (SPEC-7.6)

    ``maximum`` is the block of the maximum; ``forced``: a free position must hold it.
    Ensures: sums that no input has are not counted among those removed.
    """
    if not all(terms):  # 7.6 step 1: some position has no term
        return None, None
    tops = [max(row.values()) for row in terms]  # M_i
    total = sum(tops)
    gains = {NOWHERE: 0}  # 7.6: g is 0, whichever position is left out
    if forced:  # F_i - M_i for the free positions that have F_i
        free = enumerate(terms[:-1])
        gains = {i: row[maximum] - tops[i] for i, row in free if maximum in row}
    if not gains:  # 7.6 step 1: no free position has F_i
        return None, None
    best = max(gains, key=gains.__getitem__)
    gain = gains.pop(best)  # g, and below g without its position
    second = max(gains.values(), default=None)
    if total + gain < 0:  # 7.6 step 1: sum_i M_i + g < 0
        return None, total + gain
    rows = []
    removed = list[int]()
    for i, row in enumerate(terms):
        others = total - tops[i]  # the sum of M_k over k != i
        here = gain if i != best else second  # g_i
        own = row.get(maximum) if i < len(tops) - 1 else None  # F_i
        kept = BlockTerms()
        if here is not None:  # 7.6 step 2: f_i(b,j) + sum_{k != i} M_k + g_i < 0
            least = -(others + here)
            kept = {b: term for b, term in row.items() if term >= least}
            if len(kept) < len(row):
                gone = row.keys() - kept.keys()
                lost = [row[b] for b in gone if b != maximum or own is None]
                removed += [max(lost) - least] if lost else []
        # 7.6 step 2: g_i is 0 if b is {m}; elsewhere it is at most 0, so what is kept stays
        if own is not None and own + others >= 0:
            kept[maximum] = own
        elif own is not None:
            removed.append(own + others)
        rows.append(kept)
    return rows, max(removed, default=None)


class Extreme:
    """A leaf of which the extreme test leaves no answer.  (SPEC-7.6)"""

    def failures(self, left: Left) -> Failures:
        """Return that nothing fails.  Raises: Rejected (SPEC-7.6), for an answer is left."""
        require(
            not left.terms,
            "SPEC-7.6",
            f"{left.where}: answer {min(left.terms)} is not beaten on the whole cell",
        )
        return Failures(0, 0)
