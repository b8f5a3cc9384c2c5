"""Every strategy on random tiny models: bounds around the exhaustive truth, `exact` and `brute-force` equal to it."""

from __future__ import annotations

import random
from pathlib import Path

import models
import oracle
import pytest

from certify.certificate import canonical, draft
from certify.model import load_model
from certify.paths import decompose
from certify.scope import UNIFORM, Scope, read_scope
from certify.strategies import STRATEGIES, Problem
from certify.strategies.forest import near_and_far, ranges, starts
from certify.strategies.pooling import scale
from checker.check import Theorem, check, parse
from checker.errors import Rejected

KINDS = (models.good_model, models.spiky_model, models.cancelling_model, models.random_model)


def proved(model: models.Model, strategy: str, folder: Path, scope: Scope = UNIFORM) -> Theorem:
    """Return what the checker proves of the strategy's cells; the cautious plan must serve where the first does not."""
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    loaded = load_model(path)
    scaled = scale(decompose(loaded))
    for cautious in (not scaled.trusted, True):
        problem = Problem(loaded, scope, scaled, 1.0, cautious, lambda done, note: None)
        data = canonical(draft(loaded, scope, strategy, STRATEGIES[strategy].build(problem)))
        try:
            return check(parse(model.bytes, data), lambda done, declared: None)
        except Rejected as refusal:
            if cautious or refusal.rule != "SPEC-7.6":
                raise
    raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_bounds_enclose_the_truth(kind: object, strategy: str, tmp_path: Path) -> None:
    meeting = 0
    for seed in range(25):
        model = kind(random.Random(seed))  # type: ignore[operator]
        truth = oracle.truth(model.tensors, model.config)
        theorem = proved(model, strategy, tmp_path)
        assert theorem.correct_lower <= truth.correct <= theorem.correct_upper
        meeting += theorem.correct_lower == theorem.correct_upper
        if strategy != "count":
            assert theorem.correct_lower == theorem.correct_upper
    assert meeting > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_product_scopes(strategy: str, tmp_path: Path) -> None:
    for seed in range(15):
        rng = random.Random(seed)
        model = models.good_model(rng)
        weights = models.build_token_weights(models.Seeded(rng), model.config)
        file = tmp_path / "scope.json"
        file.write_bytes(models.scope_bytes(weights))
        truth = oracle.truth(model.tensors, model.config, weights)
        theorem = proved(model, strategy, tmp_path, read_scope(f"product:{file}"))
        assert theorem.parsed.statement.total == truth.total
        assert theorem.correct_lower <= truth.correct <= theorem.correct_upper
        if strategy != "count":
            assert theorem.correct_lower == truth.correct == theorem.correct_upper


def test_layouts_hold_every_token_once() -> None:
    for maximum in range(40):
        layout = near_and_far(maximum, 4, 2, 3)
        assert sum(length * count for length, count in layout) == maximum
        assert starts(layout) == sorted(set(starts(layout)))
        assert starts(layout)[-1] == maximum


def test_ranges_join_neighbours() -> None:
    assert ranges([5, 1, 2, 3, 9]) == [[1, 3], [5, 5], [9, 9]]
    assert ranges([]) == []
