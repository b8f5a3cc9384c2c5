"""Evaluation agrees with a direct enumeration, and says what it is: an estimate."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from small_models import forward, general_config, random_model

from certify.errors import BadInput, Unsupported
from certify.evaluation.evaluate import evaluate, near_chance
from certify.evaluation.separable import evaluate_max_of_k, margins
from certify.evaluation.tally import Evaluation, clopper_pearson, is_enumerable
from certify.model.config import Config
from certify.model.file import Model, load_model
from certify.model.forward import logits
from certify.model.paths import decompose
from certify.question.domain import read_domain
from certify.question.question import read_question
from certify.question.scope import UNIFORM, Scope

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "certificates" / "max-of-4-seed-0" / "model.safetensors"
DATA = ROOT.parent / "shared" / "data"
SIZES = [(1, 5, 5), (2, 4, 6), (3, 4, 4), (4, 3, 3), (7, 2, 2)]


def config(k: int, vocab: int, outputs: int) -> Config:
    """Return the configuration of a small model."""
    return Config(d_vocab=vocab, d_vocab_out=outputs, n_ctx=k, d_model=3, d_head=2)


def largest_of(model: Model, scope: Scope = UNIFORM, **more: Any) -> Evaluation:
    """Return the estimate for Max-of-K by the separable form, over the usual domain."""
    return evaluate_max_of_k(model, read_domain(model.config), scope, **more)


def estimate(model: Model, task: str, scope: Scope = UNIFORM, **more: Any) -> Evaluation:
    """Return the estimate for a task about the usual domain."""
    return evaluate(model, read_question(task, model.config), scope, **more)


def direct_margin(model: Model, tokens: tuple[int, ...]) -> float:
    """Return the margin of one input from the definition of the model."""
    logits = forward(model, tokens)
    answer = max(tokens)
    return logits[answer] - max(logit for j, logit in enumerate(logits) if j != answer)


def direct(model: Model, weights: tuple[tuple[int, ...], ...]) -> tuple[int, int, int, float]:
    """Return correct weight, inputs, wrong inputs and smallest margin by going through all
    inputs.
    """
    correct = inputs = wrong = 0
    smallest = math.inf
    for tokens in itertools.product(range(model.config.d_vocab), repeat=model.config.n_ctx):
        weight = math.prod(weights[i][t] for i, t in enumerate(tokens))
        if weight:
            margin = direct_margin(model, tokens)
            inputs += 1
            wrong += margin <= 0
            correct += weight if margin > 0 else 0
            smallest = min(smallest, margin)
    return correct, inputs, wrong, smallest


@pytest.mark.parametrize("tail_inputs", [1, 4, 4096])
@pytest.mark.parametrize("size", SIZES)
def test_exhaustive_uniform_agrees_with_the_definition(
    size: tuple[int, int, int], tail_inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certify.evaluation.separable._TAIL_INPUTS", tail_inputs)
    model = random_model(config(*size), seed=2, biases=True)
    result = largest_of(model)
    correct, inputs, wrong, smallest = direct(model, ((1,) * size[1],) * size[0])
    assert (result.correct, result.inputs, result.wrong) == (correct, inputs, wrong)
    assert result.total == size[1] ** size[0]
    assert result.accuracy == result.low == result.high == correct / result.total
    assert math.isclose(result.smallest_margin, smallest, rel_tol=1e-9)
    assert result.uncertain == 0
    assert result.exhaustive


@pytest.mark.parametrize("scale", [1, 10**40])
@pytest.mark.parametrize("size", SIZES)
def test_exhaustive_product_agrees_with_the_definition(
    size: tuple[int, int, int], scale: int
) -> None:
    k, vocab, _ = size
    weights = tuple(tuple(scale * ((3 * i + 5 * t) % 4) for t in range(vocab)) for i in range(k))
    weights = tuple(row if sum(row) else (scale,) * vocab for row in weights)
    model = random_model(config(*size), seed=4)
    result = largest_of(model, Scope("product", weights, "0" * 64))
    correct, inputs, wrong, smallest = direct(model, weights)
    assert (result.correct, result.inputs, result.wrong) == (correct, inputs, wrong)
    assert result.total == math.prod(sum(row) for row in weights)
    assert math.isclose(result.smallest_margin, smallest, rel_tol=1e-9)


def test_huge_scores_do_not_underflow() -> None:
    small = random_model(config(3, 4, 4), seed=6)
    tensors = dict(small.tensors)
    tensors["blocks.0.attn.W_Q"] = tensors["blocks.0.attn.W_Q"] * np.float32(10000)
    model = Model(small.config, tensors, small.sha256)
    result = largest_of(model)
    correct, _, wrong, smallest = direct(model, ((1,) * 4,) * 3)
    assert (result.correct, result.wrong) == (correct, wrong)
    assert math.isclose(result.smallest_margin, smallest, rel_tol=1e-9)


def test_overflow_counts_as_wrong_and_uncertain() -> None:
    small = random_model(config(2, 3, 3), seed=6)
    tensors = {name: tensor.astype(np.float64) * 1e300 for name, tensor in small.tensors.items()}
    result = largest_of(Model(small.config, tensors, small.sha256))
    assert (result.correct, result.wrong, result.uncertain, result.inputs) == (0, 9, 9, 9)


def test_ties_count_as_wrong() -> None:
    model = random_model(config(3, 4, 4), seed=1)
    zero = {name: np.zeros_like(tensor) for name, tensor in model.tensors.items()}
    result = largest_of(Model(model.config, zero, model.sha256))
    assert (result.correct, result.wrong, result.uncertain) == (0, 64, 64)
    assert result.smallest_margin == 0.0


def test_two_equal_outputs_are_reported_as_uncertain() -> None:
    model = load_model(SHIPPED)
    W_U = model.tensors["unembed.W_U"].copy()
    W_U[:, 62] = W_U[:, 63]
    twin = Model(model.config, {**model.tensors, "unembed.W_U": W_U}, model.sha256)
    tokens = np.random.default_rng(0).integers(0, 64, size=(2000, 4))
    tied = tokens.max(axis=1) >= 62
    assert np.all(margins(decompose(twin), tokens)[tied] < 1e-9)
    with_largest = Scope("product", ((0,) * 63 + (1,),) + ((1,) * 64,) * 3, "0" * 64)
    result = largest_of(twin, with_largest)
    assert result.inputs == 64**3
    assert result.uncertain > 0.99 * result.inputs


def test_shipped_model_over_all_its_inputs() -> None:
    result = largest_of(load_model(SHIPPED))
    assert (result.total, result.correct, result.uncertain) == (16777216, 16769545, 0)


def test_margins_agree_with_the_definition() -> None:
    model = random_model(config(5, 3, 4), seed=8, biases=True)
    tokens = np.random.default_rng(0).integers(0, 3, size=(50, 5))
    computed = margins(decompose(model), tokens)
    expected = [direct_margin(model, tuple(row)) for row in tokens.tolist()]
    assert np.max(np.abs(computed - expected)) < 1e-12


def test_samples_follow_the_scope_and_the_seed() -> None:
    model = random_model(config(3, 4, 4), seed=3)
    weights = ((1, 2, 0, 5), (0, 1, 1, 1), (7, 0, 0, 1))
    for scope in (UNIFORM, Scope("product", weights, "0" * 64)):
        truth = largest_of(model, scope)
        sample = largest_of(model, scope, samples=40000, seed=5)
        assert not sample.exhaustive
        assert sample.correct is None
        assert sample.inputs == 40000
        assert sample.total == truth.total
        assert sample.low < truth.accuracy < sample.high
        assert sample.high - sample.low < 0.02
        assert sample.smallest_margin >= truth.smallest_margin - 1e-12
        assert sample == largest_of(model, scope, samples=40000, seed=5)
        assert sample != largest_of(model, scope, samples=40000, seed=6)


class Seen:
    """A report of progress that keeps the shares."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def __call__(self, done: int, of: int, _note: str) -> None:
        self.shares.append(done / of)

    def require_rising_to_one(self) -> None:
        """Require shares that only rise, the last one being 1."""
        assert self.shares == sorted(self.shares)
        assert self.shares[-1] == 1.0


def test_progress_ends_at_one() -> None:
    model = random_model(config(2, 3, 3))
    for samples in (None, 20000):
        seen = Seen()
        largest_of(model, samples=samples, progress=seen)
        seen.require_rising_to_one()


@pytest.mark.parametrize(
    ("successes", "trials"),
    [(0, 1), (1, 1), (0, 50), (50, 50), (1, 50), (49, 50), (999, 1000), (17, 30)],
)
def test_clopper_pearson_against_the_beta_distribution(successes: int, trials: int) -> None:
    low, high = clopper_pearson(successes, trials)

    def beta(a: int, b: int, x: float) -> float:
        return float(mpmath.betainc(a, b, 0, x, regularized=True))

    if successes == 0:
        assert low == 0.0
    else:
        assert math.isclose(beta(successes, trials - successes + 1, low), 0.005, rel_tol=1e-6)
    if successes == trials:
        assert high == 1.0
    else:
        assert math.isclose(beta(successes + 1, trials - successes, high), 0.995, rel_tol=1e-6)


def is_small(size: Config) -> bool:
    """Return whether the usual domain of such a model is evaluated whole."""
    return is_enumerable(read_domain(size), size)


def test_enumeration_stops_at_the_documented_size() -> None:
    assert is_small(config(4, 64, 64))
    assert not is_small(config(5, 64, 64))
    assert is_small(config(25, 2, 2))
    assert not is_small(config(26, 2, 2))
    assert not is_small(config(2, 4096, 4096))


def test_what_does_not_fit_is_refused() -> None:
    narrow = Config(d_vocab=4, d_vocab_out=3, n_ctx=2, d_model=3, d_head=2)
    with pytest.raises(Unsupported) as unsupported:
        estimate(random_model(narrow), "max-of-k")
    assert (
        str(unsupported.value) == "task max-of-k: no output stands for the answer 3"
        " (3 outputs; see --outputs and --answers)"
    )
    with pytest.raises(BadInput) as bad:
        estimate(
            random_model(config(2, 3, 3)), "max-of-k", Scope("product", ((1, 1, 1),), "0" * 64)
        )
    assert str(bad.value) == "scope: field weights has 1 positions, the model has 2"
    with pytest.raises(BadInput) as bad:
        largest_of(random_model(config(2, 3, 3)), samples=0)
    assert str(bad.value) == "evaluate: samples must be at least 1, not 0"


ANSWERS: dict[str, Callable[[tuple[int, ...]], int]] = {
    "max-of-k": max,
    "modular-addition": lambda tokens: sum(tokens) % 3,
    "argmax": lambda tokens: tokens.index(max(tokens)),
}


def shaped(task: str) -> Config:
    """Return a small two-layer configuration that the task is about."""
    n_ctx = 2 if task == "modular-addition" else 3
    return dataclasses.replace(general_config(), n_layers=2, n_ctx=n_ctx, d_vocab=3)


@pytest.mark.parametrize("batch", [4, 100])
@pytest.mark.parametrize("task", list(ANSWERS))
def test_every_task_agrees_with_the_definition(
    task: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certify.evaluation.evaluate.batch_size", lambda _: batch)
    model = random_model(shaped(task), seed=7, biases=True)
    inputs = list(itertools.product(range(3), repeat=model.config.n_ctx))
    weights = tuple(
        tuple(10**20 * ((2 * i + t) % 3) for t in range(3)) for i in range(model.config.n_ctx)
    )
    scopes: list[tuple[Scope, Callable[[tuple[int, ...]], int]]] = [
        (UNIFORM, lambda _: 1),
        (
            Scope("product", weights, "0" * 64),
            lambda tokens: math.prod(weights[i][t] for i, t in enumerate(tokens)),
        ),
    ]
    for scope, weight_of in scopes:
        correct, wrong, found = 0, 0, []
        for tokens in inputs:
            if weight_of(tokens):
                row = logits(model, np.array([tokens]))[0].tolist()
                answer = ANSWERS[task](tokens)
                found.append(row[answer] - max(logit for j, logit in enumerate(row) if j != answer))
                correct += weight_of(tokens) if found[-1] > 0 else 0
                wrong += found[-1] <= 0
        seen = Seen()
        result = estimate(model, task, scope, progress=seen)
        assert (result.correct, result.wrong, result.inputs) == (correct, wrong, len(found))
        assert result.total == sum(map(weight_of, inputs))
        assert math.isclose(result.smallest_margin, min(found), rel_tol=1e-9)
        seen.require_rising_to_one()
        sample = estimate(model, task, scope, samples=3000, seed=1)
        assert not sample.exhaustive
        assert sample.low < result.accuracy < sample.high


def test_one_layer_of_attention_takes_the_fast_way_to_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model(config(3, 4, 4), seed=2, biases=True)
    fast = estimate(model, "max-of-k")
    assert fast == largest_of(model)
    monkeypatch.setattr("certify.evaluation.evaluate.is_one_layer", lambda _: False)
    slow = estimate(model, "max-of-k")
    assert (slow.correct, slow.wrong, slow.inputs) == (fast.correct, fast.wrong, fast.inputs)
    assert math.isclose(slow.smallest_margin, fast.smallest_margin, rel_tol=1e-9)


def test_networks_too_large_to_try_everywhere_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certify.evaluation.evaluate.MAXIMUM_PRODUCTS", 1000)
    monkeypatch.setattr("certify.evaluation.evaluate.DEFAULT_SAMPLES", 500)
    result = estimate(random_model(shaped("argmax")), "argmax")
    assert (result.exhaustive, result.inputs) == (False, 500)


def test_networks_that_do_not_fit_are_refused() -> None:
    model = random_model(shaped("argmax"))
    with pytest.raises(Unsupported) as unsupported:
        estimate(model, "modular-addition")
    assert str(unsupported.value) == (
        "task modular-addition needs 2 operands, not 3"
        " (n_ctx = 3: mark context positions in --domain, as in 0-112/0-112/@113)"
    )
    with pytest.raises(Unsupported) as unsupported:
        largest_of(model)
    assert str(unsupported.value).startswith(
        "the path decomposition: config field n_layers is 2, supported is 1"
    )
    with pytest.raises(BadInput) as bad:
        estimate(model, "argmax", Scope("product", ((1, 1, 1),), "0" * 64))
    assert str(bad.value) == "scope: field weights has 1 positions, the model has 3"
    with pytest.raises(BadInput) as bad:
        estimate(model, "argmax", samples=0)
    assert str(bad.value) == "evaluate: samples must be at least 1, not 0"


def test_layer_norm_of_nothing_counts_as_wrong_and_uncertain() -> None:
    constant = dataclasses.replace(shaped("argmax"), normalization_type="LNPre", eps=(0.0).hex())
    model = random_model(constant)
    zero = Model(
        constant,
        {name: np.zeros_like(tensor) for name, tensor in model.tensors.items()},
        model.sha256,
    )
    result = estimate(zero, "argmax")
    assert (result.correct, result.wrong, result.uncertain) == (0, 27, 27)


@pytest.mark.parametrize(
    ("texts", "accuracy", "near"),
    [
        ({}, 0.49, True),
        ({}, 0.51, False),
        ({"outputs": "0-1"}, 0.49, True),
        ({"outputs": "0-1"}, 0.5, False),
    ],
)
def test_near_chance_is_below_twice_what_guessing_reaches(
    texts: dict[str, str], accuracy: float, near: bool
) -> None:
    size = config(2, 2, 4)
    question = read_question("max-of-k", size, read_domain(size, **texts))
    result = dataclasses.replace(estimate(random_model(size), "max-of-k"), accuracy=accuracy)
    assert near_chance(result, question) is near


@pytest.mark.parametrize("samples", [None, 400])
def test_only_inputs_of_the_domain_are_evaluated(samples: int | None) -> None:
    size = dataclasses.replace(general_config(), n_ctx=3, d_vocab=4, d_vocab_out=3)
    question = read_question(
        "modular-addition:3", size, read_domain(size, "1-3/0-2/@3", values="0/own")
    )
    model, seen = random_model(size, 3), set[tuple[int, ...]]()
    margins_of = type(question).margins

    def watched(self: Any, read: Model, places: Any) -> Any:
        seen.update(map(tuple, self.domain.tokens_at(places).tolist()))
        return margins_of(self, read, places)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(question), "margins", watched)
        evaluate(model, question, UNIFORM, samples)
    assert seen == set(itertools.product((1, 2, 3), (0, 1, 2), (3,)))


@pytest.mark.parametrize(
    ("name", "task", "right", "inputs", "smallest"),
    [
        ("modadd59-constant-attention", "modular-addition", 3481, 3481, 14.29605145642),
        ("modadd59-softmax-attention", "modular-addition", 3481, 3481, 14.31225325646),
        ("balanced-brackets-10", "balanced-brackets", 1024, 1024, 6.39566873398),
        ("max-of-3-adversarial", "max-of-k", 1476, 13824, -25.0),
    ],
)
def test_published_checkpoints(
    name: str, task: str, right: int, inputs: int, smallest: float
) -> None:
    path = DATA / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    result = estimate(load_model(path), task)
    assert (result.correct, result.inputs, result.uncertain) == (right, inputs, 0)
    assert math.isclose(result.smallest_margin, smallest, rel_tol=1e-11)
