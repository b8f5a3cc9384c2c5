"""A proof of wide cells: how it is read, and the outcomes of its leaves.  (SPEC-16.1)"""

from functools import partial

from checker.cells.derive import Cells
from checker.cells.forest import Forest
from checker.cells.parse import parse_cells
from checker.cells.places import places_of
from checker.float32.cells import REAL
from checker.ground import record
from checker.ground.decode import listing
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE
from checker.statement.model import Model
from checker.statement.outcome import MAX_CELLS
from checker.statement.statement import Statement
from checker.wide.derive import WideCells
from checker.wide.float32 import rounded_heads
from checker.wide.heads import heads_of, require_wide
from checker.wide.hints import parse_hints
from checker.wide.methods import WIDE_METHODS


@record
class WideForest(Forest):
    """The cells of a proof about a wide model, and what they are about; no path has a hint."""

    def derivation(self, ledger: Ledger) -> Cells:
        """Return what derives the outcomes of wide cells, with the tables of all heads.

        Raises: Declined (SPEC-3.5, SPEC-8.2, SPEC-16.12, SPEC-16.14).
        """
        exp = self.statement.exp_errors
        heads = heads_of(self.model, self.named, ledger, TABLE_SCALE if exp else 0)
        slacks = [REAL] * len(heads.tables)
        if exp is not None:
            heads, slacks = rounded_heads(self.model, exp, heads, ledger)
        return WideCells(heads, self.named, self.precision, ledger, slacks)


def parse_wide(
    proof: dict[str, object],
    model: Model,
    statement: Statement,
    precision: int,
) -> WideForest:
    """Return the proof of wide cells that these keys hold.  (SPEC-7.1, SPEC-16.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    require_support(
        statement.name == "max-of-k",
        "SPEC-7",
        "wide cells are about the task max-of-k only",
    )
    require_support(
        "paths" not in proof,
        "SPEC-16.1",
        "paths are not enclosed in a proof of wide cells",
    )
    require_wide(model)
    named = places_of(statement)
    sizes = model.sizes | {"places": len(named.tokens)}
    cells = listing(proof["wide"], "wide", MAX_CELLS)
    hints = partial(parse_hints, sizes=sizes)
    roots = parse_cells(cells, sizes, WIDE_METHODS, hints)
    return WideForest(model, statement, precision, named, {}, roots)
