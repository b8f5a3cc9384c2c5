"""Surgery: variants are model files, only the chosen circuit differs, what changed is counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import random_tensors

from certify.command.group import main
from certify.lab.experiments import EXPERIMENTS
from certify.lab.kinds import KINDS, SMALL_ADDITION, SMALL_MAX
from certify.lab.samples import sample_of
from certify.lab.surgery import QUANTILES, changes, margins_on, tokens_of
from certify.model.config import Config
from certify.model.file import load_model, save_model
from certify.model.paths import decompose

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(d_vocab=7, d_vocab_out=7, n_ctx=3, d_model=5, d_head=4)
ADDITION = ROOT / "certificates" / "modadd59-constant-seed-0" / "model.safetensors"
PATHS = {"qk": "EQKE", "direct": "EU", "ov": "EVOU"}


def files(folder: Path) -> Mapping[str, bytes]:
    """Return the results and the pictures of a run."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in ("lock", "timing.json")
    }


def ran(out: Path, *words: str) -> Any:
    """Return the results of a run from the command line."""
    said = CliRunner().invoke(main, ["lab", "surgery", "--out", str(out), *words])
    assert said.exit_code == 0, said.output
    return json.loads((out / "results.json").read_text())


def test_changes_are_counted() -> None:
    tokens = np.array([[1, 1], [3, 1], [2, 5], [0, 4], [6, 6]])
    before, after = np.array([1.0, 2.0, 3.0, -1.0, -1.0]), np.array([-2.0, 1.0, -1.0, 5.0, 0.0])
    found = changes(tokens, before, after)
    assert (found["became_wrong"], found["became_right"], found["right"]) == (2, 1, 2)
    assert found["by_gap"] == {"0": 1, "3": 1}
    assert [one["tokens"] for one in found["shown"]] == [[1, 1], [2, 5]]
    assert found["shown"][0]["before"] == 1.0
    assert found["margins"]["0.0"] == -2.0
    assert len(found["margins"]) == len(QUANTILES)


def test_margins_of_sums_are_those_of_all_pairs() -> None:
    kind, model = KINDS["modadd59-constant"], load_model(ADDITION)
    tokens = tokens_of(kind, model, 10)
    assert tokens.shape == (59 * 59, 2)
    assert len({tuple(row) for row in tokens.tolist()}) == 59 * 59
    assert margins_on(model, kind, tokens).min() == pytest.approx(15.144475498913728, rel=1e-9)


@pytest.mark.slow
def test_every_variant_differs_in_its_circuit_alone(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save_model(file, random_tensors(CONFIG, 3), CONFIG)
    words = ["--models", str(file), "--ov-rank", "2", "--sorts", "zero"]
    results = ran(tmp_path / "a", *words, "--jobs", "2")
    ran(tmp_path / "b", *words, "--jobs", "1")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    units = {unit["variant"]: unit for unit in results["units"]}
    assert list(units) == ["original", "written"] + [
        f"{circuit} zero" for circuit in ("qk", "direct", "ov", "all")
    ]
    folder = tmp_path / "a" / "models"
    known = {
        variant: decompose(load_model(folder / f"{unit['model_sha256']}.safetensors"))
        for variant, unit in units.items()
    }
    written = known["written"]
    for variant, paths in known.items():
        if variant == "original":
            continue
        circuit = variant.partition(" ")[0]
        for name in ("EU", "EVOU", "PVOU", "EQKE", "EQKP"):
            same = np.allclose(getattr(paths, name), getattr(written, name), atol=1e-6)
            touched = {"written": (), "all": tuple(PATHS.values())}.get(
                circuit, (PATHS.get(circuit),)
            )
            assert same == (name not in touched), (variant, name)
    assert np.ptp(known["direct zero"].EU, axis=0).max() < 1e-6
    assert np.linalg.matrix_rank(known["ov zero"].EVOU, tol=1e-4) == 2
    for unit in units.values():
        certified = unit["certified"]
        assert certified["line"].startswith("s VERIFIED ")
        assert int(certified["lower"]) <= unit["estimate"]["right"] <= int(certified["upper"])
    assert units["written"]["estimate"]["right"] == units["original"]["estimate"]["right"]
    assert units["written"]["sample_estimate"]["became_wrong"] == 0
    tokens = sample_of(CONFIG.d_vocab, CONFIG.n_ctx)
    right = int(np.count_nonzero(margins_on(load_model(file), SMALL_MAX, tokens) > 0))
    assert units["original"]["sample_estimate"]["right"] == right
    summary = results["summary"]
    assert summary["written"]["accuracy less"]["mean"] == 0.0
    lost = units["written"]["estimate"]["accuracy"] - units["all zero"]["estimate"]["accuracy"]
    assert summary["all zero"]["accuracy less"]["mean"] == pytest.approx(lost)


@pytest.mark.parametrize(
    ("words", "variants"),
    [
        ((), ["original", "written", "qk zero", "direct zero", "ov zero", "all zero"]),
        pytest.param(
            ("--kind", "modadd59-constant"),
            ["original", "written", "embedding zero"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_smallest_run(words: tuple[str, ...], variants: list[str], tmp_path: Path) -> None:
    results = ran(tmp_path / "out", "--smoke", *words)
    assert [unit["variant"] for unit in results["units"]] == variants
    assert {"surgery.svg", "surgery.png", "results.csv"} <= set(files(tmp_path / "out"))
    kinds = {one["kind"] for one in results["models"].values()}
    assert kinds <= {SMALL_MAX.name, SMALL_ADDITION.name}


def test_other_replacements_are_refused(tmp_path: Path) -> None:
    words = ["lab", "surgery", "--out", str(tmp_path / "out"), "--sorts", "mean"]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 2
    assert "mean is none of shuffle, normal, rotation, zero" in said.output
    assert set(EXPERIMENTS["surgery"].kinds) <= set(KINDS)
