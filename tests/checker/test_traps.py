"""The traps of SPEC-12.6 are real, and the checker does not step into them."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import architecture
import make_vectors
import models
import mutators
import norm_bounds
import numpy as np
import oracle
import pytest
from executions import chain, execute, exp_ends, exp_nearest
from traps import TRAPS, Trap, lucky

from checker.check import Theorem
from checker.float32 import cells as float32
from checker.ground.errors import Declined

SPEC = architecture.text_of_clauses(architecture.spec_files()["checker/float32/SPEC.md"])
NAMED = {trap.name: trap for trap in TRAPS}
each_trap = pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)


def theorem_of(trap: Trap, **how: Any) -> Theorem:
    return make_vectors.theorem_of(trap.model.bytes, mutators.encode(trap.document(**how)))


def is_right(trap: Trap, logits: Any) -> bool:
    """Return whether the logit of the right answer is strictly above all others; nothing is above
    NaN.
    """
    return all(logits[trap.target] > logit for j, logit in enumerate(logits) if j != trap.target)


def test_the_traps_are_those_of_the_spec() -> None:
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`:", SPEC["SPEC-12.6"])) == set(NAMED)
    assert len(NAMED) == len(TRAPS) == 8


@each_trap
def test_real_arithmetic_counts_the_input(trap: Trap) -> None:
    assert trap.tokens in oracle.truth(trap.model.tensors, trap.model.config).right
    theorem = theorem_of(trap, float32=False)
    assert (
        theorem.correct_lower
        == oracle.truth(trap.model.tensors, trap.model.config).correct
        == theorem.correct_upper
    )
    assert theorem_of(trap, float32=False, alone=True).correct_lower == 1


@each_trap
def test_the_execution_is_wrong(trap: Trap) -> None:
    logits = trap.executed().logits[0]
    assert not is_right(trap, logits)
    assert np.all(np.isnan(logits)) == (trap.name == "score-overflow")


@each_trap
def test_the_exp_of_the_execution_is_allowed(trap: Trap) -> None:
    scores = trap.executed().scores
    with np.errstate(invalid="ignore"):
        below = np.ravel(scores - scores.max())
    for d, found in zip(below, trap.exp(below), strict=True):
        if np.isnan(d):
            assert trap.name == "score-overflow"
            continue
        low, high = exp_ends(float(d))
        value, eps, eta = Fraction(float(found)), Fraction(trap.eps_exp), Fraction(trap.eta_exp)
        assert value >= 0
        assert low - eps * low - eta <= value <= high + eps * high + eta


@each_trap
def test_float32_does_not_count_the_input(trap: Trap) -> None:
    if trap.name == "score-overflow":
        for alone in (True, False):
            with pytest.raises(Declined) as refusal:
                theorem_of(trap, float32=True, alone=alone)
            assert refusal.value.rule == "SPEC-12.3"
        return
    alone, whole = (theorem_of(trap, float32=True, alone=alone) for alone in (True, False))
    assert (alone.correct_lower, alone.correct_upper) == (0, 1)
    assert whole.correct_lower < theorem_of(trap, float32=False).correct_lower
    assert whole.correct_lower == {"exp-underflow": 2, "inexact-exp": 2}.get(trap.name, 0)


RIGHT_ORDERS: dict[str, dict[str, tuple[int, ...]]] = {
    "cancelling-constant": {"logits": (0, 2, 1)},
    "order-of-values": {"output": (0, 2, 1)},
    "normalisation": {},
    "score-cancellation": {"score": (0, 2, 1, 3)},
}


@pytest.mark.parametrize("name", RIGHT_ORDERS)
def test_another_order_is_right(name: str) -> None:
    trap = NAMED[name]
    assert is_right(trap, replace(trap, orders=RIGHT_ORDERS[name]).executed().logits[0])


def test_a_more_accurate_exp_is_enough() -> None:
    trap = NAMED["inexact-exp"]
    theorem = theorem_of(trap, float32=True, eps_exp="1/4194304")
    assert theorem.correct_lower == theorem.parsed.statement.total == 4
    assert is_right(trap, replace(trap, exp=exp_nearest).executed().logits[0])


def test_an_absorbed_embedding_is_lost_in_every_order() -> None:
    trap = NAMED["residual-absorption"]
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0)):
        assert not is_right(
            trap, execute(trap.model, np.array([trap.tokens]), chain({"logits": order})).logits[0]
        )


def bounds_of(trap: Trap) -> norm_bounds.Bounds:
    return norm_bounds.exact(trap.model, Fraction(trap.eps_exp), Fraction(trap.eta_exp))


def test_without_the_term_of_the_direct_path_a_wrong_execution_would_be_certified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trap, whole = NAMED["normalisation"], float32.slack
    bounds = bounds_of(trap)

    def forgetful(model: Any, exp: Any, scales: tuple[int, int], ledger: Any) -> float32.Slack:
        found = whole(model, exp, scales, ledger)
        lost = int(bounds.kappa * bounds.G * 2 ** scales[1])
        return replace(found, logit_error=found.logit_error - lost)

    assert theorem_of(trap, float32=True).correct_lower == 0
    monkeypatch.setattr(float32, "slack", forgetful)
    assert theorem_of(trap, float32=True).correct_lower == 1
    assert not is_right(trap, trap.executed().logits[0])


def test_the_weights_of_the_normalisation_trap_sum_to_more_than_one() -> None:
    trap, bounds = NAMED["normalisation"], bounds_of(NAMED["normalisation"])
    stages = trap.executed()
    excess = sum(Fraction(float(a)) for a in stages.pattern[0]) - 1
    assert bounds.kappa >= excess > Fraction(9, 10) * bounds.kappa
    # The real margin is beyond all that is not of the weights' sum, and within what an execution
    # reaches.
    margins = oracle.truth(trap.model.tensors, trap.model.config, margins=True).margins
    lower, upper = margins[trap.tokens]
    assert bounds.B - bounds.kappa * bounds.G < lower * bounds.rho
    assert upper < bounds.B
    logits = [Fraction(float(logit)) for logit in stages.logits[0]]
    assert lower - (logits[0] - logits[1]) > bounds.B - bounds.kappa * bounds.G


def test_an_input_that_some_execution_answers_right_is_not_counted_as_wrong() -> None:
    trap = lucky()
    assert trap.tokens in oracle.truth(trap.model.tensors, trap.model.config).wrong
    assert is_right(trap, trap.executed().logits[0])
    real, loose = (theorem_of(trap, float32=narrow, alone=True) for narrow in (False, True))
    assert (real.correct_lower, real.correct_upper) == (0, 0)
    assert (loose.correct_lower, loose.correct_upper) == (0, 1)


def test_a_plan_of_sums_uses_every_term_once() -> None:
    one = np.ones(1, dtype=np.float32)
    assert chain({"output": (1, 0)})("output", [one, one], [one, one], [])[0] == 2
    for order in ((0,), (0, 0), (0, 1, 2)):
        with pytest.raises(ValueError, match="summed once"):
            chain({"output": order})("output", [one, one], [one, one], [])
    with pytest.raises(ValueError, match="is not float32"):
        execute(
            models.pair(**{"unembed.W_U": [[0, 1 + Fraction(1, 2**30)]]}),
            np.zeros((1, 2), dtype=np.int64),
            chain({}),
        )
