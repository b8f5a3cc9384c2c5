"""Strategy ``exact``: prove what can be proved whole, enumerate the cells left undecided; lower =
upper.
"""

from __future__ import annotations

import numpy as np

from certify.cells.estimates import Examined, cut
from certify.cells.forest import Cell, cell, singles
from certify.cells.problem import Problem, pooled_then_single
from certify.errors import Unsupported

MASK_BITS = 1 << 30
BITS = 2560
"""What the checker sets aside for a tuple and its sum."""


def build(problem: Problem) -> list[Cell]:
    """Return pooled roots, split into single queries where needed, with the undecided cells
    enumerated.

    Ensures: both sides of the claim meet, ties included.
    Cost:    per undecided query and maximum about V^(ceil((k-1)/2)) |J| log V for the checker.
    """
    return pooled_then_single(problem, enumerated_cell, _blind)


def _blind(m: int, q: int) -> Cell:
    return cell("enumerate", [q], singles(m))


def enumerated_cell(examined: Examined) -> Cell:
    """Return an enumerated cell, unless the checker could not hold its masks and sums
    (SPEC-3.5).
    """
    sizes = np.isfinite(examined.terms).sum(axis=2)
    free, width = len(sizes) - 1, examined.maximum + 1
    at, _ = cut(sizes[[free, *range(free)]], width)
    tuples = sizes[:at].prod(axis=0, dtype=float) + sizes[at:free].prod(axis=0, dtype=float)
    if 2 * tuples.max() * (width ** (free - at) + BITS) > MASK_BITS:
        raise Unsupported(
            f"strategy exact cannot enumerate {width}^{free} sequences of one cell; use --strategy"
            " count"
        )
    return cell("enumerate", examined.queries.tolist(), singles(examined.maximum))
