"""The general architecture in PyTorch, differentiable, for training only.

The definition is that of ``certify.forward``, which spells it out; here it is
written for batches of tokens and for autograd.  Two things are done for speed:
only the last position goes through the end of the network where nothing else
is read, and a constant attention pattern is not computed from scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from certify.model.config import Config
from certify.model.tensors import optional_shapes, required_shapes

Weights = dict[str, Any]


def initial_weights(
    torch: Any, config: Config, d_hidden: int, generator: Any, *, biases: tuple[str, ...]
) -> Weights:
    """Return weights before training: matrices from N(0, (0.8/sqrt(d_model))^2), biases zero,
    layer-norm scales one.

    Requires: ``biases`` are the last parts of the names of the biases to have.
    Ensures:  the same generator state gives the same weights, drawn in the order of
              ``required_shapes``.
    """
    scale = 0.8 / math.sqrt(config.d_model)
    weights: Weights = {}
    for name, shape in required_shapes(config, d_hidden).items():
        if name.endswith(".w"):
            weights[name] = torch.ones(shape, dtype=torch.float32)
        elif name.endswith(".b"):
            weights[name] = torch.zeros(shape, dtype=torch.float32)
        else:
            weights[name] = torch.randn(shape, generator=generator, dtype=torch.float32) * scale
    for name, shape in optional_shapes(config, d_hidden).items():
        if name.rpartition(".")[2] in biases:
            weights[name] = torch.zeros(shape, dtype=torch.float32)
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def network_logits(torch: Any, weights: Mapping[str, Any], tokens: Any, config: Config) -> Any:
    """Return the logits, [batch, d_vocab_out], or [batch, n_ctx, d_vocab_out] for the readout
    ``all``.

    Requires: ``tokens`` [batch, n_ctx] of integers below d_vocab; a bias that ``weights`` lacks is
              zero.
    """
    residual = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"]
    for layer in range(config.n_layers):
        last_only = layer + 1 == config.n_layers and not config.pooled
        attended = _attention(
            torch, weights, f"blocks.{layer}.", residual, config, last_only=last_only
        )
        residual = (residual[:, -1:] if last_only else residual) + attended
        if not config.attn_only:
            residual = residual + _mlp(torch, weights, f"blocks.{layer}.", residual, config)
    residual = _normalised(torch, weights, "ln_final", residual, config)
    if not config.pooled:
        logits = residual @ weights["unembed.W_U"] + weights.get("unembed.b_U", 0.0)
        return logits[:, -1]
    pooled = residual.sum(dim=1) if config.read == "sum-pool-mlp" else residual.mean(dim=1)
    hidden = (pooled @ weights["head.W_1"] + weights.get("head.b_1", 0.0)).relu()
    return hidden @ weights["head.W_2"] + weights.get("head.b_2", 0.0)


def _attention(
    torch: Any,
    weights: Mapping[str, Any],
    block: str,
    residual: Any,
    config: Config,
    *,
    last_only: bool,
) -> Any:
    """Return what attention adds, at every position or at the last one only."""
    keys_of = _normalised(torch, weights, f"{block}ln1", residual, config)
    value = _per_head(weights, f"{block}attn.", "V", keys_of)
    n_ctx = config.n_ctx
    if config.mix == 0.0:
        pattern = torch.ones((1, 1, n_ctx, n_ctx), dtype=residual.dtype)
    else:
        key = _per_head(weights, f"{block}attn.", "K", keys_of)
        query = _per_head(weights, f"{block}attn.", "Q", keys_of[:, -1:] if last_only else keys_of)
        scores = query @ key.transpose(-1, -2) / math.sqrt(config.d_head)
        if config.attention_dir == "causal" and not last_only:
            scores = scores.masked_fill(
                ~torch.ones((n_ctx, n_ctx), dtype=torch.bool).tril(), -math.inf
            )
        pattern = config.mix * scores.softmax(dim=-1) + (1.0 - config.mix)
    if config.attention_dir == "causal" and config.mix != 1.0 and pattern.shape[-2] == n_ctx:
        pattern = pattern.tril()
    mixed = (pattern[..., -1:, :] if last_only else pattern) @ value
    output = torch.einsum("bhie,hed->bid", mixed, weights[f"{block}attn.W_O"])
    return output + weights.get(f"{block}attn.b_O", 0.0)


def _per_head(weights: Mapping[str, Any], attention: str, letter: str, rows: Any) -> Any:
    """Return queries, keys or values, [batch, head, position, d_head]."""
    bias = weights.get(f"{attention}b_{letter}")
    product = rows.unsqueeze(1) @ weights[f"{attention}W_{letter}"]
    return product if bias is None else product + bias[:, None, :]


def _mlp(torch: Any, weights: Mapping[str, Any], block: str, residual: Any, config: Config) -> Any:
    """Return what the MLP adds."""
    rows = _normalised(torch, weights, f"{block}ln2", residual, config)
    inner = rows @ weights[f"{block}mlp.W_in"] + weights.get(f"{block}mlp.b_in", 0.0)
    match config.act_fn:
        case "relu":
            active = inner.relu()
        case "gelu_new":
            active = torch.nn.functional.gelu(inner, approximate="tanh")
        case _:
            active = torch.nn.functional.silu(inner)
    return active @ weights[f"{block}mlp.W_out"] + weights.get(f"{block}mlp.b_out", 0.0)


def _normalised(
    torch: Any, weights: Mapping[str, Any], norm: str, rows: Any, config: Config
) -> Any:
    """Return the rows after layer norm, or as they are without."""
    if config.normalization_type is None:
        return rows
    centred = rows - rows.mean(dim=-1, keepdim=True)
    scaled = centred / torch.sqrt(
        centred.pow(2).mean(dim=-1, keepdim=True) + config.variance_offset
    )
    return (
        scaled
        if config.normalization_type == "LNPre"
        else scaled * weights[f"{norm}.w"] + weights[f"{norm}.b"]
    )
