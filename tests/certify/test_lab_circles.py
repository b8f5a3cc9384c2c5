"""The planes of an embedding: shares, variants and how they lie, against direct definitions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from small_models import random_tensors

from certify.command.group import main
from certify.errors import Unsupported
from certify.lab.circles import (
    CIRCLES,
    DOUBLES,
    KEY,
    ORIGINAL,
    PLANES,
    REST,
    Planes,
    embedding_of,
    geometry_of,
    overlap,
    planes_of,
)
from certify.model.config import Config
from certify.model.file import Model
from certify.model.tensors import Tensor
from certify.question.question import read_question

P, WIDTH, NEURONS = 11, 16, 12
CONFIG = Config(
    d_vocab=P,
    d_vocab_out=P,
    n_ctx=2,
    d_model=WIDTH,
    d_head=WIDTH,
    attn_only=False,
    act_fn="relu",
    d_mlp=NEURONS,
    attention_dir="bidirectional",
    attention_mix="0x0.0p+0",
)


def tensors(seed: int) -> dict[str, Tensor]:
    """Return random tensors that fit the configuration."""
    return dict(random_tensors(CONFIG, seed))


def planes(found: dict[str, Tensor], task: str = f"modular-addition:{P}") -> Planes:
    model = Model(CONFIG, found, "0" * 64)
    return planes_of(model, read_question(task, CONFIG))


def waves(seed: int, *frequencies: int) -> np.ndarray:
    """Return an embedding in which each frequency has a plane of its own, as orthogonal circles."""
    angles = 2 * np.pi * np.arange(P) / P
    found = np.zeros((P, WIDTH))
    turned = np.linalg.qr(np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)))[0]
    for place, k in enumerate(frequencies):
        found += np.outer(np.cos(k * angles), turned[2 * place])
        found += np.outer(np.sin(k * angles), turned[2 * place + 1])
    return found


@given(st.integers(0, 500))
def test_curves_are_projections_by_the_discrete_fourier_transform(seed: int) -> None:
    found = planes(tensors(seed))
    spectrum = np.fft.rfft(found.centred, axis=0)
    for part, name in enumerate(found.basis.names):
        kept = np.zeros_like(spectrum)
        kept[int(name)] = spectrum[int(name)]
        direct = np.fft.irfft(kept, n=P, axis=0)
        np.testing.assert_allclose(found.curve([part]), direct, atol=1e-9)


@given(st.integers(0, 500))
def test_what_is_kept_and_what_is_left_out_are_the_embedding(seed: int) -> None:
    found = planes(tensors(seed))
    whole = embedding_of(found, ORIGINAL)
    kept, rest = embedding_of(found, KEY), embedding_of(found, REST)
    np.testing.assert_allclose(kept + rest - found.mean, whole, atol=1e-9)
    for part in found.key:
        name = found.basis.names[part]
        both = embedding_of(found, f"without {name}") + embedding_of(found, f"alone {name}")
        np.testing.assert_allclose(both - found.mean, whole, atol=1e-9)
    shares = geometry_of(found)["share_estimate"].values()
    assert sum(shares) == pytest.approx(1.0)


@given(st.integers(0, 500))
def test_planes_hold_their_curves_and_circles_their_variance(seed: int) -> None:
    found = planes(tensors(seed))
    span = found.span(found.key)
    curve = found.curve(found.key)
    np.testing.assert_allclose(curve @ span.T @ span, curve, atol=1e-9)
    inside = embedding_of(found, PLANES) - found.mean
    np.testing.assert_allclose(inside @ span.T @ span, inside, atol=1e-9)
    parts = [*found.key, *found.doubles]
    assert np.sum(found.circle(parts) ** 2) == pytest.approx(np.sum(found.curve(parts) ** 2))


@given(st.integers(0, 500))
def test_circles_are_a_fixed_point(seed: int) -> None:
    found = tensors(seed)
    found["embed.W_E"] = waves(seed, 1, 3).astype(np.float32)
    there = planes(found)
    assume(len(there.key) > 1)  # neurons drawn at random may all read one of the two frequencies
    for variant in (DOUBLES, CIRCLES):
        np.testing.assert_allclose(embedding_of(there, variant), waves(seed, 1, 3), atol=1e-5)
    geometry = geometry_of(there)
    for plane in geometry["planes"]:
        if plane["name"] in ("1", "3"):
            radius = np.linalg.norm(np.array(plane["coordinates_estimate"]), axis=1)
            assert plane["roundness_estimate"] == pytest.approx(1.0, abs=1e-4)
            np.testing.assert_allclose(radius, 1.0, atol=1e-4)


def test_overlap_of_planes() -> None:
    axes = np.eye(6)
    assert overlap(axes[:2], axes[2:4]) == 0.0
    assert overlap(axes[:2], axes[:2]) == 1.0
    assert overlap(axes[:2], axes[1:4]) == 0.5


def test_residues_without_a_fourier_view_are_refused() -> None:
    with pytest.raises(Unsupported, match="lab circles"):
        planes(tensors(0), "modular-addition:7")


@pytest.mark.slow
def test_a_smoke_run_that_goes_on_is_the_same_with_two_jobs(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    smoke(first, "1")
    shutil.copytree(first, second)
    timing = json.loads((first / "timing.json").read_bytes())
    for job in (second / "jobs").iterdir():
        if not timing.get(job.stem, {"what": ""})["what"].startswith("train"):
            job.unlink()
    smoke(second, "2")
    for name in ("results.json", "results.csv", "circles-planes-0.svg", "circles-certified-0.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_smallest_run_is_verified(tmp_path: Path) -> None:
    first = tmp_path / "first"
    smoke(first, "2")
    results = json.loads((first / "results.json").read_bytes())
    assert results["complete"]
    for unit in results["units"]:
        for one in unit["variants"]:
            brute = one["certified"]["brute-force"]
            assert brute["line"].startswith("s VERIFIED")
            assert int(brute["lower"]) / int(brute["total"]) <= one["estimate"]["accuracy"]


def smoke(out: Path, jobs: str) -> None:
    """Run the smallest experiment."""
    done = CliRunner().invoke(
        main, ["lab", "circles", "--smoke", "--out", str(out), "--jobs", jobs]
    )
    assert done.exit_code == 0, done.output
