"""The cells: extreme test, then exactly one method, and the claim of every leaf.  (SPEC 7.6 to
7.15)
"""

from itertools import accumulate
from math import prod

from checker.cells import copies, counting, enumeration
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.screen import screened
from checker.cells.tables import Tables
from checker.cells.terms import Allowed, Frame, Scores, Terms
from checker.float32.cells import REAL, Slack
from checker.ground.errors import require
from checker.ground.ledger import NUMBER_BITS, Ledger
from checker.statement.outcome import MARGIN_BITS, Outcome
from checker.statement.statement import Scope

ROW_BITS, TERM_BITS = 2048, 1024
"""What Python takes for the terms of a position, and for a term beside its number."""

Left = tuple[dict[int, Terms], int | None]
Open = dict[int, Allowed]
"""The wrong answers that are left, each with the tokens with which it may still win.  (SPEC 7.6)"""


def _least(margins: list[int | None]) -> int | None:
    return min((margin for margin in margins if margin is not None), default=None)


def _ceiling(mantissa: int, exponent: int) -> int:
    """Return ``mantissa * 2^exponent`` rounded up."""
    return mantissa << exponent if exponent >= 0 else -(-mantissa >> -exponent)


def _room(terms: Terms, width: int) -> int:
    """Return the room that the terms of one answer take, each of ``width`` bits."""
    return len(terms.rows) * ROW_BITS + sum(map(len, terms.rows)) * width


class Checker:
    """Derives the outcome of every leaf cell below a root."""

    def __init__(
        self,
        paths: Paths,
        scope: Scope,
        precision: int,
        ledger: Ledger,
        slack: Slack = REAL,
    ) -> None:
        self.paths, self.scope, self.ledger, self.slack = paths, scope, ledger, slack
        self.scores = Scores(Tables(paths, ledger), precision, slack)
        ledger.charge(add=sum(map(len, scope.weights)))
        *free, last = (tuple(accumulate(row, initial=0)) for row in scope.weights)
        # How much the free positions weigh with tokens below t, and a last token below t.
        places = zip(*free, strict=True) if free else [()] * len(last)
        self.below = list(map(prod, places))
        self.last = last
        tables = (
            paths.evou_low,
            paths.evou_high,
            paths.pvou,
            paths.eu_low,
            paths.eu_high,
        )
        self.bits = (
            precision
            + TERM_BITS
            + max(
                value.bit_length() for table in tables for row in table for value in row
            )
        )
        self.outcomes: list[Outcome] = []

    def visit(self, cell: Cell, answers: Open, margin: int | None) -> None:
        """Append the outcomes of the leaves of ``cell`` in preorder, given what its parent proved.

        ``answers`` are the wrong answers still possible, ``margin`` holds over all the others.

        Raises: Rejected (SPEC-7.6 to SPEC-7.15), Declined (SPEC-3.5, SPEC-8.2).
        """
        self.ledger.spend(1 + len(cell.queries))
        answers, margin, outcome = self._derive(cell, answers, margin)
        masks = len(answers) * len(self.scope.weights)
        room = masks * (NUMBER_BITS + len(self.scope.weights[0]))
        self.ledger.take(room)
        for child in cell.children:
            self.visit(child, answers, margin)
        self.ledger.release(room)
        if not cell.children:
            widest = max(outcome.size, outcome.margin or 0).bit_length()
            self.ledger.hold(3, widest)
            self.outcomes.append(outcome)
            _require_claim(cell, outcome)

    def _derive(
        self, cell: Cell, answers: Open, margin: int | None
    ) -> tuple[Open, int | None, Outcome]:
        """Return what the cell leaves, a margin over what it removes, and the outcome if it is a
        leaf.
        """
        first, last = cell.queries[0][0], cell.queries[-1][1]
        require(
            cell.method != "brute-force" or first == last,
            "SPEC-7.12",
            f"{cell.where}: brute force needs one query",
        )
        left: dict[int, Terms] = {}
        # The free positions hold tokens up to the maximum and, unless the query does, hold it.
        without = 0 if first == cell.maximum else self.below[cell.maximum]
        chosen = sum(self.last[b + 1] - self.last[a] for a, b in cell.queries)
        size = (self.below[cell.maximum + 1] - without) * chosen
        lower, upper = 0, size if cell.method == "skip" else 0
        mu = self.slack.raised(
            _ceiling(cell.mu[0], cell.mu[1] + self.paths.value_scale)
        )
        if cell.method == "screen":
            answers, removed, heaviest = screened(self.scores, cell, answers, mu)
            margin = _least(
                [
                    margin,
                    None
                    if removed is None
                    else self._margin(mu + -removed // heaviest),
                ]
            )
        elif cell.method != "skip" and answers and size:
            frame = Frame(self.scores, cell, self.scope.weights)
            left, margin = self._extreme_test(cell, frame, answers, margin, mu)
            answers = {j: frame.allowed(terms) for j, terms in left.items()}
            if left and cell.method != "split":
                lower, upper = self._failures(cell, frame, left, mu, size)
            width = self.bits + mu.bit_length()
            self.ledger.release(sum(_room(terms, width) for terms in left.values()))
        proved = (
            _least([margin, self._margin(mu) if left else None])
            if upper < size
            else None
        )
        return answers, margin, Outcome(lower, upper, size, proved)

    def _extreme_test(
        self, cell: Cell, frame: Frame, answers: Open, margin: int | None, mu: int
    ) -> Left:
        """Return the upper terms with which answers may still win, and a margin of all that is
        removed.  (SPEC 7.6)

        A brute-force cell removes nothing.  Where the terms sum to less than zero at worst, the
        answer is beaten by mu
        and by that sum divided by the largest possible sum of weights.
        Cost: per answer three comparisons per term and ten operations per position.
        """
        width = self.bits + mu.bit_length()
        most = len(frame.weights) * (ROW_BITS + len(frame.blocks) * width)
        heaviest, left, sums = (
            sum(max(high for _, high in row.values()) for row in frame.weights),
            {},
            list[int](),
        )
        for j, allowed in answers.items():
            self.ledger.take(most)
            terms = frame.upper_terms(j, allowed, mu)
            if cell.method == "brute-force":
                left[j] = terms
                self.ledger.release(most - _room(terms, width))
                continue
            entries = sum(map(len, terms.rows))
            self.ledger.charge(
                add=6 * len(terms.rows), cmp=3 * entries + 4 * len(terms.rows)
            )
            open_terms, removed = terms.tested()
            left |= {} if open_terms is None else {j: open_terms}
            kept = 0 if open_terms is None else _room(open_terms, width)
            self.ledger.release(most - kept)
            sums += [] if removed is None else [removed]
        return left, _least(
            [margin, *(self._margin(mu + -bound // heaviest) for bound in sums)]
        )

    def _failures(
        self, cell: Cell, frame: Frame, left: dict[int, Terms], mu: int, size: int
    ) -> tuple[int, int]:
        """Return (lower, upper) bounds on the failing weight of a leaf.  (SPEC 7.6 to 7.14)"""
        require(
            cell.method != "extreme",
            "SPEC-7.6",
            f"{cell.where}: answer {min(left)} is not beaten on the whole cell",
        )
        if cell.method == "copies":
            return 0, size - copies.right(frame, left, cell.groups, self.ledger)
        if cell.method != "count":
            return enumeration.failures(frame, left, self.scores, mu, self.ledger)
        upper = counting.failures_upper(frame, left, cell.shares, self.ledger)
        return counting.failures_lower(
            frame, left, cell.lower_shares, self.ledger
        ), min(upper, size)

    def _margin(self, value: int) -> int:
        """Return in units of 2^-20, rounded down, the margin of logits that follows from one of the
        sum over 2^-value_scale.
        """
        return self.slack.margin(value) << MARGIN_BITS >> self.paths.value_scale


def _require_claim(cell: Cell, outcome: Outcome) -> None:
    """Reject a leaf that claims more than its outcome.  (SPEC 7.13)"""
    lower, upper = cell.claim
    if cell.method == "extreme":
        shown, claimed = outcome.margin or 0, _ceiling(lower, upper + MARGIN_BITS)
        require(
            claimed <= shown,
            "SPEC-7.13",
            f"{cell.where} claims a larger margin than {shown}/2^20",
        )
    elif cell.method != "skip":
        require(
            lower <= outcome.lower,
            "SPEC-7.13",
            f"{cell.where} claims more certain failures than {outcome.lower}",
        )
        require(
            upper >= outcome.upper,
            "SPEC-7.13",
            f"{cell.where} claims fewer possible failures than {outcome.upper}",
        )
