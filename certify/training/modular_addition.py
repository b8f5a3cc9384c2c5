"""Train one layer with a ReLU MLP on modular addition, bitwise reproducibly for each seed.

The recipe is that of the grokking literature (the released code of Gross et al., "Modular addition
without black-boxes", arXiv 2412.03773): one layer, four heads, width 128, an MLP of 512 ReLUs, no
biases but the MLP's; every weight drawn from N(0, (0.8/sqrt(d_model))^2); AdamW with learning rate
0.001, weight decay 1 and betas 0.9 and 0.98; a linear warm-up of ten steps; the whole training set,
four fifths of all pairs, in every step; the log-softmax in float64.  With constant attention every
key has weight 1, as in Zhong et al. (arXiv 2306.17844), not 1/2.  Its W_Q and W_K have no effect
and are written as zeros.

With an equals sign the input is ``a b =``: the sign is the token after the
numbers, attention is causal, the answer is read where the sign stands, and the
sign is an output too, as in the models of Nanda et al. (arXiv 2301.05217).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model.config import Config
from certify.model.tensors import Tensor
from certify.question.rules import MODULAR_ADDITION
from certify.training.architecture import Architecture, require_rates
from certify.training.equals_sign import logits_at_sign
from certify.training.full_batch import falling, fit
from certify.training.network import initial_weights
from certify.training.pytorch import deterministic, finished, import_torch, require_sizes
from certify.training.recipe import (
    Part,
    Report,
    Trainable,
    decay,
    flag,
    learning_rate,
    seed,
    setting,
    weight_decay,
)

ADDITION = Architecture(layers=1, heads=4, d_model=128, d_mlp=512)


@dataclass(frozen=True, slots=True)
class AdditionRecipe:
    """What training on modular addition depends on besides the modulus and the attention."""

    seed: int = seed("training set")
    steps: int = setting("Steps, each on the whole training set.", 10_000, least=1)
    learning_rate: float = learning_rate()
    weight_decay: float = weight_decay(1.0)
    fraction: float = setting("Share of all pairs to train on.", 0.8, above=0, most=1)
    decay: float = decay()
    warm_up: int = 10

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of one step: rising over the warm-up, linear to zero over the
        last ``decay``.
        """
        rising = min(1.0, step / self.warm_up) if self.warm_up else 1.0
        return falling(self.learning_rate * rising, self.decay, self.steps, step)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the task is, and which attention learns it: softmax if None and there is a sign."""

    modulus: int = setting("Both numbers and the answer are below it.", least=2, most=512)
    attention: str | None = setting(
        "Weight 1 on every position, or ordinary attention; without this option constant, and"
        " softmax with --equals-sign.",
        None,
        choices=("constant", "softmax"),
    )
    equals_sign: bool = flag("Inputs are A B =, the sign is token P, and the answer is read there.")

    @property
    def weighted(self) -> str:
        """Return which attention is trained."""
        return self.attention or ("softmax" if self.equals_sign else "constant")


def train_modular_addition(
    modulus: int,
    attention: str,
    recipe: AdditionRecipe | None = None,
    architecture: Architecture | None = None,
    progress: Report | None = None,
    *,
    equals_sign: bool = False,
) -> tuple[dict[str, Tensor], Config]:
    """Return the float32 tensors and the configuration of a model trained to add modulo
    ``modulus``.

    Requires: ``attention`` is ``constant`` or ``softmax``; ``progress``, if
              given, is called with the finished steps and the loss.
    Ensures:  the same arguments and PyTorch build give the same bytes.
    Errors:   ``Unsupported`` if PyTorch is not installed; ``BadInput`` if a
              size is out of range or training diverges.
    Cost:     at p = 59, about 0.02 (constant) and 0.05 (softmax) seconds a step; at p = 113 with an
              equals sign, softmax and half of the pairs, about 0.1.
    """
    recipe = recipe or AdditionRecipe()
    architecture = architecture or ADDITION
    require_sizes({"modulus": modulus, "steps": recipe.steps})
    require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
    if not 0.0 < recipe.fraction <= 1.0:
        raise BadInput("train: fraction must be above 0 and at most 1")
    if not 0.0 <= recipe.decay <= 1.0:
        raise BadInput("train: lr-decay must be between 0 and 1")
    if (
        architecture.layers,
        architecture.act,
        architecture.normalization,
        architecture.readout,
    ) != (1, "relu", None, "last"):
        raise BadInput(
            "train: modular addition is trained with one layer, ReLU, no layer norm, read at the"
            " last position"
        )
    torch = import_torch()
    config = _config(modulus, attention, architecture, equals_sign=equals_sign)
    logits = logits_at_sign if equals_sign else addition_logits
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        weights = initial_weights(torch, config, 1, generator, biases=("b_in", "b_out"))
        chosen = torch.randperm(modulus * modulus, generator=generator)[
            : max(1, round(recipe.fraction * modulus**2))
        ]
        first, second = chosen // modulus, chosen % modulus
        optimiser = torch.optim.AdamW(
            weights.values(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
        )
        fit(
            torch,
            optimiser,
            lambda: logits(torch, weights, first, second, config),
            (first + second) % modulus,
            steps=recipe.steps,
            learning_rate_at=recipe.learning_rate_at,
            progress=progress,
        )
    if attention == "constant":
        weights |= {
            name: torch.zeros_like(weight)
            for name, weight in weights.items()
            if name.endswith(("W_Q", "W_K"))
        }
    return finished(weights), config


def _config(
    modulus: int, attention: str, architecture: Architecture, *, equals_sign: bool
) -> Config:
    """Return the configuration: the sign is one more token, output and position."""
    tokens = modulus + 1 if equals_sign else modulus
    usual = architecture.config(d_vocab=tokens, d_vocab_out=tokens, n_ctx=3 if equals_sign else 2)
    return dataclasses.replace(
        usual,
        attention_dir="causal" if equals_sign else "bidirectional",
        attention_mix=(0.0 if attention == "constant" else 1.0).hex(),
    )


def addition_inputs(
    modulus: int, *, equals_sign: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all inputs, [modulus^2, n_ctx], and their answers, [modulus^2]."""
    first, second = np.divmod(np.arange(modulus**2), modulus)
    positions = [first, second]
    if equals_sign:
        positions.append(np.full(modulus**2, modulus))
    return np.stack(positions, axis=1), (first + second) % modulus


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


def _told(
    sizes: Sizes, architecture: Architecture, recipe: AdditionRecipe, steps: int, loss: float
) -> list[str]:
    sign = ", equals sign" if sizes.equals_sign else ""
    return [
        f"modular addition, modulus {sizes.modulus}{sign}, {sizes.weighted} attention,"
        f" seed {recipe.seed}, {recipe.steps} steps"
    ]


TRAINABLE = Trainable(
    task=MODULAR_ADDITION,
    about="""Train one layer with a ReLU MLP to answer (A + B) mod P, read at the last position.

    The same options give the same file.  Ten thousand steps at modulus 59 take
    four minutes with constant attention and nine with softmax.

    \b
      certify train modular-addition --modulus 59 --seed 0 --out model.safetensors
      certify train modular-addition --modulus 113 --equals-sign \\
        --fraction 0.5 --lr 0.002 --steps 4000 --lr-decay 0.25 --out sign.safetensors
    """,
    parts=(Part(Sizes), Part(ADDITION, ("heads", "d_model", "d_mlp")), Part(AdditionRecipe())),
    steps=lambda sizes, architecture, recipe: recipe.steps,
    train=lambda sizes, architecture, recipe, report: train_modular_addition(
        sizes.modulus,
        sizes.weighted,
        recipe,
        architecture,
        report,
        equals_sign=sizes.equals_sign,
    ),
    measured=lambda loss: f"loss {loss:.2e}",
    told=_told,
    domain=lambda sizes, architecture, recipe: addition_inputs(
        sizes.modulus, equals_sign=sizes.equals_sign
    ),
)
