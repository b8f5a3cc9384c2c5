"""SPEC-13.7: B against a second reading of the page, and float32 executions over random trees
against B and every claim.
"""

from __future__ import annotations

import random
from fractions import Fraction
from functools import partial
from itertools import repeat
from math import ceil
from typing import Any

import adder_float32
import addition
import make_vectors
import mpmath
import mutators
import numpy as np
import pytest
import test_float32
import vectors_float32
import vectors_modular
from addition import DIGITS, MIXES, document, random_model
from executions import anyhow, chain
from float32 import bounded_exp
from models import Model, filled
from test_modular import rules_of
from test_terms import ledger

from checker import check
from checker.ground.errors import Declined
from checker.ground.norms import TABLE_SCALE
from checker.statement.model import load_model
from checker.sums.inputs import Evaluation, evaluation_of

EPS, ETA = Fraction(1, 2**22), Fraction(1, 2**126)
EXACT = {"rule": "exact"}
TOKENS = {p: np.array([(a, b) for a in range(p) for b in range(p)]) for p in range(1, 8)}
Question = addition.Question


def float32_document(
    model: Model,
    sums: Any = None,
    eps: Fraction = EPS,
    eta: Fraction = ETA,
    question: Question | None = None,
) -> bytes:
    written = {
        name: f"{x.numerator}/{x.denominator}" for name, x in (("eps_exp", eps), ("eta_exp", eta))
    }
    doc = document(model, sums or EXACT, question=question)
    return mutators.encode(vectors_float32.claimed(doc, **written))


def evaluated(
    model: Model, eps: Fraction = EPS, eta: Fraction = ETA, question: Question | None = None
) -> Evaluation:
    proof: Any = check.parse(model.bytes, float32_document(model, None, eps, eta, question)).proof
    return evaluation_of(proof, ledger())


def drift_of(found: Evaluation) -> Fraction:
    return Fraction(found.drift, found.over << found.scale + TABLE_SCALE)


def theorem_of(model: Model, sums: Any = None, **exp: Any) -> Any:
    return make_vectors.theorem_of(model.bytes, float32_document(model, sums, **exp))


LEAST, MOST = (Fraction(1, 2**25), Fraction(1, 2**149)), (Fraction(1, 64), Fraction(1, 64))


@pytest.mark.parametrize("seed", range(40))
def test_the_checker_derives_what_the_page_says(seed: int) -> None:
    dtype = ("F32", "F16", "BF16")[seed % 3]
    model = random_model(f"page {seed}", MIXES[seed % 4], dtype=dtype, n=2 + seed // 4 % 3)
    question = addition.random_question(seed, model)
    exp = ((EPS, ETA), LEAST, MOST)[seed % 3]
    found = evaluated(model, *exp, question)
    weights = load_model(model.bytes).weights
    scales = weights["unembed.W_U"].scale, found.ways[-1].scale
    low, high = (
        bound(model, exp, scales, question)
        for bound in (adder_float32.exact, adder_float32.rounded)
    )
    unit = found.over << found.scale + TABLE_SCALE
    # To the last bit: no term may be missing, however small.
    assert low * unit <= found.drift == ceil(high * unit)
    # What is rounded up is far finer than any constant of the page.
    assert high <= low * (1 + Fraction(1, 2**30)) + Fraction(1, 2**40)


def exactly(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    sign, mantissa, exponent, _ = value._mpf_
    whole: int = (-1) ** sign * int(mantissa)
    return whole * Fraction(2) ** int(exponent)


def executions(model: Model, seed: int, inputs: Any, count: int = 6) -> list[Any]:
    """Return the logits of executions over random trees, with exps as far off as they may be, or
    numpy's.
    """
    found = []
    for i in range(count):
        generator = np.random.default_rng((seed, i))
        exp = bounded_exp(float(EPS), float(ETA), generator) if i % 3 < 2 else np.exp
        choices = [bool(x) for x in generator.integers(2, size=4)]
        dot = anyhow(generator, with_fma=i % 2 == 1)
        found.append(adder_float32.execute(model, inputs, dot, exp, choices))
    return found


def rough(seed: int) -> Model:
    """Return a random model whose numbers have all 24 bits, so that sums are rounded; biases huge
    where they cancel.
    """
    rng, mix = random.Random(f"rough {seed}"), MIXES[seed % 4]
    base = random_model(f"rough {seed}", mix, n=2 + seed // 4 % 3)
    size = Fraction(rng.choice((1, 4, 4096)), 2**23)

    def entry(part: Fraction) -> Fraction:
        return rng.randrange(-(2**23), 2**23) * size * part

    shapes = addition.shapes(base.config)
    scores = {"blocks.0.attn.W_Q", "blocks.0.attn.W_K", "blocks.0.attn.b_Q", "blocks.0.attn.b_K"}
    tame = Fraction(1) if size < 1 else Fraction(1, 2**12)
    return Model(
        base.config,
        {
            n: filled(s, partial(entry, tame if n in scores else Fraction(1)))
            for n, s in shapes.items()
        },
    )


def test_executions_stay_within_the_bound_and_every_certified_input_is_right_in_all() -> None:
    certified = refuted = total = 0
    nearest = [0.0] * 4
    for seed in range(80):
        own = rough(seed)
        if seed % 5 == 0:
            own = random_model(f"runs {seed}", MIXES[seed % 4], n=2 + seed // 4 % 3)
        model, question = own, addition.random_question(seed, own)
        inputs = question.inputs()
        bound = drift_of(evaluated(model, question=question))
        theorem = theorem_of(model, question=question)
        with mpmath.workdps(DIGITS):
            true = [[exactly(x) for x in addition.logits(model, *tokens)] for tokens in inputs]
        for computed in executions(model, seed, np.array(inputs)):
            runs = [[Fraction(float(x)) for x in row] for row in computed]
            for tokens, row, real, outcome in zip(
                inputs, runs, true, theorem.outcomes, strict=True
            ):
                moved = [x - y for x, y in zip(row, real, strict=True)]
                assert max(moved) - min(moved) <= bound
                nearest[seed % 4] = max(nearest[seed % 4], float((max(moved) - min(moved)) / bound))
                own_logit = row.pop(question.right(tokens))
                if outcome.upper == 0:
                    assert own_logit - max(row) > 0
                    assert own_logit - max(row) >= Fraction(outcome.margin, 2**20)
                if outcome.lower == 1:
                    assert own_logit <= max(row)
        certified += theorem.correct_lower
        refuted += len(inputs) - theorem.correct_upper
        total += len(inputs)
    assert certified > total // 10
    assert refuted > total // 3
    # The executions are bad enough to notice a bound that is a hundred times too small.
    assert min(nearest) > 0.005, nearest


def test_a_real_claim_may_be_wrong_in_float32() -> None:
    model = addition.absorbing()
    assert addition.truth(model).correct == 2
    real = make_vectors.theorem_of(model.bytes, mutators.encode(document(model, EXACT)))
    assert (real.correct_lower, real.correct_upper) == (2, 2)
    loose = theorem_of(model)
    assert (loose.correct_lower, loose.correct_upper) == (0, 4)
    left = adder_float32.execute(model, TOKENS[2], chain({}), np.exp)
    assert not left.any()
    right = adder_float32.execute(model, TOKENS[2], chain({"out": (0, 2, 1, 3, 4)}), np.exp)
    assert right.tolist() == [[1, 0]] * 4


def test_what_rounding_decides_is_open_and_what_it_does_not_is_decided() -> None:
    for mix in MIXES:
        model = addition.good_model(3, mix)
        real, loose = (
            make_vectors.theorem_of(model.bytes, doc)
            for doc in (mutators.encode(document(model, EXACT)), float32_document(model))
        )
        assert (
            loose.correct_lower <= real.correct_lower <= real.correct_upper <= loose.correct_upper
        )
        bound = drift_of(evaluated(model))
        for before, after in zip(real.outcomes, loose.outcomes, strict=True):
            if after.margin is not None:
                assert before.margin is not None
                assert 0 <= before.margin - after.margin - bound * 2**20 + 1 <= 2


def test_without_a_mix_the_exp_does_not_matter() -> None:
    for mix in MIXES:
        model = random_model("exp", mix)
        best, worst = drift_of(evaluated(model, *LEAST)), drift_of(evaluated(model, *MOST))
        assert best <= worst
        assert (best == worst) == (mix == MIXES[0])


def test_rules_agree_about_float32() -> None:
    model = vectors_modular.adder(5)
    bounds = {
        (t.correct_lower, t.correct_upper)
        for t in (theorem_of(model, s) for s in rules_of(random.Random(2), model, MIXES[0]))
    }
    assert bounds == {(25, 25)}


def test_overflow_is_declined() -> None:
    base = random_model("overflow", None)
    shapes = addition.shapes(base.config)
    for name, shape in shapes.items():
        for power, declined in ((126, True), (-126, False)):
            tensors = {
                **base.tensors,
                name: filled(shape, repeat(Fraction(2) ** power).__next__),
            }
            model = Model(base.config, tensors)
            if declined:
                with pytest.raises(Declined) as refusal:
                    theorem_of(model)
                assert refusal.value.rule == "SPEC-13.7"
            else:
                theorem_of(model)


def only(**tensors: Any) -> Model:
    """Return a model that is zero but for these tensors."""
    config = addition.config_of(2, 2, 1, 1, 1, 2, None)
    shapes = addition.shapes(config)
    names = {name.rpartition(".")[2]: name for name in shapes}
    zero = {name: filled(shape, lambda: 0) for name, shape in shapes.items()}
    return Model(config, zero | {names[name]: value for name, value in tensors.items()})


def alone(x: int) -> dict[str, Model]:
    """Return models in each of which one number of SPEC-13.7 alone reaches 2^126 at x = 2^124, by
    its name on the page.

    Three are never alone: `f + e_f` is at least `y + e_y`, that is at least `(1 + u) R`, and
    `2 (Q K + D)` is more than `(Q + e_q)(K + e_k)`, for no error is more than 2^-20 of its number.
    """
    # A residual of 2^63 along the first axis, and weights that only read the second.
    far, across = [[2**63, 0], [0, 0]], [[0], [x >> 61]]
    return {
        "Q + e_q": only(b_Q=[[4 * x]]),
        "K + e_k": only(b_K=[[4 * x]]),
        "2 (Q K + D)": only(b_Q=[[2**63]], b_K=[[x >> 62]]),
        "(1 + u) R |W_V| + |b_V|": only(W_E=far, W_V=[across]),
        "V + e_z": only(b_V=[[2 * x]]),
        "(y + e_y) |W_in| + |b_in|": only(W_E=far, W_in=across),
        # Three tables of what one stream holds twice.
        "P + e_p": only(b_V=[[3 * 2**60]], W_O=[[[1, 0]]], W_in=[[x >> 61], [0]]),
        "f + e_f": only(b_out=[4 * x, 0]),
        "(f + e_f) U + b": only(b_U=[4 * x, 0]),
    }


@pytest.mark.parametrize("name", alone(0))
def test_every_number_on_the_way_has_room(name: str) -> None:
    accepted, declined = (alone(x)[name] for x in (2**122, 2**124))
    theorem_of(accepted)
    with pytest.raises(Declined) as refusal:
        theorem_of(declined)
    assert refusal.value.rule == "SPEC-13.7"
    found = adder_float32.reached(declined, (EPS, ETA), (0, 0))
    assert [other for other, value in found.items() if value >= 2**126] == [name]
    assert max(adder_float32.reached(accepted, (EPS, ETA), (0, 0)).values()) < 2**126


def errors_alone(size: int) -> dict[str, Model]:
    """Return models in each of which a number of SPEC-13.7 reaches 2^126 by its error alone, by its
    name on the page; ``size`` is just below 2^63.
    """
    far, across, below = [[2**63, 0], [0, 0]], [[0], [size]], size << 63
    return {
        "Q + e_q": only(b_Q=[[below]]),
        "K + e_k": only(b_K=[[below]]),
        "(1 + u) R |W_V| + |b_V|": only(W_E=far, W_V=[across], b_V=[[2**101]]),
        "V + e_z": only(b_V=[[below >> 1]]),
        "(y + e_y) |W_in| + |b_in|": only(W_E=far, W_in=across),
        "f + e_f": only(b_out=[below, 0]),
    }


@pytest.mark.parametrize("name", errors_alone(0))
def test_errors_count_among_the_numbers_on_the_way(name: str) -> None:
    just_below, below = 2**63 - 2**39, 2**63 - 2**49
    if name.startswith("(y"):
        just_below = 2**63 - 2**41
    found = adder_float32.reached(errors_alone(just_below)[name], (EPS, ETA), (0, 0))
    assert [other for other, value in found.items() if value >= 2**126] == [name]
    assert found[name] < 2**126 * (1 + Fraction(1, 2**16))
    with pytest.raises(Declined) as refusal:
        theorem_of(errors_alone(just_below)[name])
    assert refusal.value.rule == "SPEC-13.7"
    theorem_of(errors_alone(below)[name])


def test_fractions_cost_what_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(8):
        model = random_model(f"fractions {seed}", MIXES[seed % 4])
        proof: Any = check.parse(model.bytes, float32_document(model)).proof
        counts = test_float32.count_fractions(monkeypatch)
        assert evaluation_of(proof, ledger()).drift > 0
        monkeypatch.undo()
        allowed = 100 + 50 * model.config["n_heads"]
        assert counts["mul"] <= allowed, counts
        assert counts["add"] <= allowed, counts


def test_neurons_that_overflow_and_write_nothing_are_declined() -> None:
    base = random_model("overflow", None)
    for power, declined in ((126, True), (124, False)):
        tensors = {
            name: filled(shape, lambda: 0) for name, shape in addition.shapes(base.config).items()
        }
        model = Model(
            base.config,
            tensors
            | {"blocks.0.mlp.b_in": [Fraction(2) ** power] + [0] * (base.config["d_mlp"] - 1)},
        )
        if declined:
            with pytest.raises(Declined) as refusal:
                theorem_of(model)
            assert refusal.value.rule == "SPEC-13.7"
        else:
            assert theorem_of(model).correct_lower == 0
