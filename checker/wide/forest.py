"""A proof of wide cells: how it is read, and the outcomes of its leaves.  (SPEC-16.1)"""

from functools import partial

from checker.cells.forest import others, visited
from checker.cells.parse import Cell, parse_cells
from checker.cells.places import Places, places_of
from checker.float32.cells import REAL
from checker.ground import record
from checker.ground.decode import listing
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger
from checker.statement.model import Model
from checker.statement.outcome import MAX_CELLS, Outcome, Spread
from checker.statement.statement import Statement
from checker.wide.derive import WideCells
from checker.wide.heads import heads_of, require_wide
from checker.wide.hints import parse_hints
from checker.wide.methods import WIDE_METHODS


@record
class WideForest:
    """The cells of a proof about a wide model, and what they are about."""

    model: Model
    statement: Statement
    precision: int
    named: Places
    roots: tuple[Cell, ...]

    def outcomes(self, ledger: Ledger, spread: Spread) -> tuple[Outcome, ...]:
        """Return what every leaf proves, in preorder; a part is a run of roots.

        Raises: Rejected (SPEC-7.x, SPEC-16.x), Declined (SPEC-3.5, SPEC-8.2).
        """
        named = self.named
        heads = heads_of(self.model, named, ledger)
        slacks = [REAL] * len(heads.tables)
        cells = WideCells(heads, named, self.precision, ledger, slacks)
        return visited(cells, self.roots, others(self.model), spread)

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        roots = [
            f"  {cell.where}: maximum {cell.maximum}, queries {list(cell.queries)}, "
            f"{type(cell.method).__name__}, {cell.claim}"
            for cell in self.roots
        ]
        return [f"heads: {self.model.sizes['n_heads']}, roots:", *roots]


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
    require_support(
        statement.exp_errors is None,
        "SPEC-16.1",
        "wide cells are not proved for float32",
    )
    require_wide(model)
    named = places_of(statement)
    sizes = model.sizes | {"places": len(named.tokens)}
    cells = listing(proof["wide"], "wide", MAX_CELLS)
    hints = partial(parse_hints, sizes=sizes)
    roots = parse_cells(cells, sizes, WIDE_METHODS, hints)
    return WideForest(model, statement, precision, named, roots)
