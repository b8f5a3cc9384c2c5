"""What an allowed float32 execution may do to attention weights and logits, bounded by norms.
(SPEC 12, 13.7)

Everything here is an upper bound: norms are rounded up to multiples of 2^-48, other numbers are
fractions, rounded up
where they would grow long.  Not done here: nothing follows the rounding of single terms; one bound
serves all inputs.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import TABLE_SCALE, centred, root, squares
from checker.statement.model import Model, mix, part

ONE, UNIT, TINY = Fraction(1), Fraction(1, 1 << 24), Fraction(1, 1 << 100)
SHARE_BITS = 96
LARGEST = 1 << 126


@dataclass(frozen=True, slots=True)
class Slack:
    """How far executions may be from real arithmetic: nowhere, unless numbers are given.  (SPEC
    12.5)

    ``width``: by how much a score may be lower, before the division, over 2^-score_scale.
    ``shift``: the error of a
    difference of logits, over 2^-value_scale.  ``share``: the least sum of attention weights, over
    2^-96.
    """

    width: int = 0
    shift: int = 0
    share: int = 1 << SHARE_BITS

    def raised(self, mu: int) -> int:
        """Return what must be added to brackets so that a negative sum leaves a margin of ``mu``;
        positive if inexact.
        """
        return -(-(self.shift + mu << SHARE_BITS) // self.share)

    def margin(self, value: int) -> int:
        """Return the margin of computed logits that follows from one of the sum, rounded down."""
        return (value * self.share >> SHARE_BITS) - self.shift


REAL = Slack()


def _gamma(k: int) -> Fraction:
    """Return gamma_k = k u / (1 - k u)."""
    return Fraction(k, (1 << 24) - k)


def _short(value: Fraction, by: Fraction = ONE) -> Fraction:
    """Return ``value``, divided by a positive number, rounded up to a multiple of 2^-96."""
    return Fraction(
        _over(value * Fraction(by.denominator, by.numerator), SHARE_BITS),
        1 << SHARE_BITS,
    )


def _over(value: Fraction, scale: int) -> int:
    """Return ``value`` over 2^-scale, rounded up."""
    return -(-(value.numerator << scale) // value.denominator)


def _norms(a: Matrix, ledger: Ledger) -> list[Fraction]:
    """Return upper bounds on the Euclidean norms of the rows.  Cost: a multiplication and an
    addition per entry.
    """
    return [
        Fraction(root(value, 2 * a.scale, 1), 1 << TABLE_SCALE)
        for value in squares(a, ledger)
    ]


def _norm(a: Matrix, ledger: Ledger) -> Fraction:
    """Return an upper bound on the Frobenius norm.  Cost: a multiplication and an addition per
    entry, an addition per row.
    """
    ledger.charge(add=len(a.rows))
    return Fraction(root(sum(squares(a, ledger)), 2 * a.scale, 1), 1 << TABLE_SCALE)


def _affine(
    x: Fraction, error: Fraction, rows: int, weight: Fraction, bias: Fraction
) -> Fraction:
    """Return the error of a computed ``x W + b``, W with so many rows, x wrong by ``error``.  (SPEC
    12.2)
    """
    return _short(
        error * weight + _gamma(rows + 1) * ((x + error) * weight + bias) + TINY
    )


def _reach(
    first: Matrix, second: Matrix, w: Matrix, bias: Matrix, ledger: Ledger
) -> Fraction:
    """Return a bound on the norm of any ``(x + y) W + b``, x and y rows.  Cost: two products, a sum
    of rows, norms.
    """
    one = add_row(product(first, w, ledger), bias, ledger)
    return max(_norms(one, ledger)) + max(_norms(product(second, w, ledger), ledger))


def _theta(
    q: tuple[Fraction, Fraction], k: tuple[Fraction, Fraction], h: int, eps: Fraction
) -> tuple[Fraction, Fraction]:
    """Return bounds on a computed score, and on the logarithm of a weight's relative error.  (SPEC
    12.3)

    ``q`` and ``k`` are bounds on the norms of queries and keys and on their errors.
    """
    down = Fraction(1 << 64, isqrt(h << 128))
    moved = (
        q[0] * k[1]
        + q[1] * k[0]
        + q[1] * k[1]
        + _gamma(h + 4) * (q[0] + q[1]) * (k[0] + k[1])
    )
    score, inexact = _short(moved * down + TINY), eps + UNIT
    return q[0] * k[0] + score, score + 2 * UNIT * (
        q[0] * k[0] * down + score
    ) + _short(inexact, 1 - inexact)


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
        name: _norm(weight, ledger) for name, weight in w.items() if name[2] in "QKVO"
    }
    r, tokens, places = (max(_norms(a, ledger)) for a in (query, w["W_E"], w["W_pos"]))
    either = tokens + places
    queries = max(
        _norms(add_row(product(query, w["W_Q"], ledger), w["b_Q"], ledger), ledger)
    )
    keys, values = (
        _reach(w["W_E"], w["W_pos"], w[f"W_{a}"], w[f"b_{a}"], ledger) for a in "KV"
    )
    columns, bias = max(_norms(transposed(w["W_U"]), ledger)), _norm(w["b_U"], ledger)
    apart = 2 * max(_norms(transposed(centred(w["W_U"], ledger)), ledger))
    e_q, e_k, e_v = (
        _affine(x, UNIT * x, d, norm[f"W_{a}"], norm[f"b_{a}"])
        for x, a in ((r, "Q"), (either, "K"), (either, "V"))
    )
    scores, theta = _theta((queries, e_q), (keys, e_k), h, exp[0])
    kappa, alpha = _short((1 + UNIT) ** 2, 1 - _gamma(n)) - 1 + TINY, 3 * exp[1]
    share, moved = 1 - kappa - n * alpha, (1 + kappa) * values
    e_z = _short((1 + kappa) * (e_v + _gamma(n) * (values + e_v)) + TINY)
    added, y = norm["b_O"] + (1 + UNIT) * r, moved * norm["W_O"] + norm["b_O"] + r
    e_y = UNIT * r + _affine(moved, e_z, h + 1, norm["W_O"], added)
    last = e_y * apart + 2 * (_gamma(d + 1) * ((y + e_y) * columns + bias) + TINY)
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
    return Slack(_over(width, scales[0]), _over(error, scales[1]), kept)


def _pattern(
    model: Model, exp: tuple[Fraction, Fraction], reach: Fraction, ledger: Ledger
) -> tuple[Fraction, list[Fraction]]:
    """Return a bound on the error of any attention weight of a model of two tokens, and what is
    reached on the way.

    ``reach`` is a bound on the norms of residuals.
    Cost: norms, and 50 multiplications and as many additions per head.
    """
    (mantissa, exponent), h, d = (
        mix(model),
        model.sizes["d_head"],
        model.sizes["d_model"],
    )
    theta, reached = Fraction(0), list[Fraction]()
    for head in range(model.sizes["n_heads"]):
        ledger.charge(mul=50, add=50, cmp=1)
        norms = [
            [_norm(part(model, name + letter, head), ledger) for name in ("W_", "b_")]
            for letter in "QK"
        ]
        q, k = (
            (reach * w + b, _affine(reach, UNIT * reach, d, w, b)) for w, b in norms
        )
        score, own = _theta(q, k, h, exp[0])
        query, key = q[0] + q[1], k[0] + k[1]
        theta, reached = max(theta, own), [*reached, query, key, query * key, 2 * score]
    kappa, alpha = _short((1 + UNIT) ** 2, 1 - _gamma(2)) - 1 + TINY, 3 * exp[1]
    return _short(
        (theta * Fraction(1, 2) + kappa + 3 * alpha)
        * Fraction(mantissa, 1 << -exponent)
        + 6 * UNIT
    ), reached


def drift(
    model: Model,
    exp: tuple[Fraction, Fraction],
    pre: list[Matrix],
    whole: Matrix,
    scale: int,
    ledger: Ledger,
) -> int:
    """Return over 2^-scale how far a difference of two logits may be from that of real arithmetic,
    in any execution.  (SPEC 13.7)

    ``pre``: tables whose rows, one of a first and one of a second token each, the latter tables'
    times something from 0 to 1,
    sum to what the neurons read; ``whole`` is M = W_out W_U.
    Requires: a model with one layer, two positions and a ReLU MLP.
    Raises:   Declined (SPEC-13.7) if a number might overflow.
    Cost:     a product, sums of rows, norms, their comparisons, and 200 operations and 101 for
              every head.
    """
    w, vocab = (
        {name.rpartition(".")[2]: weight for name, weight in model.weights.items()},
        model.sizes["d_vocab"],
    )
    d, width = model.sizes["d_model"], model.sizes["d_head"] * model.sizes["n_heads"]
    ledger.charge(
        mul=100,
        add=100,
        cmp=(4 + 2 * len(pre)) * vocab + 3 * model.sizes["d_vocab_out"],
    )
    norm = {
        name: _norm(w[name], ledger)
        for name in [
            "W_V",
            "b_V",
            "W_O",
            "b_O",
            "W_in",
            "b_in",
            "W_out",
            "b_out",
            "b_U",
        ]
    }
    first, second = (
        add_row(w["W_E"], Matrix((row,), w["W_pos"].scale), ledger)
        for row in w["W_pos"].rows
    )
    tokens, aside = (
        Matrix(first.rows + second.rows, first.scale),
        Matrix((sum(w["b_V"].rows, ()),), w["b_V"].scale),
    )
    beside = Matrix(
        tuple(sum(w["W_V"].rows[i::d], ()) for i in range(d)), w["W_V"].scale
    )
    reach, values = (
        max(_norms(tokens, ledger)),
        _norms(add_row(product(tokens, beside, ledger), aside, ledger), ledger),
    )
    v, (sigma, reached) = (
        max(values[:vocab]) + max(values[vocab:]),
        _pattern(model, exp, reach, ledger),
    )
    e_v = _affine(reach, UNIT * reach, d, norm["W_V"], norm["b_V"])
    e_z = sigma * v + _affine(v, 2 * e_v, 1, 1 + sigma, Fraction(0))
    added = norm["b_O"] + (1 + UNIT) * reach
    e_y, y = (
        UNIT * reach + _affine(v, e_z, width + 1, norm["W_O"], added),
        v * norm["W_O"] + added,
    )
    rows = [_norms(table, ledger) for table in pre]
    e_p, p = (
        _affine(y, e_y, d, norm["W_in"], norm["b_in"]),
        sum(max(row[:vocab]) + max(row[vocab:]) for row in rows),
    )
    added = norm["b_out"] + y + e_y
    e_f = _affine(p + e_p, Fraction(0), len(whole.rows) + 1, norm["W_out"], added)
    f = (p + e_p) * norm["W_out"] + added + e_f
    columns = max(_norms(transposed(w["W_U"]), ledger))
    apart, moved = (
        2 * max(_norms(transposed(centred(a, ledger)), ledger))
        for a in (w["W_U"], whole)
    )
    error = (
        e_p * moved
        + (e_y + e_f) * apart
        + 2 * _affine(f, Fraction(0), d, columns, norm["b_U"])
    )
    reached += [
        (1 + UNIT) * reach * norm["W_V"] + norm["b_V"],
        v + e_z,
        y + e_y,
        f,
        f * columns + norm["b_U"],
    ]
    reached += [(1 + UNIT) * reach, (y + e_y) * norm["W_in"] + norm["b_in"], p + e_p]
    require_support(
        max(reached) < LARGEST, "SPEC-13.7", "a number might overflow in float32"
    )
    return _over(error, scale)
