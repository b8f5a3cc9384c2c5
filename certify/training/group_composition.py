"""Train one hidden layer on the products of a finite group, bitwise reproducibly for each seed.

The network is that of Wu et al., "Towards a unified and verified understanding of group-operation
networks" (arXiv 2410.07476): two tables by token, one for each factor, ReLUs on their sum, and an
unembedding::

    logit_z(x, y) = sum_i relu(left[x, i] + right[y, i]) out[i, z]

without biases.  Each table is learned as the product of an embedding and a square matrix, which is
multiplied out at the end.  Learning rate, betas and weight decay are those of the public code of
that line of work: Adam with learning rate 0.01, betas 0.9 and 0.98, a weight decay of 0.0002 that
is part of the gradient (L2, not AdamW's), and the whole training set in every step.  Such a decay
on three factors drives many neurons to nothing; they are written as zeros or left out, which is
the same function.

``as_model`` expresses the network in the project's model format, exactly: attention with weight 1
on both positions, read at the second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.model.config import Config
from certify.model.tensors import Tensor
from certify.question.groups import (
    LARGEST_ORDER,
    Group,
    multiplication_table,
    named_group,
    read_group,
)
from certify.question.rules import GROUP
from certify.training.architecture import require_rates
from certify.training.full_batch import falling, fit
from certify.training.pytorch import deterministic, finished, import_torch, require_sizes
from certify.training.recipe import (
    Domain,
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

DEAD = 1e-6
"""Neurons weaker than this share of the strongest one are dead."""


@dataclass(frozen=True, slots=True)
class GroupRecipe:
    """What training on a group depends on besides the group and the width."""

    seed: int = seed("training set")
    steps: int = setting("Steps, each on the whole training set.", 1_500, least=1)
    learning_rate: float = learning_rate(0.01, "Adam")
    weight_decay: float = weight_decay(0.0002, "Adam")
    fraction: float = setting("Share of all pairs to train on.", 0.8, above=0, most=1)
    decay: float = decay(0.3)
    drop_dead: bool = flag(
        "Leave the neurons that training drives to nothing out of the file; without this option"
        " they are zeros in it."
    )

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of one step: constant, then linear to zero over the last
        ``decay``.
        """
        return falling(self.learning_rate, self.decay, self.steps, step)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the task is, and how wide the hidden layer."""

    group: Group = setting(  # noqa: RUF009  (a field, as everywhere)
        f"cyclic:K, dihedral:N, symmetric:N or alternating:N, of 2 to {LARGEST_ORDER} elements.",
        read=read_group,
        form="NAME:N",
    )
    width: int = setting("Neurons of the hidden layer.", 128, least=1, most=1024)


def train_group(
    group: Group,
    width: int = 128,
    recipe: GroupRecipe | None = None,
    progress: Report | None = None,
) -> tuple[dict[str, Tensor], Config]:
    """Return the float32 tensors and the configuration of a model trained to multiply two elements.

    Requires: ``progress``, if given, is called with the finished steps and the loss.
    Ensures:  token t is element t of ``named_group``, and so is output t; the same arguments and
              PyTorch build give the same bytes.
    Errors:   ``Unsupported`` if PyTorch is not installed; ``BadInput`` if the group has one
              element, a size is out of range or training diverges.
    Cost:     for S5 and width 128, about 0.03 seconds a step.
    """
    recipe = recipe or GroupRecipe()
    require_sizes({"width": width, "steps": recipe.steps})
    require_rates(recipe.seed, recipe.learning_rate, recipe.weight_decay)
    if not 0.0 < recipe.fraction <= 1.0:
        raise BadInput("train: fraction must be above 0 and at most 1")
    if not 0.0 <= recipe.decay <= 1.0:
        raise BadInput("train: lr-decay must be between 0 and 1")
    torch = import_torch()
    inputs, products = group_inputs(group)
    order = group.order
    with deterministic(torch):
        generator = torch.Generator(device="cpu").manual_seed(recipe.seed)
        shapes = {
            "left_embedding": (order, width),
            "left_matrix": (width, width),
            "right_embedding": (order, width),
            "right_matrix": (width, width),
            "out": (width, order),
        }
        weights = {
            name: (torch.randn(shape, generator=generator) * width**-0.5).requires_grad_()
            for name, shape in shapes.items()
        }
        pairs = torch.randperm(order**2, generator=generator)
        chosen = pairs[: max(1, round(recipe.fraction * order**2))]
        first, second = torch.from_numpy(inputs)[chosen].unbind(dim=1)
        optimiser = torch.optim.Adam(
            weights.values(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=recipe.weight_decay,
        )
        fit(
            torch,
            optimiser,
            lambda: _logits(weights, first, second),
            torch.from_numpy(products)[chosen],
            steps=recipe.steps,
            learning_rate_at=recipe.learning_rate_at,
            progress=progress,
        )
        tables = {name: table.detach() for name, table in _tables(weights, torch.float64).items()}
    trained = finished(tables)
    left, right, out = trained["left"], trained["right"], trained["out"]
    alive = alive_neurons(left, right, out)
    if recipe.drop_dead:
        return as_model(left[:, alive], right[:, alive], out[alive])
    # Not a product with ``alive``, which would write -0.0.
    none = left.dtype.type(0)
    return as_model(
        np.where(alive, left, none),
        np.where(alive, right, none),
        np.where(alive[:, None], out, none),
    )


def group_inputs(group: Group) -> Domain:
    """Return all pairs of elements, [order^2, 2], and their products, [order^2]."""
    table = multiplication_table(named_group(group))
    pairs = np.stack(np.divmod(np.arange(table.size), group.order), axis=1)
    return pairs, table.ravel()


def _tables(weights: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Return left and right, [order, width], and out, [width, order]."""
    exact = {name: weight.to(dtype) for name, weight in weights.items()}
    return {
        "left": exact["left_embedding"] @ exact["left_matrix"],
        "right": exact["right_embedding"] @ exact["right_matrix"],
        "out": exact["out"],
    }


def _logits(weights: dict[str, Any], first: Any, second: Any) -> Any:
    """Return the logits, [batch, order]."""
    tables = _tables(weights, weights["out"].dtype)
    inner = tables["left"].index_select(0, first) + tables["right"].index_select(0, second)
    return inner.relu() @ tables["out"]


def alive_neurons(left: Tensor, right: Tensor, out: Tensor) -> NDArray[np.bool_]:
    """Return which neurons do more than next to nothing, [width].

    Requires: ``left`` and ``right`` [order, width]; ``out`` [width, order].
    Ensures:  they are those for which the largest change that the neuron can make to a logit, or
              more, is at least ``DEAD`` of that of the strongest one.
    """
    inner = np.abs(left).max(axis=0) + np.abs(right).max(axis=0)
    strength = inner * np.abs(out).max(axis=1)
    found: NDArray[np.bool_] = strength >= DEAD * strength.max()
    return found


def as_model(left: Tensor, right: Tensor, out: Tensor) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors and the configuration of the network, exactly.

    Requires: ``left`` and ``right`` [order, width] and ``out`` [width, order], of one type.
    Ensures:  in exact arithmetic the model's logits at the second of the tokens x and y are
              ``relu(left[x] + right[y]) out``.

    The stream has three parts, two as wide as the hidden layer and one with a place for each
    output.  Tokens x, y embed as (left, right, 0).  The head copies left into the second part from
    both positions, so that at the second one the stream is (left[y], right[y] + left[x] + left[y],
    0).  The MLP reads the second part less the first, which is left[x] + right[y], and writes the
    logits into the third part; only that is read, so the direct path is zero.  All that stands
    beside the three tables is 0, 1 or -1: no exact number of the model is longer than an entry.
    """
    order, width = left.shape
    d_model = 2 * width + order
    config = Config(
        d_vocab=order,
        d_vocab_out=order,
        n_ctx=2,
        d_model=d_model,
        d_head=width,
        attn_only=False,
        act_fn="relu",
        attention_dir="bidirectional",
        d_mlp=width,
        attention_mix=(0.0).hex(),
    )
    one = np.eye(width, dtype=left.dtype)
    none = np.zeros_like(one)
    # Nothing for the third part, by tokens and by neurons.
    none_by_token = np.zeros((order, order), dtype=left.dtype)
    none_by_neuron = np.zeros((width, order), dtype=left.dtype)
    unused = np.zeros((1, d_model, width), dtype=left.dtype)
    tensors = {
        "embed.W_E": np.hstack([left, right, none_by_token]),
        "pos_embed.W_pos": np.zeros((2, d_model), dtype=left.dtype),
        "blocks.0.attn.W_Q": unused,
        "blocks.0.attn.W_K": unused.copy(),
        "blocks.0.attn.W_V": np.vstack([one, none, none_by_neuron.T])[None],
        "blocks.0.attn.W_O": np.hstack([none, one, none_by_neuron])[None],
        "blocks.0.mlp.W_in": np.vstack([none - one, one, none_by_neuron.T]),
        "blocks.0.mlp.W_out": np.hstack([none, none, out]),
        "unembed.W_U": np.vstack([none_by_neuron, none_by_neuron, np.eye(order, dtype=left.dtype)]),
    }
    return tensors, config


def _told(sizes: Sizes, recipe: GroupRecipe, steps: int, loss: float) -> list[str]:
    return [
        f"group {sizes.group}, {sizes.group.order} elements, one hidden layer of {sizes.width},"
        f" seed {recipe.seed}, {recipe.steps} steps"
    ]


TRAINABLE = Trainable(
    task=GROUP,
    about="""Train one hidden layer to answer with the product of two elements of a group.

    Tokens number the elements: all permutations or the even ones in
    lexicographic order, the K rotations, or N rotations and then the
    reflections i -> j - i.  The product X Y applies Y first.  The same options
    give the same file.

    \b
      certify train group --group symmetric:5 --seed 0 --out model.safetensors
    """,
    parts=(Part(Sizes), Part(GroupRecipe())),
    steps=lambda sizes, recipe: recipe.steps,
    train=lambda sizes, recipe, report: train_group(sizes.group, sizes.width, recipe, report),
    measured=lambda loss: f"loss {loss:.2e}",
    told=_told,
    domain=lambda sizes, recipe: group_inputs(sizes.group),
)
