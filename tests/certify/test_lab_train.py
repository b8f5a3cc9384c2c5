"""``lab train``: levels of noise against draws, confidence and residuals against their definitions,
and a table of variants that can all be trained.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import random_model, random_tensors

from certify.command.group import main
from certify.lab.kinds import KINDS
from certify.lab.train import calibration_error, confidence_of, z_score
from certify.lab.variants import LAYER_NORM, WITHOUT_NORM, variants
from certify.lab.washed import (
    DIRECT,
    OV,
    QK,
    Noise,
    pairs_of,
    parts_of,
    path_levels,
    sampled,
    washed,
)
from certify.model.config import Config
from certify.model.file import Model, save_model
from certify.model.forward import logits
from certify.training.asked import objects_of
from certify.training.max_of_k import TRAINABLE

CONFIG = Config(d_vocab=5, d_vocab_out=5, n_ctx=3, d_model=4, d_head=3)
DRAWS = 40_000


def noisy(generator: np.random.Generator, values: np.ndarray, size: float) -> np.ndarray:
    """Return ``DRAWS`` copies with noise."""
    return values + size * generator.standard_normal((DRAWS, *values.shape))


@pytest.mark.parametrize(
    "noise", [Noise(weights=0.2), Noise(stream=0.3), Noise(activations=0.4), Noise(0.1, 0.2, 0.3)]
)
def test_levels_are_what_draws_show(noise: Noise) -> None:
    parts = parts_of(random_model(CONFIG, 2))
    first, second = 3, 1
    token = 4  # no key of the pair
    pairs = (np.array([first]), np.array([second]))
    level = {name: values[token, 0] for name, values in path_levels(parts, noise, pairs).items()}
    generator = np.random.default_rng(5)
    W_E, W_pos, W_Q, W_K, W_V, W_O, W_U = (
        noisy(generator, matrix, noise.weights)
        for matrix in (
            parts.W_E,
            parts.W_pos,
            parts.W_Q,
            parts.W_K,
            parts.W_V,
            parts.W_O,
            parts.W_U,
        )
    )
    stream = W_E + W_pos[:, -1:]
    stream = stream + noise.stream * generator.standard_normal(stream.shape)
    final = stream + noise.stream * generator.standard_normal(stream.shape)
    direct = np.einsum("bd,bdj->bj", final[:, token], W_U)
    query = np.einsum("bd,bdh->bh", stream[:, token], W_Q)
    query = query + noise.activations * generator.standard_normal(query.shape)
    keys = W_E + noise.stream * generator.standard_normal(W_E.shape)
    key = np.einsum("btd,bdh->bth", keys, W_K)
    key = key + noise.activations * generator.standard_normal(key.shape)
    scores = np.einsum("bh,bth->bt", query, key) / np.sqrt(CONFIG.d_head)
    value = np.einsum("bd,bdh->bh", keys[:, token], W_V)
    value = value + noise.activations * generator.standard_normal(value.shape)
    moved = np.einsum("bh,bhd,bdj->bj", value, W_O, W_U)
    for name, found in ((DIRECT, direct), (OV, moved), (QK, scores)):
        drawn = float(np.std(found[:, first] - found[:, second]))
        assert drawn == pytest.approx(level[name], rel=0.04), name


def test_no_noise_has_no_level_and_much_noise_covers_everything() -> None:
    model = random_model(CONFIG, 3)
    tokens = np.array(list(np.ndindex(5, 5, 5)), dtype=np.int64)
    for values in path_levels(parts_of(model), Noise(), pairs_of(5)).values():
        np.testing.assert_allclose(values, 0.0, atol=1e-6)
    found = washed(model, Noise(weights=100.0), tokens, 4)
    assert found["below"] == {DIRECT: 1.0, QK: 1.0}
    assert not Noise().any


def test_samples_without_noise_are_the_logits() -> None:
    model = random_model(CONFIG, 4)
    tokens = np.array(list(np.ndindex(5, 5, 5)), dtype=np.int64)
    scores = logits(model, tokens)
    answers = tokens.max(axis=1)
    others = np.where(answers > 0, answers - 1, 1)
    places = np.arange(len(tokens))
    direct = scores[places, answers] - scores[places, others]
    found = sampled(parts_of(model), Noise(), tokens, 2)
    np.testing.assert_allclose(found, np.stack([direct] * 2), atol=1e-9)


def test_a_residual_of_zero_has_no_z_score() -> None:
    model = random_model(CONFIG, 1)
    tensors = {name: np.array(tensor) for name, tensor in model.tensors.items()}
    for letter in "QK":
        tensors[f"blocks.0.attn.W_{letter}"][:, :, 1:] = 0.0
    found = z_score(Model(CONFIG, tensors, "0" * 64), 5)
    assert found["shuffle"]["z"] is None
    assert z_score(model, 5)["shuffle"]["z"] is not None


def test_calibration_error() -> None:
    right = np.array([True, True, False, False])
    assert calibration_error(np.array([1.0, 1.0, 0.0, 0.0]), right) == 0.0
    assert calibration_error(np.full(4, 0.5), right) == 0.0
    assert calibration_error(np.full(4, 0.9), right) == pytest.approx(0.4)
    assert calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), right) == pytest.approx(0.1)


@pytest.mark.parametrize("normalization", [None, "LNPre"])
def test_confidence_is_that_of_the_softmax(normalization: str | None) -> None:
    eps = None if normalization is None else (1e-5).hex()
    model = random_model(replace(CONFIG, normalization_type=normalization, eps=eps), 6)
    tokens = np.array(list(np.ndindex(5, 5, 5)), dtype=np.int64)
    scores = logits(model, tokens)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    answers = tokens.max(axis=1)
    found = confidence_of(model, tokens)
    assert found.measured.right == int(np.sum(scores.argmax(axis=1) == answers))
    assert found.entropy == pytest.approx(float(-np.sum(shares * np.log(shares), axis=1).mean()))
    assert found.largest == pytest.approx(float(shares.max(axis=1).mean()))
    own = shares[np.arange(len(tokens)), answers]
    assert found.cross_entropy == pytest.approx(float(-np.log(own).mean()))


@pytest.mark.parametrize("smoke", [False, True])
def test_every_variant_can_be_trained(smoke: bool) -> None:
    kind = KINDS["max-of-3-small" if smoke else "max-of-4"]
    found = variants(kind, smoke=smoke)
    assert len({one.name for one in found}) == len(found)
    for one in found:
        sizes, _, _, perturbed = objects_of(
            TRAINABLE, {**kind.options, **one.options, "seed": 1}, one.name
        )
        perturbed.require(sizes.config())


def test_layer_norm_is_taken_out_of_the_model_that_is_measured_with_it() -> None:
    begin = round(WITHOUT_NORM["steps"] * (1 - WITHOUT_NORM["norm-removal"]))
    assert begin == LAYER_NORM["steps"]
    assert "lr-decay" not in WITHOUT_NORM


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_model(file, random_tensors(CONFIG), CONFIG)
    for arguments, message in (
        (["--variants", "nothing"], "no variant"),
        (["--models", str(file)], "trains its models"),
    ):
        out = ["--out", str(tmp_path / "out")]
        done = CliRunner().invoke(main, ["lab", "train", *out, *arguments])
        assert done.exit_code in (2, 20)
        assert message in done.output


@pytest.mark.slow
def test_a_smoke_run_that_goes_on_is_the_same_with_two_jobs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    first, second = tmp_path / "first", tmp_path / "second"
    smoke(first, "1")
    shutil.copytree(first, second)
    timing = json.loads((first / "timing.json").read_bytes())
    for job in (second / "jobs").iterdir():
        if not timing.get(job.stem, {"what": ""})["what"].startswith("train"):
            job.unlink()
    smoke(second, "2")
    pictures = [file.name for file in first.glob("*.svg")]
    for name in ("results.json", "results.csv", *pictures):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_smallest_run_is_verified(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    first = tmp_path / "first"
    smoke(first, "2")
    assert (first / "train-short-proofs.svg").is_file()
    results = json.loads((first / "results.json").read_bytes())
    assert results["complete"]
    for unit in results["units"]:
        exact = unit["certified"]["exact"]
        assert exact["line"].startswith("s VERIFIED")
        for facts in unit["certified"].values():
            assert facts["lower"] is None or int(facts["lower"]) <= int(exact["upper"])


def smoke(out: Path, jobs: str) -> None:
    """Run the smallest experiment."""
    done = CliRunner().invoke(main, ["lab", "train", "--smoke", "--out", str(out), "--jobs", jobs])
    assert done.exit_code == 0, done.output
