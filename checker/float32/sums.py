"""How far a float32 execution may take logits of a model of sums.  (SPEC-13.7)

The names of SPEC-13.7 stand beside the lines that form them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from checker.float32.propagation import (
    LARGEST,
    UNIT,
    ZERO,
    AffineNorms,
    Computed,
    affine_norms,
    frobenius,
    kappa_of,
    largest_norm,
    residual,
    row_norms,
    score_errors,
    shortened,
    through_neurons,
)
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, plus, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model, mix, part


@dataclass(frozen=True, slots=True)
class Tokens:
    """The residuals of all allowed tokens, stacked, and how many each position has."""

    residuals: Matrix
    sizes: Sequence[int]


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
    n = model.sizes["n_ctx"]
    # (n + 1) alpha, alpha = 3 eta_exp.
    moved = theta * Fraction(1, 2) + kappa_of(n) + 3 * (n + 1) * eta_exp
    # 6u: what c, 1 - c and the sum of two terms are rounded by.
    return _Pattern(shortened(c * moved + 6 * UNIT), reached)


@dataclass(frozen=True, slots=True)
class _Stream:
    """What the MLP reads, and what is reached on the way."""

    y: Computed
    reached: list[Fraction]


def _largest_of_parts(rows: Matrix, sizes: Sequence[int], ledger: Ledger) -> Fraction:
    """Return the largest norm of the first so many rows, of the next so many, and so on, summed."""
    norms = iter(row_norms(rows, ledger))
    return sum((max(islice(norms, size)) for size in sizes), ZERO)


def _values(w: dict[str, Matrix], tokens: Tokens, ledger: Ledger) -> Fraction:
    """Return V; a row of values is that of all heads side by side.

    Cost: a product, a sum of rows, norms.
    """
    stack = w["W_V"]
    bias = w["b_V"]
    d = len(tokens.residuals.rows[0])
    heads = [stack.rows[i::d] for i in range(d)]
    weights = Matrix(tuple(sum(rows, ()) for rows in heads), stack.scale)
    row = Matrix((sum(bias.rows, ()),), bias.scale)
    values = plus(product(tokens.residuals, weights, ledger), row, ledger)
    return _largest_of_parts(values, tokens.sizes, ledger)


def _stream(
    model: Model,
    w: dict[str, Matrix],
    exp_errors: tuple[Fraction, Fraction],
    tokens: Tokens,
    ledger: Ledger,
) -> _Stream:
    """Return y and e_y of SPEC-13.7.

    Cost: a product, sums of rows, norms; for every head 50 multiplications, 50 additions, a
          comparison.
    """
    x = residual(largest_norm(tokens.residuals, ledger))
    pattern = _pattern(model, exp_errors, x, ledger)
    W_V = frobenius(w["W_V"], ledger)
    b_V = frobenius(w["b_V"], ledger)
    value = AffineNorms(len(w["W_in"].rows) + 1, W_V, b_V)
    # z: weights wrong by sigma, n values that are wrong, and a sum of n products.
    n = len(tokens.sizes)
    V = _values(w, tokens, ledger)
    e_v = value.error(x)
    mixing = AffineNorms(n, 1 + pattern.sigma, ZERO)
    mixed = Computed(V, n * e_v)
    z = Computed(V, pattern.sigma * V + mixing.error(mixed))
    # y: b_O and the computed residual are two more terms of one sum, gamma_{Hh+2}.
    output = affine_norms(w["W_O"], w["b_O"], ledger).with_term(x.reached)
    y = Computed(output.reach(V), x.error + output.error(z))
    inputs = x.reached, value.reach(x.reached)
    outputs = z.reached, y.reached
    return _Stream(y, [*pattern.reached, *inputs, *outputs])


def drift(
    model: Model,
    exp_errors: tuple[Fraction, Fraction],
    tokens: Tokens,
    pre: list[Matrix],
    M: Matrix,
    ledger: Ledger,
) -> Fraction:
    """Return B, how far a difference of two logits may be from that of real arithmetic in any
    execution.  (SPEC-13.7)

    ``pre``: the tables of SPEC-13.2, columns of neurons only.  ``M`` is W_out W_U.
    Requires: a model with one layer and a ReLU MLP.
    Raises:   Declined (SPEC-13.7) if a number might overflow.
    Cost:     a product, sums of rows, norms, their comparisons, and 200 operations and 101 for
              every head.
    """
    w = model.by_role()
    compared = (2 + len(pre)) * sum(tokens.sizes)
    outputs = model.sizes["d_vocab_out"]
    ledger.charge(mul=100, add=100, cmp=compared + 3 * outputs)
    stream = _stream(model, w, exp_errors, tokens, ledger)
    reading = affine_norms(w["W_in"], w["b_in"], ledger)
    base, *moved = pre
    P = _largest_of_parts(base, tokens.sizes, ledger)
    # Of the positions before the last the shares sum to at most one.
    ends = sum(tokens.sizes[:-1]), tokens.sizes[-1]
    P += sum((_largest_of_parts(table, ends, ledger) for table in moved), ZERO)
    found = through_neurons(w, reading, stream.y, P, M, ledger)
    largest = max(*stream.reached, *found.reached)
    require_support(
        largest < LARGEST, "SPEC-13.7", "a number might overflow in float32"
    )
    return found.bound
