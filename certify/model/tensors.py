"""Which tensors a model of a given architecture has, by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model.config import (
    Config,
    quoted,
)

Tensor: TypeAlias = NDArray[np.floating[Any]]


def hidden_size(tensors: Mapping[str, Tensor]) -> int:
    """Return the width of the hidden layer of the head, 1 where there is none to read it from."""
    weights = tensors.get("head.W_1")
    return int(weights.shape[1]) if weights is not None and weights.ndim == 2 else 1


def required_shapes(config: Config, d_hidden: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a model file must hold.

    Requires: ``d_hidden`` is the width of the head's hidden layer, where there is a head.
    """
    per_head = (config.n_heads, config.d_model, config.d_head)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (config.d_vocab, config.d_model),
        "pos_embed.W_pos": (config.n_ctx, config.d_model),
    }
    norms: list[str] = []
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.W_{letter}"] = per_head
        shapes[f"blocks.{layer}.attn.W_O"] = (config.n_heads, config.d_head, config.d_model)
        norms.append(f"blocks.{layer}.ln1")
        if config.d_mlp is not None:
            shapes[f"blocks.{layer}.mlp.W_in"] = (config.d_model, config.d_mlp)
            shapes[f"blocks.{layer}.mlp.W_out"] = (config.d_mlp, config.d_model)
            norms.append(f"blocks.{layer}.ln2")
    if config.normalization_type == "LN":
        shapes |= {
            f"{norm}.{part}": (config.d_model,) for norm in (*norms, "ln_final") for part in "wb"
        }
    if config.pooled:
        shapes["head.W_1"] = (config.d_model, d_hidden)
        shapes["head.W_2"] = (d_hidden, config.d_vocab_out)
    else:
        shapes["unembed.W_U"] = (config.d_model, config.d_vocab_out)
    return shapes


def optional_shapes(config: Config, d_hidden: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every bias that a model file may hold."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.b_{letter}"] = (config.n_heads, config.d_head)
        shapes[f"blocks.{layer}.attn.b_O"] = (config.d_model,)
        if config.d_mlp is not None:
            shapes[f"blocks.{layer}.mlp.b_in"] = (config.d_mlp,)
            shapes[f"blocks.{layer}.mlp.b_out"] = (config.d_model,)
    if config.pooled:
        shapes["head.b_1"] = (d_hidden,)
        shapes["head.b_2"] = (config.d_vocab_out,)
    else:
        shapes["unembed.b_U"] = (config.d_vocab_out,)
    return shapes


def require_tensors(tensors: Mapping[str, Tensor], config: Config, origin: str) -> None:
    """Refuse tensors that do not fit the configuration.

    Ensures: every required tensor is there, nothing unknown is, the shapes are
             those of the configuration, and every entry is finite.
    Errors:  ``BadInput`` naming the tensor.
    """
    d_hidden = hidden_size(tensors)
    required = required_shapes(config, d_hidden)
    shapes = required | optional_shapes(config, d_hidden)
    for name in required:
        if name not in tensors:
            raise BadInput(f"{origin}: tensor {name} is missing")
    for name, tensor in sorted(tensors.items()):
        if name not in shapes:
            raise BadInput(f"{origin}: tensor {quoted(name)} is not part of this architecture")
        if tensor.shape != shapes[name]:
            found, expected = list(tensor.shape), list(shapes[name])
            raise BadInput(
                f"{origin}: tensor {name} has shape {found}, the config asks for {expected}"
            )
        if tensor.size == 0:
            raise BadInput(
                f"{origin}: tensor {name} has shape {list(tensor.shape)}, which is empty"
            )
        if not np.all(np.isfinite(tensor)):
            raise BadInput(f"{origin}: tensor {name} holds NaN or infinity")
