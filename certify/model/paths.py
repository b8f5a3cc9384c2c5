"""The path decomposition of a one-layer, one-head, attention-only transformer, in float64.

With E = W_E, P = W_pos, n = n_ctx and E~[q] = E[q] + P[n-1] (the query token as
it looks at the last position)::

    EU   = E~ W_U + (b_V W_O + b_O) W_U + b_U     direct path       [V, V_out]
    EVOU = E W_V W_O W_U                          OV circuit        [V, V_out]
    PVOU = P W_V W_O W_U                          OV of positions   [n, V_out]
    EQKE = (E~ W_Q + b_Q) (E W_K)^T               QK circuit        [V, V]
    EQKP = (E~ W_Q + b_Q) (P W_K)^T               QK of positions   [V, n]

The scores are *not* divided by sqrt(d_head) here.  Then, for an input x with
query token q = x[n-1]::

    a      = softmax_i((EQKE[q, x_i] + EQKP[q, i]) / sqrt(d_head))
    logits = EU[q] + sum_i a_i (EVOU[x_i] + PVOU[i])

b_K adds a constant to every score of a query, which softmax ignores, and b_V
enters the direct path because the attention weights sum to one.  These are
estimates of the exact matrices: the checker computes its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.config import require_one_layer
from certify.model.file import Model


@dataclass(frozen=True, slots=True)
class Paths:
    """The five path matrices (module docstring) and the head dimension that scales the scores."""

    EU: NDArray[np.float64]
    EVOU: NDArray[np.float64]
    PVOU: NDArray[np.float64]
    EQKE: NDArray[np.float64]
    EQKP: NDArray[np.float64]
    d_head: int


def decompose(model: Model) -> Paths:
    """Return the path matrices of a model.

    Ensures:  float64 matrices within rounding of the exact ones.
    Errors:   ``Unsupported`` if the model is not one layer of attention with one head.
    Cost:     (V + n) d_model^2 + (V + n) d_model V_out multiplications or so.
    Source:   arXiv 2406.11779, with biases folded in.
    """
    require_one_layer(model.config, "the path decomposition")
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_Q, W_K, W_V, W_O = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QKVO")
    b_Q, b_V = model.bias("blocks.0.attn.b_Q")[0], model.bias("blocks.0.attn.b_V")[0]
    b_O, b_U = model.bias("blocks.0.attn.b_O"), model.bias("unembed.b_U")
    W_U = model.tensor("unembed.W_U")
    last = W_E + W_pos[-1]
    query = last @ W_Q + b_Q
    OVU = W_V @ W_O @ W_U
    return Paths(
        EU=(last + (b_V @ W_O + b_O)) @ W_U + b_U,
        EVOU=W_E @ OVU,
        PVOU=W_pos @ OVU,
        EQKE=query @ (W_E @ W_K).T,
        EQKP=query @ (W_pos @ W_K).T,
        d_head=model.config.d_head,
    )
