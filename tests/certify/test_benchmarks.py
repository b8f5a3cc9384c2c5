"""The measurements of `benchmarks/`: their models, and the tables they print."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
from click.testing import CliRunner
from small_models import random_tensors

from benchmarks import brittleness, recipes, scaling
from benchmarks import ladder as seeds
from certify import families
from certify.api import evaluate
from certify.cells.family import FAMILY
from certify.cells.form import FORM
from certify.evaluation import known as known_module
from certify.ladder.climb import Row
from certify.ladder.rung import Rung
from certify.model.config import Config
from certify.model.file import Model, load_model, save_model
from certify.training.architecture import Architecture
from certify.training.balanced_brackets import BracketsRecipe
from certify.training.max_of_k import recipe_of
from certify.training.modular_addition import AdditionRecipe

EXACT = Rung("exact", "exact", (), "exact")


def test_recipes() -> None:
    published = recipe_of("published", 64, 7)
    assert (
        published.seed,
        published.steps,
        published.batch,
        published.learning_rate,
        published.decay,
    ) == (
        7,
        3000,
        128,
        0.001,
        0,
    )
    sizes = (10, 64, 65, 256, 512, 600)
    assert [recipe_of("converged", vocab, 0).steps for vocab in sizes] == [
        5000, 5000, 8000, 15000, 40000, 40000,
    ]  # fmt: skip


def test_a_model_in_the_folder_is_not_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "max-of-4-v9-published-seed-3.safetensors"
    path.write_bytes(b"already here")
    assert recipes.trained(tmp_path, "published", 4, 9, 3) == path
    assert path.read_bytes() == b"already here"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with models of vocabulary 4 and 6, k = 4, seeds 0 and 1."""
    for vocab in (4, 6):
        for seed in (0, 1):
            name = f"max-of-4-v{vocab}-published-seed-{seed}.safetensors"
            (tmp_path / name).write_bytes(
                models.good_model(random.Random(seed), vocab=(vocab, vocab), k=(4, 4)).bytes
            )
    return tmp_path


def test_seeds_are_tabulated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = (EXACT, Rung("none", "none", (), "cubic"))
    form = replace(FORM, rungs=lambda _level: (some, ()))
    monkeypatch.setattr(families, "FAMILIES", (replace(FAMILY, ladder=form),))
    arguments = ["--folder", str(folder), "--seeds", "2", "--vocab", "4"]
    ended = CliRunner().invoke(seeds.main, arguments)
    assert ended.exit_code == 0
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| exact")]
    assert [row.split("|")[-2].strip() for row in rows] == ["2", "2"]
    assert rows[0].split("|")[3].strip() == "1.0000 ± 0.0000"
    assert "- none: NOT RUN, " in ended.stdout
    assert ended.stdout == (folder / "max-of-4-v4-published-2-seeds.quick.md").read_text() + "\n"
    again = CliRunner().invoke(seeds.main, [*arguments, "--reuse"])
    assert again.stdout == ended.stdout


def test_recipes_are_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = (EXACT, Rung("none", "none", (), "cubic"))
    form = replace(FORM, rungs=lambda _level: (some, ()))
    monkeypatch.setattr(families, "FAMILIES", (replace(FAMILY, ladder=form),))
    model = (folder / "max-of-4-v4-published-seed-0.safetensors").read_bytes()
    (folder / "max-of-4-v4-line-seed-0.safetensors").write_bytes(model)
    arguments = ["--folder", str(folder), "--seeds", "1", "--vocab", "4"]
    ended = CliRunner().invoke(seeds.main, [*arguments, "--recipe", "published,line"])
    assert ended.exit_code == 0
    lines = ended.stdout.splitlines()
    assert [line[-len("recipe line") :] for line in lines if line.startswith("# Ladder")] == [
        "e published",
        "recipe line",
    ]
    at = lines.index("| rung | published | line |")
    name, first, second = lines[at + 2].strip("| ").split(" | ")
    assert name == "exact: exact"
    assert first == second
    assert re.fullmatch(r"0\.[0-9]{6} @ 0\.[0-9]{2} M", first)
    unknown = CliRunner().invoke(seeds.main, [*arguments, "--recipe", "none"])
    assert (unknown.exit_code, "no recipe none" in unknown.output) == (2, True)


@pytest.mark.slow
def test_scaling_is_tabulated(folder: Path) -> None:
    arguments = ["--folder", folder, "--vocab", "4,6", "--k", "4", "--recipe", "published"]
    arguments += ["--strategy", "exact,count", "--efforts", "1,2", "--gaps", "1"]
    ended = CliRunner().invoke(scaling.main, list(map(str, arguments)), catch_exceptions=False)
    assert ended.exit_code == 0
    found = json.loads((folder / "scaling-exact+count-published-seed-0.json").read_text())
    assert [study["vocab"] for study in found["studies"]] == [4, 6]
    for study in found["studies"]:
        # The strategy `exact` takes no effort.
        assert [point["rung"] for point in study["points"]] == [
            "exact", "count --effort 1", "count --effort 2",
        ]  # fmt: skip
        for point in study["points"]:
            assert (
                point["lower"] <= study["truth"]["low"] == study["truth"]["high"] <= point["upper"]
            )
            assert point["gap"] == study["truth"]["high"] - point["lower"]
            assert 5 < point["mebibytes"] < 100
            assert point["checker_seconds"] > 0
    first, second = ended.stdout.splitlines()[-3:-1]
    assert first.startswith("| published | 4 | exact | 1 | ")
    assert second.startswith("| published | 4 | count | 1 | ")


@pytest.mark.parametrize(
    ("option", "value"), [("--strategy", "exact,none"), ("--recipe", "published,none")]
)
def test_unknown_names_are_wrong_usage(option: str, value: str, tmp_path: Path) -> None:
    ended = CliRunner().invoke(scaling.main, ["--folder", str(tmp_path), option, value])
    assert ended.exit_code == 2
    assert "none" in ended.output


def test_exponents_are_fitted() -> None:
    assert scaling.exponent({}) is None
    assert scaling.exponent({8: 3.0}) is None
    assert scaling.exponent({8: 64.0, 16: 256.0, 32: 1024.0}) == pytest.approx(2.0)
    assert scaling.exponent({8: 5.0, 16: 5.0}) == pytest.approx(0.0)


def _verified(strategy: str, operations: int, gap: float) -> scaling.Facts:
    return {
        "strategy": strategy,
        "operations": operations,
        "gap": gap,
        "checker_seconds": operations / 1e6,
        "mebibytes": operations**0.5,
    }


def test_exponents_compare_the_shortest_proofs_of_equal_gap() -> None:
    studies = [
        {
            "recipe": "line",
            "k": 4,
            "vocab": 10,
            "points": [
                _verified("a", 100, 0.5),
                _verified("a", 700, 0.01),
                _verified("b", 1, 0.001),
                {"strategy": "a", "verdict": "STOPPED"},
            ],
        },
        {
            "recipe": "line",
            "k": 4,
            "vocab": 20,
            "points": [_verified("a", 800, 0.5), _verified("a", 900, 0.4)],
        },
    ]
    lines = list(scaling.exponents_table(studies, [0.5, 0.01]))
    assert lines[0] == (
        "| recipe | k | strategy | gap at most | V = 10 | V = 20 | exponent of operations |"
        " exponent of seconds | exponent of memory |"
    )
    assert lines[2:] == [
        "| line | 4 | a | 0.5 | 100 | 800 | 3.00 | 3.00 | 1.50 |",
        "| line | 4 | a | 0.01 | 700 | - | - | - | - |",
        "| line | 4 | b | 0.5 | 1 | - | - | - | - |",
        "| line | 4 | b | 0.01 | 1 | - | - | - | - |",
    ]


def test_noise_is_relative_and_of_a_seed() -> None:
    config = Config(d_vocab=4, d_vocab_out=4, n_ctx=3, d_model=5, d_head=4)
    model = Model(config, random_tensors(config), "0" * 64)
    model.tensors["embed.W_E"][1] = 0.0
    same, _ = brittleness.noisy(model, 0.0, 1)
    assert all(np.array_equal(same[name], model.tensors[name]) for name in model.tensors)
    changed, _ = brittleness.noisy(model, 1e-3, 1)
    again, _ = brittleness.noisy(model, 1e-3, 1)
    other, _ = brittleness.noisy(model, 1e-3, 2)
    for name, weights in model.tensors.items():
        assert np.array_equal(changed[name], again[name])
        assert not np.array_equal(changed[name], other[name])
        assert np.all(np.abs(changed[name] - weights) <= 6e-3 * np.abs(weights))
    assert not np.any(changed["embed.W_E"][1])


def test_brittleness_is_tabulated_and_drawn(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = folder / "max-of-4-v4-published-seed-0.safetensors"
    out = tmp_path / "noise.svg"
    arguments = [model, "--strategy", "exact", "--noise", "0,0.001,100", "--out", out]
    arguments += ["--folder", tmp_path / "kept"]
    ended = CliRunner().invoke(brittleness.main, list(map(str, arguments)), catch_exceptions=False)
    assert ended.exit_code == 0
    lines = ended.stdout.splitlines()
    assert lines[0] == "| noise | accuracy | exact |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 0", "| 0.001", "| 100"]
    found = json.loads((tmp_path / "kept" / f"{model.stem}.noise.json").read_text())
    for point in found:
        # What is certified exactly is the accuracy.
        assert point["proofs"]["exact"]["certified"] == point["accuracy"]["low"]
    first = out.read_bytes()
    assert first.startswith(b"<?xml")
    title = f"{model.stem}: what noise leaves of a proof"
    assert brittleness.picture(found, ["exact"], title, ".svg") == first


def test_the_truth_of_longer_inputs_is_counted_or_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(d_vocab=4, d_vocab_out=4, n_ctx=5, d_model=2, d_head=2)
    path = tmp_path / "model.safetensors"
    save_model(path, random_tensors(config), config)
    known = scaling.truth_of(path, 1000, 0)
    exact = evaluate(path, task="max-of-k").accuracy
    assert (known["low"], known["high"]) == (exact, exact)
    monkeypatch.setattr(known_module, "is_enumerable", lambda domain, config: False)
    sampled = scaling.truth_of(path, 1000, 0)
    assert sampled["low"] < exact < sampled["high"]
    assert sampled["how"] == "1000 samples, 99 %"


def test_a_failed_proof_is_a_line() -> None:
    point = scaling._point(Row(EXACT, "DECLINED", "too large"), 16)
    truth_known = {"how": "counted in float64", "low": 0.5, "high": 0.5}
    lines = list(
        scaling.points_table(
            [{"recipe": "line", "k": 4, "vocab": 2, "truth": truth_known, "points": [point]}]
        )
    )
    assert "DECLINED: too large" in lines[-1]
    assert len({line.count("|") for line in lines}) == 1


def test_networks_are_trained_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    small = Architecture(layers=1, d_model=8, d_mlp=8)
    monkeypatch.setitem(recipes.BRACKETS, "small", (4, small, BracketsRecipe(steps=2)))
    monkeypatch.setitem(recipes.ADDITIONS, "sum", (3, "constant", AdditionRecipe(steps=2)))
    for name, n_ctx in [("small", 4), ("sum", 2)]:
        path = recipes.trained_network(tmp_path / "models", name)
        assert load_model(path).config.n_ctx == n_ctx
        stamp = path.stat().st_mtime_ns
        assert recipes.trained_network(tmp_path / "models", name) == path
        assert path.stat().st_mtime_ns == stamp
    assert not set(recipes.ADDITIONS) & set(recipes.BRACKETS)
