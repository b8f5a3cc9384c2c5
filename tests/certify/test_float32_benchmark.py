"""The comparison of float32 with float64: every input once, planted errors seen, claims
compared.
"""

import io
from fractions import Fraction

import numpy as np
import pytest
from float32 import Execution, Stages, forward, reference
from rich.console import Console
from small_models import random_model

from certify.model.config import Config
from certify.model.file import Model

pytest.importorskip("torch")

from benchmarks import float32

CONFIG = Config(d_vocab=5, d_vocab_out=5, n_ctx=3, d_model=4, d_head=2)


@pytest.fixture(params=[False, True], ids=["plain", "biases"])
def model(request: pytest.FixtureRequest) -> Model:
    return random_model(CONFIG, 3, biases=request.param)


def test_every_input_is_run_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float32, "BATCH", 7)
    batches = list(float32.all_inputs(model, None))
    numbers, tokens = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert numbers.tolist() == list(range(125))
    assert tokens[:6].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4], [0, 1, 0]]
    assert len(np.unique(tokens, axis=0)) == 125
    assert sum(len(part) for part, _ in float32.all_inputs(model, 20)) == 20


def test_every_way_computes_the_model(model: Model) -> None:
    tokens = np.concatenate([tokens for _, tokens in float32.all_inputs(model, None)])
    true = reference(model, tokens)
    exact = float32.torch_run(model, float32.torch.float64)(tokens)
    for name in Stages.names():
        assert np.abs(getattr(exact, name) - getattr(true, name)).max() < 1e-12
        for way in float32.ways_of(model):
            error = np.abs(getattr(way.run(tokens), name) - getattr(true, name)).max()
            assert 0 < error < 1e-4, (way.name, name)


def test_the_emulation_depends_on_its_generator_only(model: Model) -> None:
    tokens = np.array([[0, 1, 2], [4, 3, 2]])
    first, again = (
        forward(model, tokens, Execution(fma=True), np.random.default_rng(7)) for _ in range(2)
    )
    assert all(
        np.array_equal(getattr(first, name), getattr(again, name)) for name in Stages.names()
    )


def test_a_planted_error_is_measured_and_its_inputs_named(model: Model) -> None:
    exact = float32.torch_run(model, float32.torch.float64)

    def broken(tokens: float32.Tokens) -> Stages:
        stages: Stages = exact(tokens)
        stages.scores[3, 1] += 0.25
        stages.logits[5] = 0.0
        return stages

    ways = [float32.Way("exact", exact), float32.Way("broken", broken)]
    measured = float32.measure(model, ways, show=False)
    assert measured["exact"].errors == dict.fromkeys(Stages.names(), 0.0)
    assert (measured["exact"].lost, measured["exact"].won) == (0, 0)
    result = measured["broken"]
    assert result.inputs == 125
    assert result.errors["scores"] == 0.25
    assert result.errors["logits"] > 0
    # All logits of input 5 are equal: a tie, which is wrong.
    known = set(np.concatenate(measured["exact"].wrong).tolist())
    assert set(np.concatenate(result.wrong).tolist()) == known | {5}
    assert (result.lost, result.won) == (int(5 not in known), 0)


def test_claims_are_compared_with_the_worst_way() -> None:
    measured = {"a": float32.Measured(), "b": float32.Measured()}
    measured["a"].errors["scores"], measured["b"].errors["scores"] = 0.25, 0.125
    stream = io.StringIO()
    console = Console(width=180, file=stream)
    console.print(float32.report(measured, {"scores": Fraction(1)}))
    last = stream.getvalue().splitlines()[-2]
    assert "claimed / worst measured" in last
    assert "4.0" in last
