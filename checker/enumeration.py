"""Method ``enumerate``: the exact union over wrong answers, tuple by tuple, with multiplicities.  (SPEC 7.8)

The free positions are cut into a prefix and a suffix.  For every wrong answer the suffix tuples are sorted by the
sum of their terms, with bit masks of all tuples from each place on; a prefix then finds by bisection the mask of
the suffixes that make the sum non-negative, and masks of different answers are OR-ed: a union, never a sum.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import product
from math import prod

from checker.enclosure import Frame, Scores, Terms
from checker.errors import require_support
from checker.ledger import Ledger

MAX_TUPLE_BITS = 1 << 31
MAX_PRECISION = 4096


class Enumeration:
    """The block tuples of one cell, laid out as prefixes times suffix bits."""

    def __init__(self, frame: Frame, ledger: Ledger) -> None:
        """Lay out the tuples: about half of the free positions are the suffix, at least one where there is any."""
        self.frame, self.ledger = frame, ledger
        self.free, self.width = len(frame.multiplicities), len(frame.blocks)
        self.cut = self.free - (self.free // 2 if self.free > 1 else self.free)
        self.prefixes, self.suffixes = self.width**self.cut, self.width ** (self.free - self.cut)
        self.words = -(-self.suffixes // 64)

    def masks(self, answers: list[Terms]) -> list[int]:
        """Return per prefix the mask of the suffixes for which some answer's terms sum to zero or more.

        Raises: Declined (SPEC-3.5) if masks and sums could take more than 2^31 bits.
        Cost:   per answer one addition per prefix and suffix, a sort of the suffixes, and per prefix one bisection
                and one OR of masks (counted in words of 64 bits).
        """
        sums, log = self.prefixes + self.suffixes, self.suffixes.bit_length()
        bits = max((t.bit_length() for terms in answers for row in [*terms.rows, [terms.last]] for t in row), default=0)
        require_support(sums * (self.suffixes + bits + 8) <= MAX_TUPLE_BITS, "SPEC-3.5", "an enumeration is too large to hold")
        found = [0] * self.prefixes
        for terms in answers:
            self.ledger.charge(add=2 * sums, cmp=sums * (log + self.words))
            prefix_sums = _sums([terms.last], terms.rows[: self.cut])
            suffix_sums = _sums([0], terms.rows[self.cut :])
            order = sorted(range(self.suffixes), key=suffix_sums.__getitem__)
            values = [suffix_sums[index] for index in order]
            masks = [0]
            for index in reversed(order):
                masks.append(masks[-1] | 1 << index)
            masks.reverse()
            found = [mask | masks[bisect_left(values, -total)] for mask, total in zip(found, prefix_sums, strict=True)]
        return self._inside(found)

    def _inside(self, found: list[int]) -> list[int]:
        """Return the masks without the tuples that lack a required copy of the maximum."""
        if not self.frame.contains_maximum:
            return found
        last = self.width - 1
        suffix_tuples = product(range(self.width), repeat=self.free - self.cut)
        holds = sum(1 << index for index, places in enumerate(suffix_tuples) if last in places)
        prefix_tuples = product(range(self.width), repeat=self.cut)
        return [mask if last in places else mask & holds for mask, places in zip(found, prefix_tuples, strict=True)]

    def weight(self, found: list[int]) -> int:
        """Return the total weight of the tuples in the masks.

        Cost: two operations per prefix, binary digit of a suffix's weight, and word of 64 bits.
        """
        multiplicities = self.frame.multiplicities
        suffix_weights = [prod(chosen) for chosen in product(*multiplicities[self.cut :])]
        digits = max(suffix_weights).bit_length()
        self.ledger.charge(mul=self.prefixes, add=digits * (self.suffixes + 2 * self.prefixes * self.words))
        planes = [sum(1 << i for i, weight in enumerate(suffix_weights) if weight >> digit & 1) for digit in range(digits)]
        sums = (sum((mask & plane).bit_count() << digit for digit, plane in enumerate(planes)) for mask in found)
        return sum(prod(chosen) * held for chosen, held in zip(product(*multiplicities[: self.cut]), sums, strict=True))

    def tuples(self, found: list[int]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Yield (prefix, bit, tokens of the free positions) of every tuple in the masks; blocks must be single tokens."""
        tokens = [block[0] for block in self.frame.blocks]
        tails = list(product(tokens, repeat=self.free - self.cut))
        for prefix, head in enumerate(product(tokens, repeat=self.cut)):
            left = found[prefix]
            while left:
                self.ledger.charge(add=self.words)
                bit = left & -left
                left ^= bit
                yield prefix, bit, head + tails[bit.bit_length() - 1]


def _sums(start: list[int], rows: list[list[int]]) -> list[int]:
    for row in rows:
        start = [total + term for total in start for term in row]
    return start


def failures(frame: Frame, answers: dict[int, Terms], scores: Scores, mu: int, ledger: Ledger) -> tuple[int, int]:
    """Return (lower, upper) bounds on the failing weight of a cell's sequences.  (SPEC 7.8)

    Requires: ``answers`` holds the upper terms, with ``mu``, of every answer not proved beaten on the whole cell.
    Ensures:  lower counts logits (mu = 0) and is 0 unless brackets are exact; upper counts every sequence whose
              margin is not shown to exceed mu.

    Tuples that the two ends of the weights leave open are decided one by one, where mu is zero, by the tie rule or
    by more precision; what is still open counts in the upper bound only.
    """
    table = Enumeration(frame, ledger)
    possible = table.masks(list(answers.values()))
    if not frame.exact:
        return 0, table.weight(possible)
    frame.charge_terms(ledger, len(answers))
    certain = table.masks([frame.lower_terms(j) for j in answers])
    undecided = [may & ~must for may, must in zip(possible, certain, strict=True)]
    for prefix, bit, tokens in table.tuples(undecided) if mu == 0 else []:
        wrong = is_wrong(scores, frame.queries[0], frame.maximum, tokens, list(answers), ledger)
        certain[prefix] |= bit if wrong is True else 0
        possible[prefix] ^= bit if wrong is False else 0
    return table.weight(certain), table.weight(possible)


def is_wrong(scores: Scores, q: int, m: int, tokens: tuple[int, ...], answers: list[int], ledger: Ledger) -> bool | None:
    """Return whether some answer reaches the logit of m on one input; None if 4 096 bits do not tell.  (SPEC 7.8)

    Positions with equal exact scores have equal weights, so their exact brackets are added first.  If all these
    sums are zero the logits are equal: a tie, hence wrong.  Otherwise they differ (distinct algebraic exponents have
    exponentials that are linearly independent over the algebraic numbers), so some precision decides the sign.
    """
    paths = scores.paths
    places = [*tokens, q]
    exact = [paths.eqke[q][t] + paths.eqkp[q][i] for i, t in enumerate(places)]
    signs = []
    for j in answers:
        column, base, direct = paths.evou_columns[j], paths.evou_columns[m], paths.eu[q][j] - paths.eu[q][m]
        sums = dict.fromkeys(exact, 0)
        ledger.charge(add=5 * len(places))
        for i, t in enumerate(places):
            sums[exact[i]] += column[t] - base[t] + paths.pvou[i][j] - paths.pvou[i][m] + direct
        signs.append(_sign(scores, {score: value for score, value in sums.items() if value}, ledger))
    return True if 0 in signs or 1 in signs else None if None in signs else False


def _sign(scores: Scores, sums: dict[int, int], ledger: Ledger) -> int | None:
    """Return the sign of the sum of exp(score/sqrt(d_head)) * value, value != 0, or None if 4 096 bits do not tell."""
    if not sums:
        return 0
    top, precision = max(sums), min(2 * scores.precision, MAX_PRECISION)
    while precision <= MAX_PRECISION:
        least = most = 0
        for score, value in sums.items():
            low, high = scores.exp_ends(top - score, top - score, precision)
            least += (low if value > 0 else high) * value
            most += (high if value > 0 else low) * value
        ledger.charge(mul=2 * len(sums), add=2 * len(sums))
        if least > 0 or most < 0:
            return 1 if least > 0 else -1
        precision *= 2
    return None
