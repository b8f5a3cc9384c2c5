"""How proofs of cells number the tokens of a domain: context positions first, then operands.
(SPEC-7.16)

A strategy knows places and columns only: place p of a table is the token that it numbers, and
column p is the output that is right where p is the maximum.  Outputs that stand for no token of an
operand follow.  No input has a context place as its maximum; its column is that of an output that
never wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from certify.cells.forest import Cell, Share
from certify.errors import Unsupported
from certify.model.paths import Paths
from certify.question.domain import Domain
from certify.question.scope import Scope

Array = NDArray[np.float64]
SHARES = ("blocks", "lower")
"""The keys of a cell that hold shares of answers."""
NEVER = -1e6
"""The logit of an output that does not exist."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """The places and columns of a domain.

    ``tokens``:  by place.  ``outputs``: by column, -1 for one that does not exist.
    ``context``: how many places are those of context positions.
    ``allowed`` [n_ctx, places]: which places a position allows.
    ``asked``:   the places that the last position allows.
    ``near`` [places]: by maximum, the first place that is too near to it to stand in an input of
    the scope; itself if none is.
    """

    tokens: tuple[int, ...]
    outputs: tuple[int, ...]
    context: int
    allowed: NDArray[np.bool_]
    near: NDArray[np.intp]

    @property
    def places(self) -> int:
        """Return how many places there are."""
        return len(self.tokens)

    @property
    def asked(self) -> tuple[int, ...]:
        """Return the places that the last position allows: the queries that some input has."""
        return tuple(np.flatnonzero(self.allowed[-1]).tolist())

    def weights(self, domain: Domain, scope: Scope) -> list[list[int]]:
        """Return how much each place counts at each position."""
        found = []
        for allowed, row in zip(self.allowed, scope.rows(domain), strict=True):
            given = iter(row)
            found.append([next(given) if is_allowed else 0 for is_allowed in allowed])
        return found

    def renamed(self, paths: Paths) -> Paths:
        """Return path matrices by place and column."""
        tokens = list(self.tokens)
        return replace(
            paths,
            EQKE=paths.EQKE[np.ix_(tokens, tokens)],
            EQKP=paths.EQKP[tokens],
            EVOU=self.columns(paths.EVOU[tokens]),
            PVOU=self.columns(paths.PVOU),
            EU=self.columns(paths.EU[tokens]),
        )

    def columns(self, table: Array) -> Array:
        """Return a table [rows, outputs] by column."""
        outputs = np.array(self.outputs)
        return np.where(outputs >= 0, table[:, outputs], NEVER)

    def named(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return cells whose shares name outputs in place of columns."""
        return [
            one | {key: self._shares(one[key]) for key in SHARES if key in one} for one in cells
        ]

    def _shares(self, shares: Sequence[Share]) -> list[Share]:
        return [[bins, [self.outputs[column] for column in columns]] for bins, columns in shares]


def numbering_of(domain: Domain, outputs: int, gap: int = 1) -> Numbering:
    """Return how tokens are numbered in a proof about a model with so many outputs, over a scope
    with a least gap below the largest value.

    Errors: ``Unsupported`` for a domain that cells are not about.
    """
    operands = domain.operands
    tokens, values = domain.tokens[operands[0]], domain.values[operands[0]] or ()
    alike = all(
        (domain.tokens[place], domain.values[place]) == (tokens, values) for place in operands
    )
    if not alike or list(values) != sorted(values):
        raise Unsupported(
            "proofs of cells need the same tokens and values at all operands, values that ascend"
            " with the tokens (--domain, --values); strategy exhaustive does not"
        )
    if domain.texts["read"] != "last":
        raise Unsupported("proofs of cells are about the last position (--read)")
    context = [place for place, row in enumerate(domain.values) if row is None]
    stands_for = dict(zip(domain.answers, domain.outputs, strict=True))
    right = [stands_for[value] for value in values]
    others = [output for output in range(outputs) if output not in right]
    allowed = np.zeros((len(domain.tokens), len(context) + len(tokens)), dtype=bool)
    allowed[list(operands), len(context) :] = True
    allowed[context, range(len(context))] = True
    apart = np.searchsorted(values, np.array(values) - gap, side="right") + len(context)
    return Numbering(
        (*(domain.tokens[place][0] for place in context), *tokens),
        (*(-1 for _ in context), *right, *others),
        len(context),
        allowed,
        np.concatenate([np.arange(len(context)), apart]),
    )
