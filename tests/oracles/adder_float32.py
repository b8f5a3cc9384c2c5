"""Float32 executions of a model of two operands in any context, and the numbers of SPEC-13.7 read
off the page a second time.

`execute` runs the program of SPEC-13.7 with the order of each sum chosen by the caller, as
`executions.py` does for Max-of-K.
`exact` rounds nothing but roots, and those down; `rounded` rounds the named numbers up; the checker
has to lie between.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import addition
import numpy as np
from executions import Dot
from float32 import Exp, Single
from models import Model, filled
from norm_bounds import BITS, TINY, U, gamma, plus, root_of, times
from numpy.typing import NDArray


def weights_of(model: Model) -> dict[str, Any]:
    """Return all weights by short names, nested lists of fractions; absent biases are zero."""

    def exact(part: Any) -> Any:
        return [exact(x) for x in part] if isinstance(part, list) else Fraction(part)

    shapes = addition.shapes(model.config)
    return {
        n.rpartition(".")[2]: exact(model.tensors.get(n) or filled(s, lambda: 0))
        for n, s in shapes.items()
    }


def mix_of(model: Model) -> Fraction:
    """Return the attention mix."""
    return Fraction(float.fromhex(model.config.get("attention_mix", "0x1.0p+0")))


def execute(
    model: Model,
    tokens: NDArray[np.int64],
    dot: Dot,
    exp: Exp,
    choices: Sequence[bool] = (False,) * 4,
) -> Single:
    """Return the logits of one execution for ``tokens`` [batch, n].

    ``choices``: whether scores are multiplied by a reciprocal, weights too, heads summed one by
    one, residuals added last.
    """
    w = {
        name: np.array(x, dtype=np.float64).astype(np.float32)
        for name, x in weights_of(model).items()
    }
    heads, c, (scaled, shared, single, last) = (
        model.config["n_heads"],
        np.float32(mix_of(model)),
        choices,
    )

    def columns(x: Single) -> list[Single]:
        return [x[:, i : i + 1] for i in range(x.shape[1])]

    def product(stage: str, x: Single, weight: Single, *more: Single) -> Single:
        return dot(stage, columns(x), list(weight[:, None]), list(more))

    x = [w["W_E"][tokens[:, i]] + w["W_pos"][i] for i in range(tokens.shape[1])]
    mixed = []
    for k in range(heads):
        query = product("query", x[-1], w["W_Q"][k], w["b_Q"][k][None])
        keys = [product("key", row, w["W_K"][k], w["b_K"][k][None]) for row in x]
        values = [product("value", row, w["W_V"][k], w["b_V"][k][None]) for row in x]
        root = np.sqrt(np.float32(model.config["d_head"]))
        dots = np.concatenate(
            [dot("score", columns(query), columns(key), []) for key in keys], axis=1
        )
        scores = dots * (np.float32(1) / root) if scaled else dots / root
        weights = exp(scores - scores.max(axis=1, keepdims=True))
        total = dot("sum", [], [], columns(weights))
        pattern = weights * (np.float32(1) / total) if shared else weights / total
        if c == 0:
            pattern = np.ones_like(pattern)
        elif c < 1:
            ones = np.ones_like(pattern)
            pattern = dot("pattern", [c * ones], [pattern], [(np.float32(1) - c) * ones])
        mixed.append(dot("mixed", columns(pattern), values, []))
    if single:
        parts = [product(f"output {k}", mixed[k], w["W_O"][k]) for k in range(heads)]
        outer = dot("heads", [], [], [*parts, w["b_O"][None], *([] if last else [x[-1]])])
    else:
        stacked = w["W_O"].reshape(-1, model.config["d_model"])
        outer = product(
            "output",
            np.concatenate(mixed, axis=1),
            stacked,
            w["b_O"][None],
            *([] if last else [x[-1]]),
        )
    y = x[-1] + outer if last else outer
    neurons = np.maximum(product("neurons", y, w["W_in"], w["b_in"][None]), np.float32(0))
    out = product("out", neurons, w["W_out"], w["b_out"][None], *([] if last else [y]))
    found: Single = product("logits", y + out if last else out, w["W_U"], w["b_U"][None])
    return found


def exact(
    model: Model,
    exp: tuple[Fraction, Fraction],
    scales: tuple[int, int],
    question: addition.Question | None = None,
) -> Fraction:
    """Return B with nothing rounded up; ``scales`` are those of W_U and M, to which a mean is
    rounded.
    """
    return _bound(model, exp, scales, question, up=False)[0]


def rounded(
    model: Model,
    exp: tuple[Fraction, Fraction],
    scales: tuple[int, int],
    question: addition.Question | None = None,
) -> Fraction:
    """Return B with norms rounded up to multiples of 2^-48 and the other numbers to multiples of
    2^-96.
    """
    return _bound(model, exp, scales, question, up=True)[0]


def reached(
    model: Model, exp: tuple[Fraction, Fraction], scales: tuple[int, int]
) -> dict[str, Fraction]:
    """Return what the page finds below 2^126, by its names, as the checker rounds it."""
    return _bound(model, exp, scales, None, up=True)[1]


def _apart(columns: list[list[Fraction]], unit: int) -> list[list[Fraction]]:
    mean = [Fraction((sum(row) * unit) // len(row), unit) for row in zip(*columns, strict=True)]
    return [[x - m for x, m in zip(column, mean, strict=True)] for column in columns]


def _bound(
    model: Model,
    exp: tuple[Fraction, Fraction],
    scales: tuple[int, int],
    question: addition.Question | None,
    *,
    up: bool,
) -> tuple[Fraction, dict[str, Fraction]]:
    w, c, config, (eps, eta) = weights_of(model), mix_of(model), model.config, exp
    d, h, m, heads = (config[name] for name in ("d_model", "d_head", "d_mlp", "n_heads"))
    allowed = (question or addition.usual(model)).tokens
    n = len(allowed)

    def flat(part: Any) -> list[Fraction]:
        return [x for row in part for x in flat(row)] if isinstance(part, list) else [part]

    def norm(part: Any) -> Fraction:
        return root_of(sum((x * x for x in flat(part)), Fraction(0)), 48 if up else BITS, up=up)

    def short(value: Fraction) -> Fraction:
        return Fraction(-(-(value.numerator << 96) // value.denominator), 1 << 96) if up else value

    def affine(x: Fraction, e: Fraction, weight: Fraction, bias: Fraction, terms: int) -> Fraction:
        return short(e * weight + gamma(terms) * ((x + e) * weight + bias) + TINY)

    tokens = [[plus(w["W_E"][t], w["W_pos"][i]) for t in row] for i, row in enumerate(allowed)]
    reach = max(norm(x) for side in tokens for x in side)
    theta = Fraction(0)
    root = root_of(Fraction(h), 64 if up else BITS, up=False)
    most = dict.fromkeys(("Q + e_q", "K + e_k", "(Q + e_q)(K + e_k)", "2 (Q K + D)"), Fraction(0))
    for k in range(heads):
        q, query = (
            reach * norm(w["W_Q"][k]) + norm(w["b_Q"][k]),
            affine(reach, U * reach, norm(w["W_Q"][k]), norm(w["b_Q"][k]), d + 1),
        )
        key, e_k = (
            reach * norm(w["W_K"][k]) + norm(w["b_K"][k]),
            affine(reach, U * reach, norm(w["W_K"][k]), norm(w["b_K"][k]), d + 1),
        )
        moved = q * e_k + query * key + query * e_k + gamma(h + 4) * (q + query) * (key + e_k)
        score = short(moved / root + TINY)
        found = q + query, key + e_k, (q + query) * (key + e_k), 2 * (q * key + score)
        most = {name: max(old, new) for (name, old), new in zip(most.items(), found, strict=True)}
        inexact = short((eps + U) / (1 - eps - U))
        theta = max(theta, score + 2 * U * (q * key / root + score) + inexact)
    kappa = short((1 + U) ** 2 / (1 - gamma(n))) - 1 + TINY
    alpha = 3 * eta
    sigma = short(c * (theta / 2 + kappa + (n + 1) * alpha) + 6 * U)
    heads_of = [
        [[plus(times(x, w["W_V"][k]), w["b_V"][k]) for k in range(heads)] for x in side]
        for side in tokens
    ]
    v = sum((max(norm(x) for x in side) for side in heads_of), Fraction(0))
    e_v = affine(reach, U * reach, norm(w["W_V"]), norm(w["b_V"]), d + 1)
    e_z = sigma * v
    e_z += short(n * e_v * (1 + sigma) + gamma(n) * (v + n * e_v) * (1 + sigma) + TINY)
    more = norm(w["b_O"]) + (1 + U) * reach
    y, e_y = (
        v * norm(w["W_O"]) + more,
        U * reach + affine(v, e_z, norm(w["W_O"]), more, heads * h + 2),
    )
    e_p = affine(y, e_y, norm(w["W_in"]), norm(w["b_in"]), d + 1)
    # The tables of 13.2: what is constant, then for every head c Z_hi and - c Z_h,n-1, by W_in.
    through = [
        [[times(times(z, w["W_O"][k]), w["W_in"]) for k, z in enumerate(z_of)] for z_of in side]
        for side in heads_of
    ]

    def total(rows: Sequence[Sequence[Fraction]], by: Fraction) -> list[Fraction]:
        return [by * sum(column, Fraction(0)) for column in zip(*rows, strict=True)]

    direct = [plus(times(plus(x, w["b_O"]), w["W_in"]), w["b_in"]) for x in tokens[-1]]
    one = Fraction(1)
    pre = sum((max(norm(total(rows, one - c)) for rows in side) for side in through[:-1]), one - 1)
    pre += max(
        norm(plus(total(rows, one), own)) for rows, own in zip(through[-1], direct, strict=True)
    )
    for k in range(heads):
        pre += max(norm(total([rows[k]], c)) for side in through[:-1] for rows in side)
        pre += max(norm(total([rows[k]], c)) for rows in through[-1])
    f = (pre + e_p) * norm(w["W_out"]) + norm(w["b_out"]) + y + e_y
    e_f = short(gamma(m + 2) * f + TINY)
    columns = [list(column) for column in zip(*w["W_U"], strict=True)]
    whole = [
        list(column) for column in zip(*[times(row, w["W_U"]) for row in w["W_out"]], strict=True)
    ]
    unembed, through_all = _apart(columns, 1 << scales[0]), _apart(whole, 1 << scales[1])
    last = affine(f + e_f, Fraction(0), max(map(norm, columns)), norm(w["b_U"]), d + 1)
    B = 2 * (e_p * max(map(norm, through_all)) + (e_y + e_f) * max(map(norm, unembed)) + last)
    return B, most | {
        "(1 + u) R": (1 + U) * reach,
        "(1 + u) R |W_V| + |b_V|": (1 + U) * reach * norm(w["W_V"]) + norm(w["b_V"]),
        "V + e_z": v + e_z,
        "y + e_y": y + e_y,
        "(y + e_y) |W_in| + |b_in|": (y + e_y) * norm(w["W_in"]) + norm(w["b_in"]),
        "P + e_p": pre + e_p,
        "f + e_f": f + e_f,
        "(f + e_f) U + b": (f + e_f) * max(map(norm, columns)) + norm(w["b_U"]),
    }
