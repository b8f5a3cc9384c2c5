"""Strategy ``exact``: prove what can be proved whole, enumerate the cells left undecided; lower = upper."""

from __future__ import annotations

from certify.errors import Unsupported
from certify.strategies.forest import Cell, cell, singles
from certify.strategies.pooling import Leaf
from certify.strategies.problem import Problem, pooled_then_single

MASK_BITS = 1 << 31
TERM_BITS = 512


def build(problem: Problem) -> list[Cell]:
    """Return pooled roots, split into single queries where needed, with the undecided cells enumerated.

    Ensures: both sides of the claim meet, ties included.
    Cost:    per undecided query and maximum about V^(ceil((k-1)/2)) |J| log V for the checker.
    """
    return pooled_then_single(problem, _enumerate)


def _enumerate(leaf: Leaf) -> Cell:
    """Return an enumerated cell, unless the checker could not hold its masks and sums (SPEC 3.5)."""
    free, width = leaf.terms.shape[0], leaf.maximum + 1
    suffixes = width ** (free // 2 if free > 1 else free)
    prefixes = width**free // suffixes
    if (prefixes + suffixes) * (suffixes + TERM_BITS) > MASK_BITS:
        raise Unsupported(f"strategy exact cannot enumerate {width}^{free} sequences of one cell; use --strategy count")
    return cell("enumerate", [leaf.query], singles(leaf.maximum))
