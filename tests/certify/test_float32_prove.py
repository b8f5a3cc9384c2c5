"""The prover in the semantics float32: its estimates are near what the checker derives, and every
strategy proves something.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import models
import oracle
import pytest
from models import ATTENTION, Model

import certify
from certify.cells.slack import slack
from certify.cells.strategies import STRATEGIES
from certify.errors import ProvesNothing, Unsupported
from certify.model.file import load_model
from certify.question.float32 import LEAST_EPS, LEAST_ETA, MOST, NAME, Float32
from checker.check import parse
from checker.float32 import cells as float32
from checker.ground.ledger import Ledger
from checker.statement.model import load_model as load_exactly

SCALES = (300, 300)


def derived(model: Model, semantics: Float32) -> tuple[float, float]:
    """Return theta and B / rho as the checker derives them."""
    exp = semantics.eps_exp, semantics.eta_exp
    found = float32.slack(load_exactly(model.bytes), exp, SCALES, Ledger(lambda done: None))
    theta = float(Fraction(found.score_error, 2 << SCALES[0])) / math.sqrt(model.config["d_head"])
    return theta, float(Fraction(found.raised(0), 1 << SCALES[1]))


def dense(rng: random.Random) -> Model:
    """Return a model with numbers over 2^-23, so that the checker's mean of the unembedding's
    columns is hardly rounded.
    """
    config = models.config_of(
        vocab=rng.randint(2, 5),
        k=rng.randint(1, 4),
        d_model=rng.randint(1, 5),
        d_head=rng.randint(1, 5),
    )
    size = Fraction(rng.choice((1, 8, 100)), 2**23)
    tensors = {
        name: models.filled(shape, lambda: rng.randrange(-(2**23), 2**23) * size)
        for name, shape in models.shapes(config).items()
        if name in models.WEIGHTS or rng.random() < 0.5
    }
    return Model(config, {name: nearest(value) for name, value in tensors.items()})


def nearest(value: Any) -> Any:
    """Return nested lists of the nearest float32."""
    return (
        [nearest(part) for part in value]
        if isinstance(value, list)
        else models.nearest(value, "F32")
    )


@pytest.mark.parametrize("exp", [(), (LEAST_EPS, LEAST_ETA), (MOST, Fraction(1, 1000))])
def test_the_estimates_are_those_of_the_checker(exp: tuple[Fraction, ...], tmp_path: Path) -> None:
    semantics, file = Float32(*exp), tmp_path / "model.safetensors"
    for seed in range(25):
        rng = random.Random(seed)
        model = dense(rng)
        file.write_bytes(model.bytes)
        found = slack(load_model(file), semantics)
        assert (found.theta, found.bracket) == pytest.approx(derived(model, semantics), rel=1e-6)


def test_nothing_is_left_where_weights_vanish(tmp_path: Path) -> None:
    config = models.config_of(vocab=1, k=30, d_model=1, d_head=1)
    zero = {name: models.filled(models.shapes(config)[name], lambda: 0) for name in models.WEIGHTS}
    file = tmp_path / "model.safetensors"
    file.write_bytes(Model(config, zero).bytes)
    assert slack(load_model(file), Float32(eta_exp=MOST)).bracket == float("inf")
    with pytest.raises(Unsupported, match=r"SPEC-12\.3"):
        certify.prove(
            file,
            task="max-of-k",
            strategy="exact",
            out=tmp_path / "c.json",
            float32=Float32(eta_exp=MOST),
        )
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    "exp", [(MOST * 2, MOST), (LEAST_EPS / 2, MOST), (MOST, LEAST_ETA / 2), (MOST, MOST * 2)]
)
def test_other_errors_of_exp_are_not_supported(exp: tuple[Fraction, Fraction]) -> None:
    with pytest.raises(Unsupported, match="supported are"):
        Float32(*exp)


def test_float64_is_not_supported(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(models.good_model(random.Random(0), dtype="F64").bytes)
    with pytest.raises(Unsupported, match="float64"):
        certify.prove(
            file, task="max-of-k", strategy="exact", out=tmp_path / "c.json", float32=Float32()
        )


@pytest.fixture(scope="module")
def sharp() -> Model:
    """Return a model that is right nearly everywhere, with weights that float32 rounds."""
    return models.good_model(random.Random(345), dtype="F32", vocab=(4, 4), k=(3, 3), wider=False)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_proves_float32(strategy: str, sharp: Model, tmp_path: Path) -> None:
    file, numbers = tmp_path / "model.safetensors", dict[str, Any]()
    file.write_bytes(sharp.bytes)
    truth = oracle.truth(sharp.tensors, sharp.config)
    for name, semantics in (("float32", Float32()), ("worst", Float32(MOST, MOST))):
        out = tmp_path / f"{name}.json"
        try:
            facts = certify.prove(
                file, task="max-of-k", strategy=strategy, out=out, float32=semantics
            ).verdict.fields
        except ProvesNothing:
            assert name == "worst"
            assert not out.exists()
            numbers[name] = (0, truth.total)
            continue
        statement = parse(sharp.bytes, out.read_bytes()).statement
        assert (facts["semantics"], statement.semantics) == (NAME, NAME)
        assert statement.exp_errors == (semantics.eps_exp, semantics.eta_exp)
        numbers[name] = int(facts["correct_lower"]), int(facts["correct_upper"])
        assert numbers[name][0] <= truth.correct <= numbers[name][1]
    assert numbers["worst"][0] <= numbers["float32"][0]
    assert numbers["float32"][0] >= truth.correct // 2
    real = certify.prove(
        file, task="max-of-k", strategy=strategy, out=tmp_path / "real.json"
    ).verdict.fields
    assert real["semantics"] == "real"
    assert numbers["float32"][0] <= int(real["correct_lower"])


def test_a_strategy_widens_where_float32_may_differ(tmp_path: Path) -> None:
    # A bracket of 2^-30 beside logits of 1: real arithmetic decides, float32 leaves both inputs
    # open.
    model = models.pair(
        **{
            "unembed.b_U": [0, Fraction(1, 2**30)],
            ATTENTION + "W_V": [[[0]]],
            "unembed.W_U": [[1, 1]],
        }
    )
    file = tmp_path / "model.safetensors"
    file.write_bytes(model.bytes)
    real = certify.prove(file, task="max-of-k", strategy="exact").verdict
    assert (real.correct_lower, real.correct_upper) == (3, 3)
    out = tmp_path / "c.json"
    with pytest.raises(ProvesNothing, match="strategy exact proves nothing of this model"):
        certify.prove(file, task="max-of-k", strategy="exact", out=out, float32=Float32())
    assert not out.exists()
