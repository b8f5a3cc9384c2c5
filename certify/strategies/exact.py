"""Strategy ``exact``: prove what can be proved whole, enumerate the cells left undecided; lower = upper."""

from __future__ import annotations

from certify.strategies.forest import Cell, cell, singles
from certify.strategies.pooling import Leaf
from certify.strategies.problem import Problem, pooled_then_single


def build(problem: Problem) -> list[Cell]:
    """Return pooled roots, split into single queries where needed, with the undecided cells enumerated.

    Ensures: both sides of the claim meet, ties included.
    Cost:    per undecided query and maximum about V^(ceil((k-1)/2)) |J| log V for the checker.
    """
    return pooled_then_single(problem, _enumerate)


def _enumerate(leaf: Leaf) -> Cell:
    return cell("enumerate", [leaf.query], singles(leaf.maximum))
