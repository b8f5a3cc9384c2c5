"""Estimates for every input of a model that adds two tokens, in floating point.

With U, V the activations by first and by second token and M = W_out W_U:

    logit_j = sum_i relu(U_ai + V_bi) M_ij + direct_j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model
from certify.model.forward import margins

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tables:
    """Estimates for every input [first, second]: activations, direct logits; M; and U over V, if
    attention is constant.
    """

    active: Array
    direct: Array
    writing: Array
    tokens: Array | None

    def margins(self, columns: Array, right: Array) -> Array:
        """Return the margins if neurons write ``columns @ right``."""
        return margins_of_pairs(
            (self.active.reshape(-1, len(columns)) @ columns @ right).reshape(self.direct.shape)
            + self.direct
        )

    def undecided(self, left: Array, right: Array) -> int:
        """Return on how many inputs ``left @ right`` leaves the answer open."""
        rest = np.ptp(self.writing - left @ right, axis=1)
        return int((np.abs(self.margins(left, right)) <= self.active @ rest).sum())


def margins_of_pairs(scores: Array) -> Array:
    """Return the margins of the logits of every pair of tokens, [first, second, answer]."""
    tokens = np.arange(len(scores))
    found: Array = margins(scores, (tokens[:, None] + tokens) % len(scores))
    return found


def fold(model: Model) -> Tables:
    """Return the estimates of a model with one layer, two positions and a ReLU MLP."""
    config, part = model.config, "blocks.0.attn."
    first, second = (model.tensor("embed.W_E") + row for row in model.tensor("pos_embed.W_pos"))
    heads = range(config.n_heads)
    w_q, w_k, w_v, w_o = (model.tensor(f"{part}W_{letter}") for letter in "QKVO")
    b_q, b_v = model.bias(f"{part}b_Q"), model.bias(f"{part}b_V")
    stream = (second + model.bias(f"{part}b_O"))[None]
    for h in heads:
        scores = [
            ((second @ w_q[h] + b_q[h]) @ (x @ w_k[h]).T) / np.sqrt(config.d_head)
            for x in (first, second)
        ]
        with np.errstate(over="ignore"):
            share = 1 / (1 + np.exp(np.diag(scores[1])[:, None] - scores[0])).T[..., None]
        parts = [(x @ w_v[h] + b_v[h]) @ w_o[h] for x in (first, second)]
        mixed = [config.mix * x + 1 - config.mix for x in (share, 1 - share)]
        stream = stream + mixed[0] * parts[0][:, None] + mixed[1] * parts[1][None]
    stream = np.broadcast_to(stream, (len(first), len(first), config.d_model))
    inside, outside = model.tensor("blocks.0.mlp.W_in"), model.tensor("blocks.0.mlp.W_out")
    before = stream @ inside + model.bias("blocks.0.mlp.b_in")
    direct = (stream + model.bias("blocks.0.mlp.b_out")) @ model.tensor("unembed.W_U") + model.bias(
        "unembed.b_U"
    )
    tokens = np.concatenate([before[:, 0] - before[0, 0], before[0]]) if config.mix == 0 else None
    return Tables(np.maximum(before, 0), direct, outside @ model.tensor("unembed.W_U"), tokens)
