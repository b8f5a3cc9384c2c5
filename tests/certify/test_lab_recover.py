"""Approximations, the step of a training that was as good, and the command."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certify.lab.approximations import (
    PATHS,
    SORTS,
    approximations,
    checkpoints_of,
    low_rank_ov,
    low_rank_qk,
    mean_direct,
    rounded,
    step_as_good,
)
from certify.lab.circuits import circuits_of
from certify.model.config import Config
from certify.model.file import Model, encode_model
from certify.model.forward import logits
from certify.model.paths import decompose
from certify.training.max_of_k import Recipe, train_max_of_k

VOCAB, N_CTX, WIDTH = 6, 3, 4


def model(seed: int = 0) -> Model:
    """Return a random model of one head without biases."""
    generator = np.random.default_rng(seed)
    shapes = {
        "embed.W_E": (VOCAB, WIDTH),
        "pos_embed.W_pos": (N_CTX, WIDTH),
        "unembed.W_U": (WIDTH, VOCAB),
        **{f"blocks.0.attn.W_{letter}": (1, WIDTH, WIDTH) for letter in "QKVO"},
    }
    tensors = {
        name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()
    }
    config = Config(d_vocab=VOCAB, d_vocab_out=VOCAB, n_ctx=N_CTX, d_model=WIDTH, d_head=WIDTH)
    return Model(config, tensors, "")


def inputs() -> np.ndarray:
    """Return every input."""
    return np.stack(np.meshgrid(*[np.arange(VOCAB)] * N_CTX, indexing="ij"), axis=-1).reshape(
        -1, N_CTX
    )


def test_full_ranks_change_nothing_and_low_ranks_only_their_circuit() -> None:
    true = circuits_of(model())
    paths = true.paths()
    full = low_rank_ov(low_rank_qk(true, WIDTH), WIDTH).paths()
    for name in ("EU", "EVOU", "PVOU", "EQKE", "EQKP"):
        assert np.allclose(getattr(full, name), getattr(paths, name))
    low = low_rank_qk(true, 1).paths()
    assert np.linalg.matrix_rank(np.hstack([low.EQKE, low.EQKP]), tol=1e-9) == 1
    assert np.allclose(low.EVOU, paths.EVOU)
    assert np.allclose(low.EU, paths.EU)
    moved = low_rank_ov(true, 2).paths()
    assert np.linalg.matrix_rank(np.vstack([moved.EVOU, moved.PVOU]), tol=1e-9) == 2
    assert np.allclose(moved.EQKE, paths.EQKE)
    flat = mean_direct(true).paths()
    assert np.allclose(flat.EU, paths.EU.mean(axis=0))
    assert np.allclose(flat.EVOU, paths.EVOU)


def test_every_approximation_is_a_model_with_a_name_of_its_own() -> None:
    true = model()
    names = []
    for sort in SORTS:
        for name, (tensors, config) in approximations(
            true, sort, inputs(), ranks=[1, 2, 99], bits=[8, 3]
        ):
            names.append(name)
            assert encode_model(tensors, config)
            found = logits(Model(config, tensors, ""), inputs())
            assert np.all(np.isfinite(found))
            if sort == PATHS and name == "ov zero":
                direct = decompose(true).EU[inputs()[:, -1]]
                assert np.allclose(found, direct, atol=1e-5)
    assert len(set(names)) == len(names)
    assert {"qk rank 1", "ov rank 2", "denoised 1", "grid 3 bits", "positions mean"} <= set(names)
    assert "qk rank 99" not in names


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_grids_are_whole_multiples_and_near(seed: int, bits: int) -> None:
    tensor = np.random.default_rng(seed).normal(size=20).astype(np.float32)
    found = rounded(tensor, bits)
    step = 2.0 ** math.ceil(math.log2(float(np.abs(tensor).max()) / (2 ** (bits - 1) - 1)))
    whole = found / step
    assert np.array_equal(whole, np.round(whole))
    assert np.abs(whole).max() <= 2 ** (bits - 1) - 1
    assert np.abs(found - tensor).max() <= step / 2
    assert found.dtype == tensor.dtype


def test_grids_are_those_of_training() -> None:
    torch = pytest.importorskip("torch")
    from certify.training import perturbed

    for bits in (3, 5, 8):
        tensor = np.random.default_rng(bits).normal(size=(7, 5)).astype(np.float32)
        trained = perturbed.rounded(torch, torch.tensor(tensor), bits)
        assert np.array_equal(trained.numpy(), rounded(tensor, bits))


def test_when_a_training_was_as_good() -> None:
    steps, losses = [0, 1, 2, 4, 8], [4.0, 3.0, 1.0, 2.0, 0.5]
    assert step_as_good(steps, losses, 5.0) == {"first": 0, "lasting": 0, "between": 0.0}
    assert step_as_good(steps, losses, 1.5)["first"] == 2
    assert step_as_good(steps, losses, 1.5)["lasting"] == 8
    assert step_as_good(steps, losses, 0.5) == {"first": 8, "lasting": 8, "between": 8.0}
    assert set(step_as_good(steps, losses, 0.4).values()) == {None}
    between = step_as_good([0, 1, 4], [9.0, 4.0, 1.0], 2.0)["between"]
    assert between == pytest.approx(2.0)  # halfway in both logarithms


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.01, 10.0), min_size=2, max_size=12),
    st.floats(0.01, 10.0),
)
def test_the_step_lies_where_it_says(losses: list[float], target: float) -> None:
    steps = [0, *(2**place for place in range(len(losses) - 1))]
    found = step_as_good(steps, losses, target)
    first, between = found["first"], found["between"]
    good = {step for step, loss in zip(steps, losses, strict=True) if loss <= target}
    assert first == (min(good) if good else None)
    if found["lasting"] is not None:
        assert {step for step in steps if step >= found["lasting"]} <= good
    if first is not None and between is not None:
        below = [step for step in steps if step < first]
        assert (below[-1] if below else 0) <= between + 1e-3
        assert between <= first + 1e-3


def test_checkpoints_are_even_on_a_log_scale() -> None:
    assert checkpoints_of(1) == [0, 1]
    assert checkpoints_of(10) == [0, 1, 2, 3, 4, 6, 8, 10]
    found = checkpoints_of(3000)
    assert found[0] == 0
    assert found[-1] == 3000
    assert len(found) < 30


def test_looking_at_a_training_does_not_change_it() -> None:
    pytest.importorskip("torch")
    recipe = Recipe(seed=3, steps=20, batch=8)
    kept: dict[int, Any] = {}

    def keep(step: int, weights: Any) -> None:
        kept[step] = {name: one.detach().numpy().copy() for name, one in weights.items()}

    watched, config = train_max_of_k(3, 8, 8, recipe, keep=keep)
    alone, _ = train_max_of_k(3, 8, 8, recipe)
    assert encode_model(watched, config) == encode_model(alone, config)
    assert sorted(kept) == list(range(21))
    assert all(np.array_equal(kept[20][name], alone[name]) for name in alone)
    earlier, _ = train_max_of_k(3, 8, 8, Recipe(seed=3, steps=7, batch=8))
    assert all(np.array_equal(kept[7][name], earlier[name]) for name in alone)


def lab(out: Path, *more: str) -> list[str]:
    """Return the command line of a smoke run."""
    return [sys.executable, "-m", "certify", "lab", "recover", "--smoke", "--out", str(out), *more]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Kill a run once its model is trained: the rest gives the bytes of another number of jobs."""
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    first = tmp_path / "a"
    killed = subprocess.Popen(lab(first), stderr=subprocess.DEVNULL)
    while killed.poll() is None and not any((first / "models").glob("*")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run(lab(first, "--jobs", "2"), check=True, capture_output=True)
    before = {name: (first / name).read_bytes() for name in ("results.json", "results.csv")}
    for done in (first / "jobs").glob("*.json"):  # all units again, of what is kept
        if "result" in (kept := json.loads(done.read_text())) and "used" in kept:
            done.unlink()
    subprocess.run(lab(first), check=True, capture_output=True)
    assert before == {name: (first / name).read_bytes() for name in before}


def test_the_smallest_run_is_verified(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    first = tmp_path / "a"
    subprocess.run(lab(first, "--jobs", "2"), check=True, capture_output=True)
    results = json.loads((first / "results.json").read_text())
    assert results["complete"]
    said = results["summary"]["models"][0]
    by_name = {one["name"]: one for one in said["approximations"]}
    assert by_name["original"]["recovered"] == {"zero": 1.0, "uniform": 1.0}
    assert by_name["original"]["as_good"]["cross_entropy"]["first"] == said["steps"] == 800
    assert by_name["ov zero"]["recovered"]["zero"] == pytest.approx(0.0, abs=1e-6)
    rows = [row for unit in results["units"] for row in unit["rows"]]
    for row in rows:
        certified = row.get("certified")
        if certified is not None and certified["lower"] is not None:
            assert certified["line"].startswith("s VERIFIED")
            assert int(certified["lower"]) <= int(certified["upper"])
    for name in ("scales", "certified", "training"):
        assert (first / f"recover-{name}.png").stat().st_size > 10_000
