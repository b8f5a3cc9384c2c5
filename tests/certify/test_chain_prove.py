"""Strategy `chain`: what it proves lies around the truth, and how long its proofs are."""

from __future__ import annotations

import random
from pathlib import Path

import chains
import models
import numpy as np
import oracle
import pytest
from click.testing import CliRunner
from models import ATTENTION, Seeded

import certify
from certify.chain.directions import directions_of, wanted
from certify.chain.plan import LEVELS, Sizes, best, build, parts_of
from certify.chain.triangles import triangulation
from certify.command.group import main
from certify.errors import CertifyError, ProvesNothing, Unsupported
from certify.model.file import load_model
from certify.question.float32 import Float32

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "trained-for-proof"
TRAINED = {"C-64": (0, 136_000), "C-128": (0, 282_000), "rank2-64": (168 + 17, 350_000)}
"""By model how many inputs may be left open, and the operations that a proof may take."""


def saved(model: models.Model, folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    return path


@pytest.mark.parametrize("seed", range(16))
def test_what_is_proved_is_true(seed: int, tmp_path: Path) -> None:
    model = chains.build_model(Seeded(random.Random(seed)), 1 + seed % 2)
    truth = oracle.truth(model.tensors, model.config)
    float32 = Float32() if seed % 4 == 3 else None
    try:
        found = certify.prove(
            saved(model, tmp_path), task="max-of-k", strategy="chain", float32=float32
        )
    except (ProvesNothing, Unsupported):
        return
    assert found.verdict.correct_lower <= truth.correct <= found.verdict.correct_upper


@pytest.mark.slow
def test_most_of_these_models_are_proved_right_for_the_most_part(tmp_path: Path) -> None:
    shown = 0
    for seed in range(12):
        model = chains.build_model(Seeded(random.Random(seed)), 1 + seed % 2)
        truth = oracle.truth(model.tensors, model.config)
        try:
            found = certify.prove(saved(model, tmp_path), task="max-of-k", strategy="chain")
        except CertifyError:
            continue
        shown += 2 * found.verdict.correct_lower > truth.correct > 0
    assert shown >= 4


@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_are_proved_in_few_operations(name: str) -> None:
    file = SHARED / f"{name}.safetensors"
    if not file.exists():
        pytest.skip("the models trained for short proofs are not here")
    lost, operations = TRAINED[name]
    found = certify.prove(file, task="max-of-k", strategy="chain")
    assert found.verdict.total - found.verdict.correct_lower <= lost
    assert found.verdict.operations <= operations


def test_other_models_prove_nothing_and_nothing_is_written(tmp_path: Path) -> None:
    model = saved(models.random_model(random.Random(3)), tmp_path)
    out = tmp_path / "out.json"
    line = ["prove", str(model), "--task", "max-of-k", "--strategy", "chain", "--out", str(out)]
    done = CliRunner().invoke(main, line)
    assert done.exit_code in (11, 20)
    assert len(done.output.strip().splitlines()) == 1
    assert not out.exists()


def test_a_domain_with_context_is_proved_too(tmp_path: Path) -> None:
    model = chains.build_model(Seeded(random.Random(8)), 1)
    config = model.config
    assert config["n_ctx"] > 1
    file = saved(model, tmp_path)
    out = tmp_path / "out.json"
    last = config["d_vocab"] - 1
    domain = "/".join(["@0", *[f"1-{last}"] * (config["n_ctx"] - 1)])
    line = ["prove", str(file), "--task", "max-of-k", "--strategy", "chain", "--out", str(out)]
    done = CliRunner().invoke(main, [*line, "--domain", domain])
    assert done.exit_code in (0, 11), done.output


def test_triangles_are_those_of_brute_force() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        count = rng.randint(3, 9)
        places = [(rng.randint(-50, 50), rng.randint(-50, 50)) for _ in range(count)]
        heights = [rng.randint(-9, 9) - x * x - y * y for x, y in places]
        exact = chains.tiling(places, heights, Seeded(rng))
        found = triangulation(np.array(places, float), np.array(heights, float))
        assert (found is None) == (exact is None)
        if exact is None or found is None:
            continue
        area = [sum(_area(places, t) for t in one["triangles"]) for one in (exact, found)]
        assert area[0] == area[1], seed
        corners = [{j for t in one["triangles"] for j in t} for one in (exact, found)]
        assert corners[0] == corners[1], seed


def _area(places: list[tuple[int, int]], triangle: list[int]) -> int:
    (x, y), (bx, by), (cx, cy) = (places[j] for j in triangle)
    return (bx - x) * (cy - y) - (by - y) * (cx - x)


def test_answers_on_one_line_have_no_triangles() -> None:
    places = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    assert triangulation(places, np.zeros(3)) is None
    assert triangulation(places[:1], np.zeros(1)) is None


def test_directions_leave_nothing_of_a_weight_with_few_columns() -> None:
    into = np.zeros((4, 3))
    into[:, 1] = [1, 2, 3, 4]
    axes = directions_of(into, np.ones((3, 4)), 1)
    assert np.array_equal(into @ axes.left @ axes.right, into)
    rng = np.random.default_rng(0)
    dense, back = rng.normal(size=(4, 1)) @ rng.normal(size=(1, 3)), rng.normal(size=(3, 4))
    found = directions_of(dense, back, 1)
    assert np.allclose(dense @ found.left @ found.right @ back, dense @ back)


def test_the_number_of_directions_is_that_of_the_values(tmp_path: Path) -> None:
    for count in (1, 2):
        model = chains.build_model(Seeded(random.Random(0)), count)
        value = model.tensors[ATTENTION + "W_V"][0]
        for row in value:
            row[count:] = [0] * len(row[count:])
        assert wanted(load_model(saved(model, tmp_path))) == count


def test_the_best_level_is_the_best_bargain() -> None:
    sizes = Sizes(4, 2, 6.0)
    assert best({0: 0.0}, sizes, 5, 0.1, 1e9) == 0
    assert best({0: 0.1, 1: 0.0}, sizes, 5, 0.2, 1e9) == 1
    assert best({0: 0.1, 1: 0.1}, sizes, 5, 0.1, 1e3) == -1
    assert best({}, sizes, 5, 0.1, 1e9) == -1


def test_parts_and_cells_hold_every_query_once() -> None:
    for maximum in range(9):
        for count in (1, 2, 4, 8):
            held = [query for part in parts_of(maximum, count) for query in part]
            assert held == list(range(maximum))
    cells = build([-1, 0, 1, len(LEVELS) - 1])
    roots = [cell for cell in cells if "maximum" in cell]
    assert [cell["method"] for cell in roots] == ["skip", "screen", "screen", "screen"]
