"""Train transformers on modular addition and on balanced brackets, bitwise reproducibly for each
seed.

Modular addition follows the published recipe of the grokking literature (the
released code of Gross et al., "Modular addition without black-boxes", arXiv
2412.03773): one layer, four heads, width 128, an MLP of 512 ReLUs, no biases
but the MLP's; every weight drawn from N(0, (0.8/sqrt(d_model))^2); AdamW with
learning rate 0.001, weight decay 1 and betas 0.9 and 0.98; a linear warm-up of
ten steps; the whole training set, four fifths of all pairs, in every step; the
log-softmax in float64.  With constant attention every key has weight 1, as in
Zhong et al. (arXiv 2306.17844), not 1/2.  Its W_Q and W_K have no effect and are
written as zeros.

Balanced brackets are learned from strings of which half are balanced and half
are balanced strings with one or two brackets turned round.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model import Config, Tensor
from certify.network import Weights, initial_weights, network_logits
from certify.tasks import balanced
from certify.train import deterministic, finished, import_torch, require_sizes

EPS = 1e-5
LARGEST_ENUMERATION = 20

Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What can be chosen about a network besides what its task fixes."""

    layers: int = 2
    heads: int = 2
    d_model: int = 32
    d_mlp: int = 64
    act: str = "relu"
    normalization: str | None = None
    readout: str = "last"

    def config(self, *, d_vocab: int, d_vocab_out: int, n_ctx: int) -> Config:
        """Return the causal configuration for a task; the heads share the width.

        Errors: ``BadInput`` if the width is no multiple of the number of heads.
        """
        sizes = {
            "layers": self.layers,
            "heads": self.heads,
            "d-model": self.d_model,
            "d-mlp": self.d_mlp,
        }
        require_sizes(sizes)
        if self.d_model % self.heads:
            raise BadInput(f"train: d-model {self.d_model} is not a multiple of heads {self.heads}")
        return Config(
            d_vocab=d_vocab,
            d_vocab_out=d_vocab_out,
            n_ctx=n_ctx,
            d_model=self.d_model,
            d_head=self.d_model // self.heads,
            n_heads=self.heads,
            n_layers=self.layers,
            attn_only=False,
            act_fn=self.act,
            normalization_type=self.normalization,
            d_mlp=self.d_mlp,
            eps=None if self.normalization is None else EPS.hex(),
            readout=None if self.readout == "last" else self.readout,
        )


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


@dataclass(frozen=True, slots=True)
class BracketsRecipe:
    """What training on balanced brackets depends on besides the length and the architecture.

    Every ``every`` steps all inputs are tried; training ends when each of them
    has a margin of at least ``margin``, or after ``steps``.
    """

    seed: int = 0
    steps: int = 20_000
    batch: int = 256
    learning_rate: float = 0.001
    weight_decay: float = 0.01
    decay: float = 0.0
    margin: float = 1.0
    every: int = 500


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
    _require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
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


def train_balanced_brackets(
    n: int,
    architecture: Architecture | None = None,
    recipe: BracketsRecipe | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Tensor], Config]:
    """Return the float32 tensors and the configuration of a model trained to recognise balanced
    strings.

    Requires: ``progress``, if given, is called with the finished steps and the
              smallest margin over all inputs, a float estimate.
    Ensures:  the same arguments and PyTorch build give the same bytes.
    Errors:   ``Unsupported`` if PyTorch is not installed; ``BadInput`` if a
              size is out of range or training diverges.
    Cost:     at n = 16, two layers and width 32, about 0.02 seconds a step, and
              5 seconds each time that all inputs are tried.
    """
    recipe = recipe or BracketsRecipe()
    require_sizes({"n": n, "steps": recipe.steps, "batch": recipe.batch, "every": recipe.every})
    if n % 2 or n > LARGEST_ENUMERATION:
        raise BadInput(f"train: n must be even and at most {LARGEST_ENUMERATION}, not {n}")
    if not 0.0 <= recipe.decay <= 1.0:
        raise BadInput("train: lr-decay must be between 0 and 1")
    _require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
    config = (architecture or Architecture()).config(d_vocab=2, d_vocab_out=2, n_ctx=n)
    torch = import_torch()
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        weights = initial_weights(
            torch, config, config.d_model, generator, biases=("b_in", "b_out", "b_1", "b_2")
        )
        _fit_brackets(torch, weights, config, recipe, generator, progress)
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


def _fit_brackets(
    torch: Any,
    weights: Weights,
    config: Config,
    recipe: BracketsRecipe,
    generator: Any,
    progress: Progress | None,
) -> None:
    """Update ``weights`` in place until every input has the wanted margin, or the steps are over."""
    strings = np.array(list(np.ndindex(*(2,) * config.n_ctx)), dtype=np.int64)
    answers = balanced(strings)
    everything, right = torch.from_numpy(strings), torch.from_numpy(answers)
    words = everything[right == 1]
    betas = (0.9, 0.98)
    optimiser = torch.optim.AdamW(
        weights.values(), lr=recipe.learning_rate, betas=betas, weight_decay=recipe.weight_decay
    )
    for step in range(recipe.steps):
        share = (
            1.0
            if recipe.decay == 0.0
            else min(1.0, (recipe.steps - step) / (recipe.decay * recipe.steps))
        )
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * share
        tokens = _bracket_strings(torch, words, recipe.batch, generator)
        wanted = torch.from_numpy(balanced(tokens.numpy()))
        loss = torch.nn.functional.cross_entropy(
            network_logits(torch, weights, tokens, config), wanted
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % recipe.every == 0 or step + 1 == recipe.steps:
            smallest = _smallest_margin(torch, weights, everything, right, config)
            if progress is not None:
                progress(step + 1, smallest)
            if smallest >= recipe.margin:
                return


def _bracket_strings(torch: Any, words: Any, count: int, generator: Any) -> Any:
    """Return ``count`` strings, [count, n]: balanced ones, every second one with one or two
    brackets turned round.
    """
    chosen = words[torch.randint(0, len(words), (count,), generator=generator)]
    places = torch.randint(0, words.shape[1], (count, 2), generator=generator)
    flips = torch.zeros_like(chosen)
    changed = torch.arange(count) % 2 == 1
    flips[changed, places[changed, 0]] = 1
    flips[changed, places[changed, 1]] = 1
    return chosen ^ flips


def _smallest_margin(
    torch: Any, weights: Weights, tokens: Any, answers: Any, config: Config
) -> float:
    """Return the smallest margin over the inputs, a float32 estimate; minus infinity if a margin is
    not a number.
    """
    smallest = math.inf
    with torch.no_grad():
        for start in range(0, len(tokens), 4096):
            logits = network_logits(torch, weights, tokens[start : start + 4096], config)
            margins: NDArray[np.float32] = (
                (logits[:, 1] - logits[:, 0]) * (2 * answers[start : start + 4096] - 1)
            ).numpy()
            found = float(margins.min())
            smallest = min(smallest, -math.inf if math.isnan(found) else found)
    return smallest


def _require_rates(seed: int, learning_rate: float, weight_decay: float) -> None:
    """Refuse what no training can use."""
    if not 0.0 < learning_rate < math.inf or not 0.0 <= weight_decay < math.inf:
        raise BadInput("train: lr must be positive and weight-decay must not be negative")
    if not 0 <= seed < 1 << 63:
        raise BadInput("train: seed must be between 0 and 2^63 - 1")
