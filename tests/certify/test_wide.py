"""Strategies for wide models on random tiny ones: what the checker derives is around the truth.

The truth is that of `networks.py`, by plain loops with 200 bits.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from models import Model

import certify
from certify import families
from certify.canonical import canonical
from certify.cells.forest import weakest
from certify.cells.numbering import numbering_of
from certify.errors import Unsupported
from certify.model.config import Config
from certify.model.file import load_model, save_model
from certify.progress import silent
from certify.question.float32 import NAME, Float32
from certify.question.question import read_question
from certify.question.scope import UNIFORM
from certify.training.max_of_k import Recipe, train_max_of_k
from certify.wide.estimates import LOOSER
from certify.wide.slack import slack
from certify.wide.strategies import STRATEGIES, Problem
from certify.wide.tables import tables_of
from checker.check import Theorem, check, parse

KINDS: tuple[dict[str, Any], ...] = (
    {"n_heads": 2},
    {"n_heads": 4},
    {"n_heads": 2, "normalization_type": "LNPre"},
    {"n_heads": 1, "normalization_type": "LN"},
    {"n_heads": 1, "mlp": "relu"},
)
SEEDS = range(4)


def model_of(seed: int, chosen: dict[str, Any]) -> Model:
    """Return a random model that is often right."""
    rng = random.Random(f"{seed} {sorted(chosen)}")
    features = chosen | {"biases": seed % 2 == 0}
    model = networks.of(rng, features, vocab=4, outputs=4, n=3, d_model=4, d_head=2, spread=14)
    for name in ("embed.W_E", "unembed.W_U"):
        for t in range(4):
            model.tensors[name][t][t] += 3
    return model


def proved(model: Model, name: str, folder: Path, semantics: Float32 | None = None) -> Theorem:
    """Return what the checker derives from a strategy's cells."""
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    loaded = load_model(path)
    question = read_question("max-of-k", loaded.config)
    named = numbering_of(question.domain, loaded.config.d_vocab_out)
    weights = named.weights(question.domain, UNIFORM)
    tables = tables_of(loaded, named)
    off = slack(loaded, semantics, tables.S[1])
    problem = Problem(named, weights, tables, 1.0, LOOSER[-1], silent, off)
    cells = named.named(STRATEGIES[name].build(problem))
    document = networks.document(model, "max-of-k")
    del document["proof"]["leaves"]
    total = int(document["statement"]["total"])
    if semantics is not None:
        document["statement"] |= {"semantics": NAME, **semantics.statement()}
    document["proof"] |= {"wide": weakest(cells, total), "precision": 96, "strategy": name}
    return check(parse(model.bytes, canonical(document)), lambda done, declared: None)


@pytest.mark.parametrize("chosen", KINDS, ids=lambda chosen: "-".join(map(str, chosen.values())))
def test_bounds_are_around_the_truth(chosen: dict[str, Any], tmp_path: Path) -> None:
    for seed in SEEDS:
        model = model_of(seed, chosen)
        margins = [networks.margin(model, "max-of-k", x) for x in networks.inputs(model)]
        right = sum(margin > 0 for margin in margins)
        for name in STRATEGIES:
            found = proved(model, name, tmp_path)
            assert found.correct_lower <= right <= found.correct_upper, (name, seed)
            if name in ("brute-force", "exact"):
                assert found.correct_lower == found.correct_upper, (name, seed)


@pytest.mark.parametrize("chosen", KINDS, ids=lambda chosen: "-".join(map(str, chosen.values())))
def test_float32_bounds_are_around_the_truth(chosen: dict[str, Any], tmp_path: Path) -> None:
    lost = 0
    for seed in SEEDS:
        model = model_of(seed, chosen)
        margins = [networks.margin(model, "max-of-k", x) for x in networks.inputs(model)]
        right = sum(margin > 0 for margin in margins)
        for name in ("count", "exact"):
            found = proved(model, name, tmp_path, Float32())
            assert found.correct_lower <= right <= found.correct_upper, (name, seed)
        lost += right - found.correct_lower
    assert lost <= len(SEEDS), lost


def test_tables_are_those_of_the_model(tmp_path: Path) -> None:
    for chosen in KINDS[:2]:
        model = model_of(1, chosen)
        path = tmp_path / "model.safetensors"
        path.write_bytes(model.bytes)
        loaded = load_model(path)
        question = read_question("max-of-k", loaded.config)
        tables = tables_of(loaded, numbering_of(question.domain, 4))
        for tokens in networks.inputs(model)[::7]:
            logits = tables.U[tokens[-1]].copy()
            for head in tables.heads:
                scores = [head.E[0][tokens[-1], t] + head.EP[tokens[-1], i]
                          for i, t in enumerate(tokens)]  # fmt: skip
                weights = np.exp(np.array(scores) - max(scores))
                values = np.array([head.A[0][t] + head.D[i] for i, t in enumerate(tokens)])
                logits += weights @ values / weights.sum()
            (known,) = networks.logits(model, tokens)
            assert np.allclose(logits - logits[0], [float(x - known[0]) for x in known], atol=1e-9)


def config(**changes: Any) -> Config:
    return Config(d_vocab=4, d_vocab_out=4, n_ctx=3, d_model=4, d_head=2, **changes)


def test_the_model_chooses_the_family() -> None:
    plain, wide = config(), config(n_heads=2)
    question = read_question("max-of-k", plain)
    for name in STRATEGIES:
        assert families.chosen(question, plain, name)[0].kind == "cells"
        assert families.chosen(question, wide, name)[0].kind == "wide"
    assert families.chosen(question, plain)[0].kind == "cells"
    assert families.chosen(question, wide)[0].kind == "wide"
    assert families.chosen(question, config(n_heads=5))[0].kind == "leaves"


def test_what_is_not_proved_is_refused_by_name() -> None:
    question = read_question("max-of-k", config())
    family = next(one for one in families.FAMILIES if one.kind == "wide")
    norm_and_mlp = {"attn_only": False, "act_fn": "relu", "d_mlp": 3}
    for wrong in (
        config(n_heads=5),
        config(n_heads=2, n_layers=2),
        config(n_heads=2, attention_mix="0x1.0000000000000p-1"),
        config(normalization_type="LN", eps="0x1.0p-10", **norm_and_mlp),
        config(attn_only=False, act_fn="silu", d_mlp=3),
        config(),
    ):
        with pytest.raises(Unsupported):
            family.require(wrong, question, "model")


@pytest.mark.parametrize(
    "wider", [{"heads": 2}, {"d_mlp": 5}, {"normalization": "LNPre"}, {"normalization": "LN"}]
)
def test_wide_models_are_trained(wider: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    tensors, trained = train_max_of_k(3, 6, 4, Recipe(seed=2, steps=5), **wider)
    again, _ = train_max_of_k(3, 6, 4, Recipe(seed=2, steps=5), **wider)
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)
    assert trained.n_heads == wider.get("heads", 1)
    assert trained.d_mlp == wider.get("d_mlp")
    assert trained.normalization_type == wider.get("normalization")


@pytest.mark.slow
@pytest.mark.parametrize(
    "wider", [{"heads": 2}, {"normalization": "LN"}, {"d_mlp": 16}], ids=["heads", "LN", "MLP"]
)
def test_exact_counts_what_brute_force_counts(wider: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    tensors, trained = train_max_of_k(4, 20, 16, Recipe(steps=2000), **wider)
    path = tmp_path / "model.safetensors"
    save_model(path, tensors, trained)
    found = certify.prove(path, task="max-of-k", strategy="exact").verdict
    counted = certify.evaluate(path, task="max-of-k")
    assert counted.total == found.total == 20**4
    assert found.correct_lower == found.correct_upper == counted.correct
