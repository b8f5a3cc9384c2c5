"""The methods of wide cells: those of cells, over pairs of an answer and a vertex.
(SPEC-16.6 to SPEC-16.8)
"""

from typing import cast

from checker.cells.cell import Failures
from checker.cells.copies import Copies, Group
from checker.cells.counting import Count, Share
from checker.cells.enumeration import Enumeration
from checker.cells.extreme import Extreme
from checker.cells.parse import METHODS, Split
from checker.cells.terms import Left, Terms
from checker.ground import record
from checker.wide.frame import WideFrame
from checker.wide.hints import Hints
from checker.wide.single import is_wrong


@record
class Hinted:
    """A method of a cell that has a box."""

    hints: Hints


@record
class WideSplit(Hinted, Split):
    """A split with a box of its own: its removals are by vertex too.  (SPEC-16.6)"""


@record
class WideExtreme(Hinted, Extreme):
    """A leaf of which the extreme test leaves no pair.  (SPEC-16.6)"""


def _frame(left: Left) -> WideFrame:
    return cast(WideFrame, left.frame)


def _with(left: Left, terms: dict[int, Terms]) -> Left:
    """Return what is left with other terms."""
    return Left(left.where, left.frame, terms, left.mu, left.size)


@record
class WideEnumerate(Hinted):
    """A leaf whose tuples of blocks are enumerated; single inputs are evaluated.  (SPEC-16.7)"""

    def failures(self, left: Left) -> Failures:
        """Return bounds on the failing weight.

        Ensures: lower counts logits (mu = 0) and is 0 unless all tuples are inputs; upper counts
                 every sequence whose margin is not shown to exceed mu.
        """
        frame = _frame(left)
        uppers = list(frame.pairs.values())
        table = Enumeration(frame, uppers)
        possible = table.masks(uppers)
        if not frame.exact:
            return Failures(0, table.weight(possible))
        answers = list(left.terms)
        right = frame.paths.right[frame.maximum]
        certain = dict.fromkeys(possible, 0)
        for number, bit, tokens in table.tuples(dict(possible)):
            wrong = is_wrong(
                frame.scores_of_heads,
                frame.final,
                frame.neurons,
                right,
                tokens,
                answers,
                left.mu,
                frame.drop,
            )
            if wrong is True:
                certain[number] |= bit
            if wrong is False:
                possible[number] ^= bit
        return Failures(table.weight(certain), table.weight(possible))


@record
class WideBruteForce(WideEnumerate):
    """A leaf of one query and single tokens, enumerated without an extreme test.  (SPEC-16.7)"""


@record
class WideCount(Hinted):
    """A leaf whose failures are counted.  (SPEC-16.8)"""

    blocks: tuple[Share, ...]
    lower: tuple[Share, ...] = ()

    def failures(self, left: Left) -> Failures:
        """Return bounds on the failing weight: counted once for the largest terms over the
        vertices, or the vertices by themselves, whichever is smaller.
        """
        count = Count(self.blocks, self.lower)
        frame = _frame(left)
        upper = count.upper_count(left)
        if frame.vertices > 1:
            apart = 0
            for vertex in range(frame.vertices):
                pairs = frame.pairs.items()
                own = {j: terms for (j, v), terms in pairs if v == vertex}
                apart += count.upper_count(_with(left, own))
            upper = min(upper, apart)
        return Failures(count.lower_count(left), min(upper, left.size))


@record
class WideCopies(Hinted):
    """A leaf of groups, each right as a whole or counted as wrong.  (SPEC-16.8)"""

    groups: tuple[Group, ...]

    def failures(self, left: Left) -> Failures:
        """Return that all inputs may fail but those of the groups that are right at every pair."""
        pairs = _frame(left).pairs.values()
        return Copies(self.groups).failures(_with(left, dict(enumerate(pairs))))


_KINDS = {
    "split": WideSplit,
    "extreme": WideExtreme,
    "enumerate": WideEnumerate,
    "count": WideCount,
    "copies": WideCopies,
    "brute-force": WideBruteForce,
}
"""Screens are not proved for several heads, so there is none."""

WIDE_METHODS = {"skip": METHODS["skip"]} | {
    name: (f"{METHODS[name][0]} box", f"{METHODS[name][1]} lambda neurons", kind)
    for name, kind in _KINDS.items()
}
"""As ``METHODS`` of cells, with a box and numbers for answers.  (SPEC-16.3)"""
