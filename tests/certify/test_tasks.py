"""Tasks: their answers against a plain definition, and the models they are not about."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from small_models import general_config

from certify.errors import Unsupported
from certify.question.tasks import TASKS, balanced


def is_balanced(text: str) -> bool:
    """Return whether a string of brackets is balanced, by taking pairs out."""
    while "()" in text:
        text = text.replace("()", "")
    return not text


def test_balanced_strings() -> None:
    for n in (1, 2, 5, 8):
        strings = list(itertools.product((0, 1), repeat=n))
        expected = [
            int(is_balanced("".join("()"[token] for token in string))) for string in strings
        ]
        assert balanced(np.array(strings)).tolist() == expected
    assert balanced(np.array(list(itertools.product((0, 1), repeat=8)))).sum() == 14


def test_answers() -> None:
    config = dataclasses.replace(general_config(), d_vocab=4, d_vocab_out=4, n_ctx=2)
    tokens = np.array(list(itertools.product(range(4), repeat=2)))
    for name, expected in [
        ("max-of-k", [max(a, b) for a, b in tokens.tolist()]),
        ("modular-addition", [(a + b) % 4 for a, b in tokens.tolist()]),
        ("argmax", [0 if a >= b else 1 for a, b in tokens.tolist()]),
    ]:
        TASKS[name].require_fits(config)
        assert TASKS[name].answer(tokens, config).tolist() == expected
    brackets = dataclasses.replace(config, d_vocab=2)
    assert TASKS["balanced-brackets"].answer(np.array([[0, 1], [1, 0]]), brackets).tolist() == [
        1,
        0,
    ]


def test_fields_of_a_statement() -> None:
    config = dataclasses.replace(general_config(), d_vocab=7, n_ctx=5)
    assert {name: task.fields(config) for name, task in TASKS.items()} == {
        "max-of-k": {"k": 5, "vocab": 7},
        "modular-addition": {"modulus": 7},
        "balanced-brackets": {"n": 5},
        "argmax": {"n": 5, "vocab": 7},
    }


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (
            "max-of-k",
            {"d_vocab_out": 3},
            "task max-of-k needs d_vocab_out >= d_vocab, the model has 3 < 4",
        ),
        (
            "modular-addition",
            {"n_ctx": 3},
            "task modular-addition needs n_ctx = 2, the model has 3",
        ),
        (
            "modular-addition",
            {"n_ctx": 2, "d_vocab_out": 3},
            "task modular-addition needs d_vocab_out >= d_vocab, the model has 3 < 4",
        ),
        ("balanced-brackets", {}, "task balanced-brackets needs d_vocab = 2, the model has 4"),
        (
            "balanced-brackets",
            {"d_vocab": 2, "d_vocab_out": 1},
            "task balanced-brackets needs d_vocab_out >= 2, the model has 1 < 2",
        ),
        ("argmax", {"n_ctx": 5}, "task argmax needs d_vocab_out >= n_ctx, the model has 4 < 5"),
        (
            "argmax",
            {"readout": "all"},
            'task argmax needs a single answer, the config field readout is "all"',
        ),
    ],
)
def test_models_that_a_task_is_not_about(task: str, changes: dict[str, Any], message: str) -> None:
    config = dataclasses.replace(general_config(), **{"d_vocab": 4, "d_vocab_out": 4, **changes})
    with pytest.raises(Unsupported) as refusal:
        TASKS[task].require_fits(config)
    assert str(refusal.value) == message
