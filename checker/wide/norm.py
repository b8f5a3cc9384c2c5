"""Layer norm before attention: tables of scores and values by position and token.  (SPEC-16.9)"""

from collections.abc import Sequence
from math import isqrt
from operator import sub

from checker.cells.cell import Range
from checker.cells.paths import Paths, Rows
from checker.cells.places import Places
from checker.cells.tables import Layout, Line, Tables
from checker.cells.weights import Ends, OneEnd, Scores, Weights, apart
from checker.ground import record
from checker.ground.decode import hexadecimal
from checker.ground.exact import (
    Matrix,
    Row,
    bits,
    hold,
    multiply,
    plus,
    product,
    transposed,
)
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.statement.model import Model

ROOT_BITS = 128
"""Reciprocals of standard deviations are enclosed over 2^-128.  (SPEC-16.9)"""

NORM_SCALE = 96
"""Tables are rounded outward to multiples of 2^-96.  (SPEC-16.9)"""


@record
class Deviation:
    """The standard deviation of rows of ``width`` numbers, with ``eps = mantissa * 2^exponent``.

    A row x is given by |c(x)|^2 over ``2^-2scale``.
    """

    width: int
    mantissa: int
    exponent: int

    def _square(self, norm: int, scale: int) -> tuple[int, int]:
        """Return (d sigma)^2 = |c(x)|^2 / d + d^2 eps as a fraction."""
        finer = max(2 * scale, -self.exponent)
        eps = self.width**3 * self.mantissa << finer + self.exponent
        return (norm << finer - 2 * scale) + eps, self.width << finer

    def inverse(self, norm: int, scale: int) -> Ends:
        """Return both ends of 1 / (d sigma), over 2^-ROOT_BITS."""
        numerator, denominator = self._square(norm, scale)
        lower = isqrt((denominator << 2 * ROOT_BITS) // numerator)
        return lower, lower + 1

    def ends(self, norm: int, scale: int) -> Ends:
        """Return both ends of d sigma, over 2^-NORM_SCALE."""
        numerator, denominator = self._square(norm, scale)
        lower = isqrt((numerator << 2 * NORM_SCALE) // denominator)
        return lower, lower + 1


def deviation(model: Model) -> Deviation:
    """Return how rows of this model are divided."""
    mantissa, exponent = hexadecimal(model.config["eps"], "config field eps")
    return Deviation(model.sizes["d_model"], mantissa, exponent)


def norm_row(model: Model, name: str, usual: int) -> Matrix:
    """Return a vector of a norm as a row; "LNPre" has ones and zeros."""
    usual_row: Row = (usual,) * model.sizes["d_model"]
    return model.weights.get(name, Matrix((usual_row,), 0))


def centred_rows(a: Matrix, ledger: Ledger) -> Matrix:
    """Return c(x) = d x - (sum of x) of every row.

    Cost: two operations per entry.
    """
    width = len(a.rows[0])
    hold(a.entries, bits(a) + 2 * width.bit_length(), ledger)
    ledger.charge(mul=a.entries, add=a.entries)
    rows = []
    for row in a.rows:
        total = sum(row)
        rows.append(tuple(width * value - total for value in row))
    return Matrix(tuple(rows), a.scale)


def scaled_rows(a: Matrix, factors: Matrix, ledger: Ledger) -> Matrix:
    """Return diag(w) a, ``factors`` the row w.

    Cost: a multiplication per entry.
    """
    hold(a.entries, bits(a) + bits(factors), ledger)
    ledger.charge(mul=a.entries)
    (weights,) = factors.rows
    pairs = zip(a.rows, weights, strict=True)
    rows = (tuple(value * weight for value in row) for row, weight in pairs)
    return Matrix(tuple(rows), a.scale + factors.scale)


def ends_of(rows: list[list[Ends]], scale: int) -> tuple[Rows, Rows]:
    """Return both ends over 2^-NORM_SCALE, rounded outward, of numbers over ``2^-scale``."""
    drop = max(scale - NORM_SCALE, 0)
    raise_by = max(NORM_SCALE - scale, 0)
    low = []
    high = []
    for row in rows:
        low.append(tuple(least << raise_by >> drop for least, _ in row))
        high.append(tuple(shift_up(most << raise_by, drop) for _, most in row))
    return tuple(low), tuple(high)


def times(ends: Ends, factor: Ends) -> Ends:
    """Return both ends of a product; the factor is positive."""
    low, high = ends
    small, large = factor
    return low * (small if low > 0 else large), high * (large if high > 0 else small)


@record
class Normed:
    """The rows that attention reads at one position: c_i(t), and u_i(t) with both ends."""

    rows: Matrix
    inverses: list[Ends]


def normed(rows: Matrix, own: Deviation, ledger: Ledger) -> Normed:
    """Return the centred rows, and the reciprocals of their deviations.

    Cost: four operations per entry, and a root per row.
    """
    centred = centred_rows(rows, ledger)
    ledger.charge(mul=rows.entries + len(rows.rows), add=rows.entries)
    norms = [sum(value * value for value in row) for row in centred.rows]
    return Normed(centred, [own.inverse(norm, centred.scale) for norm in norms])


def scores_at(
    asking: Matrix,
    constant: Matrix,
    keys: Matrix,
    query: Normed,
    key: Normed,
    ledger: Ledger,
) -> tuple[Rows, Rows]:
    """Return both ends of S_hi of one position; ``asking``: c_{n-1} W_Q', ``constant``: b_Q',
    ``keys``: c_i W_K'.

    Cost: two products; four multiplications and an addition per entry.
    """
    turned = transposed(keys)
    joint = product(asking, turned, ledger)
    (alone,) = product(constant, turned, ledger).rows
    ledger.charge(mul=4 * joint.entries, add=joint.entries)
    hold(4 * joint.entries, bits(joint) + 2 * ROOT_BITS, ledger)
    # both summands over one scale, that of the finer
    both = joint.scale + ROOT_BITS
    single = constant.scale + keys.scale
    fine = max(both, single)
    rows = []
    for row, inverse in zip(joint.rows, query.inverses, strict=True):
        found = []
        for value, own, other in zip(row, alone, key.inverses, strict=True):
            low, high = times((value, value), inverse)
            more = own << fine - single
            ends = (low << fine - both) + more, (high << fine - both) + more
            found.append(times(ends, other))
        rows.append(found)
    return ends_of(rows, fine + ROOT_BITS)


def values_at(key: Normed, writing: Matrix, ledger: Ledger) -> tuple[Rows, Rows]:
    """Return both ends of V_hi of one position; ``writing``: W_V' W_O and the columns.

    Cost: a product, and two multiplications per entry.
    """
    exact = product(key.rows, writing, ledger)
    ledger.charge(mul=2 * exact.entries)
    hold(4 * exact.entries, bits(exact) + ROOT_BITS, ledger)
    rows = []
    for row, own in zip(exact.rows, key.inverses, strict=True):
        rows.append([times((value, value), own) for value in row])
    return ends_of(rows, exact.scale + ROOT_BITS)


@record
class NormedScores(Scores):
    """Enclosures of the weights of one head under layer norm, from tables for every position;
    ``tables`` are those of the first.  (SPEC-16.9)
    """

    places: tuple[Tables, ...] = ()

    def _asked(
        self,
        tables: Tables,
        bases: dict[int, int],
        blocks: Sequence[Range],
    ) -> Weights:
        """Return bounds on the scores of the last position, for each block that holds a query;
        ``bases`` by query.
        """
        low = tables.paths.eqke_low
        high = tables.paths.eqke_high
        found = {}
        for b, (first, end) in enumerate(blocks):
            held = [q for q in bases if first <= q <= end]
            if held:
                least = min(low[q][q] - bases[q] for q in held)
                most = max(high[q][q] - bases[q] for q in held)
                found[b] = least, most
        return found

    def weights(
        self, queries: Line, layout: Layout
    ) -> tuple[list[OneEnd], list[OneEnd]]:
        """Return per position and block lower and upper bounds on the weight of its tokens, for
        every query at once; at the last position only blocks that hold a query have a weight.

        Cost: per query, position and block four operations; two exponentials per position and
              block.
        """
        blocks = layout.blocks
        m = layout.maximum
        # one number for each query, the same at all positions
        bases = [self.tables.paths.eqke_low[q][m] for q in queries]
        *free, last = self.places
        each = 2 * len(queries) * len(blocks) * len(free)
        self.tables.ledger.charge(
            add=each + 2 * len(queries), cmp=each + 2 * len(queries)
        )
        spans = []
        for tables in free:
            row = {}
            for b, block in enumerate(blocks):
                one, two = tables.score_low.windows(*block)
                low = [min(one[q], two[q]) for q in queries]
                one, two = tables.score_high.windows(*block)
                high = [max(one[q], two[q]) for q in queries]
                least = min(map(sub, low, bases))
                row[b] = least, max(map(sub, high, bases))
            spans.append(row)
        by_query = dict(zip(queries, bases, strict=True))
        spans.append(self._asked(last, by_query, blocks))
        top = max(high for row in spans for _, high in row.values())
        # 16.12: lower ends are those of scores less by this
        wide = self.slack.score_error
        rows = []
        for row in spans:
            below = [(top - high, top - low + wide) for low, high in row.values()]
            ends = self.exp_ends(below, self.precision)
            rows.append(dict(zip(row, ends, strict=True)))
        return apart(rows)


def normed_heads(
    model: Model,
    heads: list[dict[str, Matrix]],
    named: Places,
    columns: Matrix,
    direct: tuple[Rows, Rows],
    ledger: Ledger,
) -> list[list[Paths]]:
    """Return the tables of every head and position, as path matrices without a part of positions.

    ``heads``: by the last parts of their names, w and b of the norm folded in; ``columns``: those
    of SPEC-16.10; ``direct``: EU.
    Cost: SPEC-16.9.
    """
    embed = named.rows(model.weights["embed.W_E"])
    positions = model.weights["pos_embed.W_pos"]
    own = deviation(model)
    keys = []
    for row in positions.rows:
        rows = plus(embed, Matrix((row,), positions.scale), ledger)
        keys.append(normed(rows, own, ledger))
    places = len(keys)
    no_scores = ((0,) * places,) * len(embed.rows)
    no_values = ((0,) * len(columns.rows[0]),) * places
    found = []
    for w in heads:
        asking = product(keys[-1].rows, w["W_Q"], ledger)
        writing = multiply([w["W_V"], w["W_O"], columns], ledger)
        tables = []
        for key in keys:
            reading = product(key.rows, w["W_K"], ledger)
            scores = scores_at(asking, w["b_Q"], reading, keys[-1], key, ledger)
            values = values_at(key, writing, ledger)
            paths = Paths(
                *scores,
                no_scores,
                NORM_SCALE,
                *values,
                no_values,
                *direct,
                NORM_SCALE,
                model.sizes["d_head"],
                exact=True,  # both ends are known, and apart by nothing that matters
                right=named.right,
            )
            tables.append(paths)
        found.append(tables)
    return found
