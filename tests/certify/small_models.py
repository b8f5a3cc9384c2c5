"""Small random models for the tests of the prover's side."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from certify.model.config import Config
from certify.model.file import Model
from certify.model.tensors import Tensor, optional_shapes, required_shapes


def general_config() -> Config:
    """Return a small configuration with two heads and an MLP, to change one feature at a time."""
    return Config(
        d_vocab=4,
        d_vocab_out=3,
        n_ctx=3,
        d_model=4,
        d_head=2,
        n_heads=2,
        attn_only=False,
        act_fn="relu",
        d_mlp=5,
    )


def random_tensors(
    config: Config, seed: int = 0, *, biases: bool = False, d_hidden: int = 6
) -> dict[str, Tensor]:
    """Return float32 tensors with standard normal entries."""
    generator = np.random.default_rng(seed)
    shapes = required_shapes(config, d_hidden) | (
        optional_shapes(config, d_hidden) if biases else {}
    )
    return {
        name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }


def random_model(config: Config, seed: int = 0, *, biases: bool = False) -> Model:
    """Return a model that was never in a file."""
    return Model(config, random_tensors(config, seed, biases=biases), "0" * 64)


def write_npz(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """Write an .npz archive."""
    named: dict[str, Any] = dict(tensors)
    np.savez(path, **named)
    return path


def forward(model: Model, tokens: tuple[int, ...]) -> list[float]:
    """Return the logits at the last position, computed step by step from the definition.

    Written with Python floats and loops on purpose: it shares nothing with the
    path decomposition that it is compared with.
    """
    config = model.config

    def vector(name: str, index: int) -> list[float]:
        return [float(entry) for entry in model.tensor(name)[index]]

    def times(row: list[float], name: str) -> list[float]:
        matrix = model.tensor(name)
        matrix = matrix[0] if matrix.ndim == 3 else matrix
        return [
            sum(r * float(matrix[i, j]) for i, r in enumerate(row)) for j in range(matrix.shape[1])
        ]

    def plus(left: list[float], right: list[float]) -> list[float]:
        return [a + b for a, b in zip(left, right, strict=True)]

    def bias(name: str) -> list[float]:
        return [float(entry) for entry in model.bias(name).ravel()]

    residual = [
        plus(vector("embed.W_E", t), vector("pos_embed.W_pos", i)) for i, t in enumerate(tokens)
    ]
    attention = "blocks.0.attn."
    query = plus(times(residual[-1], attention + "W_Q"), bias(attention + "b_Q"))
    scores = []
    for row in residual:
        key = plus(times(row, attention + "W_K"), bias(attention + "b_K"))
        scores.append(
            sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(config.d_head)
        )
    shifted = [math.exp(score - max(scores)) for score in scores]
    mixed = [0.0] * config.d_head
    for weight, row in zip(shifted, residual, strict=True):
        value = plus(times(row, attention + "W_V"), bias(attention + "b_V"))
        mixed = plus(mixed, [weight / sum(shifted) * v for v in value])
    output = plus(times(mixed, attention + "W_O"), bias(attention + "b_O"))
    return plus(times(plus(residual[-1], output), "unembed.W_U"), bias("unembed.b_U"))


def model_on_a_line(vocab: int, d_model: int = 24, k: int = 4) -> Model:
    """Return a model that is made for short proofs and right about every input.

    Tokens stand on a line in coordinate 0; attention weighs by size, whatever the query; W_U reads
    coordinates that W_E does not write: answer j has the logit s u_j - u_j^2 / 2 for what attention
    brings, s.
    """
    line = np.linspace(-1.0, 1.0, vocab)
    config = Config(d_vocab=vocab, d_vocab_out=vocab, n_ctx=k, d_model=d_model, d_head=d_model)
    tensors = {name: np.zeros(shape) for name, shape in required_shapes(config, 0).items()}
    moved, constants = d_model // 2, slice(d_model // 2 + 1, d_model)
    tensors["embed.W_E"][:, 0] = line
    tensors["pos_embed.W_pos"][:, constants] = 1.0
    tensors["blocks.0.attn.W_Q"][0, moved + 1, 0] = 6.0 * vocab
    tensors["blocks.0.attn.W_K"][0, 0, 0] = 1.0
    tensors["blocks.0.attn.W_V"][0, 0, 0] = 1.0
    tensors["blocks.0.attn.W_O"][0, 0, moved] = 1.0
    tensors["unembed.W_U"][moved] = line
    tensors["unembed.W_U"][constants] = -(line**2) / 2 / (d_model - moved - 1)
    return Model(config, {n: t.astype(np.float32) for n, t in tensors.items()}, "0" * 64)
