"""Strategy ``brute-force``: every query, every maximum, every wrong answer, nothing pruned."""

from __future__ import annotations

import math

from certify.cells.forest import Cell, cell, tree
from certify.cells.problem import Problem
from certify.errors import Unsupported

LARGEST_DOMAIN = 1 << 28


def build(problem: Problem) -> list[Cell]:
    """Return one brute-force cell per query and maximum.

    Cost: d_vocab^k sequences times all wrong answers, for the checker; nothing for the prover.
    """
    inputs = math.prod(problem.named.allowed.sum(axis=1).tolist())
    if inputs > LARGEST_DOMAIN:
        raise Unsupported(
            f"strategy brute-force stops at {LARGEST_DOMAIN} inputs, here are {inputs}; use"
            " exact or count"
        )
    found = problem.without_inputs()
    for maximum in problem.maxima():
        below, own = problem.parts(maximum)
        for part in problem.idle(maximum):
            found += tree(maximum, cell("skip", part))
        for query in [*below, *own]:
            found += tree(maximum, cell("brute-force", [query]))
    return found
