"""The final norm: columns that read a row before it is divided, and by what.  (SPEC-16.10)"""

from math import isqrt

from checker.cells.paths import Paths, Rows
from checker.cells.weights import Ends
from checker.ground import record
from checker.ground.exact import Matrix, Row, plus, product, rescale, transposed
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.wide.norm import (
    NORM_SCALE,
    Deviation,
    centred_rows,
    ends_of,
    scaled_rows,
)


def reading_columns(unembed: Matrix, factors: Matrix, ledger: Ledger) -> Matrix:
    """Return the columns u_j = c(w U_j), and behind them c(e_k): what is read of a row.

    Cost: a multiplication per entry of W_U, and centring.
    """
    scaled = scaled_rows(unembed, factors, ledger)
    fine = rescale(scaled, max(scaled.scale, 0), ledger)
    width = len(fine.rows)
    units = []
    for k in range(width):
        unit = [0] * width
        unit[k] = 1 << fine.scale
        units.append(tuple(unit))
    turned = Matrix((*transposed(fine).rows, *units), fine.scale)
    return transposed(centred_rows(turned, ledger))


@record
class Final:
    """What stands between what is read and logits: S = d sigma, with both ends over all inputs, and
    beta by output, all over 2^-NORM_SCALE.
    """

    deviation: Deviation
    ends: Ends
    beta_low: Row
    beta_high: Row

    @property
    def even(self) -> bool:
        """Whether beta is nothing, so that S decides no sign."""
        return not any(self.beta_low) and not any(self.beta_high)

    def above(self, j: int, right: int, ends: Ends) -> int:
        """Return no less than S (beta_j - beta_m), S between these ends."""
        beta = self.beta_high[j] - self.beta_low[right]
        return shift_up(max(end * beta for end in ends), NORM_SCALE)

    def below(self, j: int, right: int, ends: Ends) -> int:
        """Return no more than S (beta_j - beta_m), S between these ends."""
        beta = self.beta_low[j] - self.beta_high[right]
        return min(end * beta for end in ends) >> NORM_SCALE


def _longest(low: Rows, high: Rows, first: int) -> int:
    """Return no less than the length of a row from column ``first`` on."""
    most = 0
    for least, largest in zip(low, high, strict=True):
        downward = map(abs, least[first:])
        upward = map(abs, largest[first:])
        sizes = map(max, downward, upward)
        most = max(most, sum(size**2 for size in sizes))
    return isqrt(most) + 1


def final_of(
    own: Deviation,
    shift: Matrix,
    unembed: Matrix,
    bias: Matrix,
    heads: list[list[Paths]],
    ledger: Ledger,
) -> Final:
    """Return what the final norm does, ``shift`` its b.

    Cost: b W_U and an addition per output; a multiplication and an addition per entry of the
          columns of Y.
    """
    beta = plus(product(shift, unembed, ledger), bias, ledger)
    (row,) = beta.rows
    exact = [(value, value) for value in row]
    (low,), (high,) = ends_of([exact], beta.scale)
    outputs = len(row)
    first = heads[0][0]
    tables = [paths for places in heads for paths in places]
    rows = len(first.eu_low) * (len(tables) + 1)
    ledger.charge(mul=rows * own.width, add=rows * own.width)
    longest = _longest(first.eu_low, first.eu_high, outputs)
    for places in heads:
        parts = [_longest(paths.evou_low, paths.evou_high, outputs) for paths in places]
        longest += max(parts)
    least, _ = own.ends(0, 0)
    _, most = own.ends(longest * longest, NORM_SCALE)
    return Final(own, (least, most), low, high)
