"""One layer with a ReLU MLP on the context ``x y =``, for training only.

The sign is the last token of the vocabulary, and the answer is read where it
stands.  So the query is the same for all inputs, and scores and values are
tables by token: what is left to do for an input is a softmax over three scores
for each head, and the MLP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from certify.model.config import Config


def logits_at_sign(
    torch: Any, weights: Mapping[str, Any], first: Any, second: Any, config: Config
) -> Any:
    """Return the logits at the last of three positions, [batch, d_vocab_out].

    Requires: ``config`` has one layer with a ReLU MLP, no layer norm and n_ctx = 3; ``first`` and
              ``second`` [batch] of tokens below the sign, which is d_vocab - 1.
    Ensures:  the network of ``certify.model.forward`` on the inputs ``first, second, sign``.
    """
    sign = config.d_vocab - 1
    rows = weights["embed.W_E"] + weights["pos_embed.W_pos"][:, None, :]
    last = rows[2, sign]
    attention = "blocks.0.attn."
    W_O = weights[f"{attention}W_O"].reshape(-1, config.d_model)
    shares = _shares(torch, weights, rows, (first, second), config)
    # By token and head, so that an input's values are one row.
    values = torch.einsum("itd,hde->ithe", rows, weights[f"{attention}W_V"])
    mixed = (
        shares[0][:, :, None] * values[0].index_select(0, first)
        + shares[1][:, :, None] * values[1].index_select(0, second)
        + shares[2][:, :, None] * values[2, sign]
    )
    residual = last + mixed.flatten(start_dim=1) @ W_O
    inner = residual @ weights["blocks.0.mlp.W_in"] + weights["blocks.0.mlp.b_in"]
    W_U = weights["unembed.W_U"]
    written = inner.relu() @ (weights["blocks.0.mlp.W_out"] @ W_U)
    return written + residual @ W_U + weights["blocks.0.mlp.b_out"] @ W_U


def _shares(
    torch: Any, weights: Mapping[str, Any], rows: Any, operands: tuple[Any, Any], config: Config
) -> Any:
    """Return the weight of each position, [position, batch, head], as the attention mix has it."""
    batch = len(operands[0])
    if config.mix == 0.0:
        return torch.ones((3, batch, config.n_heads), dtype=rows.dtype)
    sign = config.d_vocab - 1
    query = rows[2, sign] @ weights["blocks.0.attn.W_Q"]
    key = rows[:, None] @ weights["blocks.0.attn.W_K"]
    # For each position and token, a column for each head.
    scores = torch.einsum("ihte,he->ith", key, query) / math.sqrt(config.d_head)
    seen = torch.stack(
        [
            scores[0].index_select(0, operands[0]),
            scores[1].index_select(0, operands[1]),
            scores[2, sign].expand(batch, config.n_heads),
        ]
    )
    return config.mix * seen.softmax(dim=0) + (1.0 - config.mix)
