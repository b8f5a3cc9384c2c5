"""The test of a box: how far the denominators of two heads may be apart.  (SPEC-16.4)"""

from checker.cells.terms import Terms
from checker.cells.weights import Weights
from checker.ground.errors import require
from checker.ground.ledger import Ledger

Factors = tuple[int, int]
"""What the upper end of one weight and the lower end of another are multiplied with."""


def largest_sum(rows: Terms, maximum: int | None) -> int:
    """Return the largest sum of one term for each position: sum_i M_i + g of SPEC-16.4.

    ``maximum``: the block of which a free position holds the token, None if there is no such block.
    """
    tops = [max(row.values()) for row in rows]
    gains = [0]
    if maximum is not None:
        free = zip(rows[:-1], tops, strict=False)
        gains = [row[maximum] - top for row, top in free]
    return sum(tops) + max(gains, default=0)


def _largest(
    above: list[Weights],
    below: list[Weights],
    factors: Factors,
    maximum: int | None,
) -> int:
    """Return the most that a multiple of the sum of the weights ``above`` can exceed one of that of
    the weights ``below``, phi of SPEC-16.4.

    Requires: factors not negative.
    """
    large, small = factors
    rows = []
    for row, other in zip(above, below, strict=True):
        rests = {}
        for b, (_, upper) in row.items():
            lower, _ = other[b]
            rests[b] = large * upper - small * lower  # phi_i(b)
        rows.append(rests)
    return largest_sum(rows, maximum)


def require_box(
    where: str,
    weights: list[list[Weights]],
    box: list[tuple[int, int]],
    unit: int,
    maximum: int | None,
    ledger: Ledger,
) -> None:
    """Require that on every input of a cell W_0 / W_h is between the two sides of head h, which are
    over ``unit``.  (SPEC-16.4)

    ``weights``: of every head, of all blocks of the cell.
    Raises: Rejected (SPEC-16.4).
    Cost:   for each head but the first, twice, a multiplication, an addition and a comparison per
            weight and three operations per position.
    """
    first, *others = weights
    entries = 2 * sum(map(len, first))
    for weights_of_head, (low, high) in zip(others, box, strict=True):
        ledger.charge(
            mul=entries, add=entries + 4 * len(first), cmp=entries + 2 * len(first)
        )
        above = _largest(first, weights_of_head, (unit, high), maximum)
        below = _largest(weights_of_head, first, (low, unit), maximum)
        require(
            max(above, below) <= 0,
            "SPEC-16.4",
            f"{where}: the box does not hold the ratios of all inputs",
        )
