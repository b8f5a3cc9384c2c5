"""Strategy ``brute-force``: every query, every maximum, every wrong answer, nothing pruned."""

from __future__ import annotations

from certify.strategies.forest import Cell, cell, tree
from certify.strategies.problem import Problem


def build(problem: Problem) -> list[Cell]:
    """Return one brute-force cell per query and maximum.

    Cost: d_vocab^k sequences times all wrong answers, for the checker; nothing for the prover.
    """
    vocab = problem.model.config.d_vocab
    return [
        found
        for maximum in range(vocab)
        for query in range(maximum + 1)
        for found in tree(maximum, cell("brute-force", [query]))
    ]
