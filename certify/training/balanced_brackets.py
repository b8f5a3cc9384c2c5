"""Train causal transformers on balanced brackets, bitwise reproducibly for each seed.

They learn from strings of which half are balanced and half are balanced strings with one or two
brackets turned round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model.config import Config
from certify.model.tensors import Tensor
from certify.question.rules import BALANCED_BRACKETS, balanced
from certify.training.architecture import Architecture, require_rates
from certify.training.network import Weights, initial_weights, network_logits
from certify.training.pytorch import deterministic, finished, import_torch, require_sizes
from certify.training.recipe import (
    Part,
    Report,
    Trainable,
    decay,
    learning_rate,
    seed,
    setting,
    weight_decay,
)

LARGEST_ENUMERATION = 20


@dataclass(frozen=True, slots=True)
class BracketsRecipe:
    """What training on balanced brackets depends on besides the length and the architecture.

    Every ``every`` steps all inputs are tried; training ends when each of them
    has a margin of at least ``margin``, or after ``steps``.
    """

    seed: int = seed("data")
    steps: int = setting("The most optimiser steps.", 20_000, least=1)
    batch: int = setting("Strings for each step.", 256, least=1)
    learning_rate: float = learning_rate()
    weight_decay: float = weight_decay(0.01)
    decay: float = decay()
    margin: float = setting("Stop when every input has at least this margin.", 1.0)
    every: int = setting("Steps between two trials of all inputs.", 500, least=1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the task is."""

    n: int = setting("Length of the strings, an even number.", least=2, most=LARGEST_ENUMERATION)


def train_balanced_brackets(
    n: int,
    architecture: Architecture | None = None,
    recipe: BracketsRecipe | None = None,
    progress: Report | None = None,
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
    require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
    config = (architecture or Architecture()).config(d_vocab=2, d_vocab_out=2, n_ctx=n)
    torch = import_torch()
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        weights = initial_weights(
            torch, config, config.d_model, generator, biases=("b_in", "b_out", "b_1", "b_2")
        )
        _fit_brackets(torch, weights, config, recipe, generator, progress)
    return finished(weights), config


def _fit_brackets(
    torch: Any,
    weights: Weights,
    config: Config,
    recipe: BracketsRecipe,
    generator: Any,
    progress: Report | None,
) -> None:
    """Update ``weights`` in place until every input has the wanted margin, or the steps are
    over.
    """
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


def _told(
    sizes: Sizes, architecture: Architecture, recipe: BracketsRecipe, steps: int, smallest: float
) -> list[str]:
    return [
        f"balanced brackets, n {sizes.n}, readout {architecture.readout}, seed {recipe.seed},"
        f" {steps} steps",
        f"smallest margin {smallest:.4f} (float32 estimate, not a bound)",
    ]


TRAINABLE = Trainable(
    task=BALANCED_BRACKETS,
    about="""Train a causal transformer to tell whether a string of N brackets is balanced.

    Half of the strings it learns from are balanced, half are balanced strings
    with one or two brackets turned round.  Training stops when a float estimate
    says that every one of the 2^N inputs is right by the wanted margin.

    \b
      certify train balanced-brackets --n 16 --margin 4 --out model.safetensors
      certify train balanced-brackets --n 12 --act silu --normalization LN --out other.safetensors
    """,
    parts=(Part(Sizes), Part(Architecture()), Part(BracketsRecipe())),
    steps=lambda sizes, architecture, recipe: recipe.steps,
    train=lambda sizes, architecture, recipe, report: train_balanced_brackets(
        sizes.n, architecture, recipe, report
    ),
    measured=lambda smallest: f"smallest margin {smallest:.4f}",
    told=_told,
)
