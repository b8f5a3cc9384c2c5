"""How far a float32 execution may take a model with several heads.  (SPEC-16.12)

The names of SPEC-16.12 stand beside the lines that form them.
"""

from fractions import Fraction
from math import isqrt

from checker.float32.cells import Slack, either
from checker.float32.propagation import (
    LARGEST,
    TINY,
    AffineNorms,
    Computed,
    affine_norms,
    apart,
    ceiling,
    frobenius,
    gamma,
    kappa_of,
    largest_norm,
    logit_norms,
    residual,
    score_errors,
    short_names,
    shortened,
)
from checker.ground import record
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model

ZERO = Fraction(0)


@record
class Moved:
    """What one head may do: theta, and Z and e_z as z, with |W_O|; what is reached on the way."""

    theta: Fraction
    z: Computed
    output: Fraction
    reached: tuple[Fraction, ...]


def _head(
    w: dict[str, Matrix],
    asked: Matrix,
    last: Computed,
    x: Computed,
    exp: tuple[Fraction, Fraction],
    ledger: Ledger,
) -> Moved:
    """Return what one head may do; ``asked``: the rows of queries, ``last``: r and u r, ``x``: R
    and u R.

    Cost: as in SPEC-12.3.
    """
    eps_exp, eta_exp = exp
    n = len(w["W_pos"].rows)
    maps = {
        letter: affine_norms(w[f"W_{letter}"], w[f"b_{letter}"], ledger)
        for letter in "QKV"
    }
    queries = add_row(product(asked, w["W_Q"], ledger), w["b_Q"], ledger)
    query = Computed(largest_norm(queries, ledger), maps["Q"].error(last))
    key = Computed(either(w, "K", ledger), maps["K"].error(x))
    value = Computed(either(w, "V", ledger), maps["V"].error(x))
    scores = score_errors(query, key, len(w["W_Q"].rows[0]), eps_exp)
    kappa = kappa_of(n)
    alpha = 3 * eta_exp
    # z: a sum of n computed values by computed weights, which sum to at most 1 + kappa,
    # and what normalising these weights moves
    rounded = AffineNorms(n, 1 + kappa, ZERO).error(value)
    e_z = shortened(rounded + (kappa + 2 * n * alpha) * value.norm)
    reached = [own.reach(x.reached) for own in maps.values()]
    z = Computed(value.norm, e_z)
    output = frobenius(w["W_O"], ledger)
    return Moved(scores.theta, z, output, (*reached, *scores.reached, z.reached))


def _logits(
    whole: dict[str, Matrix],
    heads: list[Moved],
    last: Computed,
    width: int,
    ledger: Ledger,
) -> tuple[Fraction, list[Fraction]]:
    """Return B, and what is reached on the way; ``width``: h.

    Cost: norms, and the centring of W_U.
    """
    bias = frobenius(whole["b_O"], ledger)
    # e_y: a sum of H h products, b_O and the computed residual
    sums = bias + last.reached
    moved = last.error
    norm = bias + last.norm
    for own in heads:
        sums += own.z.reached * own.output
        moved += own.z.error * own.output
        norm += own.z.norm * own.output
    e_y = shortened(moved + gamma(len(heads) * width + 2) * sums + TINY)
    y = Computed(norm, e_y)
    logits = logit_norms(whole["W_U"], whole["b_U"], ledger)
    # B: what the error of y moves in a difference, and the rounding of two logits
    B = e_y * apart(whole["W_U"], ledger) + 2 * logits.rounding(y.reached)
    reached = [value for own in heads for value in own.reached]
    return B, [*reached, sums + e_y, y.reached, logits.reach(y.reached)]


def wide_slacks(
    model: Model,
    heads: list[dict[str, Matrix]],
    exp: tuple[Fraction, Fraction],
    score_scales: list[int],
    value_scale: int,
    ledger: Ledger,
) -> list[Slack]:
    """Return for every head how far any allowed execution may be from real arithmetic, B the same
    for all.  (SPEC-16.12)

    Raises: Declined (SPEC-16.12) if a number might overflow.
    Cost:   that of SPEC-12.3 for each head, and 20 operations for each.
    """
    sizes = model.sizes
    width = sizes["d_head"]
    compared = 5 * sizes["d_vocab"] + 3 * sizes["n_ctx"] + 2 * sizes["d_vocab_out"]
    ledger.charge(mul=100, add=100, cmp=compared * len(heads))
    whole = short_names(model)
    place = Matrix(whole["W_pos"].rows[-1:], whole["W_pos"].scale)
    asked = add_row(whole["W_E"], place, ledger)
    last = residual(largest_norm(asked, ledger))
    both = largest_norm(whole["W_E"], ledger) + largest_norm(whole["W_pos"], ledger)
    x = residual(both)
    found = [_head(whole | own, asked, last, x, exp, ledger) for own in heads]
    B, reached = _logits(whole, found, last, width, ledger)
    largest = max(x.reached, *reached)
    require_support(
        largest < LARGEST, "SPEC-16.12", "a number might overflow in float32"
    )
    root = Fraction(isqrt(width << 128) + 1, 1 << 64)
    slacks = []
    for own, scale in zip(found, score_scales, strict=True):
        error = ceiling(2 * own.theta * root, scale)
        slacks.append(Slack(error, ceiling(B, value_scale)))
    return slacks
