"""Commands that train models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from certify.command.console import (
    progress_bar,
    require_folder,
)
from certify.command.group import main
from certify.command.options import (
    NEW_FILE,
)
from certify.model.config import MLP_ACTIVATIONS
from certify.model.file import save_model
from certify.training.architecture import Architecture
from certify.training.balanced_brackets import BracketsRecipe, train_balanced_brackets
from certify.training.max_of_k import Recipe, train_max_of_k
from certify.training.modular_addition import ADDITION, AdditionRecipe, train_modular_addition


@main.group()
def train() -> None:
    """Train a small transformer on a task (needs PyTorch)."""


@train.command("max-of-k")
@click.option("--k", type=click.IntRange(1, 64), required=True, help="Length of the input.")
@click.option(
    "--vocab", type=click.IntRange(2, 1024), default=64, show_default=True, help="How many tokens."
)
@click.option(
    "--d-model",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    help="Width of the model and of its head.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes weights and data."
)
@click.option(
    "--steps", type=click.IntRange(1), default=3000, show_default=True, help="Optimiser steps."
)
@click.option(
    "--batch", type=click.IntRange(1), default=128, show_default=True, help="Inputs for each step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--lr-decay",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the steps, at the end, over which the learning rate falls to zero.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The model file to write.")
def train_max_of_k_command(
    k: int,
    vocab: int,
    d_model: int,
    seed: int,
    steps: int,
    batch: int,
    lr: float,
    lr_decay: float,
    out: Path,
) -> None:
    """Train one layer of attention to answer with the largest of K tokens.

    The same options give the same file.  If the accuracy disappoints, train
    for longer and let the learning rate fall:

    \b
      certify train max-of-k --k 4 --seed 0 --out model.safetensors
      certify train max-of-k --k 10 --steps 6000 --lr-decay 0.5 --out better.safetensors
    """
    require_folder(out)
    recipe = Recipe(seed=seed, steps=steps, batch=batch, learning_rate=lr, decay=lr_decay)
    with progress_bar("training", steps) as advance:
        tensors, config = train_max_of_k(
            k, vocab, d_model, recipe, lambda step, loss: advance(step, f"loss {loss:.4f}")
        )
    save_model(out, tensors, config)
    click.echo(
        f"wrote {out}: max-of-{k}, vocab {vocab}, d_model {d_model}, seed {seed}, {steps} steps"
    )


def architecture_options(
    defaults: Architecture,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds the options of an architecture with these defaults to a command."""
    sizes = {
        "d-mlp": ("Width of the MLP.", 4096),
        "d-model": ("Width of the model.", 1024),
        "heads": ("Heads.", 16),
    }
    shown = {"d-mlp": defaults.d_mlp, "d-model": defaults.d_model, "heads": defaults.heads}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, (help_text, most) in sizes.items():
            kind = click.IntRange(1, most)
            command = click.option(
                f"--{name}", type=kind, default=shown[name], show_default=True, help=help_text
            )(command)
        return command

    return decorate


@train.command("modular-addition")
@click.option(
    "--modulus",
    type=click.IntRange(2, 512),
    required=True,
    help="Both tokens and the answer are below it.",
)
@click.option(
    "--attention",
    type=click.Choice(["constant", "softmax"]),
    default="constant",
    show_default=True,
    help="Weight 1 on both positions, or ordinary attention.",
)
@architecture_options(ADDITION)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Fixes weights and training set.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Steps, each on the whole training set.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Weight decay of AdamW.",
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Share of all pairs to train on.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The model file to write.")
def train_modular_addition_command(
    modulus: int,
    attention: str,
    heads: int,
    d_model: int,
    d_mlp: int,
    seed: int,
    steps: int,
    lr: float,
    weight_decay: float,
    fraction: float,
    out: Path,
) -> None:
    """Train one layer with a ReLU MLP to answer (A + B) mod P, read at the second position.

    The same options give the same file.  Ten thousand steps at modulus 59 take
    four minutes with constant attention and nine with softmax.

    \b
      certify train modular-addition --modulus 59 --attention constant --seed 0 --out
      model.safetensors
    """
    require_folder(out)
    recipe = AdditionRecipe(
        seed=seed, steps=steps, learning_rate=lr, weight_decay=weight_decay, fraction=fraction
    )
    architecture = dataclasses.replace(ADDITION, heads=heads, d_model=d_model, d_mlp=d_mlp)
    with progress_bar("training", steps) as advance:
        tensors, config = train_modular_addition(
            modulus,
            attention,
            recipe,
            architecture,
            lambda step, loss: advance(step, f"loss {loss:.2e}"),
        )
    save_model(out, tensors, config)
    click.echo(
        f"wrote {out}: modular addition, modulus {modulus}, {attention} attention, seed {seed}, {steps} steps"
    )


@train.command("balanced-brackets")
@click.option(
    "--n", type=click.IntRange(2, 20), required=True, help="Length of the strings, an even number."
)
@click.option(
    "--readout",
    type=click.Choice(["last", "sum-pool-mlp", "mean-pool-mlp"]),
    default="last",
    show_default=True,
    help="Read the last position, or a head on the sum or mean over the positions.",
)
@click.option("--layers", type=click.IntRange(1, 16), default=2, show_default=True, help="Layers.")
@architecture_options(Architecture())
@click.option(
    "--act",
    type=click.Choice(MLP_ACTIVATIONS),
    default="relu",
    show_default=True,
    help="Activation of the MLP.",
)
@click.option(
    "--normalization",
    type=click.Choice(["none", "LN", "LNPre"]),
    default="none",
    show_default=True,
    help="Layer norm.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes weights and data."
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="The most optimiser steps.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=256, show_default=True, help="Strings for each step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    default=0.01,
    show_default=True,
    help="Weight decay of AdamW.",
)
@click.option(
    "--lr-decay",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the steps, at the end, over which the learning rate falls to zero.",
)
@click.option(
    "--margin",
    type=float,
    default=1.0,
    show_default=True,
    help="Stop when every input has at least this margin.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Steps between two trials of all inputs.",
)
@click.option("--out", type=NEW_FILE, required=True, help="The model file to write.")
def train_balanced_brackets_command(
    n: int,
    readout: str,
    layers: int,
    heads: int,
    d_model: int,
    d_mlp: int,
    act: str,
    normalization: str,
    seed: int,
    steps: int,
    batch: int,
    lr: float,
    weight_decay: float,
    lr_decay: float,
    margin: float,
    every: int,
    out: Path,
) -> None:
    """Train a causal transformer to tell whether a string of N brackets is balanced.

    Half of the strings it learns from are balanced, half are balanced strings
    with one or two brackets turned round.  Training stops when a float estimate
    says that every one of the 2^N inputs is right by the wanted margin.

    \b
      certify train balanced-brackets --n 16 --margin 4 --out model.safetensors
      certify train balanced-brackets --n 12 --d-model 16 --d-mlp 32 --act gelu_new --normalization
      LN --out model.safetensors
    """
    require_folder(out)
    architecture = Architecture(
        layers=layers,
        heads=heads,
        d_model=d_model,
        d_mlp=d_mlp,
        act=act,
        normalization=None if normalization == "none" else normalization,
        readout=readout,
    )
    recipe = BracketsRecipe(
        seed=seed,
        steps=steps,
        batch=batch,
        learning_rate=lr,
        weight_decay=weight_decay,
        decay=lr_decay,
        margin=margin,
        every=every,
    )
    reached: list[tuple[int, float]] = []
    with progress_bar("training", steps) as advance:

        def report(step: int, smallest: float) -> None:
            reached.append((step, smallest))
            advance(step, f"smallest margin {smallest:.4f}")

        tensors, config = train_balanced_brackets(n, architecture, recipe, report)
    save_model(out, tensors, config)
    step, smallest = reached[-1]
    click.echo(
        f"wrote {out}: balanced brackets, n {n}, readout {readout}, seed {seed}, {step} steps"
    )
    click.echo(f"smallest margin {smallest:.4f} (float32 estimate, not a bound)")
