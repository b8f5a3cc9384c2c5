"""The ground truth is itself tested: by hand, by float64, by planted ties."""

from __future__ import annotations

import itertools
import random
import time
from fractions import Fraction
from typing import Any

import models
import mpmath
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from models import ATTENTION, Model

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def ask(model: Model, **options: Any) -> oracle.Truth:
    return oracle.truth(model.tensors, model.config, **options)


def float_margins(model: Model) -> dict[tuple[int, ...], float]:
    """Return the margins of an ordinary float64 forward pass."""
    c = model.config

    def get(name: str) -> Any:
        shape = models.shapes(c)[name]
        return np.array(model.tensors.get(name, np.zeros(shape)), dtype=object).astype(float)

    def head(name: str) -> Any:
        return get(ATTENTION + name)[0]

    margins = {}
    for x in itertools.product(range(c["d_vocab"]), repeat=c["n_ctx"]):
        stream = get("embed.W_E")[list(x)] + get("pos_embed.W_pos")
        q, k, v = (stream @ head("W_" + m) + head("b_" + m) for m in "QKV")
        scores = k @ q[-1] / np.sqrt(c["d_head"])
        a = np.exp(scores - scores.max())
        out = (a / a.sum()) @ v @ head("W_O") + get(ATTENTION + "b_O")
        logits = (stream[-1] + out) @ get("unembed.W_U") + get("unembed.b_U")
        margins[x] = logits[max(x)] - np.delete(logits, max(x)).max()
    return margins


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_a_float64_forward_pass(seed: int) -> None:
    model = models.good_model(random.Random(seed))
    result = ask(model, margins=True)
    for x, margin in float_margins(model).items():
        low, high = result.margins[x]
        assert low <= high
        assert float(low) - 1e-8 <= margin <= float(high) + 1e-8
        if abs(margin) > 1e-8:
            assert (x in result.right) == (margin > 0)


def test_good_models_are_mostly_right_and_some_are_wrong_somewhere() -> None:
    results = [ask(models.good_model(random.Random(seed))) for seed in range(60)]
    assert sum(r.correct for r in results) > 0.5 * sum(r.total for r in results)
    assert sum(0 < r.correct < r.total for r in results) >= 15


def test_a_model_worked_out_by_hand() -> None:
    # x=(0,0): stream -1, head -2, logit_1 = -3: right with margin 3.
    # x=(1,1): stream 1, head 2, logit_1 = 3: right with margin 3.
    # x=(0,1): weights e^-1 : e, blend tanh(1), logit_1 = 1 + 2 tanh(1): right.
    # x=(1,0): query -1, weights e^-1 for 1 and e for 0: logit_1 = -1 - 2 tanh(1): wrong.
    result = ask(models.pair(), margins=True)
    assert result.right == ((0, 0), (0, 1), (1, 1))
    assert result.wrong == ((1, 0),)
    assert result.ties == ()
    assert (result.correct, result.total) == (3, 4)
    assert result.margins[0, 0] == (Fraction(3), Fraction(3))
    low, high = result.margins[0, 1]
    with mpmath.workdps(60):
        exact = 1 + 2 * mpmath.tanh(1)
        assert mpmath.mpf(low.numerator) / low.denominator <= exact
        assert exact <= mpmath.mpf(high.numerator) / high.denominator
    assert high - low <= Fraction(1, 2**64)


def test_token_weights_count_by_hand() -> None:
    result = ask(models.pair(), weights=[[2, 3], [5, 7]])
    # right: (0,0) 2*5, (0,1) 2*7, (1,1) 3*7; total (2+3)*(5+7).
    assert (result.correct, result.total) == (10 + 14 + 21, 60)


def test_square_root_of_d_head_is_used() -> None:
    # Two head dimensions, scores doubled, so blend = tanh(2 / sqrt 2) = tanh(sqrt 2).
    model = models.pair(
        **{ATTENTION + "W_" + m: [[[1, 1]]] for m in "QKV"}, **{ATTENTION + "W_O": [[[1], [1]]]}
    )
    model.config["d_head"] = 2
    low, high = ask(model, margins=True).margins[0, 1]
    with mpmath.workdps(40):
        exact = 1 + 2 * mpmath.tanh(mpmath.sqrt(2))
        assert (
            abs(mpmath.mpf((low + high).numerator) / (low + high).denominator / 2 - exact) < 1e-15
        )


@pytest.mark.parametrize(
    ("bias", "change"),
    [
        ({ATTENTION + "b_Q": [[3]]}, lambda q, t: (q + 3) * t),
        ({ATTENTION + "b_K": [[3]]}, lambda q, t: q * (t + 3)),
    ],
)
def test_score_biases_by_hand(bias: dict[str, Any], change: Any) -> None:
    low, high = ask(models.pair(**bias), margins=True).margins[
        1, 0
    ]  # tokens 1, 0; query embeds as -1
    a = mpmath.exp(change(-1, 1)) / (mpmath.exp(change(-1, 1)) + mpmath.exp(change(-1, -1)))
    logit = -1 + 2 * (a - (1 - a))
    assert abs(float(low) + float(logit) * -1) < 1e-12
    assert abs(float(high) - float(logit)) < 1e-12


@pytest.mark.parametrize(
    "bias",
    [
        {ATTENTION + "b_V": [[5]]},
        {ATTENTION + "b_O": [5]},
        {"unembed.b_U": [0, 5]},
    ],
)
def test_output_biases_by_hand(bias: dict[str, Any]) -> None:
    result = ask(models.pair(**bias), margins=True)
    assert result.margins[0, 0] == (Fraction(-2), Fraction(-2))  # logit_1 = -3 + 5
    assert result.margins[1, 1] == (Fraction(8), Fraction(8))


def test_equal_unembedding_columns_tie_everywhere_and_ties_are_wrong() -> None:
    result = ask(models.pair(**{"unembed.W_U": [[1, 1]]}), margins=True)
    assert result.correct == 0
    assert result.ties == result.wrong == tuple(itertools.product(range(2), repeat=2))


def test_an_output_beyond_the_vocabulary_can_tie_and_can_win() -> None:
    model = models.pair(**{"unembed.W_U": [[0, 1, 1]]})
    model.config["d_vocab_out"] = 3
    assert ask(model).right == ((0, 0),)  # every answer 1 ties with output 2
    model.tensors["unembed.W_U"] = [[0, 1, 2]]
    assert ask(model).right == ((0, 0),)
    assert ask(model).ties == ()


def test_cancelling_values_in_one_class_tie() -> None:
    # No score depends on the token, so the head averages the values exactly; with no
    # direct path, tokens 0 and 1 (values -2 and 2) cancel: both logits are 0.
    model = models.pair(**{ATTENTION + "W_Q": [[[0]]], "pos_embed.W_pos": [[0], [0]]})
    model.tensors["embed.W_E"] = [[-1], [1]]
    result = ask(model)
    assert result.ties == ()  # the direct path decides
    model.tensors[ATTENTION + "b_O"] = [-1]  # (0,1): stream 1, head 0, bias -1
    assert ask(model).ties == ((0, 1),)


def test_a_tie_between_unequal_classes_is_found_only_where_every_class_cancels() -> None:
    # Tokens 0 and 1 have the same embedding; token 2 another score and zero value.
    config = models.config_of(vocab=3, k=3, d_model=2, d_head=1)
    tensors: dict[str, Any] = {
        "embed.W_E": [[1, 1], [1, 1], [2, 0]],
        "pos_embed.W_pos": [[0, 0]] * 3,
        ATTENTION + "W_Q": [[[1], [0]]],
        ATTENTION + "W_K": [[[1], [0]]],
        ATTENTION + "W_V": [[[0], [1]]],
        ATTENTION + "W_O": [[[0, 1]]],
        "unembed.W_U": [[0, 0, 0], [1, 1, 0]],
    }
    result = ask(Model(config, tensors))
    assert {(0, 1, 1), (0, 0, 0)} <= set(result.ties)
    # With token 2 present the answer is 2, whose logit is below or equal.
    assert (2, 2, 2) in result.ties
    assert (2, 2, 1) in set(result.wrong) - set(result.ties)


def test_an_attention_weight_of_ten_to_the_minus_ten_to_the_30_decides() -> None:
    # Score gap 2e30: exp(-2e30) multiplies the only class that is not zero.
    model = models.pair(
        **{
            "embed.W_E": [[Fraction(-(10**15))], [Fraction(10**15)]],
            ATTENTION + "W_V": [[[0]]],
            ATTENTION + "b_V": [[0]],
            "unembed.W_U": [[0, 0]],
            "unembed.b_U": [0, 1],
        }
    )
    assert ask(model).right == ((0, 1), (1, 0), (1, 1))
    # Stream 1e15, head -1e15 at weight ~1: what is left is a weight of exp(-2e30).
    model = models.pair(
        **{
            "embed.W_E": [[Fraction(-(10**15))], [Fraction(10**15)]],
            ATTENTION + "W_V": [[[-1]]],
        }
    )
    result = ask(model)
    # (0,1): stream 1e15, head -1e15 (1 - 2 exp(-2e30)): logit_1 = 2e15 exp(-2e30) > 0.
    assert (0, 1) in result.right
    # (1,1): exactly zero.
    assert (1, 1) in result.ties


def test_gap_below_every_grid_is_decided() -> None:
    # Weights 1 and exp(-2^-200) on opposite values: the sign is that of the gap.
    for sign in (1, -1):
        model = models.pair(
            **{
                ATTENTION + "W_Q": [[[sign * Fraction(1, 2**200)]]],
                ATTENTION + "b_O": [-1],
            }
        )
        assert ((0, 1) in ask(model).right) == (sign > 0)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_refuses_what_is_not_a_number(broken: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        ask(models.pair(**{"unembed.b_U": [0, broken]}))


def test_refuses_wrong_shapes_and_unknown_names() -> None:
    with pytest.raises(ValueError, match="b_U"):
        ask(models.pair(**{"unembed.b_U": [0]}))
    with pytest.raises(ValueError, match="mystery"):
        ask(models.pair(mystery=[0]))


def test_exponential_encloses_and_is_narrow() -> None:
    rng = random.Random(1)
    for precision in (64, 100, 256, 1024):
        for _ in range(300):
            numerator, denominator = (
                rng.randrange(1, 10**9),
                rng.choice((1, 3, 10**6, 10**9, 10**20)),
            )
            d = rng.randrange(1, 9)
            low, high = oracle.exp_of_minus_root(numerator, denominator, d, precision)
            with mpmath.workprec(3 * precision):
                value = (
                    mpmath.exp(-mpmath.mpf(numerator) / denominator / mpmath.sqrt(d)) * 2**precision
                )
                assert low <= value <= high
            assert high - low <= 2


@SETTINGS
@given(models.models())
def test_two_evaluations_agree_on_any_model_and_soon(model: Model) -> None:
    start = time.process_time()
    result = ask(model, margins=True)  # raises if the two contradict each other
    assert result.correct == len(result.right)
    assert len(result.right) + len(result.wrong) == result.total
    assert set(result.ties) <= set(result.wrong)
    assert time.process_time() - start < 20
