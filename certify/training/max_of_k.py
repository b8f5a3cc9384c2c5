"""Train one layer of attention on Max-of-K, bitwise reproducibly for each seed.

The recipe is that of the published Max-of-K models (Gross et al., "Compact
Proofs of Model Performance via Mechanistic Interpretability", arXiv 2406.11779,
and its released code): one layer, one head, attention only, no layer norm, no
biases; every weight drawn from N(0, (0.8/sqrt(d_model))^2); AdamW with betas
0.9 and 0.999 and weight decay 0.01; learning rate 0.001; 3 000 steps on fresh
uniform sequences in batches of 128; cross-entropy at the last position.

Other options go further than this recipe: more steps, a learning rate that
falls linearly to zero over the last part of them, what makes proofs short
(``certify.training.for_proof``), and noise, grids and losses of bounds
(``certify.training.perturbed``).  ``RECIPES`` names sets of values of all
options.  Three make a wider model: several heads that share the width, a ReLU
MLP with its two biases, layer norm (LN: with scale, shift and a bias of the
outputs).  PyTorch is imported only when training starts, since nothing else in
the package needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from certify.errors import BadInput
from certify.model.config import MAXIMUM_HEADS, Config, is_one_layer
from certify.model.tensors import Tensor
from certify.question.rules import MAX_OF_K
from certify.training.architecture import EPS
from certify.training.for_proof import (
    LINE,
    ForProof,
    Temperature,
    bring_near,
    clear,
    line_weights,
    penalty,
    zeros_of,
)
from certify.training.network import initial_weights, network_logits
from certify.training.perturbed import (
    Norm,
    Perturbed,
    forward,
    margins_below,
    numbers_of,
    rounded,
    seen,
    without_norm,
)
from certify.training.pytorch import deterministic, finished, import_torch, require_sizes
from certify.training.recipe import (
    Named,
    Part,
    Report,
    Trainable,
    decay,
    learning_rate,
    seed,
    setting,
    weight_decay,
)

Keep = Callable[[int, Mapping[str, Any]], None]
"""Called with the finished steps and the weights as they are then."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What training depends on besides the task: all of it, so that a seed names one model."""

    seed: int = seed("data")
    steps: int = setting("Optimiser steps.", 3000, least=1)
    batch: int = setting("Inputs for each step.", 128, least=1)
    learning_rate: float = learning_rate()
    decay: float = decay()
    weight_decay: float = weight_decay(0.01)
    proof: ForProof = field(default_factory=ForProof)
    perturbed: Perturbed = field(default_factory=Perturbed)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of one step: constant, then linear to zero over the last
        ``decay``.
        """
        if self.decay == 0.0:
            return self.learning_rate
        return self.learning_rate * min(1.0, (self.steps - step) / (self.decay * self.steps))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the task is, and how wide the model."""

    k: int = setting("Length of the input.", least=1, most=64)
    vocab: int = setting("How many tokens.", 64, least=2, most=4096)
    d_model: int = setting("Width of the model, and of its heads together.", 32, least=1, most=1024)
    heads: int = setting("Heads.", 1, least=1, most=MAXIMUM_HEADS)
    d_mlp: int = setting("Width of a ReLU MLP; 0 is none.", 0, least=0, most=4096)
    normalization: str | None = setting("Layer norm.", None, choices=("none", "LN", "LNPre"))

    def config(self) -> Config:
        """Return the causal configuration of one layer.

        Errors: ``BadInput`` if the width is no multiple of the number of heads.
        """
        if self.heads < 1 or self.d_model % self.heads:
            raise BadInput(f"train: d-model {self.d_model} is not a multiple of heads {self.heads}")
        return Config(
            d_vocab=self.vocab,
            d_vocab_out=self.vocab,
            n_ctx=self.k,
            d_model=self.d_model,
            d_head=self.d_model // self.heads,
            n_heads=self.heads,
            attn_only=self.d_mlp == 0,
            act_fn="relu" if self.d_mlp else None,
            normalization_type=self.normalization,
            d_mlp=self.d_mlp or None,
            eps=None if self.normalization is None else EPS.hex(),
        )


def train_max_of_k(
    k: int,
    vocab: int,
    d_model: int,
    recipe: Recipe | None = None,
    progress: Report | None = None,
    keep: Keep | None = None,
    **wider: Any,
) -> tuple[dict[str, Tensor], Config]:
    """Return the float32 tensors and the configuration of a model trained to answer with the
    maximum.

    Requires: ``progress``, if given, is called with the number of finished
              steps and the latest loss, some two hundred times; ``keep`` with
              the number of finished steps, from 0 on, and the weights, which
              it must not change; ``wider`` are the fields ``heads``,
              ``d_mlp``, ``normalization`` of ``Sizes``.
    Ensures:  the same arguments and PyTorch build give the same bytes: one
              thread, deterministic algorithms, one generator seeded with
              ``recipe.seed`` for weights and data alike.
    Errors:   ``Unsupported`` if PyTorch is not installed; ``BadInput`` if a
              size is out of range or training diverges.
    Cost:     about one millisecond a step for k = 4 and d_model = 32.
    Source:   the released code of arXiv 2406.11779 (module docstring).
    """
    recipe = recipe or Recipe()
    require_sizes(
        {"k": k, "vocab": vocab, "d-model": d_model, "steps": recipe.steps, "batch": recipe.batch}
    )
    if not 0.0 <= recipe.decay <= 1.0 or not 0.0 < recipe.learning_rate < math.inf:
        raise BadInput("train: lr must be positive and lr-decay between 0 and 1")
    if not 0 <= recipe.seed < 1 << 63:
        raise BadInput("train: seed must be between 0 and 2^63 - 1")
    recipe.proof.require(d_model)
    if not 0.0 <= recipe.weight_decay < math.inf:
        raise BadInput("train: weight-decay must not be negative")
    config = Sizes(k, vocab, d_model, **wider).config()
    recipe.perturbed.require(config)
    torch = import_torch()
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        weights = _initial_weights(torch, config, generator)
        if recipe.proof.start == LINE:
            weights = line_weights(torch, weights, recipe.proof.disjoint or 0)
        norm = _optimise(torch, weights, config, recipe, generator, progress, keep)
        if recipe.perturbed.norm_removal:
            weights, config = without_norm(torch, weights, norm)
        if recipe.perturbed.weight_bits is not None:
            bits = recipe.perturbed.weight_bits
            weights = {name: rounded(torch, weight, bits) for name, weight in weights.items()}
    return finished(weights), config


def _initial_weights(torch: Any, config: Config, generator: Any) -> dict[str, Any]:
    """Return the weights before training, in the order in which they are drawn."""
    if not is_one_layer(config):
        biases = (
            ("b_in", "b_out", "b_U") if config.normalization_type == "LN" else ("b_in", "b_out")
        )
        return initial_weights(torch, config, 0, generator, biases=biases)
    d_model = config.d_model
    shapes = {
        "embed.W_E": (config.d_vocab, d_model),
        "pos_embed.W_pos": (config.n_ctx, d_model),
        "blocks.0.attn.W_Q": (1, d_model, d_model),
        "blocks.0.attn.W_K": (1, d_model, d_model),
        "blocks.0.attn.W_V": (1, d_model, d_model),
        "blocks.0.attn.W_O": (1, d_model, d_model),
        "unembed.W_U": (d_model, config.d_vocab_out),
    }
    scale = 0.8 / math.sqrt(d_model)
    return {
        name: (
            torch.randn(shape, generator=generator, dtype=torch.float32) * scale
        ).requires_grad_()
        for name, shape in shapes.items()
    }


def _last_logits(torch: Any, weights: Mapping[str, Any], tokens: Any, config: Config) -> Any:
    """Return the logits at the last position, [batch, d_vocab_out], for ``tokens`` [batch,
    n_ctx].
    """
    if not is_one_layer(config):
        return network_logits(torch, weights, tokens, config)
    residual = weights["embed.W_E"][tokens] + weights["pos_embed.W_pos"]
    W_Q, W_K = weights["blocks.0.attn.W_Q"][0], weights["blocks.0.attn.W_K"][0]
    W_V, W_O = weights["blocks.0.attn.W_V"][0], weights["blocks.0.attn.W_O"][0]
    last = residual[:, -1]
    query = (last @ W_Q).unsqueeze(-1)
    pattern = ((residual @ W_K) @ query / math.sqrt(config.d_head)).softmax(dim=1)
    attended = (pattern * (residual @ W_V)).sum(dim=1)
    return (last + attended @ W_O) @ weights["unembed.W_U"]


def _optimise(
    torch: Any,
    weights: Mapping[str, Any],
    config: Config,
    recipe: Recipe,
    generator: Any,
    progress: Report | None,
    keep: Keep | None = None,
) -> Norm:
    """Update ``weights`` in place, ``recipe.steps`` times; what is asked to be zero is zero.

    Return how layer norm is applied at the end.
    """
    asked = recipe.proof
    paces = {name: asked.pace(name, config.d_vocab) for name in weights}
    groups = [
        {"params": [weights[name] for name in weights if paces[name] == pace], "pace": pace}
        for pace in sorted(set(paces.values()) - {0.0})
    ]
    optimiser = torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=recipe.weight_decay,
    )
    zeros = zeros_of(torch, weights, asked)
    clear(torch, weights, zeros)
    norm = Norm(config)
    every = max(1, recipe.steps // 200)
    if keep is not None:
        keep(0, weights)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate_at(step) * group["pace"]
        tokens = torch.randint(0, config.d_vocab, (recipe.batch, config.n_ctx), generator=generator)
        bring_near(torch, tokens, asked.near_max, config.d_vocab, generator)
        share = step / recipe.steps
        turned = recipe.perturbed.turned(share)
        if turned > 0.0 and norm.turned == 0.0:
            norm = numbers_of(torch, weights, tokens, config)
        norm = replace(norm, turned=turned)
        loss = _loss(torch, weights, tokens, norm, recipe, share, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        clear(torch, weights, zeros)
        if keep is not None:
            keep(step + 1, weights)
        if progress is not None and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            progress(step + 1, float(loss.item()))
    return norm


def _loss(
    torch: Any,
    weights: Mapping[str, Any],
    tokens: Any,
    norm: Norm,
    recipe: Recipe,
    share: float,
    generator: Any,
) -> Any:
    """Return the loss of one step, after this share of them."""
    perturbed, config = recipe.perturbed, norm.config
    answers = tokens.max(dim=1).values
    used = seen(torch, weights, perturbed, generator)
    more: Any = 0.0
    if perturbed.inside:
        found = forward(torch, used, tokens, norm, perturbed, generator)
        logits = found.logits
        if perturbed.amplitude_penalty:
            more = more + perturbed.amplitude_penalty * found.amplitude()
        if (bounds := perturbed.bounds_at(share)) > 0.0:
            below = margins_below(torch, used, tokens, config)
            more = more + bounds * torch.nn.functional.cross_entropy(-below, answers)
    else:
        logits = _last_logits(torch, used, tokens, config)
    logits = recipe.proof.temperature.at(share) * logits
    loss = torch.nn.functional.cross_entropy(logits, answers)
    return loss + penalty(torch, weights, recipe.proof, share) + more


Values = dict[str, Any]
"""Values of options, by the names of their fields."""

_CONVERGED = {64: (5_000, 512), 128: (8_000, 512), 256: (15_000, 512), 512: (40_000, 1024)}
"""Steps and inputs for each step, by the largest vocabulary that they are enough for."""


def _published(_vocab: int, _d_model: int) -> Values:
    return {}


def _converged(vocab: int, _d_model: int) -> Values:
    steps, batch = _CONVERGED[min((size for size in _CONVERGED if size >= vocab), default=512)]
    return {"steps": steps, "batch": batch, "learning_rate": 0.002, "decay": 1.0}


def _short_proof(vocab: int, d_model: int) -> Values:
    size = max(1.0, vocab / 64)
    return {
        "steps": round(6_000 * size),
        "batch": 256,
        "learning_rate": 0.003,
        "decay": 1.0,
        "qk_rank": 1,
        "ov_rank": 2,
        "disjoint": d_model // 2,
        "near_max": 0.3,
        "temperature": Temperature(2.0, 100.0 * size**2),
    }


def _line(vocab: int, d_model: int) -> Values:
    size = max(1.0, vocab / 64)
    return {
        "steps": round(3_000 * size**0.25),
        "batch": 256,
        "learning_rate": 0.002 / size,
        "decay": 1.0,
        "qk_rank": 1,
        "ov_rank": 1,
        "disjoint": d_model // 2,
        "near_max": 0.5,
        "temperature": Temperature(50.0 * size**2, 1000.0 * size**2),
        "start": LINE,
    }


RECIPES: Mapping[str, Callable[[int, int], Values]] = MappingProxyType(
    {
        "published": _published,
        "converged": _converged,
        "short-proof": _short_proof,
        "line": _line,
    }
)
"""Named sets of option values, each for a vocabulary and a width; what one leaves out has its
default.
"""


def recipe_of(name: str, vocab: int, seed: int, d_model: int = 32) -> Recipe:
    """Return a named recipe for a vocabulary and a width."""
    values = RECIPES[name](vocab, d_model)
    asked = {one.name for one in fields(ForProof)}
    proof = {one: value for one, value in values.items() if one in asked}
    learning = {one: value for one, value in values.items() if one not in asked}
    return Recipe(seed=seed, **learning, proof=ForProof(**proof))


def _told(
    sizes: Sizes, recipe: Recipe, proof: ForProof, perturbed: Perturbed, steps: int, loss: float
) -> list[str]:
    wider = f", {sizes.heads} heads" if sizes.heads > 1 else ""
    wider += f", {sizes.d_mlp} neurons" if sizes.d_mlp else ""
    if sizes.normalization:
        wider += f", {sizes.normalization}"
        wider += " taken out" if perturbed.norm_removal else ""
    constructed = ", half constructed (start line)" if proof.start == LINE else ""
    return [
        f"max-of-{sizes.k}, vocab {sizes.vocab}, d_model {sizes.d_model}{wider},"
        f" seed {recipe.seed}, {recipe.steps} steps{constructed}"
    ]


TRAINABLE = Trainable(
    task=MAX_OF_K,
    about="""Train one layer of attention to answer with the largest of K tokens.

    The same options give the same file.  A recipe is a set of values for the
    options: "published" is that of arXiv 2406.11779; "converged" trains for
    longer; "short-proof" trains from a random start under zeros that make
    proofs short; "line" does so too, but half of its model is constructed, not
    learned.  Other options change what a recipe says.

    \b
      certify train max-of-k --k 4 --seed 0 --out model.safetensors
      certify train max-of-k --k 10 --steps 6000 --lr-decay 0.5 --out better.safetensors
      certify train max-of-k --k 4 --recipe short-proof --out provable.safetensors
      certify train max-of-k --k 4 --weight-noise 0.01 --out noisy.safetensors
    """,
    parts=(Part(Sizes), Part(Recipe()), Part(ForProof()), Part(Perturbed())),
    steps=lambda sizes, recipe, proof, perturbed: recipe.steps,
    train=lambda sizes, recipe, proof, perturbed, report, keep=None: train_max_of_k(
        sizes.k,
        sizes.vocab,
        sizes.d_model,
        replace(recipe, proof=proof, perturbed=perturbed),
        report,
        keep,
        heads=sizes.heads,
        d_mlp=sizes.d_mlp,
        normalization=sizes.normalization,
    ),
    measured=lambda loss: f"loss {loss:.4f}",
    told=_told,
    named=Named(
        "Values of the options that are not given; the defaults shown are those of published.",
        tuple(RECIPES),
        "published",
        lambda name, sizes: RECIPES[name](sizes.vocab, sizes.d_model),
    ),
    names_maximum=True,
)
