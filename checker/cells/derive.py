"""The outcome of every cell: what its parent proved, then its own method.  (SPEC 7.6 to 7.15)"""

from itertools import accumulate
from math import prod

from checker.cells.cell import Failures, Inputs, Known
from checker.cells.enumeration import BruteForce
from checker.cells.extreme import extreme_test
from checker.cells.parse import Cell, Skip, Split
from checker.cells.paths import Paths
from checker.cells.screen import Screen, screened
from checker.cells.tables import Tables
from checker.cells.terms import Frame, Left, Terms
from checker.cells.weights import Scores
from checker.float32.cells import REAL, Slack
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger
from checker.statement.outcome import MARGIN_BITS, Outcome
from checker.statement.statement import Scope

MAX_TERM_BITS = 1 << 30


class Cells:
    """Derives the outcome of every leaf below a root."""

    def __init__(
        self,
        paths: Paths,
        scope: Scope,
        precision: int,
        ledger: Ledger,
        slack: Slack = REAL,
    ) -> None:
        self.paths = paths
        self.scope = scope
        self.ledger = ledger
        self.slack = slack
        self.scores = Scores(Tables(paths, ledger), precision, slack)
        ledger.charge(add=sum(map(len, scope.weights)))
        # Per free position the weight of the tokens below each.
        free = scope.weights[:-1]
        self.sums = [list(accumulate(row, initial=0)) for row in free]
        values = (paths.evou_low, paths.evou_high, paths.pvou)
        rows = [row for rows in (*values, paths.eu_low, paths.eu_high) for row in rows]
        longest = max(value.bit_length() for row in rows for value in row)
        self.bits = precision + 256 + longest
        self.outcomes: list[Outcome] = []

    def visit(self, cell: Cell, given: Known) -> None:
        """Append the outcomes of the leaves of ``cell`` in preorder, given what its parent proved.

        Raises: Rejected (SPEC-7.6 to SPEC-7.15), Declined (SPEC-3.5, SPEC-8.2).
        """
        found = self._derive(cell, given)
        if isinstance(found, Known):
            for child in cell.children:
                self.visit(child, found)
            return
        self.outcomes.append(found)
        if cell.claim is not None:
            cell.claim.require_shown(cell.where, found)

    def _size(self, inputs: Inputs) -> int:
        """Return the weight of the inputs."""
        m = inputs.maximum
        free = prod(row[m + 1] for row in self.sums)
        if inputs.forced:  # 7.2: less those without the maximum
            free -= prod(row[m] for row in self.sums)
        last = self.scope.weights[-1]
        return free * sum(last[q] for q in inputs.queries)

    def _derive(self, cell: Cell, given: Known) -> Known | Outcome:
        """Return what the cell hands down to its children; of a leaf, the outcome."""
        inputs = cell.inputs()
        size = self._size(inputs)
        mu = self.slack.raised(cell.mu.above(self.paths.value_scale))  # 7.4, 12.5
        method = cell.method
        if isinstance(method, Skip):  # 7.11
            return Outcome(0, size, size, None)
        if isinstance(method, Screen):  # 7.15
            found, removed, heaviest = screened(self.scores, inputs, given.answers, mu)
            margin = self._least(given.margin, _beaten(mu, removed, heaviest))
            return Known(found, margin)
        if not given.answers or not size:  # nothing fails
            shown = given.margin if size else None
            return given if isinstance(method, Split) else Outcome(0, 0, size, shown)
        frame = Frame(self.scores, inputs, self.scope.weights)
        left, margin = self._left(cell, frame, given, mu)
        if isinstance(method, Split):  # 7.7
            return Known({j: frame.allowed(left[j]) for j in left}, margin)
        failures = Failures(0, 0)
        if left:
            failures = method.failures(Left(cell.where, frame, left, mu, size))
            margin = self._least(margin, mu)
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
        removed.  (SPEC 7.6)

        Cost: per answer three comparisons per term and ten operations per position.
        """
        entries = len(given.answers) * len(frame.weights) * len(frame.blocks)
        require_support(
            entries * (self.bits + mu.bit_length()) <= MAX_TERM_BITS,
            "SPEC-3.5",
            f"{cell.where}: its terms are too large to hold",
        )
        left = {}
        sums = []
        for j, allowed in given.answers.items():
            terms = frame.upper_terms(j, allowed, mu)
            if isinstance(cell.method, BruteForce):  # 7.12: every answer is kept
                left[j] = terms
                continue
            places = len(terms.rows)
            work = 3 * sum(map(len, terms.rows)) + 4 * places
            self.ledger.charge(add=6 * places, cmp=work)
            kept, removed = extreme_test(terms)
            if kept is not None:
                left[j] = kept
            if removed is not None:
                sums.append(removed)
        # W: the largest weights at each position
        rows = frame.weights
        heaviest = sum(max(high for _, high in row.values()) for row in rows)
        value = _beaten(mu, max(sums, default=None), heaviest)
        return left, self._least(given.margin, value)

    def _least(self, margin: int | None, value: int | None) -> int | None:
        """Return the lesser of a margin and that of logits which follows from a margin of the sum,
        over 2^-value_scale, rounded down to a multiple of 2^-20; None is none.  (SPEC 7.6, 12.5)
        """
        if value is None:
            return margin
        shown = self.slack.margin(value) << MARGIN_BITS >> self.paths.value_scale
        return shown if margin is None else min(margin, shown)


def _beaten(
    mu: int,
    removed: int | None,
    heaviest: int,
) -> int | None:
    """Return the margin of the sum where sums of at most ``removed`` were removed: mu + (-sum)/W,
    rounded down.  (SPEC 7.6)
    """
    return None if removed is None else mu + -removed // heaviest
