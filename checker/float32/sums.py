"""How far a float32 execution may take logits of a model of sums.  (SPEC 13.7)"""

from fractions import Fraction

from checker.float32.propagation import (
    LARGEST,
    TINY,
    UNIT,
    affine,
    gamma,
    norm_of,
    norms,
    over,
    shortened,
    theta_of,
)
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import centred
from checker.statement.model import Model, mix, part


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
            [norm_of(part(model, name + letter, head), ledger) for name in ("W_", "b_")]
            for letter in "QK"
        ]
        q, k = ((reach * w + b, affine(reach, UNIT * reach, d, w, b)) for w, b in norms)
        score, own = theta_of(q, k, h, exp[0])
        query, key = q[0] + q[1], k[0] + k[1]
        theta, reached = max(theta, own), [*reached, query, key, query * key, 2 * score]
    kappa, alpha = shortened((1 + UNIT) ** 2, 1 - gamma(2)) - 1 + TINY, 3 * exp[1]
    return shortened(
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
        name: norm_of(w[name], ledger)
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
        max(norms(tokens, ledger)),
        norms(add_row(product(tokens, beside, ledger), aside, ledger), ledger),
    )
    v, (sigma, reached) = (
        max(values[:vocab]) + max(values[vocab:]),
        _pattern(model, exp, reach, ledger),
    )
    e_v = affine(reach, UNIT * reach, d, norm["W_V"], norm["b_V"])
    e_z = sigma * v + affine(v, 2 * e_v, 1, 1 + sigma, Fraction(0))
    added = norm["b_O"] + (1 + UNIT) * reach
    e_y, y = (
        UNIT * reach + affine(v, e_z, width + 1, norm["W_O"], added),
        v * norm["W_O"] + added,
    )
    rows = [norms(table, ledger) for table in pre]
    e_p, p = (
        affine(y, e_y, d, norm["W_in"], norm["b_in"]),
        sum(max(row[:vocab]) + max(row[vocab:]) for row in rows),
    )
    added = norm["b_out"] + y + e_y
    e_f = affine(p + e_p, Fraction(0), len(whole.rows) + 1, norm["W_out"], added)
    f = (p + e_p) * norm["W_out"] + added + e_f
    columns = max(norms(transposed(w["W_U"]), ledger))
    apart, moved = (
        2 * max(norms(transposed(centred(a, ledger)), ledger))
        for a in (w["W_U"], whole)
    )
    error = (
        e_p * moved
        + (e_y + e_f) * apart
        + 2 * affine(f, Fraction(0), d, columns, norm["b_U"])
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
    return over(error, scale)
