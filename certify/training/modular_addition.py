"""Train one layer with a ReLU MLP on modular addition."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from certify.errors import BadInput
from certify.model.config import Config
from certify.model.tensors import Tensor
from certify.training.architecture import Architecture, Progress, require_rates
from certify.training.network import Weights, initial_weights
from certify.training.pytorch import deterministic, finished, import_torch, require_sizes

ADDITION = Architecture(layers=1, heads=4, d_model=128, d_mlp=512)


@dataclass(frozen=True, slots=True)
class AdditionRecipe:
    """What training on modular addition depends on besides the modulus and the attention."""

    seed: int = 0
    steps: int = 10_000
    learning_rate: float = 0.001
    weight_decay: float = 1.0
    fraction: float = 0.8
    warm_up: int = 10


def train_modular_addition(
    modulus: int,
    attention: str,
    recipe: AdditionRecipe | None = None,
    architecture: Architecture | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Tensor], Config]:
    """Return the float32 tensors and the configuration of a model trained to add modulo
    ``modulus``.

    Requires: ``attention`` is ``constant`` or ``softmax``; ``progress``, if
              given, is called with the finished steps and the loss.
    Ensures:  the same arguments and PyTorch build give the same bytes.
    Errors:   ``Unsupported`` if PyTorch is not installed; ``BadInput`` if a
              size is out of range or training diverges.
    Cost:     at p = 59, about 0.02 (constant) and 0.05 (softmax) seconds a step.
    """
    recipe = recipe or AdditionRecipe()
    architecture = architecture or ADDITION
    require_sizes({"modulus": modulus, "steps": recipe.steps})
    require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
    if not 0.0 < recipe.fraction <= 1.0:
        raise BadInput("train: fraction must be above 0 and at most 1")
    if (
        architecture.layers,
        architecture.act,
        architecture.normalization,
        architecture.readout,
    ) != (1, "relu", None, "last"):
        raise BadInput(
            "train: modular addition is trained with one layer, ReLU, no layer norm, read at the last position"
        )
    torch = import_torch()
    config = dataclasses.replace(
        architecture.config(d_vocab=modulus, d_vocab_out=modulus, n_ctx=2),
        attention_dir="bidirectional",
        attention_mix=(0.0 if attention == "constant" else 1.0).hex(),
    )
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        weights = initial_weights(torch, config, 1, generator, biases=("b_in", "b_out"))
        chosen = torch.randperm(modulus * modulus, generator=generator)[
            : max(1, round(recipe.fraction * modulus**2))
        ]
        first, second = chosen // modulus, chosen % modulus
        _fit_addition(
            torch, weights, config, recipe, (first, second, (first + second) % modulus), progress
        )
    if attention == "constant":
        weights |= {
            name: torch.zeros_like(weight)
            for name, weight in weights.items()
            if name.endswith(("W_Q", "W_K"))
        }
    return finished(weights), config


def addition_logits(
    torch: Any, weights: Mapping[str, Any], first: Any, second: Any, config: Config
) -> Any:
    """Return the logits at the last of two positions, [batch, d_vocab_out]: one layer with a ReLU
    MLP.

    The first layer's work is done once for each token and position, since what
    follows the embedding is linear up to the attention pattern.
    """
    rows = weights["embed.W_E"] + weights["pos_embed.W_pos"][:, None, :]
    attention = "blocks.0.attn."
    values = rows[:, None] @ weights[f"{attention}W_V"] @ weights[f"{attention}W_O"]
    W_in, b_in = weights["blocks.0.mlp.W_in"], weights["blocks.0.mlp.b_in"]
    W_U = weights["unembed.W_U"]
    if config.mix == 0.0:
        left = values[0].sum(dim=0)
        right = values[1].sum(dim=0) + rows[1]
        inner = (left @ W_in)[first] + (right @ W_in + b_in)[second]
        direct = (left @ W_U)[first] + (right @ W_U)[second]
    else:
        query = rows[1] @ weights[f"{attention}W_Q"]
        key = rows[:, None] @ weights[f"{attention}W_K"]
        scores = (query @ key.transpose(-1, -2)) / math.sqrt(config.d_head)
        seen = torch.stack([scores[0][:, second, first], scores[1][:, second, second]])
        pattern = config.mix * seen.softmax(dim=0) + (1.0 - config.mix)
        attended = torch.einsum("hb,hbd->bd", pattern[0], values[0][:, first])
        attended = attended + torch.einsum("hb,hbd->bd", pattern[1], values[1][:, second])
        residual = rows[1][second] + attended
        inner = residual @ W_in + b_in
        direct = residual @ W_U
    return (
        inner.relu() @ (weights["blocks.0.mlp.W_out"] @ W_U)
        + direct
        + weights["blocks.0.mlp.b_out"] @ W_U
    )


def _fit_addition(
    torch: Any,
    weights: Weights,
    config: Config,
    recipe: AdditionRecipe,
    examples: tuple[Any, Any, Any],
    progress: Progress | None,
) -> None:
    """Update ``weights`` in place, on all examples in every step."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    optimiser = torch.optim.AdamW(weights.values(), lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    first, second, answers = examples
    every = max(1, recipe.steps // 200)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = (
                recipe.learning_rate * min(1.0, step / recipe.warm_up)
                if recipe.warm_up
                else recipe.learning_rate
            )
        logits = addition_logits(torch, weights, first, second, config)
        loss = torch.nn.functional.nll_loss(logits.to(torch.float64).log_softmax(dim=-1), answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress is not None and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            progress(step + 1, float(loss.item()))
