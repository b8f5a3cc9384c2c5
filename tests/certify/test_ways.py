"""Which paths a strategy encloses where nobody said so: those that make the proof shorter, and none
where that loses more.
"""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import model_on_a_line

from certify.api import prove
from certify.cells import draft, ways
from certify.cells.enclosures import length
from certify.cells.strategies import STRATEGIES
from certify.certificate.finish import Certificate
from certify.errors import CheckerRejected, Unsupported
from certify.model.file import Model, load_model, save_model
from checker.ground.exact import Matrix, multiply
from checker.ground.ledger import Ledger

EXACT = {"qk": "exact", "direct": "exact"}


@given(st.lists(st.integers(1, 5), min_size=3, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_length_of_a_chain_is_what_the_checker_charges(
    sizes: list[int], rng: random.Random
) -> None:
    chain = [
        np.array([[rng.choice((0, 0, 1)) for _ in range(columns)] for _ in range(rows)])
        * np.array([rng.choice((0, 1, 1)) for _ in range(columns)])
        for rows, columns in pairwise(sizes)
    ]
    book = Ledger(lambda done: None)
    multiply([Matrix(tuple(map(tuple, factor.tolist())), 0) for factor in chain], book)
    assert length(chain) == book.mul + book.add


@pytest.fixture(scope="module")
def provable(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a model for short proofs, from a file."""
    path = tmp_path_factory.mktemp("provable") / "model.safetensors"
    made = model_on_a_line(16)
    save_model(path, made.tensors, made.config)
    return load_model(path)


@pytest.fixture(scope="module")
def free(provable: Model) -> Certificate:
    """Return its proof when nothing is said of paths."""
    return proved(provable)


def proved(model: Model, **options: Any) -> Certificate:
    return prove(model, task="max-of-k", strategy="cascade", **options)


def enclosed(certificate: Certificate) -> list[str]:
    return sorted(certificate.document["proof"].get("paths", {}))


def test_paths_are_enclosed_where_that_is_shorter(provable: Model, free: Certificate) -> None:
    exact = proved(provable, enclosures=EXACT)
    assert enclosed(free) == ["direct"]
    assert enclosed(exact) == []
    assert free.verdict.correct_lower == exact.verdict.correct_lower == 16**4
    assert free.verdict.operations < exact.verdict.operations


def test_within_a_budget_what_proves_most_is_kept(
    provable: Model, free: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "MOST_ATTEMPTS", 1)
    assert enclosed(proved(provable, budget=free.verdict.operations)) == ["direct"]


def test_a_path_that_is_named_is_left_as_it_is(provable: Model) -> None:
    assert enclosed(proved(provable, enclosures={"direct": "exact"})) == []
    assert enclosed(proved(provable, enclosures={"qk": "svd"})) == ["qk"]


@pytest.mark.parametrize("seed", range(3))
def test_an_ordinary_model_is_multiplied_out(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(models.good_model(random.Random(seed), vocab=(6, 6), k=(3, 3)).bytes)
    model = load_model(path)
    found = proved(model)
    monkeypatch.setattr(ways, "CANDIDATES", ())
    assert found.data == proved(model).data


@pytest.mark.parametrize("seed", range(3))
def test_a_way_that_is_dearer_is_never_checked(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, checked = draft.document, []

    def spied(job: Any, cells: Any, hints: Any) -> Any:
        checked.append(sorted(hints))
        return usual(job, cells, hints)

    path = tmp_path / "model.safetensors"
    path.write_bytes(models.good_model(random.Random(seed), vocab=(6, 6), k=(3, 3)).bytes)
    model = load_model(path)
    found = proved(model)
    monkeypatch.setattr(draft, "document", spied)
    # As if its screens left no answers.
    monkeypatch.setattr(ways, "_left", lambda *_: 0.0)
    assert found.data == proved(model).data
    assert checked[0] == []
    assert not [paths for paths in checked if "direct" in paths]


def test_a_way_that_is_refused_is_dropped(provable: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = draft.document

    def failing(job: Any, cells: Any, hints: Any) -> Any:
        if hints:
            raise Unsupported("a way that the checker declines")
        return usual(job, cells, hints)

    monkeypatch.setattr(draft, "document", failing)
    assert enclosed(proved(provable)) == []
    with pytest.raises((CheckerRejected, Unsupported), match="declines"):
        proved(provable, enclosures=ways.QUADRATIC)


def test_only_strategies_with_paths_choose() -> None:
    choosing = {name for name, one in STRATEGIES.items() if one.worth is not None}
    assert choosing == {"cascade"}
    assert all({"qk", "direct"} <= STRATEGIES[name].takes for name in choosing)
