"""Proof strategies: how inputs are grouped into cells, and how each cell is bounded.

A strategy returns cells without claims; the checker derives the claims.  ``STRATEGIES`` is the
registry.
"""

from __future__ import annotations

from collections.abc import Callable

from certify.cells.forest import Cell
from certify.cells.problem import Problem
from certify.cells.strategies import brute_force, cascade, copies, count, exact
from certify.certificate.job import BUDGET, EFFORT, PATHS, SEMANTICS, Strategy

Build = Callable[[Problem], list[Cell]]
ARITHMETIC, PATH_NAMES = frozenset({SEMANTICS}), frozenset(PATHS)

STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "brute-force",
            "every sequence, every wrong answer, nothing pruned",
            "about V^k log V",
            brute_force.build,
            ARITHMETIC,
        ),
        Strategy(
            "exact",
            "prove pooled cells whole, enumerate the undecided queries: lower = upper",
            "2 V^2 d and about 500 V^2, plus the enumeration of undecided cells",
            exact.build,
            ARITHMETIC,
        ),
        Strategy(
            "count",
            "prove pooled cells whole, count failing sequences by generating functions: any k",
            "2 V^2 d and about 500 V^2, plus about V^2 k^2 bins for undecided cells",
            count.build,
            ARITHMETIC | {EFFORT},
        ),
        Strategy(
            "cascade",
            "pool over queries, coarse to fine, operations where they pay: the shortest proofs;"
            " lower side only",
            "2 V^2 d and about 150 V^2, plus what the model's failures ask for",
            cascade.build,
            ARITHMETIC | PATH_NAMES | {EFFORT, BUDGET},
            cascade.WORTH,
        ),
        Strategy(
            "cubic",
            "one query, one maximum, c other tokens, any set of them: the published cubic proof"
            " made sound",
            "2 V^2 d and V^3, plus V^2 |J| k for the answers left",
            copies.cubic,
            ARITHMETIC | PATH_NAMES,
        ),
        Strategy(
            "subcubic",
            "many queries, one maximum, c other tokens, all up to a gap: the published sub-cubic"
            " proofs made sound",
            "V^2 d or less, and about 150 V^2",
            copies.subcubic,
            ARITHMETIC | PATH_NAMES | {EFFORT, BUDGET},
        ),
    )
}
