"""Proof strategies: how inputs are grouped into cells, and how each cell is bounded.

A strategy returns cells without claims; the checker derives the claims.  ``STRATEGIES`` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from certify.strategies import brute_force, count, exact
from certify.strategies.forest import Cell
from certify.strategies.problem import Problem


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named way to build a proof, with a line for the reader and the cost for the checker."""

    name: str
    idea: str
    cost: str
    build: Callable[[Problem], list[Cell]]


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "brute-force",
            "every sequence, every wrong answer, nothing pruned",
            "about V^k log V",
            brute_force.build,
        ),
        Strategy(
            "exact",
            "prove pooled cells whole, enumerate the undecided ones: lower = upper",
            "V^2 d, plus about V^(2 + ceil((k-1)/2)) for undecided cells",
            exact.build,
        ),
        Strategy(
            "count",
            "prove pooled cells whole, count failing sequences by generating functions: any k",
            "V^2 d, plus about V^2 k^2 bins for undecided cells",
            count.build,
        ),
    )
}

__all__ = ["STRATEGIES", "Problem", "Strategy"]
