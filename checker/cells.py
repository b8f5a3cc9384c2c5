"""The cells: extreme test, then exactly one method, and the claim of every leaf.  (SPEC 7.6 to 7.13)"""

from dataclasses import dataclass
from itertools import accumulate
from math import prod

from checker import counting, enumeration
from checker.enclosure import Frame, Scores, Terms
from checker.errors import require, require_support
from checker.ledger import Ledger
from checker.model import Paths
from checker.proof import Cell, expand
from checker.statement import Scope

MAX_TERM_BITS = 1 << 30
Left = tuple[dict[int, Terms], int | None]
MARGIN_BITS = 20
"""Margins are derived in multiples of 2^-20 logits, rounded down.  (SPEC 7.6)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one leaf proves: bounds on its failing weight, its size, and a margin of every input not failing.

    ``margin`` is in units of 2^-20; None where nothing is shown right.
    """

    lower: int
    upper: int
    size: int
    margin: int | None


def _least(margins: list[int | None]) -> int | None:
    return min((margin for margin in margins if margin is not None), default=None)


def _ceiling(mantissa: int, exponent: int) -> int:
    """Return ``mantissa * 2^exponent`` rounded up."""
    return mantissa << exponent if exponent >= 0 else -(-mantissa >> -exponent)


class Checker:
    """Derives the outcome of every leaf cell below a root."""

    def __init__(self, paths: Paths, scope: Scope, precision: int, ledger: Ledger) -> None:
        self.paths, self.scope, self.ledger = paths, scope, ledger
        self.scores = Scores(paths, precision, ledger)
        ledger.charge(add=sum(map(len, scope.weights)))
        self.sums = [tuple(accumulate(row, initial=0)) for row in scope.weights[:-1]]
        tables = (paths.evou_columns, paths.pvou, paths.eu)
        self.bits = precision + 256 + max(value.bit_length() for table in tables for row in table for value in row)
        self.outcomes: list[Outcome] = []

    def visit(self, cell: Cell, answers: tuple[int, ...], margin: int | None) -> None:
        """Append the outcomes of the leaves of ``cell`` in preorder, given what its parent proved.

        ``answers`` are the wrong answers still possible, ``margin`` holds over all the others.

        Raises: Rejected (SPEC-7.6, SPEC-7.9, SPEC-7.10, SPEC-7.12, SPEC-7.13), Declined (SPEC-3.5, SPEC-8.2).
        """
        queries = expand(cell.queries)
        require(cell.method != "brute-force" or len(queries) == 1, "SPEC-7.12", f"{cell.where}: brute force needs one query")
        left: dict[int, Terms] = {}
        sequences, lower = self._sequences(cell), 0
        upper = sequences if cell.method == "skip" else 0
        mu = _ceiling(cell.mu[0], cell.mu[1] + self.paths.value_scale)
        if cell.method != "skip" and answers and sequences:
            frame = Frame(self.scores, cell, self.scope.weights)
            left, margin = self._extreme_test(cell, frame, answers, margin, mu)
            if left and cell.method != "split":
                lower, upper = self._failures(cell, frame, left, mu, sequences)
        for child in cell.children:
            self.visit(child, tuple(left), margin)
        if cell.method != "split":
            weight = sum(map(self.scope.weights[-1].__getitem__, queries))
            proved = _least([margin, self._margin(mu) if left else None]) if upper < sequences else None
            self.outcomes.append(Outcome(lower * weight, upper * weight, sequences * weight, proved))
            _require_claim(cell, self.outcomes[-1])

    def _sequences(self, cell: Cell) -> int:
        """Return the weight of the cell's sequences of tokens at the free positions.  (SPEC 7.2)"""
        up_to, below = (prod(row[cell.maximum + end] for row in self.sums) for end in (1, 0))
        return up_to - (0 if cell.queries == ((cell.maximum, cell.maximum),) else below)

    def _extreme_test(self, cell: Cell, frame: Frame, answers: tuple[int, ...], margin: int | None, mu: int) -> Left:
        """Return the upper terms of the answers that may still win, and a margin over all the others.  (SPEC 7.6)

        A brute-force cell removes nothing.  An answer whose terms sum to less than zero at worst is beaten by mu and
        by that sum divided by the largest possible sum of weights.
        """
        held = len(answers) * len(frame.multiplicities) * len(frame.blocks) * (self.bits + mu.bit_length())
        require_support(held <= MAX_TERM_BITS, "SPEC-3.5", f"{cell.where}: its terms are too large to hold")
        frame.charge_terms(self.ledger, len(answers))
        heaviest, margins = frame.weights.total_upper(), [margin]
        left: dict[int, Terms] = {}
        for j in answers:
            terms = frame.upper_terms(j, mu)
            bound = terms.extreme(frame.contains_maximum)
            if bound < 0 and cell.method != "brute-force":
                margins.append(self._margin(mu + -bound // heaviest))
            else:
                left[j] = terms
        return left, _least(margins)

    def _failures(self, cell: Cell, frame: Frame, left: dict[int, Terms], mu: int, sequences: int) -> tuple[int, int]:
        """Return (lower, upper) bounds on the failing weight of a leaf's sequences.  (SPEC 7.6 to 7.12)"""
        require(cell.method != "extreme", "SPEC-7.6", f"{cell.where}: answer {min(left)} is not beaten on the whole cell")
        if cell.method != "count":
            return enumeration.failures(frame, left, self.scores, mu, self.ledger)
        upper = counting.failures_upper(frame, left, cell.shares, self.ledger)
        return counting.failures_lower(frame, left, cell.lower_shares, self.ledger), min(upper, sequences)

    def _margin(self, value: int) -> int:
        """Return a margin over 2^-value_scale in units of 2^-20, rounded down."""
        return value << MARGIN_BITS >> self.paths.value_scale


def _require_claim(cell: Cell, outcome: Outcome) -> None:
    """Reject a leaf that claims more than its outcome.  (SPEC 7.13)"""
    lower, upper = cell.claim
    if cell.method == "extreme":
        shown, claimed = outcome.margin or 0, _ceiling(lower, upper + MARGIN_BITS)
        require(claimed <= shown, "SPEC-7.13", f"{cell.where} claims a larger margin than {shown}/2^20")
    elif cell.method != "skip":
        require(lower <= outcome.lower, "SPEC-7.13", f"{cell.where} claims more certain failures than {outcome.lower}")
        require(upper >= outcome.upper, "SPEC-7.13", f"{cell.where} claims fewer possible failures than {outcome.upper}")
