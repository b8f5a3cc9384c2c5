"""The outcome of every cell: what its parent proved, then its own method.
(SPEC-7.6 to SPEC-7.15)
"""

from collections.abc import Sequence
from itertools import accumulate
from math import prod

from checker.cells.cell import Failures, Known
from checker.cells.enumeration import BruteForce
from checker.cells.extreme import extreme_test
from checker.cells.parse import Cell, Skip, Split
from checker.cells.paths import Paths
from checker.cells.screen import Screen, screened
from checker.cells.tables import Tables
from checker.cells.terms import Frame, Left, Terms
from checker.cells.weights import Scores
from checker.float32.cells import REAL, Slack
from checker.ground.exact import Row
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
        weights: Sequence[Row],
        precision: int,
        ledger: Ledger,
        slack: Slack = REAL,
    ) -> None:
        self.paths = paths
        self.weights = weights
        self.ledger = ledger
        self.slack = slack
        self.scores = Scores(Tables(paths, ledger), precision, slack)
        ledger.charge(add=sum(map(len, weights)))
        # 7.2: the weight of the free positions with tokens below t, and of a last token below t
        *free, last = (list(accumulate(row, initial=0)) for row in weights)
        sums = zip(*free, strict=True) if free else [()] * len(last)
        self.below = list(map(prod, sums))
        self.last = last
        values = (paths.evou_low, paths.evou_high, paths.pvou)
        rows = [row for rows in (*values, paths.eu_low, paths.eu_high) for row in rows]
        longest = max(value.bit_length() for row in rows for value in row)
        self.bits = precision + TERM_BITS + longest
        self.outcomes: list[Outcome] = []

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

    def _size(self, cell: Cell) -> int:
        """Return the weight of the inputs of a cell."""
        m = cell.maximum
        free = self.below[m + 1]
        if cell.queries[0][0] != m:  # 7.2: less those without the maximum
            free -= self.below[m]
        last = self.last
        return free * sum(last[b + 1] - last[a] for a, b in cell.queries)

    def _derive(self, cell: Cell, given: Known) -> Known | Outcome:
        """Return what the cell hands down to its children; of a leaf, the outcome."""
        size = self._size(cell)
        mu = self.slack.raised(cell.mu.above(self.paths.value_scale))  # 7.4, 12.5
        method = cell.method
        if isinstance(method, Skip):  # 7.11
            return Outcome(0, size, size, None)
        inputs = cell.inputs()
        if isinstance(method, Screen):  # 7.15
            found, removed, heaviest = screened(self.scores, inputs, given.answers, mu)
            margin = self._least(given.margin, _beaten(mu, removed, heaviest))
            return Known(found, margin)
        if not given.answers or not size:  # nothing fails
            shown = given.margin if size else None
            return given if isinstance(method, Split) else Outcome(0, 0, size, shown)
        frame = Frame(self.scores, inputs, self.weights)
        before = self.ledger.held
        left, margin = self._left(cell, frame, given, mu)
        room = self.ledger.held - before
        if isinstance(method, Split):  # 7.7
            self.ledger.release(room)
            return Known({j: frame.allowed(left[j]) for j in left}, margin)
        failures = Failures(0, 0)
        if left:
            failures = method.failures(Left(cell.where, frame, left, mu, size))
            margin = self._least(margin, mu)
        self.ledger.release(room)
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
        left = {}
        sums = []
        for j, allowed in given.answers.items():
            self.ledger.take(most)
            terms = frame.upper_terms(j, allowed, mu)
            kept: Terms | None = terms
            if not isinstance(cell.method, BruteForce):  # 7.12: it keeps every answer
                work = 3 * sum(map(len, terms)) + 4 * places
                self.ledger.charge(add=6 * places, cmp=work)
                kept, removed = extreme_test(terms, blocks - 1, forced=frame.forced)
                sums += [] if removed is None else [removed]
            self.ledger.release(most)
            if kept is not None:
                left[j] = kept
                entries = sum(map(len, kept))
                self.ledger.take(places * ROW_BITS + entries * width)
        # W: the largest weights at each position
        heaviest = sum(max(row.values()) for row in frame.highs)
        value = _beaten(mu, max(sums, default=None), heaviest)
        return left, self._least(given.margin, value)

    def _least(self, margin: int | None, value: int | None) -> int | None:
        """Return the lesser of a margin and that of logits which follows from a margin of the sum,
        over 2^-value_scale, rounded down to a multiple of 2^-20; None is none.
        (SPEC-7.6, SPEC-12.5)
        """
        if value is None:
            return margin
        shown = self.slack.margin(value) << MARGIN_BITS >> self.paths.value_scale
        return shown if margin is None else min(margin, shown)


def _beaten(mu: int, removed: int | None, heaviest: int) -> int | None:
    """Return the margin of the sum where sums of at most ``removed`` were removed: mu + (-sum)/W,
    rounded down.  (SPEC-7.6)
    """
    return None if removed is None else mu + -removed // heaviest
