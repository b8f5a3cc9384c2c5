"""A proof of cells: how it is read, and the outcomes of its leaves.  (SPEC-7)"""

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
from checker.statement.outcome import MAX_CELLS, Outcome
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

    def outcomes(self, ledger: Ledger) -> tuple[Outcome, ...]:
        """Return what every leaf proves, in preorder.

        Raises: Rejected (SPEC-6.x, SPEC-7.x), Declined (SPEC-3.5, SPEC-8.2).
        """
        named = self.named
        cells = self.derivation(ledger)
        answers = range(self.model.sizes["d_vocab_out"])
        for root in self.roots:
            # 7.6: at a root every answer and token is allowed
            held = (2 << root.maximum) - 1
            every = tuple(mask & held for mask in named.allowed)
            wrong = {j: every for j in answers if j != named.right[root.maximum]}
            if isinstance(root.method, Skip):  # 7.11: nothing is asked of it
                wrong = {}
            ledger.spend(len(wrong))
            cells.visit(root, Known(wrong, None))
        return tuple(cells.outcomes)

    def derivation(self, ledger: Ledger) -> Cells:
        """Return what derives the outcomes of cells, with the tables of the model."""
        exp = self.statement.exp_errors
        named = self.named
        fine = TABLE_SCALE if exp else 0
        paths = decompose(self.model, named, self.hints, ledger, fine)
        slack = float32.REAL
        if exp is not None:
            scales = paths.score_scale, paths.value_scale
            slack = float32.slack(self.model, exp, scales, ledger)
        return Cells(paths, named.weights, self.precision, ledger, slack)

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
