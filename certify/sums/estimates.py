"""Estimates for every input of a model of two operands in a context, in floating point.

With pre_i what neuron i reads and M = W_out W_U:

    logit_j = sum_i relu(pre_i) M_ij + direct_j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model
from certify.model.forward import margins
from certify.question.question import Question

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tables:
    """Estimates for every input, in the order of the domain.

    ``active``: activations [inputs, neurons].  ``direct``: logits without neurons [inputs,
    outputs].  ``writing``: M.  ``right``: the right outputs [inputs].
    ``rows``: per input and position a row of ``tokens``: what a token adds to the neurons' inputs,
    position after position, if attention is constant.
    ``operands``: the rows of the first, and of the second operand.
    """

    active: Array
    direct: Array
    writing: Array
    right: Integers
    rows: Integers
    tokens: Array | None
    operands: tuple[slice, slice]

    def margins(self, columns: Array, right: Array) -> Array:
        """Return the margins if neurons write ``columns @ right``, [inputs]."""
        return self.margins_of(self.active @ columns @ right + self.direct)

    def margins_of(self, scores: Array) -> Array:
        """Return the margins of the logits of every input, [inputs, outputs]."""
        found: Array = margins(scores, self.right)
        return found

    def undecided(self, left: Array, right: Array) -> int:
        """Return on how many inputs ``left @ right`` leaves the answer open."""
        rest = np.ptp(self.writing - left @ right, axis=1)
        return int((np.abs(self.margins(left, right)) <= self.active @ rest).sum())


def fold(model: Model, question: Question) -> Tables:
    """Return the estimates of a model with one layer and a ReLU MLP."""
    config, part, domain = model.config, "blocks.0.attn.", question.domain
    places = domain.places_between(0, domain.inputs)
    embedding, positions = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    x = [embedding[list(tokens)] + positions[i] for i, tokens in enumerate(domain.tokens)]
    w_q, w_k, w_v, w_o = (model.tensor(f"{part}W_{letter}") for letter in "QKVO")
    b_q, b_v = model.bias(f"{part}b_Q"), model.bias(f"{part}b_V")
    last = places[:, -1]
    stream = x[-1][last] + model.bias(f"{part}b_O")
    for h in range(config.n_heads):
        written = [(row @ w_v[h] + b_v[h]) @ w_o[h] for row in x]
        pattern = np.ones(places.shape)
        if config.mix:
            query = (x[-1] @ w_q[h] + b_q[h]) / np.sqrt(config.d_head)
            scores = np.stack(
                [(query @ (row @ w_k[h]).T)[last, places[:, i]] for i, row in enumerate(x)], axis=1
            )
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares = weights / weights.sum(axis=1, keepdims=True)
            pattern = config.mix * shares + 1 - config.mix
        for i, row in enumerate(written):
            stream = stream + pattern[:, i, None] * row[places[:, i]]
    inside, outside = model.tensor("blocks.0.mlp.W_in"), model.tensor("blocks.0.mlp.W_out")
    before = stream @ inside + model.bias("blocks.0.mlp.b_in")
    unembed = model.tensor("unembed.W_U")
    direct = (stream + model.bias("blocks.0.mlp.b_out")) @ unembed + model.bias("unembed.b_U")
    starts = np.cumsum([0, *domain.sizes[:-1]])
    first, second = (slice(starts[i], starts[i] + domain.sizes[i]) for i in domain.operands)
    return Tables(
        active=np.maximum(before, 0),
        direct=direct,
        writing=outside @ unembed,
        right=question.right(places)[:, 0],
        rows=places + starts,
        tokens=_by_token(before, places, domain.sizes) if config.mix == 0 else None,
        operands=(first, second),
    )


def _by_token(before: Array, places: Integers, sizes: tuple[int, ...]) -> Array:
    """Return what each token of each position adds to ``before``, which is a sum over positions."""
    found = []
    for i, size in enumerate(sizes):
        at = [int(np.ravel_multi_index(tuple(row), sizes)) for row in _moving(places, i, size)]
        own = before[at]
        found.append(own if i == len(sizes) - 1 else own - before[0])
    return np.concatenate(found)


def _moving(places: Integers, position: int, size: int) -> Integers:
    """Return the inputs with the first token everywhere, but any token at one position."""
    rows = np.zeros((size, places.shape[1]), dtype=np.int64)
    rows[:, position] = np.arange(size)
    return rows
