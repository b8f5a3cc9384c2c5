"""A proof of cells: how it is read, and the outcomes of its leaves.  (SPEC-7)"""

from collections.abc import Callable, Iterable, Sequence
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
from checker.ground.decode import Fields, listing
from checker.ground.errors import require_support
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE
from checker.statement.model import Model
from checker.statement.outcome import (
    MAX_CELLS,
    MOST_PARTS,
    Outcomes,
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

    def outcomes(self, ledger: Ledger, spread: Spread) -> Outcomes:
        """Return what every leaf proves, in preorder; a part is a run of roots.

        Raises: Rejected (SPEC-6.x, SPEC-7.x), Declined (SPEC-3.5, SPEC-8.2).
        """
        cells = self.derivation(ledger)
        every = range(self.model.sizes["d_vocab_out"])
        return visited(cells, self.roots, lambda right: {*every} - {right}, spread)

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
        return Cells(paths, named, self.precision, ledger, slack)

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        roots = [
            f"  {cell.where}: maximum {cell.maximum}, queries {list(cell.queries)}, "
            f"{type(cell.method).__name__}, {cell.claim}"
            for cell in self.roots
        ]
        return [f"paths enclosed: {sorted(self.hints)}, roots:", *roots]


Rivals = Callable[[int], Iterable[int]]
"""By right answer, those it is held against."""


def visited(
    cells: Cells, roots: Sequence[Cell], wrong: Rivals, spread: Spread
) -> Outcomes:
    """Return what every leaf proves, in preorder; a part is a run of roots."""
    parts = list[Part]()
    for run in runs(len(roots), MOST_PARTS):
        own = roots[run.start : run.stop]
        size = sum(map(cells.size, own))
        parts.append(Part(size, partial(_derived, cells, own, wrong)))
    return tuple(chain.from_iterable(spread(parts)))


def _derived(
    cells: Cells,
    roots: Sequence[Cell],
    wrong: Rivals,
) -> Outcomes:
    """Return what every leaf below some roots proves."""
    named = cells.named
    cells.outcomes = []
    for root in roots:
        # 7.6: at a root every answer and token is allowed, but those too near to m
        m = root.maximum
        held = (1 << named.near[m]) - 1 | 1 << m
        every = tuple(mask & held for mask in named.allowed)
        asked = not isinstance(root.method, Skip)  # 7.11: nothing is asked of it
        against = sorted(wrong(named.right[m])) if asked else ()
        known = dict.fromkeys(against, every)
        cells.ledger.spend(len(known))
        cells.visit(root, Known(known, None))
    return tuple(cells.outcomes)


def parse_roots(
    cells: object, model: Model, statement: Statement
) -> tuple[Places, tuple[Cell, ...]]:
    """Return the numbers of tokens, and the roots, for a model that has a path decomposition.
    (SPEC-4.4, SPEC-7.1, SPEC-7.16)
    """
    require_support(
        statement.name == "max-of-k",
        "SPEC-7",
        "cells are about the task max-of-k only",
    )
    require_plain(model)
    named = places_of(statement)
    sizes = model.sizes | {"places": len(named.tokens)}
    return named, parse_cells(listing(cells, "cells", MAX_CELLS), sizes)


def parse_forest(
    proof: Fields,
    model: Model,
    statement: Statement,
    precision: int,
) -> Forest:
    """Return the proof of cells that these keys hold, for a model that has a path decomposition.
    (SPEC-4.4, SPEC-6.5, SPEC-7.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    hints = parse_hints(proof["paths"]) if "paths" in proof else {}
    named, roots = parse_roots(proof["cells"], model, statement)
    return Forest(model, statement, precision, named, hints, roots)
