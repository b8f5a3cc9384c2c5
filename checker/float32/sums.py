"""How far a float32 execution may take logits of a model of sums.  (SPEC-13.7)

The names of SPEC-13.7 stand beside the lines that form them.
"""

from dataclasses import dataclass
from fractions import Fraction

from checker.float32.propagation import (
    LARGEST,
    UNIT,
    ZERO,
    AffineNorms,
    Computed,
    affine_norms,
    apart,
    ceiling,
    frobenius,
    kappa_of,
    largest_norm,
    logit_norms,
    residual,
    row_norms,
    score_errors,
    short_names,
    shortened,
)
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model, mix, part


@dataclass(frozen=True, slots=True)
class _Pattern:
    """``sigma``, a bound on the error of any attention weight, and what is reached on the way."""

    sigma: Fraction
    reached: list[Fraction]


def _pattern(
    model: Model,
    exp_errors: tuple[Fraction, Fraction],
    x: Computed,
    ledger: Ledger,
) -> _Pattern:
    """Return sigma; ``x`` is any residual.  (Lemma 13.7)

    Cost: norms, and 50 multiplications and as many additions and a comparison per head.
    """
    eps_exp, eta_exp = exp_errors
    h = model.sizes["d_head"]
    theta = Fraction(0)
    reached = list[Fraction]()
    for head in range(model.sizes["n_heads"]):
        ledger.charge(mul=50, add=50, cmp=1)
        query, key = (
            affine_norms(
                part(model, f"W_{letter}", head),
                part(model, f"b_{letter}", head),
                ledger,
            ).image(x)
            for letter in "QK"
        )
        scores = score_errors(query, key, h, eps_exp)
        theta = max(theta, scores.theta)
        reached += [query.reached, key.reached, *scores.reached]
    mantissa, exponent = mix(model)
    c = Fraction(mantissa, 1 << -exponent)
    moved = theta * Fraction(1, 2) + kappa_of(2) + 9 * eta_exp
    # 6u: what c, 1 - c and the sum of two terms are rounded by.
    return _Pattern(shortened(c * moved + 6 * UNIT), reached)


@dataclass(frozen=True, slots=True)
class _Stream:
    """What the MLP reads, and what is reached on the way."""

    y: Computed
    reached: list[Fraction]


def _of_two(rows: Matrix, ledger: Ledger) -> Fraction:
    """Return the largest norm of a row of a first token plus that of one of a second."""
    norms = row_norms(rows, ledger)
    half = len(rows.rows) // 2
    return max(norms[:half]) + max(norms[half:])


def _values(w: dict[str, Matrix], tokens: Matrix, ledger: Ledger) -> Fraction:
    """Return V; a row of values is that of all heads side by side.

    Cost: a product, a sum of rows, norms.
    """
    stack = w["W_V"]
    bias = w["b_V"]
    d = len(tokens.rows[0])
    heads = [stack.rows[i::d] for i in range(d)]
    weights = Matrix(tuple(sum(rows, ()) for rows in heads), stack.scale)
    row = Matrix((sum(bias.rows, ()),), bias.scale)
    return _of_two(add_row(product(tokens, weights, ledger), row, ledger), ledger)


def _stream(
    model: Model,
    w: dict[str, Matrix],
    exp_errors: tuple[Fraction, Fraction],
    ledger: Ledger,
) -> _Stream:
    """Return y and e_y of SPEC-13.7.

    Cost: a product, sums of rows, norms; for every head 50 multiplications, 50 additions, a
          comparison.
    """
    first, second = (
        add_row(w["W_E"], Matrix((row,), w["W_pos"].scale), ledger)
        for row in w["W_pos"].rows
    )
    tokens = Matrix(first.rows + second.rows, first.scale)
    x = residual(largest_norm(tokens, ledger))
    pattern = _pattern(model, exp_errors, x, ledger)
    W_V = frobenius(w["W_V"], ledger)
    b_V = frobenius(w["b_V"], ledger)
    value = AffineNorms(len(w["W_in"].rows) + 1, W_V, b_V)
    # z: weights wrong by sigma, two values that are wrong, and a sum of two products.
    V = _values(w, tokens, ledger)
    e_v = value.error(x)
    mixing = AffineNorms(2, 1 + pattern.sigma, ZERO)
    both = Computed(V, 2 * e_v)
    z = Computed(V, pattern.sigma * V + mixing.error(both))
    # y: b_O and the computed residual are two more terms of one sum, gamma_{Hh+2}.
    output = affine_norms(w["W_O"], w["b_O"], ledger).with_term(x.reached)
    y = Computed(output.reach(V), x.error + output.error(z))
    inputs = x.reached, value.reach(x.reached)
    outputs = z.reached, y.reached
    return _Stream(y, [*pattern.reached, *inputs, *outputs])


def drift(
    model: Model,
    exp_errors: tuple[Fraction, Fraction],
    pre: list[Matrix],
    M: Matrix,
    scale: int,
    ledger: Ledger,
) -> int:
    """Return B, how far a difference of two logits may be from that of real arithmetic in any
    execution, over 2^-scale.  (SPEC-13.7)

    ``pre``: the tables of SPEC-13.2, columns of neurons only: rows of a first and of a second
    token, of the first table once, of the others times something from 0 to 1, sum to what the
    neurons read.  ``M`` is W_out W_U.
    Requires: a model with one layer, two positions and a ReLU MLP.
    Raises:   Declined (SPEC-13.7) if a number might overflow.
    Cost:     a product, sums of rows, norms, their comparisons, and 200 operations and 101 for
              every head.
    """
    w = short_names(model)
    vocab = model.sizes["d_vocab"]
    outputs = model.sizes["d_vocab_out"]
    compared = (4 + 2 * len(pre)) * vocab + 3 * outputs
    ledger.charge(mul=100, add=100, cmp=compared)
    stream = _stream(model, w, exp_errors, ledger)
    y = stream.y
    # g: P and e_p; max(., 0) moves no entry further.
    reading = affine_norms(w["W_in"], w["b_in"], ledger)
    P = sum((_of_two(table, ledger) for table in pre), ZERO)
    g = Computed(P, reading.error(y))
    # f: b_out and the computed y are two more terms, gamma_{m+2}.
    writing = affine_norms(w["W_out"], w["b_out"], ledger).with_term(y.reached)
    f = writing.image(Computed(g.reached))
    logits = logit_norms(w["W_U"], w["b_U"], ledger)
    B = (
        g.error * apart(M, ledger)
        + (y.error + f.error) * apart(w["W_U"], ledger)
        + 2 * logits.error(Computed(f.reached))
    )
    into_neurons = reading.reach(y.reached)
    computed = f.reached
    ends = into_neurons, g.reached, computed, logits.reach(computed)
    largest = max(*stream.reached, *ends)
    require_support(
        largest < LARGEST, "SPEC-13.7", "a number might overflow in float32"
    )
    return ceiling(B, scale)
