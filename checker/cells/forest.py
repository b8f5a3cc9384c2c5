"""A proof of cells: how it is read, and the outcomes of its leaves.  (SPEC-7)"""

from collections.abc import Sequence
from functools import partial
from itertools import chain

from checker.cells.cell import Known
from checker.cells.derive import Cells
from checker.cells.enclosed import PathHint, parse_hints
from checker.cells.parse import Cell, Skip, parse_cells
from checker.cells.paths import decompose, require_plain
from checker.cells.places import Places, places_of
from checker.float32 import cells as float32
from checker.ground import record
from checker.ground.decode import listing
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE
from checker.statement.model import Model
from checker.statement.outcome import (
    MAX_CELLS,
    MOST_PARTS,
    Outcome,
    Part,
    Spread,
    runs,
)
from checker.statement.statement import Statement


@record
class Forest:
    """The cells of a proof with the hints of its paths, and what they are about."""

    model: Model
    statement: Statement
    precision: int
    named: Places
    hints: dict[str, PathHint]
    roots: tuple[Cell, ...]

    def outcomes(self, ledger: Ledger, spread: Spread) -> tuple[Outcome, ...]:
        """Return what every leaf proves, in preorder; a part is a run of roots.

        Raises: Rejected (SPEC-6.x, SPEC-7.x), Declined (SPEC-3.5, SPEC-8.2).
        """
        exp = self.statement.exp_errors
        named = self.named
        fine = TABLE_SCALE if exp else 0
        paths = decompose(self.model, named, self.hints, ledger, fine)
        slack = float32.REAL
        if exp is not None:
            scales = paths.score_scale, paths.value_scale
            slack = float32.slack(self.model, exp, scales, ledger)
        cells = Cells(paths, named, self.precision, ledger, slack)
        parts = list[Part]()
        for run in runs(len(self.roots), MOST_PARTS):
            roots = self.roots[run.start : run.stop]
            derive = partial(self._derive, cells, roots)
            parts.append(Part(sum(map(cells.size, roots)), derive))
        return tuple(chain.from_iterable(spread(parts)))

    def _derive(self, cells: Cells, roots: Sequence[Cell]) -> tuple[Outcome, ...]:
        """Return what every leaf below some roots proves."""
        named = self.named
        answers = range(self.model.sizes["d_vocab_out"])
        cells.outcomes = []
        for root in roots:
            # 7.6: at a root every answer and token is allowed, but those too near to m
            m = root.maximum
            held = (1 << named.near[m]) - 1 | 1 << m
            every = tuple(mask & held for mask in named.allowed)
            wrong = {j: every for j in answers if j != named.right[m]}
            if isinstance(root.method, Skip):  # 7.11: nothing is asked of it
                wrong = {}
            cells.ledger.spend(len(wrong))
            cells.visit(root, Known(wrong, None))
        return tuple(cells.outcomes)

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        roots = [
            f"  {cell.where}: maximum {cell.maximum}, queries {list(cell.queries)}, "
            f"{type(cell.method).__name__}, {cell.claim}"
            for cell in self.roots
        ]
        return [f"paths enclosed: {sorted(self.hints)}, roots:", *roots]


def parse_forest(
    proof: dict[str, object],
    model: Model,
    statement: Statement,
    precision: int,
) -> Forest:
    """Return the proof of cells that these keys hold, for a model that has a path decomposition.
    (SPEC-4.4, SPEC-6.5, SPEC-7.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    require_support(
        statement.name == "max-of-k",
        "SPEC-7",
        "cells are about the task max-of-k only",
    )
    require_plain(model)
    hints = parse_hints(proof["paths"]) if "paths" in proof else {}
    named = places_of(statement)
    sizes = model.sizes | {"places": len(named.tokens)}
    roots = parse_cells(listing(proof["cells"], "cells", MAX_CELLS), sizes)
    return Forest(model, statement, precision, named, hints, roots)
