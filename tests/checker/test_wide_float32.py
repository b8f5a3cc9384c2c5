"""SPEC-16.12: theta and B of several heads, against the page read a second time in float64, and
against executions over random trees.
"""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import float32 as oracle
import networks
import numpy as np
import pytest
from models import Model
from test_cells import ledger
from usual import usual_places

from certify.model.file import Model as Loaded
from certify.model.file import load_model as load
from certify.question.float32 import Float32
from certify.wide.slack import slack
from checker.float32.cells import Slack
from checker.statement.model import load_model
from checker.wide.float32 import wide_slacks
from checker.wide.heads import heads_of, parts_of

EPS, ETA = Fraction(1, 1 << 22), Fraction(1, 1 << 126)


def model_of(seed: int) -> Model:
    """Return a random model with two or three heads."""
    rng = random.Random(f"float32 {seed}")
    chosen = {"n_heads": rng.choice((2, 3)), "biases": rng.choice((False, True))}
    return networks.of(rng, chosen, vocab=4, outputs=4, n=3, d_model=4, d_head=3, spread=40)


def slacks_of(model: Model) -> tuple[list[Slack], int]:
    """Return what the checker finds, and the scale of logits; scores are over 2^-48."""
    loaded, book = load_model(model.bytes), ledger()
    vocab, n = model.config["d_vocab"], model.config["n_ctx"]
    named = usual_places({"d_vocab": vocab, "n_ctx": n})
    tables = heads_of(loaded, named, book, 48)
    scale = tables.tables[0][0].value_scale
    scores = [48] * len(tables.tables)
    return wide_slacks(loaded, parts_of(loaded), (EPS, ETA), scores, scale, book), scale


def loaded_of(model: Model, folder: Path) -> Loaded:
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    return load(path)


@pytest.mark.parametrize("seed", range(12))
def test_the_checker_finds_what_the_page_says(seed: int, tmp_path: Path) -> None:
    model = model_of(seed)
    found, scale = slacks_of(model)
    page = slack(loaded_of(model, tmp_path), Float32(EPS, ETA))
    root = model.config["d_head"] ** 0.5
    for own, theta in zip(found, page.thetas, strict=True):
        assert own.score_error / 2.0**48 == pytest.approx(2 * theta * root, rel=1e-6)
        # the page rounds the mean column to the scale of W_U, here to 1/16
        assert own.logit_error / 2.0**scale == pytest.approx(page.bracket, rel=0.05)
        assert own.margin(0) == -own.logit_error


def execution(model: Loaded, tokens: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the logits of one allowed execution [batch, outputs], trees drawn at random."""
    heads = model.config.n_heads
    columns: list[Any] = []
    rows: list[Any] = []
    chosen = oracle.Execution(
        fma=bool(generator.integers(2)),
        reciprocal_softmax=bool(generator.integers(2)),
        exp=oracle.bounded_exp(float(EPS), float(ETA), generator),
    )
    attention = "blocks.0.attn."
    one = replace(model.config, n_heads=1)
    for head in range(heads):
        own = {
            name: tensor[head : head + 1] if attention in name and "b_O" not in name else tensor
            for name, tensor in model.tensors.items()
        }
        mixed = oracle.forward(replace(model, config=one, tensors=own), tokens, chosen, generator)
        columns += [mixed.mixed[:, i : i + 1] for i in range(model.config.d_head)]
        rows += list(own[f"{attention}W_O"][0].astype(np.float32)[:, None])
    residual = (
        model.tensors["embed.W_E"].astype(np.float32)[tokens[:, -1]]
        + model.tensors["pos_embed.W_pos"].astype(np.float32)[-1]
    )
    extra: list[Any] = [residual]
    if f"{attention}b_O" in model.tensors:
        extra.append(model.tensors[f"{attention}b_O"].astype(np.float32)[None])
    y = oracle.random_dot(columns, rows, generator, with_fma=chosen.fma, extra=extra)
    unembed = model.tensors["unembed.W_U"].astype(np.float32)
    bias = model.tensors.get("unembed.b_U")
    return np.asarray(
        oracle.random_dot(
            [y[:, i : i + 1] for i in range(y.shape[1])],
            list(unembed[:, None]),
            generator,
            with_fma=chosen.fma,
            extra=[] if bias is None else [bias.astype(np.float32)[None]],
        )
    )


@pytest.mark.parametrize("seed", range(8))
def test_executions_keep_to_the_bound(seed: int, tmp_path: Path) -> None:
    model = model_of(seed)
    found, scale = slacks_of(model)
    loaded = loaded_of(model, tmp_path)
    inputs = networks.inputs(model)
    exact = np.array([[float(x) for x in networks.logits(model, tokens)[0]] for tokens in inputs])
    B = found[0].logit_error / 2.0**scale
    tensors = {name: np.asarray(t, dtype=np.float64) for name, t in loaded.tensors.items()}
    moved = 0.0
    for head, own in enumerate(found):
        theta = own.score_error / 2.0**48 / 2 / loaded.config.d_head**0.5
        rows = tensors["embed.W_E"][:, None] + tensors["pos_embed.W_pos"][None]
        w = {letter: tensors[f"blocks.0.attn.W_{letter}"][head] for letter in "VO"}
        values = rows @ w["V"] @ w["O"] @ tensors["unembed.W_U"]
        moved += (np.exp(2 * theta) - 1) * 4 * float(np.abs(values).max())
    generator = np.random.default_rng(seed)
    for _ in range(3):
        logits = execution(loaded, np.array(inputs), generator).astype(np.float64)
        apart = (logits - logits[:, :1]) - (exact - exact[:, :1])
        assert float(np.abs(apart).max()) <= B + moved
        assert float(np.abs(apart).max()) > 0.0
