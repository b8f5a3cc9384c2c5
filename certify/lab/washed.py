"""The level below which noise in training washes structure out, propagated to scores and logits.

Training under noise of standard deviation s cannot tell two models apart that differ by less than
what s does to them anyway.  The *level* of a difference is the standard deviation that the noise
gives it.  Along the linear paths it is exact: a vector x with second moment M = E[x^T x], [d, d],
goes through a matrix W with independent noise of variance s^2 on each entry as ::

    E[(x (W + sG))^T (x (W + sG))] = W^T M W + s^2 tr(M) I

so that for two vectors that end a chain on its left and on its right, independent of each other,

    Var(x y^T) = tr(M N) - (E[x] E[y]^T)^2.

The differences are those that proofs are about::

    direct   EU[q, j] - EU[q, k]      two answers, by the direct path of a query
    OV       EVOU[t, j] - EVOU[t, k]  two answers, by what a token moves
    QK       (EQKE[q, j] - EQKE[q, k]) / sqrt(d_head)    two keys, by the score of a query

What the explanation leaves out of them is EU less its mean row, and EQKE less its first singular
directions.  ``below`` is the share of those differences, over all queries and pairs, whose size is
under one level; ``ratio`` the root mean square of what is left out over that of the level.  One
thing is left aside: where the query is one of the two keys, both ends of a chain read the same row
of W_E, and share its noise.

``sampled`` is the level of whole logits, attention and all, from draws of the noise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.lab.kinds import Facts
from certify.model.file import Model
from certify.model.paths import Paths, decompose

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DIRECT, OV, QK = "direct", "OV", "QK"
SEED = 417
"""Of the sampled noise."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations, as ``certify.training.perturbed.Perturbed`` has them."""

    weights: float = 0.0
    stream: float = 0.0
    activations: float = 0.0

    @property
    def any(self) -> bool:
        """Return whether there is noise at all."""
        return max(self.weights, self.stream, self.activations) > 0.0


@dataclass(frozen=True, slots=True)
class Moments:
    """Random vectors: means [rows, d] and second moments [rows, d, d]."""

    means: Floats
    second: Floats

    def through(self, matrix: Floats, weights: float, activations: float = 0.0) -> Moments:
        """Return the moments after a matrix [d, e] with noise on its entries, and noise on what
        comes out.
        """
        size = np.trace(self.second, axis1=1, axis2=2)
        second = matrix.T @ self.second @ matrix
        spread = weights**2 * size + activations**2
        return Moments(
            self.means @ matrix, second + spread[:, None, None] * np.eye(matrix.shape[1])
        )


def vectors(means: Floats, variance: float) -> Moments:
    """Return vectors with noise of this variance on each coordinate."""
    second = means[:, :, None] * means[:, None, :] + variance * np.eye(means.shape[1])
    return Moments(means, second)


def levels(left: Moments, right: Moments) -> Floats:
    """Return the standard deviation of x y^T for all rows of both, [left, right].

    Requires: vectors of the two sides are independent.
    """
    flat = right.second.reshape(len(right.second), -1)
    square = left.second.reshape(len(left.second), -1) @ flat.T
    variance = square - (left.means @ right.means.T) ** 2
    found: Floats = np.sqrt(np.maximum(variance, 0.0))
    return found


@dataclass(frozen=True, slots=True)
class Parts:
    """The matrices of one head of attention."""

    W_E: Floats
    W_pos: Floats
    W_Q: Floats
    W_K: Floats
    W_V: Floats
    W_O: Floats
    W_U: Floats
    d_head: int


def parts_of(model: Model) -> Parts:
    """Return the matrices of a model of one layer and one head."""
    W_Q, W_K, W_V, W_O = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QKVO")
    return Parts(
        model.tensor("embed.W_E"),
        model.tensor("pos_embed.W_pos"),
        W_Q,
        W_K,
        W_V,
        W_O,
        model.tensor("unembed.W_U"),
        model.config.d_head,
    )


def pairs_of(size: int) -> tuple[Integers, Integers]:
    """Return all pairs of two numbers below a size, the smaller one second."""
    found = np.array(list(itertools.combinations(range(size), 2)), dtype=np.int64)
    return found[:, 1], found[:, 0]


def path_levels(parts: Parts, noise: Noise, pairs: tuple[Integers, Integers]) -> dict[str, Floats]:
    """Return the levels of the differences of the module docstring, each [tokens, pairs].

    Cost: some d^2 multiplications for each token and pair: half a second for 64 tokens.
    """
    first, second = pairs
    weights, stream, inside = noise.weights**2, noise.stream**2, noise.activations
    last = parts.W_E + parts.W_pos[-1]
    # W_E and W_pos have noise each; so has the stream after embedding, and before unembedding.
    query = vectors(last, 2 * weights + stream)
    answers = vectors((parts.W_U[:, first] - parts.W_U[:, second]).T, 2 * weights)
    token = vectors(parts.W_E, weights + stream).through(parts.W_V, noise.weights, inside)
    keys = vectors(parts.W_E[first] - parts.W_E[second], 2 * weights + 2 * stream)
    asking = query.through(parts.W_Q, noise.weights, inside)
    telling = keys.through(parts.W_K, noise.weights, np.sqrt(2.0) * inside)
    return {
        DIRECT: levels(vectors(last, 2 * weights + 2 * stream), answers),
        OV: levels(token.through(parts.W_O, noise.weights), answers),
        QK: levels(asking, telling) / np.sqrt(parts.d_head),
    }


def left_out(paths: Paths, rank: int, pairs: tuple[Integers, Integers]) -> dict[str, Floats]:
    """Return what the explanation leaves out of the same differences, [tokens, pairs]."""
    first, second = pairs
    direct = paths.EU - paths.EU.mean(axis=0)
    u, s, v = np.linalg.svd(paths.EQKE)
    rest = (paths.EQKE - (u[:, :rank] * s[:rank]) @ v[:rank]) / np.sqrt(paths.d_head)
    return {
        DIRECT: direct[:, first] - direct[:, second],
        QK: rest[:, first] - rest[:, second],
    }


def washed(model: Model, noise: Noise, tokens: Integers, draws: int, rank: int = 1) -> Facts:
    """Return levels and the share of what the explanation leaves out that lies below them.

    Requires: one layer and one head without layer norm; ``tokens`` [inputs, n_ctx] are the inputs
              of the sampled level.
    """
    parts = parts_of(model)
    paths = decompose(model)
    pairs = pairs_of(min(len(parts.W_E), parts.W_U.shape[1]))
    level, rest = path_levels(parts, noise, pairs), left_out(paths, rank, pairs)
    found: Facts = {
        "noise": {
            "weights": noise.weights,
            "stream": noise.stream,
            "activations": noise.activations,
        },
        "level": {name: _rms(values) for name, values in level.items()},
        "left_out": {name: _rms(values) for name, values in rest.items()},
        "below": {
            name: float(np.mean(np.abs(values) < level[name])) for name, values in rest.items()
        },
        "ratio": {
            name: _rms(values) / _rms(level[name]) if _rms(level[name]) > 0 else None
            for name, values in rest.items()
        },
    }
    found["sampled"] = _rms(sampled(parts, noise, tokens, draws).std(axis=0, ddof=1))
    return found


def sampled(parts: Parts, noise: Noise, tokens: Integers, draws: int) -> Floats:
    """Return the logit of the maximum less that of the token before it (token 1, if the maximum is
    0) under noise, [draws, inputs].
    """
    generator = np.random.default_rng([SEED, draws, *tokens.shape])
    answers = tokens.max(axis=1)
    others = np.where(answers > 0, answers - 1, 1)
    places = np.arange(len(tokens))
    found = np.empty((draws, len(tokens)))
    for draw in range(draws):
        scores = _noisy_logits(parts, noise, tokens, generator)
        found[draw] = scores[places, answers] - scores[places, others]
    return found


def _noisy_logits(
    parts: Parts, noise: Noise, tokens: Integers, generator: np.random.Generator
) -> Floats:
    def noisy(values: Floats, size: float) -> Floats:
        return values + size * generator.standard_normal(values.shape) if size else values

    W_E, W_pos, W_Q, W_K, W_V, W_O, W_U = (
        noisy(matrix, noise.weights)
        for matrix in (
            parts.W_E,
            parts.W_pos,
            parts.W_Q,
            parts.W_K,
            parts.W_V,
            parts.W_O,
            parts.W_U,
        )
    )
    stream = noisy(W_E[tokens] + W_pos, noise.stream)
    query = noisy(stream[:, -1] @ W_Q, noise.activations)
    key = noisy(stream @ W_K, noise.activations)
    value = noisy(stream @ W_V, noise.activations)
    scores = np.einsum("bnh,bh->bn", key, query) / np.sqrt(parts.d_head)
    attention = np.exp(scores - scores.max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    moved = np.einsum("bn,bnh->bh", attention, value) @ W_O
    found: Floats = noisy(stream[:, -1] + moved, noise.stream) @ W_U
    return found


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
