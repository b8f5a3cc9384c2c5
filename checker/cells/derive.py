"""The outcome of every cell: what its parent proved, then its own method.
(SPEC-7.6 to SPEC-7.15)
"""

from itertools import accumulate
from math import prod
from operator import add

from checker.cells.cell import Answers, Failures, Known
from checker.cells.enumeration import BruteForce
from checker.cells.extreme import extreme_test
from checker.cells.parse import Cell, Skip, Split
from checker.cells.paths import Paths
from checker.cells.places import Places
from checker.cells.screen import Screen, Screened, screened
from checker.cells.tables import Tables
from checker.cells.terms import Frame, Left, Terms
from checker.cells.weights import Scores
from checker.float32.cells import REAL, Slack
from checker.ground.exact import longest
from checker.ground.ledger import NUMBER_BITS, Ledger
from checker.statement.outcome import MARGIN_BITS, Outcome

ROW_BITS = 2048
"""Room that Python takes for the terms of one position."""
TERM_BITS = 1024
"""Room that Python takes for a term beside its number."""


class Cells:
    """Derives the outcome of every leaf below a root."""

    def __init__(
        self,
        paths: Paths,
        named: Places,
        precision: int,
        ledger: Ledger,
        slack: Slack = REAL,
    ) -> None:
        self.paths = paths
        self.scores = Scores(Tables(paths, ledger), precision, slack)
        values = paths.evou_low + paths.evou_high + paths.pvou
        most = longest(values + paths.eu_low + paths.eu_high)
        self.start(named, ledger, slack, paths.value_scale, precision + most)

    def start(
        self,
        named: Places,
        ledger: Ledger,
        slack: Slack,
        value_scale: int,
        bits: int,
    ) -> None:
        """Set up what does not depend on where terms come from; they have at most ``bits`` bits."""
        self.named = named
        self.weights = weights = named.weights
        self.ledger = ledger
        self.slack = slack
        self.value_scale = value_scale
        self.bits = bits + TERM_BITS
        self.heads = 1
        ledger.charge(add=sum(map(len, weights)))
        # 7.2: per position the weight of the tokens below t
        self.below = [list(accumulate(row, initial=0)) for row in weights]
        self.outcomes: list[Outcome] = []

    def frame(self, cell: Cell) -> Frame:
        """Return the blocks and weights of a cell.  (SPEC-7.5)"""
        counts = self.named.marked(cell.maximum)
        return Frame(self.scores, cell.inputs(), counts, self.named.scope)

    def screened(self, cell: Cell, answers: Answers, mu: int) -> Screened:
        """Return what a screen leaves.  (SPEC-7.15)"""
        return screened(self.scores, cell.inputs(), answers, mu)

    def visit(self, cell: Cell, given: Known) -> None:
        """Append the outcomes of the leaves of ``cell`` in preorder, given what its parent proved.

        Raises: Rejected (SPEC-7.6 to SPEC-7.15), Declined (SPEC-3.5, SPEC-8.2).
        """
        self.ledger.spend(1 + len(cell.queries))
        found = self._derive(cell, given)
        if isinstance(found, Known):
            masks = len(found.answers) * len(self.weights)
            room = masks * (NUMBER_BITS + len(self.weights[0]))
            self.ledger.take(room)
            for child in cell.children:
                self.visit(child, found)
            self.ledger.release(room)
            return
        self.ledger.hold(3, max(found.size, found.margin or 0).bit_length())
        self.outcomes.append(found)
        if cell.claim is not None:
            cell.claim.require_shown(cell.where, found)

    def size(self, cell: Cell) -> int:
        """Return the weight of the inputs of a cell."""
        m = cell.maximum
        near = self.named.near[m]
        scope = self.named.scope
        *below, _ = (sums[near] for sums in self.below)
        *own, last = (row[m] << scope.mark for row in self.weights)
        free = prod(map(add, below, own))
        others = sum(self._asked(a, b, near) for a, b in cell.queries)
        holding = last if cell.queries[-1][1] == m else 0
        # 7.2: with queries other than m, less those without the maximum
        weight = free * holding + (free - prod(below)) * others
        return scope.counted(weight)

    def _asked(self, first: int, last: int, near: int) -> int:
        """Return the weight of these queries, of those before ``near``."""
        sums = self.below[-1]
        return sums[min(last + 1, near)] - sums[min(first, near)]

    def _derive(self, cell: Cell, given: Known) -> Known | Outcome:
        """Return what the cell hands down to its children; of a leaf, the outcome."""
        size = self.size(cell)
        mu = self.slack.raised(cell.mu.above(self.value_scale))  # 7.4, 12.5
        method = cell.method
        if isinstance(method, Skip):  # 7.11
            return Outcome(0, size, size, None)
        # SPEC-3.5: both ends of the weights of a block, at every position and of every head
        blocks = 1 + sum(count for _, count in cell.layout)
        room = 2 * self.heads * blocks * len(self.weights) * self.bits
        if isinstance(method, Screen):  # 7.15
            self.ledger.take(room)
            found, removed, heaviest = self.screened(cell, given.answers, mu)
            self.ledger.release(room)
            margin = self._least(given.margin, beaten(mu, removed, heaviest))
            return Known(found, margin)
        if not given.answers or not size:  # nothing fails
            shown = given.margin if size else None
            return given if isinstance(method, Split) else Outcome(0, 0, size, shown)
        self.ledger.take(room)
        frame = self.frame(cell)
        before = self.ledger.held - room
        left, margin = self._left(cell, frame, given, mu)
        if isinstance(method, Split):  # 7.7
            self.ledger.release(self.ledger.held - before)
            return Known({j: frame.allowed(left[j]) for j in left}, margin)
        failures = Failures(0, 0)
        if left:
            failures = method.failures(Left(cell.where, frame, left, mu, size))
            margin = self._least(margin, mu)
        self.ledger.release(self.ledger.held - before)
        shown = margin if failures.upper < size else None
        return Outcome(failures.lower, failures.upper, size, shown)

    def _left(
        self,
        cell: Cell,
        frame: Frame,
        given: Known,
        mu: int,
    ) -> tuple[dict[int, Terms], int | None]:
        """Return the upper terms with which answers may still win, and a margin over all that is
        removed.  (SPEC-7.6)

        Cost: per answer three comparisons per term and ten operations per position.
        """
        width = self.bits + mu.bit_length()
        places = len(frame.highs)
        blocks = len(frame.blocks)
        most = places * (ROW_BITS + blocks * width)
        # SPEC-3.5: of the answer in hand, and then of what a method forms of one
        self.ledger.take(most)
        left = {}
        sums = list[int]()
        for j, allowed in given.answers.items():
            terms = frame.upper_terms(j, allowed, mu)
            kept: Terms | None = terms
            if not isinstance(cell.method, BruteForce):  # 7.12: it keeps every answer
                kept = tested(self.ledger, frame, terms, sums)
            if kept is not None:
                left[j] = kept
                entries = sum(map(len, kept))
                self.ledger.take(places * ROW_BITS + entries * width)
        # W: the largest weights at each position
        heaviest = sum(max(row.values()) for row in frame.highs) * frame.stretch
        value = beaten(mu, max(sums, default=None), heaviest)
        return left, self._least(given.margin, value)

    def _least(self, margin: int | None, value: int | None) -> int | None:
        """Return the lesser of a margin and that of logits which follows from a margin of the sum,
        over 2^-value_scale, rounded down to a multiple of 2^-20; None is none.
        (SPEC-7.6, SPEC-12.5)
        """
        if value is None:
            return margin
        shown = self.slack.margin(value) << MARGIN_BITS >> self.value_scale
        return shown if margin is None else min(margin, shown)


def tested(
    ledger: Ledger,
    frame: Frame,
    terms: Terms,
    sums: list[int],
) -> Terms | None:
    """Return the terms with which an answer may still win, None if it cannot; the largest sum that
    is removed is appended to ``sums``.  (SPEC-7.6)

    Cost: three comparisons per term and ten operations per position.
    """
    places = len(terms)
    work = 3 * sum(map(len, terms)) + 4 * places
    ledger.charge(add=6 * places, cmp=work)
    maximum = len(frame.blocks) - 1
    kept, removed = extreme_test(terms, maximum, forced=frame.forced)
    sums += [] if removed is None else [removed]
    return kept


def beaten(mu: int, removed: int | None, heaviest: int) -> int | None:
    """Return the margin of the sum where sums of at most ``removed`` were removed: mu + (-sum)/W,
    rounded down.  (SPEC-7.6)
    """
    return None if removed is None else mu + -removed // heaviest
