"""One float32 execution of SPEC-12.1 with every stage kept, each sum over a tree that the caller
chooses.

`float32.py` draws executions at random; here the order of each sum and the values of exp are given,
so that an execution
can be written down and repeated.  Everything is numpy float32: each operation is rounded once,
underflow is gradual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import oracle
from float32 import Exp, Single, random_dot
from models import ATTENTION, Model, nearest, shapes
from numpy.typing import NDArray

Dot = Callable[[str, Sequence[Single], Sequence[Single], Sequence[Single]], Single]
"""Sum of left[i] right[i], and of more terms, for the stage of this name."""

EXP_BITS = 256


@dataclass(frozen=True)
class Stages:
    """What is computed for each input of a batch, the axes after the first two or one being those
    of the model.

    ``residual``, ``keys``, ``values`` [batch, n, .]; ``scores``, ``pattern`` [batch, n]; ``query``,
    ``mixed`` [batch, d_head];
    ``output``, ``final`` [batch, d_model], before and after the direct path is added; ``logits``
    [batch, d_vocab_out].
    """

    residual: Single
    query: Single
    keys: Single
    values: Single
    scores: Single
    pattern: Single
    mixed: Single
    output: Single
    final: Single
    logits: Single


def weights_of(model: Model) -> dict[str, Single]:
    """Return the weights by their short names in float32, absent biases zero.  Requires: no F64."""

    def plain(leaf: Any) -> Any:
        return [plain(part) for part in leaf] if isinstance(leaf, list) else float(leaf)

    found = {}
    for name, shape in shapes(model.config).items():
        wide = (
            np.array(plain(model.tensors[name]), dtype=np.float64)
            if name in model.tensors
            else np.zeros(shape)
        )
        narrow = wide.astype(np.float32)
        if not np.array_equal(wide, narrow):
            raise ValueError(f"{name} is not float32")
        found[name.rpartition(".")[2]] = (
            narrow[0] if name.startswith(ATTENTION) and len(shape) > 1 else narrow
        )
    return found


def chain(orders: Mapping[str, Sequence[int]]) -> Dot:
    """Return the sums that add one term after the other; without an order for a stage, as they
    come, a bias last.
    """

    def dot(
        stage: str, left: Sequence[Single], right: Sequence[Single], more: Sequence[Single]
    ) -> Single:
        terms = [*(a * b for a, b in zip(left, right, strict=True)), *more]
        order = orders.get(stage, range(len(terms)))
        if sorted(order) != list(range(len(terms))):
            raise ValueError(f"{stage}: every one of {len(terms)} terms is summed once")
        total = terms[order[0]]
        for i in order[1:]:
            total = total + terms[i]
        return total

    return dot


def anyhow(generator: np.random.Generator, *, with_fma: bool) -> Dot:
    """Return sums over random trees."""

    def dot(
        stage: str, left: Sequence[Single], right: Sequence[Single], more: Sequence[Single]
    ) -> Single:
        return random_dot(left, right, generator, with_fma=with_fma, extra=more)

    return dot


def exp_ends(d: float) -> tuple[Fraction, Fraction]:
    """Return rational bounds on e^d for d <= 0, 2^-256 apart."""
    exact = -Fraction(d)
    low, high = oracle.exp_of_minus_root(exact.numerator, exact.denominator, 1, EXP_BITS)
    return Fraction(low, 1 << EXP_BITS), Fraction(high, 1 << EXP_BITS)


def exp_nearest(d: Single) -> Single:
    """Return the float32 nearest to e^d, of every entry; what is not finite stays what it is."""
    found = [
        float(nearest(exp_ends(float(x))[0], "F32")) if np.isfinite(x) else x for x in np.ravel(d)
    ]
    return np.array(found, dtype=np.float32).reshape(np.shape(d))


def execute(
    model: Model,
    tokens: NDArray[np.int64],
    dot: Dot,
    exp: Exp = exp_nearest,
    *,
    reciprocals: tuple[bool, bool] = (False, False),
) -> Stages:
    """Return one execution for ``tokens`` [batch, n].

    ``reciprocals``: whether scores are multiplied by the reciprocal of sqrt(d_head), and weights by
    that of their sum.
    Numbers that overflow become infinite, and what follows NaN, without a warning.
    """
    w, n = weights_of(model), model.config["n_ctx"]

    def product(stage: str, x: Single, weight: Single, bias: Single | None) -> Single:
        more = [] if bias is None or not bias.any() else [bias[None]]
        return dot(stage, [x[:, i : i + 1] for i in range(x.shape[1])], list(weight[:, None]), more)

    def columns(x: Single) -> list[Single]:
        return [x[:, i] for i in range(x.shape[1])]

    with np.errstate(all="ignore"):
        residual = [w["W_E"][tokens[:, i]] + w["W_pos"][i] for i in range(n)]
        query = product("query", residual[-1], w["W_Q"], w["b_Q"])
        keys = [product("key", x, w["W_K"], w["b_K"]) for x in residual]
        values = [product("value", x, w["W_V"], w["b_V"]) for x in residual]
        root = np.sqrt(np.float32(model.config["d_head"]))
        dots = np.stack([dot("score", columns(query), columns(key), []) for key in keys], axis=1)
        scores = dots * (np.float32(1) / root) if reciprocals[0] else dots / root
        weights = exp(scores - scores.max(axis=1, keepdims=True))
        total = dot("sum", [], [], columns(weights))[:, None]
        pattern = weights * (np.float32(1) / total) if reciprocals[1] else weights / total
        mixed = dot("mixed", [pattern[:, i : i + 1] for i in range(n)], values, [])
        output = product("output", mixed, w["W_O"], w["b_O"])
        final = residual[-1] + output
        logits = product("logits", final, w["W_U"], w["b_U"])
    sides = (np.stack(part, axis=1) for part in (residual, keys, values))
    rows, keyed, valued = sides
    return Stages(rows, query, keyed, valued, scores, pattern, mixed, output, final, logits)
