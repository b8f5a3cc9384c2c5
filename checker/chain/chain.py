"""A proof of chains: how it is read, and the outcomes of its cells.  (SPEC-15.1)"""

from checker.cells.forest import parse_roots, visited
from checker.cells.parse import Cell
from checker.chain.frames import ChainCells, Hints
from checker.chain.parts import Directions
from checker.chain.plane import parse_tiling
from checker.ground import record
from checker.ground.decode import Fields, fields, listing
from checker.ground.errors import require, require_form
from checker.ground.ledger import Ledger
from checker.ground.norms import parse_matrix
from checker.statement.model import Model
from checker.statement.outcome import Outcomes, Spread
from checker.statement.statement import Statement


@record
class Chain:
    """The cells of a proof of chains, with its hints."""

    hints: Hints
    roots: tuple[Cell, ...]

    def outcomes(self, ledger: Ledger, spread: Spread) -> Outcomes:
        """Return what every leaf proves, in preorder; a part is a run of roots.

        Raises: Rejected (SPEC-6.6, SPEC-7.x, SPEC-15.x), Declined (SPEC-3.5, SPEC-8.2).
        """
        cells = ChainCells(self.hints, ledger)
        return visited(cells, self.roots, cells.tested, spread)

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        return [f"a chain of {len(self.roots)} roots"]


def _directions(value: object, where: str, count: int) -> Directions:
    """Return N and B of so many directions."""
    pair = [parse_matrix(item, where) for item in listing(value, where)]
    require_form(
        len(pair) == 2 and pair[1].height == count,
        "SPEC-15.1",
        f"{where} is not a pair of matrices for {count} directions",
    )
    return pair[0], pair[1]


def parse_chain(
    proof: Fields,
    model: Model,
    statement: Statement,
    precision: int,
) -> Chain:
    """Return the proof of chains that this key holds.  (SPEC-15.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    found = fields(proof["chain"], "chain", "cells ov qk", "plane")
    named, roots = parse_roots(found["cells"], model, statement)
    mu = roots[0].mu
    same = all(root.mu == mu for root in roots)
    require(same, "SPEC-15.1", "not all roots have the same mu")
    tiling = None
    if "plane" in found:
        tiling = parse_tiling(found["plane"], model.sizes["d_vocab_out"])
    asking = _directions(found["qk"], "qk", 1)
    moving = _directions(found["ov"], "ov", 1 if tiling is None else 2)
    exp = statement.exp_errors
    hints = Hints(model, exp, named, precision, mu, asking, moving, tiling)
    return Chain(hints, roots)
