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

from checker.ground import paired, record
from checker.ground.exact import (
    Matrix,
    Row,
    Rows,
    aligned,
    below,
    beside,
    bits,
    hold,
    plus,
    require_room,
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
    tables: list[Rows]
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


@record
class Factor:
    """A matrix as right factor, its rows packed.  (SPEC-6.1)"""

    slots: Slots
    rows: Row

    def times(self, row: Sequence[int], ledger: Ledger) -> list[int]:
        """Return the product of a row with the matrix.

        Cost: a multiplication and an addition per entry of the matrix.
        """
        entries = len(self.rows) * self.slots.columns
        ledger.charge(mul=entries, add=entries)
        return self.slots.combine(row, self.rows)


def factor(b: Matrix, room: int, ledger: Ledger) -> Factor:
    """Return ``b``, packed, for rows of at most ``room`` bits.  Raises: Declined (SPEC-3.5)."""
    slots = Slots(b.width, room + bits(b) + b.height.bit_length(), 0)
    hold(b.height, 8 * slots.width, ledger)
    return Factor(slots, tuple(map(slots.pack, b.rows)))


def product(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the exact product of two matrices of a model.

    Requires: shapes that fit.
    Cost:     rows * inner * columns multiplications and as many additions.
    Raises:   Declined (SPEC-3.5) before it is formed.
    """
    right = factor(b, bits(a), ledger)
    hold(a.height * b.width, 8 * right.slots.size, ledger)
    rows = tuple(tuple(right.times(row, ledger)) for row in a.rows)
    return Matrix(rows, a.scale + b.scale)


def _scaled(a: Matrix, factors: list[int], exponent: int, ledger: Ledger) -> Matrix:
    """Return ``a`` with each row multiplied by its factor ``* 2^exponent``.

    Cost:   one multiplication per entry.
    Raises: Declined (SPEC-3.5).
    """
    widest = bits(a) + max(map(int.bit_length, factors))
    hold(a.entries, widest, ledger)
    ledger.charge(mul=a.entries)
    pairs = paired(a.rows, factors)
    rows = tuple(tuple(factor * x for x in row) for row, factor in pairs)
    return Matrix(rows, a.scale - exponent)


# --- tables -----------------------------------------------------------------------


def _residuals(w: dict[str, Matrix], domain: Domain, ledger: Ledger) -> Matrix:
    """Return x_i of the allowed tokens, stacked."""
    embedding = w["W_E"]
    places = w["W_pos"]
    rows: Rows = ()
    for i, tokens in enumerate(domain.tokens):
        rows += plus(embedding.chosen(tokens), places.chosen([i]), ledger).rows
    return Matrix(rows, max(embedding.scale, places.scale))


def _projected(
    model: Model, letter: str, head: int, x: Matrix, ledger: Ledger
) -> Matrix:
    """Return ``x W + b`` of a head, its queries or its values."""
    image = product(x, part(model, f"W_{letter}", head), ledger)
    return plus(image, part(model, f"b_{letter}", head), ledger)


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
    queries = _projected(model, "Q", head, x.cut(-size), ledger)
    keys = transposed(product(x, part(model, "W_K", head), ledger))
    return product(queries, keys, ledger)


def _biases(w: dict[str, Matrix], ledger: Ledger) -> Matrix:
    """Return the row ``[b_in | b_out W_U + b_U]``, which every input gets once."""
    written = product(w["b_out"], w["W_U"], ledger)
    return beside(w["b_in"], plus(written, w["b_U"], ledger), ledger)


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
    before = x.height - size
    zeros = (0,) * x.width
    none = Matrix((zeros,) * before, 0)
    last = plus(x.cut(before), model.by_role()["b_O"], ledger)
    stream = below(none, last, ledger)
    kept = [one - mantissa] * before + [one] * size
    for head, own in enumerate(values):
        Z = product(own, part(model, "W_O", head), ledger)
        stream = plus(stream, _scaled(Z, kept, exponent, ledger), ledger)
    return stream


def _moved(
    model: Model, head: int, values: Matrix, reading: Matrix, size: int, ledger: Ledger
) -> Matrix:
    """Return what shares of a head multiply, stacked: c Z_hi, but - c Z_h,n-1 of the ``size``
    tokens of the last position, through [W_in | W_U].

    Cost: two products, and a multiplication per entry of the values.
    """
    mantissa, exponent = mix(model)
    before = values.height - size
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
    reading = beside(w["W_in"], w["W_U"], ledger)
    base = product(stream, reading, ledger)
    # Every input has one row of the last position, and so the biases once.
    last = plus(base.cut(-size), _biases(w, ledger), ledger)
    tables = [below(base.cut(0, -size), last, ledger)]
    scores = []
    # Where c is zero, no head moves anything.
    for head in heads if mix(model)[0] else ():
        tables.append(_moved(model, head, values[head], reading, size, ledger))
        scores.append(_scores(model, head, x, size, ledger))
        require_room(len(heads) * scores[-1].entries, bits(scores[-1]))
    scale = max(table.scale for table in tables)
    require_room(entries, max(bits(table) + scale - table.scale for table in tables))
    rows = [table.rows for table in aligned(tables, ledger)]
    M = product(w["W_out"], w["W_U"], ledger)
    return Folded(sizes, x, rows, scale, scores, M)
