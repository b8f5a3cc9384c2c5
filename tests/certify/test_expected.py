"""What ``count`` expects is what the checker derives, and no more than a little less is claimed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import oracle
import pytest

from certify import api
from certify.cells import draft, expected
from certify.certificate import finish
from certify.certificate.client import Answer, ask, run_checker
from certify.certificate.show import margin_of
from certify.errors import ProvesNothing
from certify.question.float32 import Float32
from certify.question.scope import read_scope, scope_bytes

CLOSE = 1e-8
RUNS_OF_A_DRAFT = 2
"""One with ``--json`` for what is derived, one for the claims that are made of it."""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Every answer of the checker to a document of the prover."""
    found: list[Answer] = []

    def spied(*arguments: Any) -> Answer:
        found.append(ask(*arguments))
        return found[-1]

    monkeypatch.setattr(finish, "ask", spied)
    return found


def counted(model: models.Model, folder: Path, **options: Any) -> finish.Certificate:
    """Return what ``count`` proves of a model."""
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    return api.prove(path, task="max-of-k", strategy="count", jobs=1, **options)


def drawn(seed: int) -> models.Model:
    """Return a random model that is right of most inputs."""
    return models.good_model(random.Random(seed), vocab=(4, 6), k=(2, 4), dtype="F32")


@pytest.mark.parametrize("semantics", [None, Float32()])
def test_one_run_verifies_claims_that_are_close(
    semantics: Float32 | None, tmp_path: Path, runs: list[Answer]
) -> None:
    for seed in range(8):
        model = drawn(seed)
        runs.clear()
        made = counted(model, tmp_path, float32=semantics)
        assert [answer.verified for answer in runs] == [True], seed
        (tmp_path / "certificate.json").write_bytes(made.data)
        files = [str(tmp_path / "model.safetensors"), str(tmp_path / "certificate.json")]
        facts = json.loads(run_checker([*files, "--json"]).stdout)
        said = made.document["statement"]
        # So small a domain is known to less than one input.
        assert (said["correct_lower"], said["correct_upper"]) == (
            facts["correct_lower"],
            facts["correct_upper"],
        )
        again = draft.with_claims(made.document, facts)["proof"]["cells"]
        for own, other in zip(made.document["proof"]["cells"], again, strict=True):
            assert own.get("failures") == other.get("failures")
            assert (margin_of(own) or 0) <= (margin_of(other) or 0)
        assert int(made.document["proof"]["operations"]) >= facts["operations"]["total"]
        truth = oracle.truth(model.tensors, model.config)
        if semantics is None:
            assert int(said["correct_lower"]) <= truth.correct <= int(said["correct_upper"])


def test_weights_of_a_scope_are_expected(tmp_path: Path, runs: list[Answer]) -> None:
    model = drawn(1)
    size, places = model.config["d_vocab"], model.config["n_ctx"]
    chance = random.Random(5)
    rows = [[chance.randint(0, 9) for _ in range(size)] for _ in range(places)]
    file = tmp_path / "scope.json"
    file.write_bytes(scope_bytes(tuple((*row[:-1], 1 << 40) for row in rows)))
    scope = read_scope(f"product:{file}")
    made = counted(model, tmp_path, scope=scope)
    assert [answer.verified for answer in runs] == [True]
    said, verdict = made.document["statement"], made.verdict
    above = verdict.correct_lower - int(said["correct_lower"])
    below = int(said["correct_upper"]) - verdict.correct_upper
    assert 0 <= above <= CLOSE * verdict.total
    assert 0 <= below <= CLOSE * verdict.total


def test_a_condition_is_not_expected(tmp_path: Path, runs: list[Answer]) -> None:
    counted(drawn(2), tmp_path, scope=read_scope("max-copies:1"))
    assert len(runs) == RUNS_OF_A_DRAFT


Damage = Callable[[dict[str, Any]], None]


def one_more_right(found: dict[str, Any]) -> None:
    found["correct_lower"] = str(int(found["correct_lower"]) + 1)


def one_less_right(found: dict[str, Any]) -> None:
    found["correct_upper"] = str(int(found["correct_upper"]) - 1)


def a_leaf_without_failures(found: dict[str, Any]) -> None:
    at = next(at for at, (_, upper, *_) in enumerate(found["cells"]) if int(upper))
    lower, _, size, margin = found["cells"][at]
    found["cells"][at] = (min(lower, "0"), "0", size, margin)


def too_few_operations(found: dict[str, Any]) -> None:
    found["operations"] = {"total": 9}


def too_little_said(found: dict[str, Any]) -> None:
    found["correct_lower"] = str(int(found["correct_lower"]) - 1)


DAMAGES: dict[Damage, str] = {
    one_more_right: "SPEC-5.6",
    one_less_right: "SPEC-5.6",
    a_leaf_without_failures: "SPEC-7.13",
    too_few_operations: "SPEC-8.2",
    too_little_said: "VERIFIED",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_where_less_or_more_is_derived_a_draft_follows(
    damage: Damage, tmp_path: Path, runs: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = drawn(9)
    usual = counted(model, tmp_path)
    runs.clear()
    facts = expected.facts

    def damaged(*arguments: Any) -> dict[str, Any] | None:
        found = facts(*arguments)
        assert found is not None
        damage(found)
        return found

    monkeypatch.setattr(draft, "facts", damaged)
    made = counted(model, tmp_path)
    assert len(runs) == 1 + RUNS_OF_A_DRAFT
    assert DAMAGES[damage] in runs[0].last_line
    bounds = ("correct_lower", "correct_upper")
    assert [made.verdict.fields[key] for key in bounds] == [
        usual.verdict.fields[key] for key in bounds
    ]
    assert int(made.document["proof"]["operations"]) == made.verdict.operations
    truth = oracle.truth(model.tensors, model.config)
    assert made.verdict.correct_lower <= truth.correct <= made.verdict.correct_upper


@pytest.mark.parametrize("kind", [models.spiky_model, models.cancelling_model, models.random_model])
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_whatever_is_expected_the_bounds_enclose_the_truth(
    kind: Callable[[random.Random], models.Model], tmp_path: Path
) -> None:
    for seed in range(6):
        model = kind(random.Random(seed))
        try:
            verdict = counted(model, tmp_path).verdict
        except ProvesNothing:
            continue
        truth = oracle.truth(model.tensors, model.config)
        assert verdict.correct_lower <= truth.correct <= verdict.correct_upper
