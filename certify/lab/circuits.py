"""The circuits of a one-layer, one-head model as factors that can be replaced one by one.

With the names of ``certify.model.paths``::

    EQKE = query key^T          query [V, h],  key   [V, h]
    EQKP = query key_at^T       key_at [n, h]
    EVOU = value out            value [V, m],  out   [m, V_out]
    PVOU = value_at out         value_at [n, m]
    EU   = direct unembed + offset      direct [V, p], unembed [p, V_out], offset [V_out]

In a model file one matrix serves several paths: W_E is read by the queries, the keys, the values
and the unembedding.  ``model_of`` writes factors as a model in which each has coordinates of its
own, so that one circuit can be replaced and the others stay: the residual stream is ::

    [ direct | query | key | value | out ]

and W_Q, W_K, W_V, W_O select blocks.  The stream is p + 2 h + 2 m wide.  What attention moves is
written to the last block, which no query, key or value reads.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.config import Config, require_one_layer
from certify.model.file import Model
from certify.model.paths import Paths
from certify.model.tensors import Tensor

Floats = NDArray[np.float64]

WIDEST_STREAM = 1024
"""The largest d_model that is supported (SPEC-3.5)."""


@dataclass(frozen=True, slots=True)
class Circuits:
    """The factors of the module docstring, in float64; scores are divided by sqrt(d_head)."""

    query: Floats
    key: Floats
    key_at: Floats
    value: Floats
    value_at: Floats
    out: Floats
    direct: Floats
    unembed: Floats
    offset: Floats
    d_head: int

    def paths(self) -> Paths:
        """Return the path matrices.

        Cost: the products of the factors.
        """
        return Paths(
            EU=self.direct @ self.unembed + self.offset,
            EVOU=self.value @ self.out,
            PVOU=self.value_at @ self.out,
            EQKE=self.query @ self.key.T,
            EQKP=self.query @ self.key_at.T,
            d_head=self.d_head,
        )


def circuits_of(model: Model) -> Circuits:
    """Return the factors of a model: h = m = d_head, p = d_model.

    Errors: ``Unsupported`` if the model is not one layer of attention with one head.
    """
    require_one_layer(model.config, "the circuits")
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_Q, W_K, W_V, W_O = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QKVO")
    b_Q, b_V = model.bias("blocks.0.attn.b_Q")[0], model.bias("blocks.0.attn.b_V")[0]
    W_U = model.tensor("unembed.W_U")
    last = W_E + W_pos[-1]
    return Circuits(
        query=last @ W_Q + b_Q,
        key=W_E @ W_K,
        key_at=W_pos @ W_K,
        value=W_E @ W_V,
        value_at=W_pos @ W_V,
        out=W_O @ W_U,
        direct=last + (b_V @ W_O + model.bias("blocks.0.attn.b_O")),
        unembed=W_U,
        offset=model.bias("unembed.b_U"),
        d_head=model.config.d_head,
    )


def model_of(circuits: Circuits, dtype: type = np.float32) -> tuple[dict[str, Tensor], Config]:
    """Return a model whose circuits are these, each with coordinates of its own.

    Requires: p + 2 h + 2 m is at most 1 024.
    Ensures:  the factors of the model are those given, each entry rounded once to ``dtype``; where
              h is not d_head, so are the queries after a factor that keeps the scores.  The answer
              is read at the last position, where every query stands.
    """
    vocab, p = circuits.direct.shape
    n_ctx, h = circuits.key_at.shape
    m, outputs = circuits.out.shape
    d_head = max(h, m)
    edges = np.cumsum([0, p, h, h, m, m])
    direct, query, key, value, moved = (
        slice(int(first), int(last)) for first, last in itertools.pairwise(edges)
    )
    d_model = int(edges[-1])
    if d_model > WIDEST_STREAM:
        raise ValueError(f"the stream would be {d_model} wide")
    W_E, W_pos = np.zeros((vocab, d_model)), np.zeros((n_ctx, d_model))
    W_E[:, direct] = circuits.direct
    W_E[:, query] = circuits.query * math.sqrt(d_head / circuits.d_head)
    W_E[:, key], W_pos[:, key] = circuits.key, circuits.key_at
    W_E[:, value], W_pos[:, value] = circuits.value, circuits.value_at
    W_U = np.zeros((d_model, outputs))
    W_U[direct], W_U[moved] = circuits.unembed, circuits.out
    selects = {
        "W_Q": (query, h),
        "W_K": (key, h),
        "W_V": (value, m),
    }
    tensors: dict[str, Tensor] = {
        "embed.W_E": W_E.astype(dtype),
        "pos_embed.W_pos": W_pos.astype(dtype),
        "unembed.W_U": W_U.astype(dtype),
    }
    for name, (block, width) in selects.items():
        matrix = np.zeros((1, d_model, d_head), dtype=dtype)
        matrix[0, block, :width] = np.eye(width, dtype=dtype)
        tensors[f"blocks.0.attn.{name}"] = matrix
    W_O = np.zeros((1, d_head, d_model), dtype=dtype)
    W_O[0, :m, moved] = np.eye(m, dtype=dtype)
    tensors["blocks.0.attn.W_O"] = W_O
    if np.any(circuits.offset):
        tensors["unembed.b_U"] = circuits.offset.astype(dtype)
    config = Config(d_vocab=vocab, d_vocab_out=outputs, n_ctx=n_ctx, d_model=d_model, d_head=d_head)
    return tensors, config
