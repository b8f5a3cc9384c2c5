"""Strategy ``brute-force``: every query, every maximum, every wrong answer, nothing pruned."""

from __future__ import annotations

from certify.cells.forest import Cell, cell, tree
from certify.cells.problem import Problem
from certify.errors import Unsupported

LARGEST_DOMAIN = 1 << 28


def build(problem: Problem) -> list[Cell]:
    """Return one brute-force cell per query and maximum.

    Cost: d_vocab^k sequences times all wrong answers, for the checker; nothing for the prover.
    """
    vocab, k = problem.model.config.d_vocab, problem.model.config.n_ctx
    if vocab**k > LARGEST_DOMAIN:
        raise Unsupported(
            f"strategy brute-force stops at {LARGEST_DOMAIN} inputs, here are {vocab}^{k}; use"
            " exact or count"
        )
    return [
        found
        for maximum in range(vocab)
        for query in range(maximum + 1)
        for found in tree(maximum, cell("brute-force", [query]))
    ]
