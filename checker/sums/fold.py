"""Transformers of two operands, folded exactly: one layer of attention over any number of
positions, then a ReLU MLP.  (SPEC-13.2)

With ``x_i = W_E + W_pos[i]`` at position i, ``s_hi`` its softmax weight in head h, and c the
attention mix, head h weighs the position by ``c s_hi + 1 - c``; the last share is one less the
others.  So with ``Z_hi = (x_i W_V + b_V) W_O`` the stream that the MLP reads is

    y = x_{n-1} + b_O + sum_h Z_h,n-1 + sum_{h, i<n-1} (1 - c) Z_hi
        + sum_{h, i<n-1} s_hi c (Z_hi - Z_h,n-1).

Everything but s_hi is exact.  Multiplied by ``[W_in | W_U]`` these are tables by token; with
``M = W_out W_U``

    logit_j = sum_i relu(pre_i) M_ij + direct_j.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import add

from checker.ground import record
from checker.ground.exact import (
    Matrix,
    Row,
    add_row,
    bits,
    hold,
    require_room,
    rescale,
    shape,
    transposed,
)
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.statement.domain import Domain
from checker.statement.model import Model, mix, part

ENTRY_BITS = 128
"""Bits that an entry of the tables counts at least, so that few of them are ever held.  (SPEC-3.5)
"""


@record
class Folded:
    """A model as tables by token.

    Rows are *stacked*: those of the tokens of the first position, then of the second, and so on.

    ``sizes``:     how many tokens each position has.
    ``residuals``: x_i, stacked.
    ``tables``:    over ``2^-scale``, stacked rows, a column for each neuron and then each output:
                   first what does not depend on shares, then per head what its shares multiply.
                   Where c is zero no head moves anything.
    ``scores``:    per head, before the division by sqrt(d_head) and up to a constant of the row, a
                   row for each token of the last position, stacked columns.
    ``M``:         W_out W_U, a row for each neuron, a column for each output.
    """

    sizes: list[int]
    residuals: Matrix
    tables: list[tuple[Row, ...]]
    scale: int
    scores: list[Matrix]
    M: Matrix


Part = list[Row]
"""The rows of one position."""


def parts(rows: Iterable[Row], sizes: Sequence[int]) -> list[Part]:
    """Return the stacked rows of every position."""
    left = iter(rows)
    return [list(islice(left, size)) for size in sizes]


# --- matrices ---------------------------------------------------------------------


def aligned(ledger: Ledger, *matrices: Matrix) -> list[Matrix]:
    """Return the matrices over their finest scale, at least 2^0.  Raises: Declined (SPEC-3.5)."""
    scale = max(0, *(matrix.scale for matrix in matrices))
    return [rescale(matrix, scale, ledger) for matrix in matrices]


@record
class Factor:
    """A matrix as right factor, its rows packed.  (SPEC-6.1)"""

    slots: Slots
    rows: tuple[int, ...]
    columns: int

    def times(self, row: Sequence[int], ledger: Ledger) -> list[int]:
        """Return the product of a row with the matrix.

        Cost: a multiplication and an addition per entry of the matrix.
        """
        entries = len(self.rows) * self.columns
        ledger.charge(mul=entries, add=entries)
        return self.slots.combine(row, self.rows)


def factor(b: Matrix, room: int, ledger: Ledger) -> Factor:
    """Return ``b``, packed, for rows of at most ``room`` bits.  Raises: Declined (SPEC-3.5)."""
    inner, columns = shape(b)
    slots = Slots(columns, room + bits(b) + inner.bit_length(), 0)
    hold(inner, 8 * slots.width, ledger)
    return Factor(slots, tuple(map(slots.pack, b.rows)), columns)


def product(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the exact product of two matrices of a model.

    Requires: shapes that fit.
    Cost:     rows * inner * columns multiplications and as many additions.
    Raises:   Declined (SPEC-3.5) before it is formed.
    """
    right = factor(b, bits(a), ledger)
    hold(len(a.rows) * right.columns, 8 * right.slots.size, ledger)
    rows = tuple(tuple(right.times(row, ledger)) for row in a.rows)
    return Matrix(rows, a.scale + b.scale)


def _beside(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the matrix ``[a | b]``."""
    left, right = aligned(ledger, a, b)
    return Matrix(tuple(map(add, left.rows, right.rows)), left.scale)


def _below(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the rows of a, then those of b."""
    upper, lower = aligned(ledger, a, b)
    return Matrix(upper.rows + lower.rows, upper.scale)


def _sum(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return a + b.  Cost: one addition per entry."""
    left, right = aligned(ledger, a, b)
    hold(left.entries, max(bits(left), bits(right)) + 1, ledger)
    ledger.charge(add=left.entries)
    pairs = zip(left.rows, right.rows, strict=True)
    rows = (tuple(map(add, a_row, b_row)) for a_row, b_row in pairs)
    return Matrix(tuple(rows), left.scale)


def _scaled(a: Matrix, factors: list[int], exponent: int, ledger: Ledger) -> Matrix:
    """Return ``a`` with each row multiplied by its factor ``* 2^exponent``.

    Cost:   one multiplication per entry.
    Raises: Declined (SPEC-3.5).
    """
    widest = bits(a) + max(map(int.bit_length, factors))
    hold(a.entries, widest, ledger)
    ledger.charge(mul=a.entries)
    rows = (
        tuple(factor * value for value in row)
        for row, factor in zip(a.rows, factors, strict=True)
    )
    return Matrix(tuple(rows), a.scale - exponent)


# --- tables -----------------------------------------------------------------------


def _residuals(w: dict[str, Matrix], domain: Domain, ledger: Ledger) -> Matrix:
    """Return x_i of the allowed tokens, stacked."""
    embedding = w["W_E"]
    places = w["W_pos"]
    rows = list[Row]()
    scale = max(embedding.scale, places.scale)
    for tokens, place in zip(domain.tokens, places.rows, strict=True):
        allowed = tuple(embedding.rows[token] for token in tokens)
        place_row = Matrix((place,), places.scale)
        rows += add_row(Matrix(allowed, embedding.scale), place_row, ledger).rows
    return Matrix(tuple(rows), scale)


def _projected(
    model: Model, letter: str, head: int, x: Matrix, ledger: Ledger
) -> Matrix:
    """Return ``x W + b`` of a head, its queries or its values."""
    image = product(x, part(model, f"W_{letter}", head), ledger)
    return add_row(image, part(model, f"b_{letter}", head), ledger)


def _scores(
    model: Model,
    head: int,
    x: Matrix,
    size: int,
    ledger: Ledger,
) -> Matrix:
    """Return the scores of a head: ``(x_{n-1} W_Q + b_Q) (x W_K)^T``; b_K adds a constant to a
    row.
    """
    last = Matrix(x.rows[-size:], x.scale)
    queries = _projected(model, "Q", head, last, ledger)
    keys = transposed(product(x, part(model, "W_K", head), ledger))
    return aligned(ledger, product(queries, keys, ledger))[0]


def _biases(w: dict[str, Matrix], ledger: Ledger) -> Matrix:
    """Return the row ``[b_in | b_out W_U + b_U]``, which every input gets once."""
    written = product(w["b_out"], w["W_U"], ledger)
    return _beside(w["b_in"], add_row(written, w["b_U"], ledger), ledger)


def _entries(model: Model, rows: int) -> int:
    """Return how many entries the tables have.

    Raises: Declined (SPEC-3.5) if with those of M they take too much room.
    """
    neurons = model.sizes["d_mlp"]
    outputs = model.sizes["d_vocab_out"]
    heads = model.sizes["n_heads"] if mix(model)[0] else 0
    entries = rows * (neurons + outputs) * (1 + heads)
    require_room(entries + neurons * outputs, ENTRY_BITS)
    return entries


def _stream(
    model: Model, x: Matrix, values: list[Matrix], size: int, ledger: Ledger
) -> Matrix:
    """Return what of the stream no share multiplies, stacked: x_{n-1} + b_O, and of every head
    (1 - c) Z_hi, but Z_h,n-1 of the ``size`` tokens of the last position.

    Cost: per head a product, and a multiplication and an addition per entry.
    """
    mantissa, exponent = mix(model)
    one = 1 << -exponent
    before = len(x.rows) - size
    zeros = (0,) * len(x.rows[0])
    none = Matrix((zeros,) * before, 0)
    last = Matrix(x.rows[before:], x.scale)
    bias = model.by_role()["b_O"]
    stream = _below(none, add_row(last, bias, ledger), ledger)
    kept = [one - mantissa] * before + [one] * size
    for head, own in enumerate(values):
        Z = product(own, part(model, "W_O", head), ledger)
        stream = _sum(stream, _scaled(Z, kept, exponent, ledger), ledger)
    return stream


def _moved(
    model: Model, head: int, values: Matrix, reading: Matrix, size: int, ledger: Ledger
) -> Matrix:
    """Return what shares of a head multiply, stacked: c Z_hi, but - c Z_h,n-1 of the ``size``
    tokens of the last position, through [W_in | W_U].

    Cost: two products, and a multiplication per entry of the values.
    """
    mantissa, exponent = mix(model)
    before = len(values.rows) - size
    factors = [mantissa] * before + [-mantissa] * size
    through = product(part(model, "W_O", head), reading, ledger)
    return product(_scaled(values, factors, exponent, ledger), through, ledger)


def fold(model: Model, domain: Domain, ledger: Ledger) -> Folded:
    """Return the exact tables of a model with one layer and a ReLU MLP, about a domain with two
    operands.  (SPEC-13.2)

    Cost:   that of the products and the additions of rows and of tables.
    Raises: Declined (SPEC-3.5) if the tables together could take more than 2^28 bits, at least 128
            for each entry.
    """
    sizes = list(map(len, domain.tokens))
    entries = _entries(model, sum(sizes))
    w = model.by_role()
    x = _residuals(w, domain, ledger)
    size = sizes[-1]
    heads = range(model.sizes["n_heads"])
    values = [_projected(model, "V", head, x, ledger) for head in heads]
    stream = _stream(model, x, values, size, ledger)
    reading = _beside(w["W_in"], w["W_U"], ledger)
    base = product(stream, reading, ledger)
    # Every input has one row of the last position, and so the biases once.
    before = Matrix(base.rows[:-size], base.scale)
    last = Matrix(base.rows[-size:], base.scale)
    tables = [_below(before, add_row(last, _biases(w, ledger), ledger), ledger)]
    scores = list[Matrix]()
    # Where c is zero, no head moves anything.
    for head in heads if mix(model)[0] else ():
        tables.append(_moved(model, head, values[head], reading, size, ledger))
        scores.append(_scores(model, head, x, size, ledger))
        require_room(len(heads) * scores[-1].entries, bits(scores[-1]))
    scale = max(0, *(table.scale for table in tables))
    require_room(entries, max(bits(table) + scale - table.scale for table in tables))
    rows = [table.rows for table in aligned(ledger, *tables)]
    M = aligned(ledger, product(w["W_out"], w["W_U"], ledger))[0]
    return Folded(sizes, x, rows, scale, scores, M)
