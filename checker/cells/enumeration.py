"""Method ``enumerate``: the exact union over wrong answers, tuple by tuple, with multiplicities.
(SPEC 7.8)

The positions are cut into a prefix, which the last position leads, and a suffix.  For every wrong
answer the suffix
tuples are sorted by the sum of their terms, with bit masks of all tuples from each place on; a
prefix then finds by
bisection the mask of the suffixes that make the sum non-negative, and masks of different answers
are OR-ed: a union,
never a sum.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, product
from math import prod
from operator import itemgetter, mul

from checker.cells.terms import Frame, Scores, Terms
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger

MAX_TUPLE_BITS = 1 << 30
MAX_SUFFIXES = 1 << 16
BITS_OF_TUPLE = 2048
"""What Python takes for a tuple beside its mask and its sum, generously."""
MAX_PRECISION = 4096

Found = dict[int, int]
"""Per prefix, by its number, the mask of suffixes."""


class Enumeration:
    """The block tuples of one cell, laid out as prefixes times suffix bits."""

    def __init__(self, frame: Frame, answers: list[Terms], ledger: Ledger) -> None:
        """Lay out the tuples, cut where the masks of an answer with an average number of terms cost
        least.
        """
        self.frame, self.ledger, self.width = frame, ledger, len(frame.blocks)
        free = len(frame.multiplicities) - 1
        sizes = [
            max(sum(map(len, rows)) // len(answers), 1)
            for rows in zip(*(terms.rows for terms in answers), strict=True)
        ]
        cuts = [
            cut for cut in range(free + 1) if self.width ** (free - cut) <= MAX_SUFFIXES
        ]
        self.cut = min(cuts, key=lambda cut: self._work([sizes[-1], *sizes[:-1]], cut))
        self.suffixes = self.width ** (free - self.cut)
        self.words = -(-self.suffixes // 64)
        self.missing, size = 1 if frame.forced else 0, 1
        for _ in range(free - self.cut if frame.forced else 0):
            self.missing, size = (
                sum(self.missing << block * size for block in range(self.width - 1)),
                size * self.width,
            )

    def _work(self, sizes: list[int], cut: int) -> int:
        """Return the operations of one answer's masks; ``sizes`` are its terms per position, the
        last position first.
        """
        heads, tails = (
            [*accumulate(part, mul, initial=1)]
            for part in (sizes[: cut + 1], sizes[cut + 1 :])
        )
        words = -(-(self.width ** (len(tails) - 1)) // 64)
        work: int = (
            sum(heads)
            + sum(tails)
            + (heads[-1] + tails[-1]) * (tails[-1].bit_length() + words)
        )
        return work

    def masks(self, answers: Iterable[Terms]) -> Found:
        """Return per prefix the mask of the suffixes for which some answer's terms sum to zero or
        more.

        Requires: terms for the same blocks as those of the answers that the tuples were laid out
                  for.
        Raises:   Declined (SPEC-3.5) if masks and sums could take more than 2^30 bits.
        Cost:     per answer one addition per prefix and suffix and shorter tuple, a sort of the
                  suffixes with their masks,
                  and per prefix one bisection and one OR of masks (counted in words of 64 bits).
        """
        found: Found = {}
        for terms in answers:
            head, tail = (
                [terms.rows[-1], *terms.rows[: self.cut]],
                terms.rows[self.cut : -1],
            )
            bits = (
                max(term.bit_length() for row in terms.rows for term in row.values())
                + self.suffixes
                + BITS_OF_TUPLE
            )
            tuples = len(found) + prod(map(len, head)) + prod(map(len, tail))
            require_support(
                tuples * bits <= MAX_TUPLE_BITS,
                "SPEC-3.5",
                "an enumeration is too large to hold",
            )
            self.ledger.charge(
                add=self._work([len(row) for row in head + tail], self.cut)
            )
            ordered = sorted(self._sums(tail), key=itemgetter(1))
            values, masks = [total for _, total, _ in ordered], [0]
            for index, _, _ in reversed(ordered):
                masks.append(masks[-1] | 1 << index)
            masks.reverse()
            for index, total, holds in self._sums(head):
                mask = masks[bisect_left(values, -total)] & (
                    -1 if holds else ~self.missing
                )
                if mask:
                    found[index] = found.get(index, 0) | mask
        return found

    def _sums(self, rows: list[dict[int, int]]) -> list[tuple[int, int, bool]]:
        """Return (number, sum, whether it holds the maximum) of every tuple of blocks."""
        found, last = [(0, 0, False)], self.width - 1
        for row in rows:
            pairs = row.items()
            found = [
                (i * self.width + b, total + v, holds or b == last)
                for i, total, holds in found
                for b, v in pairs
            ]
        return found

    def weight(self, found: Found) -> int:
        """Return the total weight of the tuples in the masks.

        Cost: per suffix one multiplication; two operations per prefix, binary digit of a suffix's
              weight, and word of 64 bits.
        """
        *free, last = self.frame.multiplicities
        weights = [prod(chosen) for chosen in product(*free[self.cut :])]
        digits = max(weights).bit_length()
        work = digits * (self.suffixes + 2 * len(found) * self.words)
        self.ledger.charge(
            mul=self.suffixes * len(free) + len(found) * (self.cut + 2), add=work
        )
        planes = [
            sum(1 << i for i, weight in enumerate(weights) if weight >> digit & 1)
            for digit in range(digits)
        ]
        total = 0
        for number, mask in found.items():
            digit_sums = (
                (mask & plane).bit_count() << digit
                for digit, plane in enumerate(planes)
            )
            head = zip([last, *free], self._blocks(number, self.cut + 1), strict=False)
            total += sum(digit_sums) * prod(row[b] for row, b in head)
        return total

    def _blocks(self, number: int, places: int) -> list[int]:
        """Return the tuple of blocks with this number."""
        return [
            number // self.width**place % self.width
            for place in reversed(range(places))
        ]

    def tuples(self, found: Found) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Yield (prefix, bit, tokens of all positions) of every tuple in the masks; blocks must be
        single tokens.
        """
        free = len(self.frame.multiplicities) - 1
        for number, mask in found.items():
            self.ledger.charge(add=mask.bit_length() * self.words)
            query, *head = self._blocks(number, self.cut + 1)
            for bit in range(mask.bit_length()):
                if mask >> bit & 1:
                    yield (
                        number,
                        1 << bit,
                        (*head, *self._blocks(bit, free - self.cut), query),
                    )


def failures(
    frame: Frame, answers: dict[int, Terms], scores: Scores, mu: int, ledger: Ledger
) -> tuple[int, int]:
    """Return (lower, upper) bounds on the failing weight of a cell's sequences.  (SPEC 7.8)

    Requires: ``answers`` holds the upper terms, with ``mu``, of every answer not proved beaten on
              the whole cell.
    Ensures:  lower counts logits (mu = 0) and is 0 unless brackets are exact; upper counts every
              sequence whose
              margin is not shown to exceed mu.

    Tuples that the two ends of the weights leave open are decided one by one, where mu is zero, by
    the tie rule or
    by more precision; what is still open counts in the upper bound only.
    """
    table = Enumeration(frame, list(answers.values()), ledger)
    possible = table.masks(list(answers.values()))
    if not frame.exact:
        return 0, table.weight(possible)
    certain = table.masks(
        frame.lower_terms(j, frame.allowed(terms)) for j, terms in answers.items()
    )
    undecided = {
        number: mask & ~certain.get(number, 0) for number, mask in possible.items()
    }
    for number, bit, tokens in table.tuples(undecided) if mu == 0 else []:
        wrong = is_wrong(scores, frame.maximum, tokens, list(answers), ledger)
        certain[number] = certain.get(number, 0) | (bit if wrong is True else 0)
        possible[number] ^= bit if wrong is False else 0
    return table.weight(certain), table.weight(possible)


def is_wrong(
    scores: Scores, m: int, tokens: tuple[int, ...], answers: list[int], ledger: Ledger
) -> bool | None:
    """Return whether some answer reaches the logit of m on one input; None if 4 096 bits do not
    tell.  (SPEC 7.8)

    Requires: exact paths.
    Positions with equal exact scores have equal weights, so their exact brackets are added first.
    If all these
    sums are zero the logits are equal: a tie, hence wrong.  Otherwise they differ (distinct
    algebraic exponents have
    exponentials that are linearly independent over the algebraic numbers), so some precision
    decides the sign.
    """
    paths, q = scores.tables.paths, tokens[-1]
    exact = [paths.eqke_low[q][t] + paths.eqkp[q][i] for i, t in enumerate(tokens)]
    signs = []
    for j in answers:
        direct = paths.eu_low[q][j] - paths.eu_low[q][m]
        sums = dict.fromkeys(exact, 0)
        ledger.charge(add=5 * len(tokens))
        for i, t in enumerate(tokens):
            sums[exact[i]] += (
                paths.evou_low[t][j]
                - paths.evou_low[t][m]
                + paths.pvou[i][j]
                - paths.pvou[i][m]
                + direct
            )
        signs.append(
            _sign(
                scores, {score: value for score, value in sums.items() if value}, ledger
            )
        )
    return True if 0 in signs or 1 in signs else None if None in signs else False


def _sign(scores: Scores, sums: dict[int, int], ledger: Ledger) -> int | None:
    """Return the sign of the sum of exp(score/sqrt(d_head)) * value, value != 0, or None if 4 096
    bits do not tell.
    """
    if not sums:
        return 0
    top, precision = max(sums), min(2 * scores.precision, MAX_PRECISION)
    while precision <= MAX_PRECISION:
        ledger.charge(mul=2 * len(sums), add=2 * len(sums))
        ends = [
            (value, *scores.exp_ends(top - score, top - score, precision))
            for score, value in sums.items()
        ]
        if sum(value * (low if value > 0 else high) for value, low, high in ends) > 0:
            return 1
        if sum(value * (high if value > 0 else low) for value, low, high in ends) < 0:
            return -1
        precision *= 2
    return None
