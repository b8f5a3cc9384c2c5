"""The forward pass of the general architecture in float64, for batches of inputs: an estimate.

For tokens t, position i, layer L and head h (TransformerLens's definition)::

    x[i]  = W_E[t[i]] + W_pos[i]
    q, k, v = norm1(x) W_Q + b_Q, norm1(x) W_K + b_K, norm1(x) W_V + b_V         for each head
    a[i]  = c * softmax_j(q[i] . k[j] / sqrt(d_head)) + (1 - c)                  over the keys j
    that i sees
    x    += sum_h (sum_j a[i, j] v[j]) W_O + b_O
    x    += act(norm2(x) W_in + b_in) W_out + b_out                              with an MLP

where position i sees every key if attention is bidirectional and the keys up to
i if it is causal, and c is ``attention_mix``: at c = 0 every key that is seen
has weight 1, however many there are.  ``norm`` is the identity without layer
norm, ``(x - mean) / sqrt(variance + eps)`` with ``LNPre``, and that times w plus
b with ``LN``.  At the end, y = norm_final(x) is read:

``last``                 ``y W_U + b_U`` at the positions that are read, usually the last
``sum-pool-mlp``         ``relu(z W_1 + b_1) W_2 + b_2`` with z the sum of y over the positions
``mean-pool-mlp``        the same with their mean

The activation ``gelu_new`` is the tanh form, ``x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

LARGEST_BATCH_ENTRIES = 1 << 22


def batch_size(model: Model) -> int:
    """Return how many inputs to pass to ``logits`` at once, so that no intermediate array takes
    more than 32 MiB.
    """
    config = model.config
    widest = max(
        config.d_model,
        config.d_mlp or 0,
        config.n_heads * max(config.d_head, config.n_ctx),
        config.d_vocab_out,
    )
    return max(1, LARGEST_BATCH_ENTRIES // (config.n_ctx * widest))


def logits(model: Model, tokens: Tokens, read: Sequence[int] | None = None) -> Floats:
    """Return the logits at the last position or of a pooled readout, [batch, d_vocab_out]; at the
    positions in ``read``, if that is given, [batch, len(read), d_vocab_out].

    Requires: ``tokens`` [batch, n_ctx], each in 0 .. d_vocab - 1; no ``read`` where the readout
              pools all positions.
    Cost:     the multiplications of the network for every input; the last layer is computed where
              it is read only.
    """
    config = model.config
    reads = [config.n_ctx - 1] if read is None else list(read)
    residual = model.tensor("embed.W_E")[tokens] + model.tensor("pos_embed.W_pos")
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        is_read = layer + 1 == config.n_layers and not config.pooled
        queries = reads if is_read else list(range(config.n_ctx))
        residual = residual[:, queries] + _attention(
            model, block, _normalised(model, f"{block}ln1", residual), queries
        )
        if not config.attn_only:
            residual = residual + _mlp(model, block, _normalised(model, f"{block}ln2", residual))
    residual = _normalised(model, "ln_final", residual)
    if not config.pooled:
        scores: Floats = residual @ model.tensor("unembed.W_U") + model.bias("unembed.b_U")
        return scores[:, 0] if read is None else scores
    pooled = residual.sum(axis=1) if config.read == "sum-pool-mlp" else residual.mean(axis=1)
    hidden = np.maximum(pooled @ model.tensor("head.W_1") + model.bias("head.b_1"), 0.0)
    result: Floats = hidden @ model.tensor("head.W_2") + model.bias("head.b_2")
    return result


def margins(scores: Floats, answers: Tokens) -> Floats:
    """Return the logit of each answer less the largest other one; infinity if there is no other.

    Requires: ``scores`` [..., outputs]; ``answers`` [...], each an index of the outputs.
    """
    places = answers[..., None]
    others = scores.copy()
    np.put_along_axis(others, places, -np.inf, axis=-1)
    right = np.take_along_axis(scores, places, axis=-1)[..., 0]
    found: Floats = right - others.max(axis=-1)
    return found


def _attention(model: Model, block: str, rows: Floats, queries: list[int]) -> Floats:
    """Return what attention adds at the chosen positions, [batch, chosen, d_model], from the
    normalised residuals.
    """
    config = model.config
    query = _per_head(model, block, "Q", rows[:, queries])
    key, value = _per_head(model, block, "K", rows), _per_head(model, block, "V", rows)
    scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(config.d_head)
    seen = np.ones((config.n_ctx, config.n_ctx), dtype=bool)
    if config.attention_dir == "causal":
        seen = np.tril(seen)
    seen = seen[queries]
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    pattern = config.mix * (weights / weights.sum(axis=-1, keepdims=True)) + np.where(
        seen, 1.0 - config.mix, 0.0
    )
    mixed = (pattern @ value).transpose(0, 2, 1, 3)
    flat = mixed.reshape(-1, config.n_heads * config.d_head) @ model.tensor(
        f"{block}attn.W_O"
    ).reshape(-1, config.d_model)
    result: Floats = flat.reshape(len(rows), -1, config.d_model) + model.bias(f"{block}attn.b_O")
    return result


def _per_head(model: Model, block: str, letter: str, rows: Floats) -> Floats:
    """Return queries, keys or values, [batch, head, position, d_head], as one matrix product."""
    config = model.config
    joined = model.tensor(f"{block}attn.W_{letter}").transpose(1, 0, 2).reshape(config.d_model, -1)
    flat = rows.reshape(-1, config.d_model) @ joined + model.bias(f"{block}attn.b_{letter}").ravel()
    return flat.reshape(len(rows), -1, config.n_heads, config.d_head).transpose(0, 2, 1, 3)


def _mlp(model: Model, block: str, rows: Floats) -> Floats:
    """Return what the MLP adds."""
    inner = rows @ model.tensor(f"{block}mlp.W_in") + model.bias(f"{block}mlp.b_in")
    match model.config.act_fn:
        case "relu":
            active = np.maximum(inner, 0.0)
        case "gelu_new":
            active = (
                0.5
                * inner
                * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (inner + 0.044715 * inner**3)))
            )
        case _:
            active = inner / (1.0 + np.exp(-inner))
    result: Floats = active @ model.tensor(f"{block}mlp.W_out") + model.bias(f"{block}mlp.b_out")
    return result


def _normalised(model: Model, norm: str, rows: Floats) -> Floats:
    """Return the rows after layer norm, or as they are without."""
    config = model.config
    if config.normalization_type is None:
        return rows
    centred = rows - rows.mean(axis=-1, keepdims=True)
    scaled: Floats = centred / np.sqrt(
        (centred**2).mean(axis=-1, keepdims=True) + config.variance_offset
    )
    return (
        scaled
        if config.normalization_type == "LNPre"
        else scaled * model.tensor(f"{norm}.w") + model.tensor(f"{norm}.b")
    )
