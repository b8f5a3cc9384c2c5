"""Methods ``enumerate`` and ``brute-force``: the exact union over wrong answers, tuple by tuple,
with multiplicities.  (SPEC-7.8, SPEC-7.12)

The positions are cut into a prefix, which the last position leads, and a suffix.  For every wrong
answer the suffix tuples are sorted by the sum of their terms, with bit masks of all tuples from
each place on; a prefix then finds by bisection the mask of the suffixes that make the sum
non-negative, and masks of different answers are OR-ed: a union, never a sum.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, product
from math import prod
from operator import getitem, itemgetter, mul

from checker.cells.cell import Failures
from checker.cells.terms import Frame, Left, Terms
from checker.cells.ties import is_wrong
from checker.ground.errors import require_support
from checker.ground.exact import Row

MAX_TUPLE_BITS = 1 << 30
MAX_SUFFIXES = 1 << 16
BITS_OF_TUPLE = 2048
"""What Python takes for a tuple beside its mask and its sum, generously."""

Found = dict[int, int]
"""Per prefix, by its number, the mask of suffixes."""

Summed = tuple[int, int, bool]
"""A tuple of blocks by its number, the sum of its terms, and whether it holds the maximum."""


def _without_last(width: int, places: int) -> int:
    """Return the mask of the tuples of so many blocks that do not hold the last of ``width``."""
    mask = 1
    size = 1
    for _ in range(places):
        mask = sum(mask << block * size for block in range(width - 1))
        size *= width
    return mask


Listed = tuple[int, int, Row]
"""A tuple by its prefix, the bit of its suffix, and the tokens of all positions."""


class Enumeration:
    """The block tuples of one cell, laid out as prefixes times suffix bits."""

    def __init__(self, frame: Frame, answers: list[Terms]) -> None:
        """Lay out the tuples, cut where the masks of an answer with an average number of terms cost
        least.
        """
        self.frame = frame
        self.width = len(frame.blocks)
        free = len(frame.multiplicities) - 1
        places = zip(*answers, strict=True)
        counts = [sum(map(len, rows)) for rows in places]
        sizes = [max(count // len(answers), 1) for count in counts]
        sizes = [sizes[-1], *sizes[:-1]]
        cuts = [
            cut for cut in range(free + 1) if self.width ** (free - cut) <= MAX_SUFFIXES
        ]
        self.cut = min(cuts, key=lambda cut: self._work(sizes, cut))
        self.behind = free - self.cut
        self.suffixes = self.width**self.behind
        self.words = -(-self.suffixes // 64)
        # 7.8: with {m} at a free position if the queries are below m
        self.missing = _without_last(self.width, self.behind) if frame.forced else 0

    def _work(self, sizes: list[int], cut: int) -> int:
        """Return the operations of one answer's masks; ``sizes`` are its terms per position, the
        last position first.
        """
        heads = [*accumulate(sizes[: cut + 1], mul, initial=1)]
        tails = [*accumulate(sizes[cut + 1 :], mul, initial=1)]
        words = -(-(self.width ** (len(tails) - 1)) // 64)
        bisected = tails[-1].bit_length() + words
        work: int = (heads[-1] + tails[-1]) * bisected
        return work + sum(heads) + sum(tails)

    def masks(self, answers: Iterable[Terms]) -> Found:
        """Return per prefix the mask of the suffixes for which some answer's terms sum to zero or
        more.

        Requires: terms for the same blocks as those of the answers that the tuples were laid out
                  for.
        Raises:   Declined (SPEC-3.5) if masks and sums could take more than 2^30 bits, or too much
                  with all else; they are held until their cell is done.
        Cost:     per answer one addition per prefix and suffix and shorter tuple, a sort of the
                  suffixes with their masks, and per prefix one bisection and one OR of masks
                  (counted in words of 64 bits).
        """
        found: Found = {}
        held = 0
        for terms in answers:
            head = [terms[-1], *terms[: self.cut]]
            tail = terms[self.cut : -1]
            tuples = prod(map(len, head)) + prod(map(len, tail))
            longest = max(v.bit_length() for row in terms for v in row.values())
            bits = longest + self.suffixes + BITS_OF_TUPLE
            room = (len(found) + tuples) * bits
            require_support(
                room <= MAX_TUPLE_BITS,
                "SPEC-3.5",
                "an enumeration is too large to hold",
            )
            # twice: what tuples are left undecided is one more mask each
            self.frame.ledger.take(2 * max(room - held, 0))
            held = max(room, held)
            work = self._work([len(row) for row in head + tail], self.cut)
            self.frame.ledger.charge(add=work)
            ordered = sorted(self._sums(tail), key=itemgetter(1))
            sums = [total for _, total, _ in ordered]
            masks = [0]  # from each place on, all the suffixes; the first is of none
            for suffix, _, _ in reversed(ordered):
                masks.append(masks[-1] | 1 << suffix)
            masks.reverse()
            for number, total, holds in self._sums(head):
                # The suffixes with total + sum >= 0, in a cell that needs {m} those that hold it.
                mask = masks[bisect_left(sums, -total)]
                if not holds:
                    mask &= ~self.missing
                if mask:
                    found[number] = found.get(number, 0) | mask
        return found

    def _sums(self, rows: Terms) -> list[Summed]:
        """Return every tuple of blocks, one from each row."""
        found = [(0, 0, False)]
        last = self.width - 1
        for row in rows:
            pairs = row.items()
            found = [
                (number * self.width + b, total + term, holds or b == last)
                for number, total, holds in found
                for b, term in pairs
            ]
        return found

    def weight(self, found: Found) -> int:
        """Return the total weight of the tuples in the masks: the sum of products of
        multiplicities.  (SPEC-7.8)

        Cost: per suffix one multiplication; two operations per prefix, binary digit of a suffix's
              weight, and word of 64 bits.
        """
        *free, last = self.frame.multiplicities
        weights = [prod(chosen) for chosen in product(*free[self.cut :])]
        digits = max(weights).bit_length()
        self.frame.ledger.charge(
            mul=self.suffixes * len(free) + len(found) * (self.cut + 2),
            add=digits * (self.suffixes + 2 * len(found) * self.words),
        )
        # Per binary digit the suffixes whose weight has it.
        planes = [
            sum(1 << suffix for suffix, weight in enumerate(weights) if weight >> d & 1)
            for d in range(digits)
        ]
        total = 0
        for number, mask in found.items():
            blocks = self._blocks(number, self.cut + 1)
            held = [(mask & plane).bit_count() << d for d, plane in enumerate(planes)]
            total += sum(held) * prod(map(getitem, [last, *free], blocks))
        return self.frame.scope.counted(total)

    def _blocks(self, number: int, places: int) -> list[int]:
        """Return the tuple of blocks with this number."""
        return [
            number // self.width**place % self.width
            for place in reversed(range(places))
        ]

    def tuples(self, found: Found) -> Iterator[Listed]:
        """Yield (prefix, bit, tokens of all positions) of every tuple in the masks; blocks must be
        single tokens.
        """
        for number, mask in found.items():
            self.frame.ledger.charge(add=mask.bit_length() * self.words)
            query, *head = self._blocks(number, self.cut + 1)
            for suffix in range(mask.bit_length()):
                if mask >> suffix & 1:
                    tail = self._blocks(suffix, self.behind)
                    yield number, 1 << suffix, (*head, *tail, query)


class Enumerate:
    """A leaf whose tuples of blocks are enumerated after the extreme test.  (SPEC-7.8)"""

    def failures(self, left: Left) -> Failures:
        """Return bounds on the failing weight.

        Ensures: lower counts logits (mu = 0) and is 0 unless brackets are exact; upper counts every
                 sequence whose margin is not shown to exceed mu.

        Tuples that the two ends of the weights leave open are decided one by one, where mu is zero,
        by the tie rule or by more precision; what is still open counts in the upper bound only.
        """
        frame = left.frame
        uppers = list(left.terms.values())
        table = Enumeration(frame, uppers)
        possible = table.masks(uppers)
        if not frame.exact:
            return Failures(0, table.weight(possible))
        answers = list(left.terms)
        allowed = map(frame.allowed, uppers)
        certain = table.masks(map(frame.lower_terms, answers, allowed))
        undecided = {n: possible[n] & ~certain.get(n, 0) for n in possible}
        for number, bit, tokens in table.tuples(undecided) if left.mu == 0 else ():
            right = frame.paths.right[frame.maximum]
            wrong = is_wrong(frame.scores, right, tokens, answers)
            certain.setdefault(number, 0)
            if wrong is True:
                certain[number] |= bit
            if wrong is False:
                possible[number] ^= bit
        return Failures(table.weight(certain), table.weight(possible))


class BruteForce(Enumerate):
    """A leaf of one query and single tokens, enumerated without an extreme test.  (SPEC-7.12)"""
