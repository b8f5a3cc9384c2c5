"""The outcome of every wide cell: cells of one head, with a test for every vertex of a box.
(SPEC-16.6)
"""

from typing import cast

from checker.cells.cell import Known
from checker.cells.derive import ROW_BITS, TERM_BITS, Cells, beaten, tested
from checker.cells.parse import Cell
from checker.cells.places import Places
from checker.cells.tables import Tables
from checker.cells.terms import Frame, Terms, max_of_terms
from checker.cells.weights import Scores
from checker.float32.cells import Slack
from checker.ground.exact import longest
from checker.ground.ledger import Ledger
from checker.statement.outcome import MARGIN_BITS
from checker.wide.frame import WideFrame
from checker.wide.heads import Heads
from checker.wide.hints import Hints
from checker.wide.methods import Hinted, WideBruteForce
from checker.wide.norm import NormedScores

NO_HINTS = Hints((), {})


class WideCells(Cells):
    """Derives the outcome of every leaf below a root, for a model with several heads."""

    def __init__(
        self,
        heads: Heads,
        named: Places,
        precision: int,
        ledger: Ledger,
        slacks: list[Slack],
    ) -> None:
        first = heads.tables[0][0]
        super().__init__(first, named, precision, ledger, slacks[0])
        self.read = heads
        self.heads = len(heads.tables)
        tables = [paths for places in heads.tables for paths in places]
        values = [paths.evou_low + paths.evou_high + paths.pvou for paths in tables]
        most = max(map(longest, values))
        self.bits = max(self.bits, precision + TERM_BITS + most)
        self.scores_of_heads: list[Scores] = []
        for places, slack in zip(heads.tables, slacks, strict=True):
            own_tables = [
                self.scores.tables if paths is first else Tables(paths, ledger)
                for paths in places
            ]
            own = Scores(own_tables[0], precision, slack)
            if heads.final:
                own = NormedScores(own_tables[0], precision, slack, tuple(own_tables))
            self.scores_of_heads.append(own)

    def frame(self, cell: Cell) -> Frame:
        """Return the blocks and weights of a cell, its box tested.  (SPEC-16.4)"""
        method = cell.method
        hints = method.hints if isinstance(method, Hinted) else NO_HINTS
        return WideFrame(self.scores_of_heads, cell, self.named, hints, self.read)

    def _least(self, margin: int | None, value: int | None) -> int | None:
        """Return the lesser margin, as for one head; under a final norm one of the sum is divided
        by the largest S.  (SPEC-16.10, SPEC-16.14)
        """
        final = self.read.final
        if value is None or not final:
            return super()._least(margin, value)
        _, most = final.ends
        # both are over 2^-NORM_SCALE
        shown = (self.slack.margin(value) << MARGIN_BITS) // most
        return shown if margin is None else min(margin, shown)

    def _left(
        self,
        cell: Cell,
        frame: Frame,
        given: Known,
        mu: int,
    ) -> tuple[dict[int, Terms], int | None]:
        """Return for the answers that are left the largest terms over the vertices where they are,
        and a margin over all that is removed; the pairs that are left are kept in the frame.
        (SPEC-16.6)

        Cost: per answer and vertex three comparisons per term and ten operations per position.
        """
        wide = cast(WideFrame, frame)
        sides = sum(sum(head.ends).bit_length() for head in wide.heads)
        width = self.bits + mu.bit_length() + sides
        places = len(frame.highs)
        blocks = len(frame.blocks)
        most = places * (ROW_BITS + blocks * width) * (2 * wide.vertices + 1)
        self.ledger.take(most)
        left = {}
        sums = list[int]()
        for j, allowed in given.answers.items():
            kept = {}
            for vertex, terms in enumerate(wide.upper_pairs(j, allowed, mu)):
                rest: Terms | None = terms
                if not isinstance(cell.method, WideBruteForce):
                    rest = tested(self.ledger, frame, terms, sums)
                if rest is not None:
                    kept[j, vertex] = rest
            if kept:
                # 16.6: a token is left if it is left at some vertex
                left[j] = max_of_terms(list(kept.values()))
                wide.pairs |= kept
                held = [*kept.values(), left[j]]
                entries = sum(len(row) for rows in held for row in rows)
                self.ledger.take(len(held) * places * ROW_BITS + entries * width)
        # W: the largest weights of the first head at each position
        heaviest = sum(max(row.values()) for row in frame.highs)
        value = beaten(mu, max(sums, default=None), heaviest * wide.unit)
        return left, self._least(given.margin, value)
