"""How a proof of cells numbers tokens: context first, then those of operands.  (SPEC-7.16)"""

from bisect import bisect_right

from checker.cells.cell import mask
from checker.ground import paired, record
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, Row, Rows
from checker.statement.scope import Scope
from checker.statement.statement import Statement


@record
class Places:
    """The tokens of a proof of cells, which it names by their numbers in ``tokens``.

    ``right``:   by place, the output that is right where it is the maximum.
    ``weights``: per position how much each place counts.
    ``allowed``: per position the places that the domain allows, as a bit mask.
    ``near``:    by place, the first that is too near to stand beside it where it is the maximum,
                 the place itself if none is.  (SPEC-5.3)
    ``scope``:   what counts.
    """

    tokens: Row
    right: Row
    weights: Rows
    allowed: Row
    near: Row
    scope: Scope

    def marked(self, m: int) -> Rows:
        """Return the weights in inputs with maximum m, its own marked: 0 where too near to m."""
        near = self.near[m]
        mark = self.scope.mark
        if near == m and not mark:
            return self.weights
        gap = (0,) * (m - near)
        own = [row[m] << mark for row in self.weights]
        pairs = paired(self.weights, own)
        return tuple((*row[:near], *gap, marked) for row, marked in pairs)

    def rows(self, embedding: Matrix) -> Matrix:
        """Return the rows of these tokens, by place."""
        return embedding.chosen(self.tokens)


def places_of(statement: Statement) -> Places:
    """Return how the proof numbers the tokens of its domain.  (SPEC-7.16)

    Raises: Declined (SPEC-7.16) for a domain that cells are not about.
    """
    domain = statement.domain
    first = domain.operands[0]
    values = domain.values[first]
    tokens = domain.tokens[first]
    alike = all(
        domain.tokens[place] == tokens and domain.values[place] == values
        for place in domain.operands
    )
    require_support(
        alike and list(values) == sorted(values) and domain.parts["read"] == "last",
        "SPEC-7.16",
        "cells need the same tokens at all operands, values that ascend with them, "
        "and the last position read",
    )
    context = [position for position, row in enumerate(domain.values) if not row]
    before = len(context)
    weights = []
    allowed = []
    for position, row in enumerate(statement.scope.weights):
        first = context.index(position) if position in context else before
        end = first + len(row)
        after = before + len(tokens) - end
        weights.append((0,) * first + row + (0,) * after)
        allowed.append(mask(first, end - 1))
    right = [domain.outputs[value] for value in values]
    gap = statement.scope.gap
    near = [before + bisect_right(values, value - gap) for value in values]
    return Places(
        tokens=(*(domain.tokens[position][0] for position in context), *tokens),
        # No input has a context place as its maximum: any output will do.
        right=(*right[:1] * before, *right),
        weights=tuple(weights),
        allowed=tuple(allowed),
        near=(*range(before), *near),
        scope=statement.scope,
    )
