"""Every strategy, with every enclosure, on random tiny models: bounds around the exhaustive
truth.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
import oracle
import pytest
from conditions import fulfils
from jobs import named

from certify.canonical import canonical
from certify.cells.draft import document
from certify.cells.enclosures import (
    EXACT,
    PUBLISHED_DIRECT,
    PUBLISHED_QK,
    chains,
    estimate,
    hints_for,
)
from certify.cells.forest import near_and_far, ranges, starts
from certify.cells.numbering import numbering_of
from certify.cells.problem import Problem
from certify.cells.scaled import scale
from certify.cells.strategies import STRATEGIES
from certify.certificate.client import NOTHING
from certify.certificate.job import BUDGET
from certify.model.file import load_model
from certify.model.paths import decompose
from certify.progress import silent
from certify.question.domain import read_domain
from certify.question.scope import UNIFORM, Scope, read_scope
from checker.check import check, parse
from checker.ground.errors import Rejected

KINDS = (models.good_model, models.spiky_model, models.cancelling_model, models.random_model)
ENCLOSING = [name for name, strategy in STRATEGIES.items() if "qk" in strategy.takes]
DECIDES = ("brute-force", "exact")
QK = (EXACT, *PUBLISHED_QK, "rank-1", "rank-2")
DIRECT = (EXACT, *PUBLISHED_DIRECT, "rank-1")
EXACTLY: Mapping[str, str] = {}
"""No path is enclosed."""
OV = (EXACT, "rank-1", "rank-2", "rank-9")


@dataclass(frozen=True)
class Found:
    """What the checker proves: bounds, and the operations that took; none if it shows nothing."""

    correct_lower: int
    correct_upper: int
    total: int
    operations: int


def proved(
    model: models.Model,
    strategy: str,
    folder: Path,
    scope: Scope = UNIFORM,
    effort: float = 1.0,
    names: Mapping[str, str] = EXACTLY,
) -> Found:
    """Return what the checker proves of the strategy's cells; the cautious plan must serve where
    the first does not.
    """
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    loaded = load_model(path)
    hints, factors = hints_for(loaded, names), chains(loaded)
    scaled = scale(
        decompose(loaded), {name: estimate(factors[name], hint) for name, hint in hints.items()}
    )
    domain = read_domain(loaded.config)
    numbered = numbering_of(domain, loaded.config.d_vocab_out, scope.gap)
    weights = numbered.weights(domain, scope)
    for cautious in (not scaled.trusted, True):
        problem = Problem(numbered, weights, scaled, effort, cautious, silent)
        cells = STRATEGIES[strategy].build(problem)
        drafted = document(named(loaded, strategy, "max-of-k", scope), cells, hints)
        try:
            theorem = check(parse(model.bytes, canonical(drafted)), lambda done, declared: None)
            lower, upper = theorem.correct_lower, theorem.correct_upper
            return Found(lower, upper, theorem.parsed.statement.total, theorem.ledger.total)
        except Rejected as refusal:
            if refusal.rule == NOTHING:
                total = scope.total(read_domain(loaded.config))
                return Found(0, total, total, 0)
            if cautious or refusal.rule != "SPEC-7.6":
                raise
    raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_bounds_enclose_the_truth(kind: Any, strategy: str, tmp_path: Path) -> None:
    right = 0
    for seed in range(25):
        model = kind(random.Random(seed))
        truth = oracle.truth(model.tensors, model.config)
        theorem = proved(model, strategy, tmp_path)
        assert theorem.correct_lower <= truth.correct <= theorem.correct_upper
        if strategy in DECIDES:
            assert theorem.correct_lower == theorem.correct_upper
        right += theorem.correct_lower
    assert right > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_product_scopes(strategy: str, tmp_path: Path) -> None:
    for seed in range(15):
        rng = random.Random(seed)
        model = models.good_model(rng)
        weights, scope = weighted(rng, model, tmp_path)
        truth = oracle.truth(model.tensors, model.config, weights)
        theorem = proved(model, strategy, tmp_path, scope)
        assert theorem.total == truth.total
        assert theorem.correct_lower <= truth.correct <= theorem.correct_upper
        if strategy in DECIDES:
            assert theorem.correct_lower == truth.correct == theorem.correct_upper


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_scopes_with_a_condition(strategy: str, tmp_path: Path) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        model = models.good_model(rng)
        operands = model.config["n_ctx"]
        asked = rng.choice(("min-gap:2", "min-gap:3", f"max-copies:{rng.randint(1, operands)}"))
        kind, _, number = asked.partition(":")
        condition = {kind: int(number)}
        truth = oracle.truth(model.tensors, model.config)
        right = sum(fulfils(condition, tokens) for tokens in truth.right)
        total = right + sum(fulfils(condition, tokens) for tokens in truth.wrong)
        if not total:
            continue
        theorem = proved(model, strategy, tmp_path, read_scope(asked))
        assert theorem.total == total
        assert theorem.correct_lower <= right <= theorem.correct_upper
        if strategy in DECIDES:
            assert theorem.correct_lower == right == theorem.correct_upper


def weighted(
    rng: random.Random, model: models.Model, folder: Path
) -> tuple[list[list[int]], Scope]:
    """Return random weights of tokens, and the scope that a file of them is."""
    weights = models.build_token_weights(models.Seeded(rng), model.config)
    file = folder / "scope.json"
    file.write_bytes(models.scope_bytes(weights))
    return weights, read_scope(f"product:{file}")


@pytest.mark.parametrize("qk", QK)
@pytest.mark.parametrize("strategy", ENCLOSING)
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_every_enclosure_of_every_path(strategy: str, qk: str, tmp_path: Path) -> None:
    """All pairs of published names, with a way to enclose OV in turn, and both scopes."""
    for number, direct in enumerate(DIRECT):
        seed = len(DIRECT) * QK.index(qk) + number
        for ov, kind in ((OV[seed % len(OV)], KINDS[seed % 3]), (EXACT, models.good_model)):
            rng = random.Random(seed)
            model = kind(rng)
            weights, scope = weighted(rng, model, tmp_path) if seed % 2 else (None, UNIFORM)
            truth = oracle.truth(model.tensors, model.config, weights)
            theorem = proved(
                model, strategy, tmp_path, scope, names={"qk": qk, "direct": direct, "ov": ov}
            )
            assert theorem.correct_lower <= truth.correct <= theorem.correct_upper, (
                seed,
                direct,
                ov,
            )


@pytest.mark.parametrize("strategy", ENCLOSING)
def test_enclosures_prove_something(strategy: str, tmp_path: Path) -> None:
    """The bounds above would hold of a prover that proves nothing."""
    model = models.good_model(random.Random(3), vocab=(4, 4), k=(3, 3))
    exact = proved(model, strategy, tmp_path).correct_lower
    assert exact > 0
    for path, names in {
        "qk": ("max_diff_exact", "rank-2"),
        "ov": ("rank-9",),
        "direct": ("max_diff_exact", "rank-9"),
    }.items():
        found = [
            proved(model, strategy, tmp_path, names={path: name}).correct_lower for name in names
        ]
        assert 0 < max(found) <= exact, (path, found)


@pytest.mark.parametrize(
    "strategy", [name for name, one in STRATEGIES.items() if BUDGET in one.takes]
)
def test_less_effort_is_a_shorter_proof(strategy: str, tmp_path: Path) -> None:
    model = models.good_model(random.Random(3), vocab=(6, 6), k=(3, 3))
    truth = oracle.truth(model.tensors, model.config).correct
    seen = []
    for effort in (1e-9, 1e-6, 1e-3, 1.0, 1e3):
        theorem = proved(model, strategy, tmp_path, effort=effort)
        assert theorem.correct_lower <= truth
        seen.append((theorem.operations, theorem.correct_lower))
    assert seen[0][1] == 0
    assert seen[-1][1] > 0
    assert [lower for _, lower in seen] == sorted(lower for _, lower in seen)
    assert [operations for operations, _ in seen] == sorted(operations for operations, _ in seen)


def test_layouts_hold_every_token_once() -> None:
    for maximum in range(40):
        layout = near_and_far(maximum, 4, 2, 3)
        assert sum(length * count for length, count in layout) == maximum
        assert starts(layout) == sorted(set(starts(layout)))
        assert starts(layout)[-1] == maximum


def test_ranges_join_neighbours() -> None:
    assert ranges([5, 1, 2, 3, 9]) == [[1, 3], [5, 5], [9, 9]]
    assert ranges([]) == []
