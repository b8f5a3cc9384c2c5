"""How far a float32 execution may take scores and logits of a model of cells.  (SPEC 12.3, 12.5)"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from checker.float32.propagation import (
    LARGEST,
    TINY,
    UNIT,
    affine,
    gamma,
    norm_of,
    norms,
    over,
    reach,
    shortened,
    theta_of,
)
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import centred
from checker.statement.model import Model

SHARE_BITS = 96


@dataclass(frozen=True, slots=True)
class Slack:
    """How far executions may be from real arithmetic: nowhere, unless numbers are given.  (SPEC
    12.5)

    ``score_error``: by how much a score may be lower, before the division, over 2^-score_scale.
    ``logit_error``: the error of a
    difference of logits, over 2^-value_scale.  ``least_share``: the least sum of attention weights, over
    2^-96.
    """

    score_error: int = 0
    logit_error: int = 0
    least_share: int = 1 << SHARE_BITS

    def raised(self, mu: int) -> int:
        """Return what must be added to brackets so that a negative sum leaves a margin of ``mu``;
        positive if inexact.
        """
        return -(-(self.logit_error + mu << SHARE_BITS) // self.least_share)

    def margin(self, value: int) -> int:
        """Return the margin of computed logits that follows from one of the sum, rounded down."""
        return (value * self.least_share >> SHARE_BITS) - self.logit_error


REAL = Slack()


def slack(
    model: Model,
    exp: tuple[Fraction, Fraction],
    scales: tuple[int, int],
    ledger: Ledger,
) -> Slack:
    """Return how far any allowed execution may be from real arithmetic.  (SPEC 12.3)

    ``exp`` is (eps_exp, eta_exp); ``scales`` are those of scores and of logits.
    Requires: a model with a path decomposition.
    Raises:   Declined (SPEC-12.3) if a number might overflow, or attention weights might vanish.
    Cost:     five products, sums of rows, norms, their comparisons, and 200 operations.
    """
    w = {name.rpartition(".")[2]: weight for name, weight in model.weights.items()}
    n, d, h = (model.sizes[name] for name in ("n_ctx", "d_model", "d_head"))
    ledger.charge(
        mul=100,
        add=100,
        cmp=5 * len(w["W_E"].rows) + 3 * n + 2 * model.sizes["d_vocab_out"],
    )
    query = add_row(w["W_E"], Matrix(w["W_pos"].rows[-1:], w["W_pos"].scale), ledger)
    norm = {
        name: norm_of(weight, ledger) for name, weight in w.items() if name[2] in "QKVO"
    }
    r, tokens, places = (max(norms(a, ledger)) for a in (query, w["W_E"], w["W_pos"]))
    either = tokens + places
    queries = max(
        norms(add_row(product(query, w["W_Q"], ledger), w["b_Q"], ledger), ledger)
    )
    keys, values = (
        reach(w["W_E"], w["W_pos"], w[f"W_{a}"], w[f"b_{a}"], ledger) for a in "KV"
    )
    columns, bias = max(norms(transposed(w["W_U"]), ledger)), norm_of(w["b_U"], ledger)
    apart = 2 * max(norms(transposed(centred(w["W_U"], ledger)), ledger))
    e_q, e_k, e_v = (
        affine(x, UNIT * x, d, norm[f"W_{a}"], norm[f"b_{a}"])
        for x, a in ((r, "Q"), (either, "K"), (either, "V"))
    )
    scores, theta = theta_of((queries, e_q), (keys, e_k), h, exp[0])
    kappa, alpha = shortened((1 + UNIT) ** 2, 1 - gamma(n)) - 1 + TINY, 3 * exp[1]
    share, moved = 1 - kappa - n * alpha, (1 + kappa) * values
    e_z = shortened((1 + kappa) * (e_v + gamma(n) * (values + e_v)) + TINY)
    added, y = norm["b_O"] + (1 + UNIT) * r, moved * norm["W_O"] + norm["b_O"] + r
    e_y = UNIT * r + affine(moved, e_z, h + 1, norm["W_O"], added)
    last = e_y * apart + 2 * (gamma(d + 1) * ((y + e_y) * columns + bias) + TINY)
    direct = (r + norm["b_O"]) * apart + 2 * bias
    error = kappa * direct + n * alpha * (values * norm["W_O"] * apart + direct) + last
    reached = [
        (1 + UNIT) * either,
        (queries + e_q) * (keys + e_k),
        2 * scores,
        moved + e_z,
        y + e_y,
    ]
    reached += [reached[0] * norm[f"W_{a}"] + norm[f"b_{a}"] for a in "QKV"]
    reached += [(y + e_y) * columns + bias]
    kept = (share.numerator << SHARE_BITS) // share.denominator
    require_support(
        kept > 0, "SPEC-12.3", "attention weights may sum to nothing in float32"
    )
    require_support(
        max(reached) < LARGEST, "SPEC-12.3", "a number might overflow in float32"
    )
    width = 2 * theta * Fraction(isqrt(h << 128) + 1, 1 << 64)
    return Slack(over(width, scales[0]), over(error, scales[1]), kept)
