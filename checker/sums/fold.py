"""Transformers that add two tokens: one layer of attention over two positions, then a ReLU MLP,
folded exactly.  (SPEC 13.2)

With ``x_i = W_E + W_pos[i]`` for the two positions, ``s_h`` the softmax weight of head h on the
first token a when the
second is b, and c the attention mix, heads weigh the tokens by ``c s_h + 1 - c`` and ``c (1 - s_h)
+ 1 - c``.  So with
``Z_hi = (x_i W_V + b_V) W_O`` the stream that the MLP reads is

    sum_h (1 - c) Z_h0[a]  +  x_1[b] + b_O + sum_h Z_h1[b]  +  sum_h s_h c (Z_h0[a] - Z_h1[b]).

Everything but s_h is exact.  Multiplied by [W_in | W_U] these are tables by token; ``M = W_out
W_U``; then

    logit_j = sum_i relu(pre_i) M_ij + direct_j.
"""

from dataclasses import dataclass
from operator import add

from checker.ground.exact import (
    Matrix,
    Row,
    add_row,
    bits,
    hold,
    multiply,
    product,
    require_room,
    rescale,
    transposed,
)
from checker.ground.interval import exp_enclosure, inverse_sqrt
from checker.ground.ledger import Ledger
from checker.ground.packed import Slots
from checker.statement.model import Model, mix, part

ENTRY_BITS = 128
"""Bits that an entry of the tables counts at least, so that few of them are ever held.  (SPEC 3.5)
"""

Folded = tuple[list[Matrix], list[Matrix], Matrix]
"""Tables over one scale, a row for each first and then each second token, a column for each neuron
and then each answer:
first what does not depend on the heads' weights, then per head what its weight on the first token
multiplies, for a first
token, and for a second one what that takes away.  Per head its scores: a row for each second token
b, before the division by
sqrt(d_head) and up to a constant of the row, a column for each first token and then each second
one, of which b's matters.
And M.  Where c is zero no head moves anything.
"""


def aligned(ledger: Ledger, *matrices: Matrix) -> list[Matrix]:
    """Return the matrices over their finest scale, at least 2^0.  Raises: Declined (SPEC-3.5)."""
    scale = max(0, *(matrix.scale for matrix in matrices))
    return [rescale(matrix, scale, ledger) for matrix in matrices]


def _beside(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    left, right = aligned(ledger, a, b)
    return Matrix(tuple(map(add, left.rows, right.rows)), left.scale)


def _second_only(rows: tuple[Row, ...], scale: int, vocab: int) -> Matrix:
    """Return the table with these rows, or this row, for the second tokens, and zero for the first."""
    return Matrix(((0,) * len(rows[0]),) * vocab + rows * (vocab // len(rows)), scale)


def _sum(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return a + b.  Cost: one addition per entry."""
    left, right = aligned(ledger, a, b)
    entries = len(left.rows) * len(left.rows[0])
    hold(entries, max(bits(left), bits(right)) + 1, ledger)
    ledger.charge(add=entries)
    return Matrix(
        tuple(
            tuple(map(add, *pair)) for pair in zip(left.rows, right.rows, strict=True)
        ),
        left.scale,
    )


def _scaled(a: Matrix, factors: list[int], exponent: int, ledger: Ledger) -> Matrix:
    """Return ``a`` with each row multiplied by its factor ``* 2^exponent``.

    Cost:   one multiplication per entry.
    Raises: Declined (SPEC-3.5).
    """
    widest = bits(a) + max(map(int.bit_length, factors))
    hold(len(a.rows) * len(a.rows[0]), widest, ledger)
    ledger.charge(mul=len(a.rows) * len(a.rows[0]))
    rows = (
        tuple(factor * value for value in row)
        for row, factor in zip(a.rows, factors, strict=True)
    )
    return Matrix(tuple(rows), a.scale - exponent)


def fold(model: Model, ledger: Ledger) -> Folded:
    """Return the exact tables of a model with one layer, two positions and a ReLU MLP.  (SPEC 13.2)

    Cost: that of the products and the additions of rows and of tables; per head and entry of what
          it writes, and of its
          values if c is not zero, one multiplication.
    Raises: Declined (SPEC-3.5) if the tables together could take more than 2^28 bits, at least 128
            for each entry.
    """
    w, p = (
        {name.rpartition(".")[2]: weight for name, weight in model.weights.items()},
        model.sizes["d_vocab"],
    )
    (mantissa, exponent), heads, neurons = (
        mix(model),
        model.sizes["n_heads"],
        model.sizes["d_mlp"],
    )
    entries = (
        2
        * p
        * (neurons + model.sizes["d_vocab_out"])
        * (1 + (heads if mantissa else 0))
    )
    require_room(entries + neurons * model.sizes["d_vocab_out"], ENTRY_BITS)
    first, second = (
        add_row(w["W_E"], Matrix((row,), w["W_pos"].scale), ledger)
        for row in w["W_pos"].rows
    )
    tokens, reading = (
        Matrix(first.rows + second.rows, first.scale),
        _beside(w["W_in"], w["W_U"], ledger),
    )
    skipped = add_row(second, w["b_O"], ledger)
    stream, moved, scores = (
        _second_only(skipped.rows, skipped.scale, p),
        list[Matrix](),
        list[Matrix](),
    )
    constant = [(1 << -exponent) - mantissa] * p + [1 << -exponent] * p
    for head in range(heads):
        values = add_row(
            product(tokens, part(model, "W_V", head), ledger),
            part(model, "b_V", head),
            ledger,
        )
        output = part(model, "W_O", head)
        stream = _sum(
            stream,
            _scaled(product(values, output, ledger), constant, exponent, ledger),
            ledger,
        )
        if mantissa:
            parts = _scaled(values, [mantissa] * p + [-mantissa] * p, exponent, ledger)
            moved.append(multiply([parts, output, reading], ledger))
            require_room(entries, bits(moved[-1]))
            queries = add_row(
                product(second, part(model, "W_Q", head), ledger),
                part(model, "b_Q", head),
                ledger,
            )
            keys = transposed(product(tokens, part(model, "W_K", head), ledger))
            scores += aligned(ledger, product(queries, keys, ledger))
            require_room(2 * heads * p * p, bits(scores[-1]))
    bias = _beside(
        w["b_in"],
        add_row(product(w["b_out"], w["W_U"], ledger), w["b_U"], ledger),
        ledger,
    )
    base = _sum(
        product(stream, reading, ledger), _second_only(bias.rows, bias.scale, p), ledger
    )
    finest = max(table.scale for table in (base, *moved))
    require_room(
        entries,
        max(bits(table) + max(finest, 0) - table.scale for table in (base, *moved)),
    )
    tables = aligned(ledger, base, *moved)
    require_room(entries, max(map(bits, tables)))
    return (
        tables,
        scores,
        aligned(ledger, product(w["W_out"], w["W_U"], ledger))[0],
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Tables, packed: an input's row is the sum of its two tokens' rows, each head's times its
    weight on the first token.
    """

    slots: Slots
    tables: list[list[int]]

    def at(
        self, first: int, second: int, shares: list[int], ledger: Ledger
    ) -> list[int]:
        """Return the row of an input, given the heads' weights.  (SPEC 13.3)

        Cost: per column an addition, and for each head a multiplication and two additions.
        """
        columns = self.slots.width // self.slots.size
        ledger.charge(mul=columns * len(shares), add=columns * (1 + 2 * len(shares)))
        return self.slots.combine(
            (1, *shares), [rows[first] + rows[second] for rows in self.tables]
        )


def sums(
    tables: list[Matrix], first: int, last: int | None, shift: int, ledger: Ledger
) -> Sums:
    """Return these columns of the tables, packed, for weights of heads at ``shift`` bits.  Raises:
    Declined (SPEC-3.5).
    """
    parts = [[row[first:last] for row in table.rows] for table in tables]
    room, columns = (
        max(map(bits, tables)) + shift + (2 * len(tables)).bit_length(),
        len(parts[0][0]),
    )
    slots = Slots(columns, room, 0)
    hold(len(parts) * len(parts[0]), 8 * slots.width, ledger)
    base, *moved = ([slots.pack(row) for row in part] for part in parts)
    return Sums(slots, [[row << shift for row in base], *moved])


def share(
    scores: Matrix, d_head: int, tokens: tuple[int, int], precision: int, ledger: Ledger
) -> tuple[int, int]:
    """Return an enclosure, at ``precision`` bits, of the weight of the first token in a softmax
    over two.  (SPEC 13.4)

    Cost: two exponentials, five multiplications, three additions and a comparison.
    Exact if the scores are equal.
    """
    ledger.charge(mul=5, add=3, cmp=1, exp=2)
    row, one = scores.rows[tokens[1]], 1 << precision
    gap = row[tokens[0]] - row[len(scores.rows) + tokens[1]]
    root_low, root_high = inverse_sqrt(d_head, precision + 64)
    fine = scores.scale + precision + 64
    low = exp_enclosure(abs(gap) * root_high, fine, precision)[0]
    high = exp_enclosure(abs(gap) * root_low, fine, precision)[1]
    least, most = one * one // (one + high), -(-one * one // (one + low))
    return (least, most) if gap >= 0 else (one - most, one - least)
