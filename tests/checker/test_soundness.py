"""What the checker accepts is true: random proofs over random models against exhaustion."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import forests
import models
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import Drawn, Model, Seeded

from checker.__main__ import facts
from checker.check import check, parse
from checker.statement.outcome import MARGIN_BITS

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "150"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Verdict:
    """The numbers on the verdict line, and the exact margin."""

    total: int
    lower: int
    upper: int
    margin: Fraction


def verdict_of(model: Model, certificate: bytes) -> Verdict:
    """Return what the checker proves; it must not refuse."""
    theorem = check(parse(model.bytes, certificate), lambda done, declared: None)
    line = facts(theorem)
    total, lower, upper = (int(line[key]) for key in ("total", "correct_lower", "correct_upper"))
    return Verdict(total, lower, upper, Fraction(theorem.margin, 1 << MARGIN_BITS))


def assert_true(verdict: Verdict, model: Model, weights: list[list[int]] | None) -> None:
    """Assert both bounds, the total, and the margin, against the exhaustive truth."""
    truth = oracle.truth(model.tensors, model.config, weights, margins=verdict.margin > 0)
    assert verdict.total == truth.total
    assert verdict.lower <= truth.correct <= verdict.upper
    if verdict.margin > 0:
        # At least as many inputs as were counted have a margin as large as was printed.
        rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
        enough = sum(
            prod(row[token] for row, token in zip(rows, tokens, strict=True))
            for tokens, (_, margin_upper) in truth.margins.items()
            if margin_upper >= verdict.margin
        )
        assert verdict.lower <= enough


KINDS = [models.random_model, models.good_model, models.spiky_model, models.cancelling_model]


@st.composite
def cases(draw: st.DrawFn, *, exact: bool = False) -> tuple[Model, list[list[int]] | None, bytes]:
    model = draw(models.models())
    weights = draw(st.one_of(st.none(), models.token_weights(model.config)))
    return model, weights, forests.build_forest(Drawn(draw), model, weights, exact=exact)


@SETTINGS
@given(cases())
def test_every_accepted_bound_is_true(case: tuple[Model, list[list[int]] | None, bytes]) -> None:
    model, weights, certificate = case
    assert_true(verdict_of(model, certificate), model, weights)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("seed", range(100))
def test_every_accepted_bound_is_true_on_seeded_cases(seed: int, make) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(seed)
    model = make(rng)
    weights = models.build_token_weights(Seeded(rng), model.config) if seed % 3 == 0 else None
    for _ in range(8):
        assert_true(
            verdict_of(model, forests.build_forest(Seeded(rng), model, weights)), model, weights
        )


@SETTINGS
@given(st.data())
def test_brute_force_is_exact_on_ordinary_models(data: st.DataObject) -> None:
    # No random models: no weight needs more than the 4 096 bits at which the checker gives up.
    model = data.draw(
        st.one_of(models.good_models(), models.spiky_models(), models.cancelling_models())
    )
    weights = data.draw(st.one_of(st.none(), models.token_weights(model.config)))
    verdict = verdict_of(model, forests.build_forest(Drawn(data.draw), model, weights, exact=True))
    truth = oracle.truth(model.tensors, model.config, weights)
    assert verdict.lower == truth.correct == verdict.upper


def test_random_proofs_prove_something() -> None:
    # The properties above would hold of a checker that proves nothing.
    proved = refuted = margins = 0
    for seed in range(60):
        rng = random.Random(seed)
        model = models.good_model(rng)
        verdict = verdict_of(model, forests.build_forest(Seeded(rng), model))
        proved += verdict.lower > 0
        refuted += verdict.upper < verdict.total
        margins += verdict.margin > 0
    assert proved >= 20
    assert refuted >= 10
    assert margins >= 3
