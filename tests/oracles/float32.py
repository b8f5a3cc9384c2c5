"""Float32 executions of a one-layer attention-only model, in any order of summation that the
profile allows.

Every sum and dot product runs over a random binary tree, with or without fused multiply-add, zeros
among its terms; the
hidden axes are permuted; scores are divided by the rounded square root or multiplied by its rounded
reciprocal; softmax
divides or multiplies by a reciprocal; exp is numpy's, or anything within its bounds.  The factors
of a product are never
re-associated.  Everything is numpy float32, so each operation is rounded correctly, underflow
included.

The executions show what can happen; they prove nothing.  Not done here: two inputs of one batch
share their trees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certify.model import Model

Single = NDArray[np.float32]
Double = NDArray[np.float64]
Exp = Callable[[Single], Single]

UNIT = Fraction(1, 1 << 24)
TINIEST = Fraction(1, 1 << 149)


@dataclass(frozen=True, slots=True)
class Stages:
    """What one forward pass computes at the last position, one row for each input.

    ``scores`` and ``pattern`` [batch, n]; ``mixed`` [batch, d_head], the
    attended values; ``output`` and ``residual`` [batch, d_model], before and
    after the direct path is added; ``logits`` [batch, d_vocab_out].
    """

    scores: Double | Single
    pattern: Double | Single
    mixed: Double | Single
    output: Double | Single
    residual: Double | Single
    logits: Double | Single

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the stages, in order."""
        return tuple(field.name for field in fields(cls))


@dataclass(frozen=True, slots=True)
class Execution:
    """The choices of one execution that are not drawn at random."""

    fma: bool = False
    reciprocal_scale: bool = False
    reciprocal_softmax: bool = False
    exp: Exp = np.exp


def gamma(k: int) -> Fraction:
    """Return k u / (1 - k u), u = 2^-24: what at most k roundings can add up to, relatively."""
    return k * UNIT / (1 - k * UNIT)


def rounded(value: Fraction) -> Fraction:
    """Return the float32 nearest to a number, ties to even, gradual underflow.

    Requires: the result is finite.
    """
    if value == 0:
        return value
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, -126) - 23)
    # Python rounds halves of a Fraction to even.
    result = round(value / quantum) * quantum
    if abs(result) >= 1 << 128:
        raise OverflowError("no finite float32 is nearest")
    return result


def fma(a: Single, b: Single, c: Single) -> Single:
    """Return a b + c, rounded once to float32.

    The product is exact in float64.  The sum is rounded to odd there: if it is
    not exact and its last bit is even, it moves one unit towards the exact sum.
    Two bits more than float32 has are then enough for the second rounding to
    be that of the exact value (Boldo and Melquiond 2008); float64 has 29 more.
    """
    product = a.astype(np.float64) * b
    addend = np.broadcast_to(c.astype(np.float64), product.shape)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    is_even = total.view(np.uint64) & np.uint64(1) == 0
    odd = np.where(
        (error != 0) & is_even, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total
    )
    return odd.astype(np.float32)


def random_dot(
    left: Sequence[Single],
    right: Sequence[Single],
    generator: np.random.Generator,
    *,
    with_fma: bool,
    extra: Sequence[Single] = (),
) -> Single:
    """Return the sum of left[i] right[i] and of ``extra`` over one random binary tree.

    Requires: one term at least; arrays that can be broadcast together.
    Ensures:  every term passes at most as many roundings as there are terms.
    """
    terms: list[Single | tuple[Single, Single]] = [*zip(left, right, strict=True), *extra]
    if generator.integers(2):
        terms.append(np.zeros(1, dtype=np.float32))

    def value(term: Single | tuple[Single, Single]) -> Single:
        return term[0] * term[1] if isinstance(term, tuple) else term

    # Always joining the last two makes a chain, joining any two a bushy tree.
    is_chain = bool(generator.integers(2))
    generator.shuffle(terms)
    while len(terms) > 1:
        a = terms.pop()
        b = terms.pop(-1 if is_chain else int(generator.integers(len(terms))))
        if with_fma and isinstance(b, tuple) and generator.integers(8):
            terms.append(fma(b[0], b[1], value(a)))
        elif with_fma and isinstance(a, tuple) and generator.integers(8):
            terms.append(fma(a[0], a[1], value(b)))
        else:
            terms.append(value(a) + value(b))
    return value(terms[0])


def bounded_exp(eps: float, eta: float, generator: np.random.Generator) -> Exp:
    """Return an exp that goes to either end of what ``|exp(d) - e^d| <= eps e^d + eta`` and exp(d)
    >= 0 allow.

    Requires: eps >= 2^-23 or so, that there be a float32 to choose.
    """

    def exp(d: Single) -> Single:
        exact = np.exp(d.astype(np.float64))
        room = (eps * exact + eta) * (1 - 2.0**-40)
        low, high = np.maximum(exact - room, 0.0), exact + room
        result = np.where(generator.integers(2, size=d.shape) == 1, high, low).astype(np.float32)
        result = np.where(result > high, np.nextafter(result, np.float32(0)), result)
        return np.where(result < low, np.nextafter(result, np.float32(np.inf)), result)

    return exp


def forward(
    model: Model, tokens: NDArray[np.int64], execution: Execution, generator: np.random.Generator
) -> Stages:
    """Return one float32 execution for ``tokens`` [batch, n], trees and permutations drawn from
    ``generator``.

    Requires: one head, one layer; every tensor is stored in float32 or less.
    Cost:     d_model (d_model + 3 n d_head) operations of numpy, each on the batch.
    """
    config = model.config
    p, h = generator.permutation(config.d_model), generator.permutation(config.d_head)
    w = {name.rsplit(".", 1)[1]: model.tensors[name].astype(np.float32) for name in model.tensors}
    bias = {
        name.rsplit(".", 1)[1]: model.bias(name).astype(np.float32)
        for name in model.tensors
        if ".b_" in name
    }
    heads = {name: w[name][0][p] for name in ("W_Q", "W_K", "W_V")}
    heads = {name: matrix[:, h] for name, matrix in heads.items()}

    def product(x: Single, matrix: Single, vector: Single | None) -> Single:
        left = [x[:, i : i + 1] for i in range(x.shape[1])]
        extra = [] if vector is None else [vector[None]]
        return random_dot(
            left, list(matrix[:, None]), generator, with_fma=execution.fma, extra=extra
        )

    def head_bias(letter: str) -> Single | None:
        return bias[f"b_{letter}"][0][h] if f"b_{letter}" in bias else None

    embedded = [w["W_E"][tokens[:, i]][:, p] + w["W_pos"][i][p] for i in range(config.n_ctx)]
    query = product(embedded[-1], heads["W_Q"], head_bias("Q"))
    scores = np.stack(
        [
            _score(query, product(x, heads["W_K"], head_bias("K")), execution, generator)
            for x in embedded
        ],
        axis=1,
    )
    pattern = _softmax(scores, execution, generator)
    values = [product(x, heads["W_V"], head_bias("V")) for x in embedded]
    columns = [pattern[:, i : i + 1] for i in range(config.n_ctx)]
    mixed = random_dot(columns, values, generator, with_fma=execution.fma)
    output = product(mixed, w["W_O"][0][h][:, p], bias["b_O"][p] if "b_O" in bias else None)
    residual = embedded[-1] + output
    logits = product(residual, w["W_U"][p], bias.get("b_U"))
    back, head_back = np.argsort(p), np.argsort(h)
    return Stages(scores, pattern, mixed[:, head_back], output[:, back], residual[:, back], logits)


def reference(model: Model, tokens: NDArray[np.int64]) -> Stages:
    """Return the same stages in float64, straight from the definition."""
    attention = "blocks.0.attn."
    x = model.tensor("embed.W_E")[tokens] + model.tensor("pos_embed.W_pos")

    def head(letter: str) -> Double:
        return np.asarray(
            x @ model.tensor(f"{attention}W_{letter}")[0] + model.bias(f"{attention}b_{letter}")[0]
        )

    scores = np.einsum("bh,bnh->bn", head("Q")[:, -1], head("K")) / math.sqrt(model.config.d_head)
    pattern = np.exp(scores - scores.max(axis=1, keepdims=True))
    pattern /= pattern.sum(axis=1, keepdims=True)
    mixed = np.einsum("bn,bnh->bh", pattern, head("V"))
    output = mixed @ model.tensor(f"{attention}W_O")[0] + model.bias(f"{attention}b_O")
    residual = x[:, -1] + output
    return Stages(
        scores,
        pattern,
        mixed,
        output,
        residual,
        residual @ model.tensor("unembed.W_U") + model.bias("unembed.b_U"),
    )


def _score(
    query: Single, key: Single, execution: Execution, generator: np.random.Generator
) -> Single:
    """Return the scaled scores of one position, [batch]."""
    left = [query[:, i] for i in range(query.shape[1])]
    right = [key[:, i] for i in range(key.shape[1])]
    dot = random_dot(left, right, generator, with_fma=execution.fma)
    root: np.float32 = np.sqrt(np.float32(query.shape[1]))
    scaled: Single = dot * (np.float32(1) / root) if execution.reciprocal_scale else dot / root
    return scaled


def _softmax(scores: Single, execution: Execution, generator: np.random.Generator) -> Single:
    """Return the attention pattern, [batch, n]."""
    weights = execution.exp(scores - scores.max(axis=1, keepdims=True))
    total = random_dot(
        [], [], generator, with_fma=False, extra=[weights[:, i] for i in range(weights.shape[1])]
    )[:, None]
    return weights * (np.float32(1) / total) if execution.reciprocal_softmax else weights / total
