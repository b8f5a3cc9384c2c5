"""What is known of the accuracy without a proof agrees with trying every input."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import models
import numpy as np
import pytest
from small_models import random_tensors

from certify.api import evaluate
from certify.errors import BadInput
from certify.evaluation import known
from certify.evaluation.known import known_accuracy
from certify.evaluation.of_four import failures_of_four
from certify.model.config import Config
from certify.model.file import Model, load_model


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_is_that_of_every_input(seed: int, tmp_path: Path) -> None:
    kind = (models.good_model, models.random_model, models.spiky_model)[seed % 3]
    path = tmp_path / "model.safetensors"
    path.write_bytes(kind(random.Random(seed), vocab=(4, 7), k=(4, 4)).bytes)
    model = load_model(path)
    expected = evaluate(model, task="max-of-k")
    if expected.uncertain == 0:
        assert failures_of_four(model) == expected.wrong


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("biases", [False, True])
def test_the_truth_of_bad_models(scale: float, biases: bool) -> None:
    config = Config(d_vocab=9, d_vocab_out=11, n_ctx=4, d_model=5, d_head=4)
    tensors = {
        name: np.asarray(t * scale, np.float32)
        for name, t in random_tensors(config, 5, biases=biases).items()
    }
    model = Model(config, tensors, "0" * 64)
    expected = evaluate(model, task="max-of-k")
    assert (failures_of_four(model), expected.uncertain) == (expected.wrong, 0)
    assert 0 < expected.wrong < 9**4


def test_the_truth_of_other_lengths_is_not_counted() -> None:
    config = Config(d_vocab=3, d_vocab_out=3, n_ctx=3, d_model=2, d_head=2)
    with pytest.raises(BadInput, match="max-of-4 only"):
        failures_of_four(Model(config, random_tensors(config), "0" * 64))


def model_of_four(tmp_path: Path, seed: int) -> Model:
    """Return a model that is right about some inputs."""
    path = tmp_path / f"model-{seed}.safetensors"
    path.write_bytes(models.good_model(random.Random(seed), vocab=(6, 6), k=(4, 4)).bytes)
    return load_model(path)


@pytest.mark.parametrize("seed", range(3))
def test_three_ways_agree(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of_four(tmp_path, seed)
    every = known_accuracy(model)
    assert every.every
    assert (every.inputs, every.low) == (6**4, every.high)
    monkeypatch.setattr(known, "is_enumerable", lambda domain, config: False)
    monkeypatch.setattr(known, "MOST_WRONG_COUNTED", 1.0)
    assert known_accuracy(model) == every
    monkeypatch.setattr(known, "MOST_COUNTED", 5)
    drawn = known_accuracy(model, samples=4000)
    assert (drawn.every, drawn.inputs) == (False, 4000)
    assert drawn.low <= every.low <= drawn.high
    assert drawn.told() == f"{drawn.low:.7f} to {drawn.high:.7f} (4000 samples, 99 %)"
    assert every.told().endswith(f"{every.wrong} of 1296 inputs wrong (counted in float64)")


def test_many_wrong_inputs_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of_four(tmp_path, 0)
    tensors = {name: np.zeros_like(tensor) for name, tensor in model.tensors.items()}
    monkeypatch.setattr(known, "is_enumerable", lambda domain, config: False)
    found = known_accuracy(dataclasses.replace(model, tensors=tensors), samples=100)
    assert (found.every, found.wrong) == (False, 100)
