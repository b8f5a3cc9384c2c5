"""What the released sub-cubic proof certifies falsely, on models made for it, no strategy and no
option here certifies.

The defects are W1 to W3 of `released_formula.py`.  W1 is on a model of its own in `tests/data`; the
others are on models of four tokens and two positions, whose path matrices are chosen: one half of
the residual stream holds the token, the other half what attention adds.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import models
import numpy as np
import oracle
import pytest
import released_formula
from test_strategies import DIRECT, ENCLOSING, OV, QK, proved

import certify
from certify.cells.strategies import STRATEGIES
from certify.model.file import Model, load_model
from certify.model.paths import Paths, decompose

ADVERSARIAL = Path(__file__).parent.parent / "data" / "max-of-3-adversarial.safetensors"
RIGHT = 1476
NONE: dict[str, str] = {}
OPTIONS = [
    NONE,
    *(
        {path: name}
        for path, named in (("qk", QK), ("direct", DIRECT), ("ov", OV))
        for name in named[1:]
    ),
]
OPTIONS += [
    {"qk": QK[-1 - i], "direct": DIRECT[1 + i % 6], "ov": OV[i % 4]} for i in range(len(QK) - 1)
]


def say(names: dict[str, str]) -> str:
    return " ".join(names.values()) or "exact"


# --- W1: the sign of a deviation --------------------------------------------------


def test_w1_the_released_bound_is_false_here() -> None:
    paths = decompose(load_model(ADVERSARIAL))
    right = {
        tokens
        for tokens in product(range(24), repeat=3)
        if released_formula.margin(paths, tokens) > 0
    }
    assert len(right) == RIGHT
    released = released_formula.exactly(paths)
    assert released.count() + 2 == 1566 > RIGHT  # and two sequences of one token
    wrong = released.inputs() - right
    assert len(wrong) == 188
    margins = sorted(released_formula.margin(paths, tokens) for tokens in wrong)
    assert -4.0 < margins[0] < margins[-1] < -1.8


def test_w1_is_decided_exactly(tmp_path: Path) -> None:
    found = certify.prove(ADVERSARIAL, task="max-of-k", strategy="exact", out=tmp_path / "c.json")
    assert found.verdict.correct_lower == found.verdict.correct_upper == RIGHT


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "subcubic" else name
        for name in STRATEGIES
        if name != "brute-force"
    ],
)
def test_w1_is_not_certified(strategy: str, tmp_path: Path) -> None:
    model: Any = Stored(ADVERSARIAL)
    # Nearly everything is wrong, which makes the search for a plan long: so little effort, and not
    # all pairs.
    for names in (
        OPTIONS[:: 12 if strategy == "cascade" else 4] if strategy in ENCLOSING else [NONE]
    ):
        theorem = proved(model, strategy, tmp_path, effort=1e-3, names=names)
        assert theorem.correct_lower <= RIGHT <= theorem.correct_upper, say(names)


class Stored:
    """A model of which there is only the file."""

    def __init__(self, file: Path) -> None:
        self.bytes = file.read_bytes()


# --- W2 and W3 on chosen paths ----------------------------------------------------

VOCAB = 4
EYE = [[int(i == j) for j in range(VOCAB)] for i in range(VOCAB)]
NOTHING = [[0] * VOCAB for _ in range(VOCAB)]


def chosen(
    values: list[list[int]],
    direct: list[list[int]],
    queries: list[list[int]],
    keys: list[list[int]],
) -> models.Model:
    """Return a model of max-of-2 with EVOU = values, EU = direct, EQKE = queries keys^T (four
    columns each); no positions.
    """
    config = models.config_of(vocab=VOCAB, k=2, d_model=2 * VOCAB, d_head=VOCAB)
    attention = models.ATTENTION
    tensors: dict[str, Any] = {
        "embed.W_E": [[*row, *[0] * VOCAB] for row in EYE],
        "pos_embed.W_pos": [[0] * 2 * VOCAB] * 2,
        attention + "W_Q": [queries + NOTHING],
        attention + "W_K": [keys + NOTHING],
        attention + "W_V": [EYE + NOTHING],
        attention + "W_O": [[[*[0] * VOCAB, *row] for row in EYE]],
        "unembed.W_U": direct + EYE,
    }
    tensors[attention + "W_O"] = [[[*[0] * VOCAB, *row] for row in values]]
    return models.Model(config, tensors)


def paths_of(model: models.Model, folder: Path) -> Paths:
    return decompose(stored(model, folder))


def stored(model: models.Model, folder: Path) -> Model:
    (folder / "m.safetensors").write_bytes(model.bytes)
    return load_model(folder / "m.safetensors")


# Token 2 gets nearly as much attention as the maximum 3 and pushes the answer 1; tokens 0 and 1 get
# none.  The largest
# entry of the maximum's own row (10, for the answer 0, which is far behind) exceeds the range of
# any other row.
ONE_END = chosen(
    values=[[0, 0, 0, 0], [0, 0, 0, 0], [0, 8, 0, 0], [10, -4, -4, 0]],
    direct=[[-100, 0, 0, 0]] * 4,
    queries=[[1, 0, 0, 0]] * 4,
    keys=[[-12, 0, 0, 0], [-12, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0]],
)
# EQKE is 2^26 + (8, 4, 2, 0) in every row: rank one, and the singular vectors are (1, 1, 1, 1) / 2
# up to 2^-24.  Along
# these nothing is left of A' B', but attention is not uniform: the smaller token gets most, and is
# answered.
HUGE = 1 << 26
CROSS_TERMS = chosen(
    values=[[6 * (i == j) for j in range(VOCAB)] for i in range(VOCAB)],
    direct=[[0, 1, 2, 3]] * 4,
    queries=[[1, 1, 0, 0]] * 4,
    keys=[[HUGE, 8, 0, 0], [HUGE, 4, 0, 0], [HUGE, 2, 0, 0], [HUGE, 0, 0, 0]],
)


def wrong_inputs(released: released_formula.Released, paths: Paths) -> set[tuple[int, ...]]:
    return {tokens for tokens in released.inputs() if released_formula.margin(paths, tokens) < -0.1}


def test_w2_the_released_bound_is_false_here(tmp_path: Path) -> None:
    paths = paths_of(ONE_END, tmp_path)
    assert (2, 3) in wrong_inputs(released_formula.exactly(paths), paths)


def test_w3_the_released_bound_is_false_here(tmp_path: Path) -> None:
    paths = paths_of(CROSS_TERMS, tmp_path)
    exact = paths.EQKE[0] / np.linalg.norm(paths.EQKE[0])
    half = np.full(VOCAB, 0.5)
    assert np.abs(exact - half).max() < 2.0**-22  # no worse than single precision
    left, right = paths.EQKE @ np.eye(VOCAB), np.eye(VOCAB)
    released = released_formula.rank_one(paths, left, right, half, half)
    assert np.ptp(released.scores) == released.errors.max() == 0
    assert wrong_inputs(released, paths)
    assert not wrong_inputs(released_formula.exactly(paths), paths)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("model", [ONE_END, CROSS_TERMS], ids=["W2", "W3"])
def test_w2_and_w3_are_not_certified(model: models.Model, strategy: str, tmp_path: Path) -> None:
    truth = oracle.truth(model.tensors, model.config)
    for names in OPTIONS if strategy in ENCLOSING else [NONE]:
        theorem = proved(model, strategy, tmp_path, names=names)
        assert theorem.correct_lower <= truth.correct <= theorem.correct_upper, say(names)
        if strategy == "exact":
            assert theorem.correct_lower == theorem.correct_upper
