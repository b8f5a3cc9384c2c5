"""Transformers that add two tokens, folded exactly: one layer of attention over two positions, then
a ReLU MLP.  (SPEC-13.2 to SPEC-13.4)

With ``x_i = W_E + W_pos[i]`` for the two positions, ``s_h`` the softmax weight of head h on the
first token a when the second is b, and c the attention mix, heads weigh the tokens by
``c s_h + 1 - c`` and ``c (1 - s_h) + 1 - c``.  So with ``Z_hi = (x_i W_V + b_V) W_O`` the stream
that the MLP reads is

    y = sum_h (1 - c) Z_h0[a]  +  x_1[b] + b_O + sum_h Z_h1[b]  +  sum_h s_h c (Z_h0[a] - Z_h1[b]).

Everything but s_h is exact.  Multiplied by ``[W_in | W_U]`` these are tables by token; with
``M = W_out W_U``

    logit_j = sum_i relu(pre_i) M_ij + direct_j.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add

from checker.ground.exact import (
    Matrix,
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
"""Bits that an entry of the tables counts at least, so that few of them are ever held.  (SPEC-3.5)
"""
GUARD_BITS = 64
"""Bits beyond the precision of weights, for the division by sqrt(d_head)."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A model as tables by token.

    ``tables``: over one scale, a row for each first and then each second token, a column for each
    neuron and then each answer: first what does not depend on the heads' weights, then per head
    what its weight on the first token multiplies.  Where c is zero no head moves anything.
    ``scores``: per head, before the division by sqrt(d_head) and up to a constant of the row, a row
    for each second token b, a column for each first and then each second token, of which b's
    matters.
    ``M``: W_out W_U, a row for each neuron, a column for each answer.
    """

    tables: list[Matrix]
    scores: list[Matrix]
    M: Matrix


# --- tables -----------------------------------------------------------------------


def aligned(ledger: Ledger, *matrices: Matrix) -> list[Matrix]:
    """Return the matrices over their finest scale, at least 2^0.  Raises: Declined (SPEC-3.5)."""
    scale = max(0, *(matrix.scale for matrix in matrices))
    return [rescale(matrix, scale, ledger) for matrix in matrices]


def _beside(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return the matrix ``[a | b]``."""
    left, right = aligned(ledger, a, b)
    return Matrix(tuple(map(add, left.rows, right.rows)), left.scale)


def _second_only(rows: Matrix, vocab: int) -> Matrix:
    """Return the table with these rows, or this row, for the second tokens, and zero for the
    first.
    """
    none = (0,) * len(rows.rows[0])
    second = rows.rows * (vocab // len(rows.rows))
    return Matrix((none,) * vocab + second, rows.scale)


def _sum(a: Matrix, b: Matrix, ledger: Ledger) -> Matrix:
    """Return a + b.  Cost: one addition per entry."""
    left, right = aligned(ledger, a, b)
    entries = len(left.rows) * len(left.rows[0])
    hold(entries, max(bits(left), bits(right)) + 1, ledger)
    ledger.charge(add=entries)
    pairs = zip(left.rows, right.rows, strict=True)
    rows = (tuple(map(add, a_row, b_row)) for a_row, b_row in pairs)
    return Matrix(tuple(rows), left.scale)


def _scaled(a: Matrix, factors: list[int], exponent: int, ledger: Ledger) -> Matrix:
    """Return ``a`` with each row multiplied by its factor ``* 2^exponent``.

    Cost:   one multiplication per entry.
    Raises: Declined (SPEC-3.5).
    """
    entries = len(a.rows) * len(a.rows[0])
    widest = bits(a) + max(map(int.bit_length, factors))
    hold(entries, widest, ledger)
    ledger.charge(mul=entries)
    rows = (
        tuple(factor * value for value in row)
        for row, factor in zip(a.rows, factors, strict=True)
    )
    return Matrix(tuple(rows), a.scale - exponent)


def _residuals(w: dict[str, Matrix], ledger: Ledger) -> Matrix:
    """Return x_0, a row for each first token, then x_1, a row for each second one."""
    tokens = w["W_E"]
    places = w["W_pos"]
    first, second = (
        add_row(tokens, Matrix((row,), places.scale), ledger) for row in places.rows
    )
    return Matrix(first.rows + second.rows, first.scale)


def _projected(
    model: Model, letter: str, head: int, x: Matrix, ledger: Ledger
) -> Matrix:
    """Return ``x W + b`` of a head, its queries or its values."""
    image = product(x, part(model, f"W_{letter}", head), ledger)
    return add_row(image, part(model, f"b_{letter}", head), ledger)


def _scores(
    model: Model, head: int, tokens: Matrix, second: Matrix, ledger: Ledger
) -> Matrix:
    """Return the scores of a head: ``(x_1 W_Q + b_Q) (x W_K)^T``; b_K adds a constant to a row."""
    queries = _projected(model, "Q", head, second, ledger)
    keys = transposed(product(tokens, part(model, "W_K", head), ledger))
    return aligned(ledger, product(queries, keys, ledger))[0]


def _biases(w: dict[str, Matrix], vocab: int, ledger: Ledger) -> Matrix:
    """Return ``[b_in | b_out W_U + b_U]`` as a table that every input gets once."""
    written = product(w["b_out"], w["W_U"], ledger)
    answers = add_row(written, w["b_U"], ledger)
    return _second_only(_beside(w["b_in"], answers, ledger), vocab)


def _together(entries: int, tables: list[Matrix], ledger: Ledger) -> list[Matrix]:
    """Return the tables over one scale.

    Raises: Declined (SPEC-3.5) before they are formed if together they could take too much room.
    """
    finest = max(0, *(table.scale for table in tables))
    widths = [bits(table) + finest - table.scale for table in tables]
    require_room(entries, max(widths))
    return aligned(ledger, *tables)


def fold(model: Model, ledger: Ledger) -> Folded:
    """Return the exact tables of a model with one layer, two positions and a ReLU MLP.  (SPEC-13.2)

    Cost:   that of the products and the additions of rows and of tables; per head and entry of what
            it writes, and of its values if c is not zero, one multiplication.
    Raises: Declined (SPEC-3.5) if the tables together could take more than 2^28 bits, at least 128
            for each entry.
    """
    weights = model.weights.items()
    w = {name.rpartition(".")[2]: weight for name, weight in weights}
    p, heads, neurons, answers = (
        model.sizes[name] for name in ("d_vocab", "n_heads", "d_mlp", "d_vocab_out")
    )
    mantissa, exponent = mix(model)
    one = 1 << -exponent
    moving_heads = heads if mantissa else 0
    entries = 2 * p * (neurons + answers) * (1 + moving_heads)
    require_room(entries + neurons * answers, ENTRY_BITS)
    tokens = _residuals(w, ledger)
    second = Matrix(tokens.rows[p:], tokens.scale)
    reading = _beside(w["W_in"], w["W_U"], ledger)
    # x_1[b] + b_O, and of every head (1 - c) Z_h0[a] + Z_h1[b].
    stream = _second_only(add_row(second, w["b_O"], ledger), p)
    kept = [one - mantissa] * p + [one] * p
    # c Z_h0[a] - c Z_h1[b], through [W_in | W_U].
    moving = [mantissa] * p + [-mantissa] * p
    moved = list[Matrix]()
    scores = list[Matrix]()
    for head in range(heads):
        values = _projected(model, "V", head, tokens, ledger)
        output = part(model, "W_O", head)
        Z = product(values, output, ledger)
        stream = _sum(stream, _scaled(Z, kept, exponent, ledger), ledger)
        if mantissa:
            parts = _scaled(values, moving, exponent, ledger)
            moved.append(multiply([parts, output, reading], ledger))
            require_room(entries, bits(moved[-1]))
            scores.append(_scores(model, head, tokens, second, ledger))
            require_room(2 * heads * p * p, bits(scores[-1]))
    base = _sum(product(stream, reading, ledger), _biases(w, p, ledger), ledger)
    tables = _together(entries, [base, *moved], ledger)
    M = aligned(ledger, product(w["W_out"], w["W_U"], ledger))[0]
    return Folded(tables, scores, M)


# --- inputs -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PackedTables:
    """Tables, packed: an input's row is the sum of its two tokens' rows, each head's times its
    weight on the first token.
    """

    slots: Slots
    columns: int
    tables: list[list[int]]

    def at(
        self, first: int, second: int, weights: Sequence[int], ledger: Ledger
    ) -> list[int]:
        """Return the row of an input: ``first`` and ``second`` are rows, ``weights`` the heads'.
        (SPEC-13.3)

        Cost: per column an addition, and for each head a multiplication and two additions.
        """
        heads = len(weights)
        columns = self.columns
        ledger.charge(mul=columns * heads, add=columns * (1 + 2 * heads))
        rows = [table[first] + table[second] for table in self.tables]
        return self.slots.combine((1, *weights), rows)


def packed(
    tables: list[Matrix], columns: slice, shift: int, ledger: Ledger
) -> PackedTables:
    """Return these columns of the tables, packed, for weights of heads over ``2^-shift``.

    Raises: Declined (SPEC-3.5).
    """
    parts = [[row[columns] for row in table.rows] for table in tables]
    rows = len(parts[0])
    count = len(parts[0][0])
    # Of every table two rows are added, each times a weight of at most one.
    terms = 2 * len(tables)
    width = max(map(bits, tables)) + shift + terms.bit_length()
    slots = Slots(count, width, 0)
    hold(len(parts) * rows, 8 * slots.width, ledger)
    base, *moved = (list(map(slots.pack, part)) for part in parts)
    whole = [row << shift for row in base]
    return PackedTables(slots, count, [whole, *moved])


def first_weight(
    scores: Matrix, d_head: int, tokens: tuple[int, int], precision: int, ledger: Ledger
) -> tuple[int, int]:
    """Return an enclosure, at ``precision`` bits, of the softmax weight of the first of two tokens.
    (SPEC-13.4)

    Exact if the scores are equal.
    Cost: two exponentials, five multiplications, three additions and a comparison.
    """
    ledger.charge(mul=5, add=3, cmp=1, exp=2)
    first, second = tokens
    row = scores.rows[second]
    one = 1 << precision
    gap = row[first] - row[len(scores.rows) + second]
    root_low, root_high = inverse_sqrt(d_head, precision + GUARD_BITS)
    fine = scores.scale + precision + GUARD_BITS
    # exp(-|d|): d is the gap over sqrt(d_head), a longer way down gives the lower end.
    low = exp_enclosure(abs(gap) * root_high, fine, precision)[0]
    high = exp_enclosure(abs(gap) * root_low, fine, precision)[1]
    # 1 / (1 + exp(-|d|)), outward.
    least = one * one // (one + high)
    most = -(-one * one // (one + low))
    return (least, most) if gap >= 0 else (one - most, one - least)
