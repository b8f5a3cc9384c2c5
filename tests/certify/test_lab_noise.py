"""Residuals of an explanation: splits add up, stand-ins are what they say, every bound is at least
the truth, and the command's results are the same bytes when it was killed.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from small_models import random_model, random_tensors
from waiting import wait_until

from certify.cells import enclosures
from certify.command.group import main
from certify.lab import noise
from certify.lab.circuits import circuits_of, model_of
from certify.lab.experiments import EXPERIMENTS
from certify.lab.kinds import KINDS
from certify.lab.residual import (
    RANDOM,
    REPLACEMENTS,
    SORTS,
    Residual,
    bounds_of,
    deviations,
    exact_statistic,
    moments,
    outward,
    ranges,
    rotation,
    statistic,
)
from certify.lab.samples import margins_of, measured, sample_of
from certify.lab.splits import (
    CIRCUITS,
    DIRECT,
    OV,
    PEEL,
    QK,
    SVD,
    frequencies_of,
    split_of,
    with_embedding,
)
from certify.model.config import Config
from certify.model.file import Model, load_model, save_model
from certify.model.forward import logits
from certify.model.paths import Paths, decompose

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(d_vocab=7, d_vocab_out=7, n_ctx=3, d_model=5, d_head=4)
ADDITION = ROOT / "certificates" / "modadd59-constant-seed-0" / "model.safetensors"
PATHS = ("EU", "EVOU", "PVOU", "EQKE", "EQKP")


def factors_of(seed: int, several: int) -> list[np.ndarray]:
    """Return random factors of a product with seven rows and six columns."""
    generator = np.random.default_rng(seed)
    sizes = [7, *generator.integers(1, 6, several - 1), 6]
    shapes = itertools.pairwise(sizes)
    return [
        generator.standard_normal(shape) * 10.0 ** generator.integers(-3, 3) for shape in shapes
    ]


def files(folder: Path) -> Mapping[str, bytes]:
    """Return the results and the pictures of a run."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in ("lock", "timing.json")
    }


# --- products and stand-ins -------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 4))
def test_every_bound_is_at_least_the_statistic(seed: int, several: int) -> None:
    factors = factors_of(seed, several)
    exact = float(exact_statistic(factors))
    bounds = bounds_of(factors)
    assert len(bounds) == (7 if several == 2 else 12)
    for name, bound in bounds.items():
        assert bound >= exact * (1 - 1e-9), name


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_exact_statistic_is_the_definition_in_rationals(seed: int, several: int) -> None:
    factors = factors_of(seed, several)
    rows = [[Fraction(float(x)) for x in row] for row in factors[0]]
    for factor in factors[1:]:
        columns = [[Fraction(float(x)) for x in column] for column in factor.T]
        rows = [
            [
                sum((a * b for a, b in zip(row, column, strict=True)), Fraction())
                for column in columns
            ]
            for row in rows
        ]
    expected = max(max(row) - min(row) for row in rows)
    found = exact_statistic(factors)
    assert found == expected
    assert statistic(factors) == pytest.approx(float(expected), rel=1e-12)
    ends = outward(found)
    assert Fraction(ends["low"]) <= found <= Fraction(ends["high"])
    assert Fraction(ends["high"]) - Fraction(ends["low"]) <= Fraction(1, 2**64)


def test_an_exact_statistic_may_be_zero() -> None:
    assert exact_statistic([np.zeros((2, 3)), np.ones((3, 2))]) == 0
    assert exact_statistic([np.array([[1e-300, -1e300]])]) == Fraction(1e300) + Fraction(1e-300)


def test_stand_ins_are_what_they_say() -> None:
    generator = np.random.default_rng(1)
    factor = generator.standard_normal((40, 30)) + 3.0
    drawn = {sort: one(factor, generator) for sort, one in REPLACEMENTS.items()}
    assert {one.shape for one in drawn.values()} == {(40, 30)}
    np.testing.assert_array_equal(np.sort(drawn["shuffle"], axis=None), np.sort(factor, axis=None))
    assert not np.array_equal(drawn["shuffle"], factor)
    assert drawn["normal"].mean() == pytest.approx(3.0, abs=0.2)
    assert drawn["normal"].std() == pytest.approx(1.0, abs=0.1)
    values = [np.linalg.svd(one, compute_uv=False) for one in (drawn["rotation"], factor)]
    np.testing.assert_allclose(values[0], values[1], atol=1e-9)
    assert not drawn["zero"].any()
    turned = rotation(6, generator)
    np.testing.assert_allclose(turned @ turned.T, np.eye(6), atol=1e-12)


def test_fixed_factors_are_never_replaced() -> None:
    first, second, third = (np.full((2, 2), number) for number in (1.0, 2.0, 3.0))
    residual = Residual((first, second, third), fixed=1)
    found = residual.replaced("zero", np.random.default_rng(0))
    assert found.fixed == 1
    np.testing.assert_array_equal(found.factors[0], first)
    assert not found.factors[1].any()
    left, right = residual.halves()
    np.testing.assert_array_equal(left @ right, residual.product())


def test_draws_are_the_same_for_the_same_number_alone() -> None:
    residuals = {"qk": Residual((np.arange(12.0).reshape(3, 4), np.ones((4, 2))))}

    def draw(model: str, sort: str, number: int) -> bytes:
        return noise.replaced(model * 8, residuals, sort, number)["qk"].factors[0].tobytes()

    assert draw("a", "normal", 0) == draw("a", "normal", 0)
    others = [("a", "normal", 1), ("a", "rotation", 0), ("b", "normal", 0)]
    assert draw("a", "normal", 0) not in {draw(*other) for other in others}
    assert noise.replaced("a" * 8, residuals, "real", 0) == residuals


def test_z_scores_are_deviations_of_a_sample() -> None:
    said = moments([1.0, 2.0, 3.0])
    assert said == {"mean": 2.0, "sd": 1.0, "n": 3}
    assert deviations(4.0, said) == 2.0
    assert deviations(4.0, moments([1.0])) is None
    assert deviations(4.0, moments([1.0, 1.0])) is None
    assert moments([])["mean"] is None


# --- splits -----------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(1, 3), st.sampled_from([PEEL, SVD]), st.booleans())
def test_what_is_kept_and_left_out_is_the_model(
    seed: int, rank: int, form: str, biases: bool
) -> None:
    model = random_model(CONFIG, seed, biases=biases)
    split = split_of(model, rank, 2, form)
    found, expected = split.paths({}), decompose(model)
    for name in ("EU", "EVOU", "PVOU"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
    # The mean position is with the key token: scores are the same.
    scores = [one.EQKE[:, :, None] + one.EQKP[:, None, :] for one in (found, expected)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-9)
    kept = np.linalg.svd(split.kept_qk, compute_uv=False)
    assert np.sum(kept > 1e-9) <= split.ranks[QK]
    kept = np.linalg.svd(split.kept_ov, compute_uv=False)
    assert np.sum(kept > 1e-9) <= split.ranks[OV] == 2
    assert (
        np.ptp(
            split.paths({DIRECT: split.residuals[DIRECT].replaced("zero", _none())}).EU, axis=0
        ).max()
        < 1e-9
    )


def _none() -> np.random.Generator:
    return np.random.default_rng(0)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_what_is_measured_is_what_margins_say(seed: int, scale: float) -> None:
    model = random_model(CONFIG, seed, biases=True)
    found = decompose(model)
    paths = Paths(
        found.EU * scale,
        found.EVOU * scale,
        found.PVOU * scale,
        found.EQKE * scale,
        found.EQKP * scale,
        found.d_head,
    )
    tokens = sample_of(CONFIG.d_vocab, CONFIG.n_ctx, 300)
    assert measured(paths, tokens).right == int(np.sum(margins_of(paths, tokens) > 0))
    huge = replace(paths, EU=paths.EU * 1e200)
    assert measured(huge, tokens).right == int(np.sum(margins_of(huge, tokens) > 0))


def test_the_residual_of_the_best_rank_is_the_rest_of_the_singular_values() -> None:
    model = random_model(CONFIG, 5)
    split = split_of(model, 2, 3, SVD)
    whole = split.kept_qk + split.residuals[QK].product()
    values = np.linalg.svd(whole, compute_uv=False)
    rest = np.linalg.svd(split.residuals[QK].product(), compute_uv=False)
    np.testing.assert_allclose(rest[:2], values[2:4], atol=1e-9)


@given(st.integers(0, 1000), st.sampled_from(CIRCUITS), st.sampled_from(RANDOM))
def test_a_replaced_residual_leaves_the_other_circuits_alone(
    seed: int, circuit: str, sort: str
) -> None:
    model = random_model(CONFIG, seed, biases=True)
    split = split_of(model, 2, 2)
    drawn = noise.replaced(f"{seed:08x}", split.residuals, sort, 0)
    residuals = {circuit: drawn[circuit]}
    tensors, config = model_of(split.circuits(residuals), np.float64)
    written = decompose(Model(config, tensors, "0" * 64))
    scale = np.sqrt(CONFIG.d_head / config.d_head)
    touched = {QK: "EQKE", DIRECT: "EU", OV: "EVOU"}[circuit]
    replaced, before = split.paths(residuals), split.paths({})
    for name in PATHS:
        found = getattr(written, name) * (scale if name.startswith("EQ") else 1.0)
        np.testing.assert_allclose(found, getattr(replaced, name), atol=1e-8)
        assert np.allclose(found, getattr(before, name), atol=1e-8) == (name != touched), name


def test_the_model_written_in_coordinates_of_its_own_is_the_model() -> None:
    model = random_model(CONFIG, 11, biases=True)
    for form in (PEEL, SVD):
        tensors, config = model_of(split_of(model, 2, 2, form).circuits({}), np.float64)
        tokens = sample_of(CONFIG.d_vocab, CONFIG.n_ctx, 64)
        found = logits(Model(config, tensors, "0" * 64), tokens)
        np.testing.assert_allclose(found, logits(model, tokens), atol=1e-8)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_an_enclosure_of_low_rank_is_as_tight_in_coordinates_of_its_own(rank: int) -> None:
    model = random_model(CONFIG, 4)
    tensors, config = model_of(circuits_of(model), np.float64)
    wide = Model(config, tensors, "0" * 64)
    radii = [
        enclosures.radii(
            enclosures.chains(one)["qk"],
            enclosures.hints_for(one, {"qk": f"rank-{rank}"})["qk"],
        )
        for one in (model, wide)
    ]
    np.testing.assert_allclose(radii[0], radii[1], rtol=0.02, atol=1e-3)


def test_key_frequencies_and_the_rest_are_the_embedding() -> None:
    model = load_model(ADDITION)
    split = frequencies_of(model, 59)
    assert split.keys == (6, 8, 12, 16, 17, 21)
    W_E = model.tensor("embed.W_E")
    np.testing.assert_allclose(split.embedding(split.residual), W_E, atol=1e-12)
    assert split.shares[[key - 1 for key in split.keys]].sum() > 0.95
    tensors, config = with_embedding(
        model, split.embedding(split.residual.replaced("zero", _none()))
    )
    denoised = Model(config, tensors, "0" * 64)
    assert frequencies_of(denoised, 59).shares.max() <= 1.0
    np.testing.assert_allclose(denoised.tensor("embed.W_E"), split.kept, atol=1e-6)
    # A row of the residual is a neuron: what a token adds to it at attention one half.
    values, outs = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "VO")
    moved = sum(v @ o for v, o in zip(values, outs, strict=True)) / 2.0
    direct = (W_E - split.kept) @ moved @ model.tensor("blocks.0.mlp.W_in")
    np.testing.assert_allclose(ranges(direct.T), ranges(split.residual.product()), atol=1e-9)


# --- the command ------------------------------------------------------------------


def _ran(out: Path, *words: str) -> Any:
    said = CliRunner().invoke(main, ["lab", "noise", "--out", str(out), *words])
    assert said.exit_code == 0, said.output
    return json.loads((out / "results.json").read_text())


def test_the_smallest_run_says_everything(tmp_path: Path) -> None:
    results = _ran(tmp_path / "out", "--smoke", "--jobs", "2")
    assert results["complete"]
    assert {
        f"noise-{name}.{form}"
        for name in ("statistic", "looseness", "accuracy", "band")
        for form in ("svg", "png")
    } <= set(files(tmp_path / "out"))
    (model,) = results["summary"]["models"].values()
    assert set(model["statistic"]) == set(SORTS)
    assert model["statistic"]["real"]["n"] == 1
    assert model["statistic"]["zero"]["mean"] == 0.0
    for sort in RANDOM:
        said = model["statistic"][sort]
        assert said["n"] == 2
        assert said["z"] == pytest.approx(
            (model["statistic"]["real"]["mean"] - said["mean"]) / said["sd"]
        )
    assert {bound["circuit"] for bound in model["bounds"]} == set(CIRCUITS)
    for unit in results["units"]:
        if unit["part"] == "draws":
            _verified(unit["first"]["estimate"], unit["first"]["certified"])
            for circuit in unit["circuits"].values():
                assert circuit["largest"]["agrees"]
                for bound in circuit["bounds_estimate"].values():
                    assert bound["mean"] >= circuit["statistic"]["mean"] * (1 - 1e-9)
        else:
            for found in unit["sorts"].values():
                for proof in found["proofs"]:
                    _verified(found["estimate"], proof)


def _verified(estimate: Mapping[str, Any], certified: Mapping[str, Any]) -> None:
    assert certified["line"].startswith("s VERIFIED ")
    assert f"model=sha256:{certified['model_sha256']}" in certified["line"]
    assert estimate["exhaustive"]
    assert int(certified["lower"]) <= estimate["right"] <= int(certified["upper"])


@pytest.mark.slow
def test_the_smallest_run_of_modular_addition(tmp_path: Path) -> None:
    results = _ran(tmp_path / "out", "--smoke", "--kind", "modadd59-constant")
    (model,) = results["summary"]["models"].values()
    assert model["statistic"]["real"]["mean"] > model["statistic"]["shuffle"]["mean"] > 0.0
    for unit in results["units"]:
        _verified(unit["first"]["estimate"], unit["first"]["certified"])
    assert not (tmp_path / "out" / "noise-band.png").exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    model = tmp_path / "small.safetensors"
    save_model(model, random_tensors(CONFIG, 3), CONFIG)
    words = ["lab", "noise", "--models", str(model), "--draws", "2", "--rank-models", "0"]
    command = [sys.executable, "-m", "certify", *words, "--ov-rank", "2", "--out"]
    whole, out = tmp_path / "whole", tmp_path / "out"
    subprocess.run([*command, str(whole), "--jobs", "2"], cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen([*command, str(out)], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(list((out / "jobs").glob("*.json"))) >= 4, "four records")
    process.kill()
    process.wait()
    assert not (out / "results.json").exists()
    subprocess.run([*command, str(out)], cwd=ROOT, check=True, capture_output=True)
    assert files(out) == files(whole)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--rank", "0"], "a rank is at least 1"),
        (["--ranks", "0,1"], "whole numbers from 1"),
        (["--bounds", "tight"], "no such enclosure"),
        (["--rank-models", "-1"], "is not negative"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], line: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["lab", "noise", "--out", str(tmp_path / "out"), *words])
    assert said.exit_code == 2
    assert line in said.output


def test_the_study_is_of_twenty_seeds_and_a_hundred_draws() -> None:
    row = EXPERIMENTS["noise"]
    assert (row.kinds[0], row.seeds, row.draws) == ("max-of-4", tuple(range(20)), 100)
    assert set(row.kinds) <= set(KINDS)
