"""How far a float32 execution may take scores and logits of a model of cells.
(SPEC-12.3 to SPEC-12.5)

The names of SPEC-12.3 stand beside the lines that form them.
"""

from fractions import Fraction
from math import isqrt

from checker.float32.propagation import (
    LARGEST,
    ZERO,
    AffineNorms,
    Computed,
    affine_norms,
    apart,
    ceiling,
    kappa_of,
    largest_norm,
    logit_norms,
    residual,
    score_errors,
)
from checker.ground import record
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, plus, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model

SHARE_BITS = 96
"""The sum of attention weights is rounded down to a multiple of 2^-96.  (SPEC-12.3)"""


@record
class Slack:
    """How far executions may be from real arithmetic: nowhere, unless numbers are given.
    (SPEC-12.5)

    ``score_error``: ``2 theta sqrt(h)``, by how much a score may be lower before the division, over
    2^-score_scale.
    ``logit_error``: B, the error of a difference of logits, over 2^-value_scale.
    ``least_share``: rho, the least sum of attention weights, over 2^-96.
    """

    score_error: int = 0
    logit_error: int = 0
    least_share: int = 1 << SHARE_BITS

    def raised(self, mu: int) -> int:
        """Return ``mu' = (B + mu) / rho`` rounded up: what must be added to brackets so that a
        negative sum leaves a margin of ``mu``; positive if inexact.
        """
        return -(-(self.logit_error + mu << SHARE_BITS) // self.least_share)

    def margin(self, value: int) -> int:
        """Return ``rho M - B``, the margin of computed logits that follows from one of the sum,
        rounded down.
        """
        return (value * self.least_share >> SHARE_BITS) - self.logit_error


REAL = Slack()


def either(w: dict[str, Matrix], letter: str, ledger: Ledger) -> Fraction:
    """Return ``max |W_E[t] W + b| + max |W_pos[i] W|``, K or Z of SPEC-12.3.

    Cost: two products, a sum of rows, norms.
    """
    weight = w[f"W_{letter}"]
    tokens = plus(product(w["W_E"], weight, ledger), w[f"b_{letter}"], ledger)
    places = product(w["W_pos"], weight, ledger)
    return largest_norm(tokens, ledger) + largest_norm(places, ledger)


@record
class _LogitErrors:
    """B, rho over 2^-96 rounded down, and what is reached on the way from weights to logits."""

    difference: Fraction
    least_share: int
    reached: tuple[Fraction, ...]


def _logits(
    w: dict[str, Matrix],
    last: Computed,
    value: Computed,
    eta_exp: Fraction,
    ledger: Ledger,
) -> _LogitErrors:
    """Return B and rho of SPEC-12.3; ``last``: r and u r, ``value``: Z and e_v.

    Cost: norms, and the centring of W_U.
    """
    n = len(w["W_pos"].rows)
    Z = value.norm
    output = affine_norms(w["W_O"], w["b_O"], ledger)
    logits = logit_norms(w["W_U"], w["b_U"], ledger)
    L = apart(w["W_U"], ledger)
    kappa = kappa_of(n)
    alpha = 3 * eta_exp
    # z: a sum of n computed values by computed weights, which sum to at most 1 + kappa.
    z = AffineNorms(n, 1 + kappa, ZERO).image(value)
    # y: b_O and the computed residual are two more terms of one sum, gamma_{h+2}.
    e_y = last.error + output.with_term(last.reached).error(z)
    y = Computed(output.reach(z.norm) + last.norm, e_y)
    # P: what the error of y moves in a difference, and the rounding of two logits.
    P = e_y * L + 2 * logits.rounding(y.reached)
    # G: the direct path, of which weights that do not sum to one take a part.
    G = (last.norm + output.bias) * L + 2 * logits.bias
    lost = n * alpha * (Z * output.weight * L + G)
    B = kappa * G + lost + P
    rho = 1 - kappa - n * alpha
    kept = (rho.numerator << SHARE_BITS) // rho.denominator
    reached = z.reached, y.reached, logits.reach(y.reached)
    return _LogitErrors(B, kept, reached)


def slack(
    model: Model,
    exp_errors: tuple[Fraction, Fraction],
    scales: tuple[int, int],
    ledger: Ledger,
) -> Slack:
    """Return how far any allowed execution may be from real arithmetic.  (SPEC-12.3)

    ``exp_errors`` is (eps_exp, eta_exp); ``scales`` are those of scores and of logits.
    Requires: a model with a path decomposition.
    Raises:   Declined (SPEC-12.3) if a number might overflow, or attention weights might vanish.
    Cost:     five products, sums of rows, norms, their comparisons, and 200 operations.
    """
    eps_exp, eta_exp = exp_errors
    sizes = model.sizes
    h = sizes["d_head"]
    compared = 5 * sizes["d_vocab"] + 3 * sizes["n_ctx"] + 2 * sizes["d_vocab_out"]
    ledger.charge(mul=100, add=100, cmp=compared)
    w = model.by_role()
    maps = {
        letter: affine_norms(w[f"W_{letter}"], w[f"b_{letter}"], ledger)
        for letter in "QKV"
    }
    place = Matrix(w["W_pos"].rows[-1:], w["W_pos"].scale)
    rows = plus(w["W_E"], place, ledger)
    last = residual(largest_norm(rows, ledger))
    queries = plus(product(rows, w["W_Q"], ledger), w["b_Q"], ledger)
    query = Computed(largest_norm(queries, ledger), maps["Q"].error(last))
    x = residual(largest_norm(w["W_E"], ledger) + largest_norm(w["W_pos"], ledger))
    key, value = (
        Computed(either(w, letter, ledger), maps[letter].error(x)) for letter in "KV"
    )
    scores = score_errors(query, key, h, eps_exp)
    logits = _logits(w, last, value, eta_exp, ledger)
    require_support(
        logits.least_share > 0,
        "SPEC-12.3",
        "attention weights may sum to nothing in float32",
    )
    inputs = [each.reach(x.reached) for each in maps.values()]
    largest = max(x.reached, *inputs, *scores.reached, *logits.reached)
    require_support(
        largest < LARGEST, "SPEC-12.3", "a number might overflow in float32"
    )
    # 2 theta sqrt(h), the root rounded up.
    width = 2 * scores.theta * Fraction(isqrt(h << 128) + 1, 1 << 64)
    return Slack(
        score_error=ceiling(width, scales[0]),
        logit_error=ceiling(logits.difference, scales[1]),
        least_share=logits.least_share,
    )
