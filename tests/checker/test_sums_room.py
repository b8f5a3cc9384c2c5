"""What sums and tasks may take is counted before it is formed: found by attack."""

from __future__ import annotations

import time
import tracemalloc
from fractions import Fraction
from typing import Any

import addition
import models
import pytest

from checker.ground.errors import Refusal
from checker.ground.ledger import Ledger
from checker.statement.domain import parse_domain
from checker.statement.model import Model, load_model
from checker.statement.tasks import parse_task
from checker.sums.fold import fold

SLACK = 8 << 20
"""A mebibyte for everything that is not a number, in bits."""


def shallow(vocab: int, heads: int) -> Model:
    """Return a model of few numbers whose scores are many: a single dimension, many heads."""
    config = {
        **models.config_of(vocab=vocab, k=2, d_model=1, d_head=1, outputs=2),
        "n_heads": heads,
        "attn_only": False,
        "act_fn": "relu",
        "d_mlp": 1,
    }
    tensors = {
        name: models.filled(shape, lambda: Fraction(1))
        for name, shape in addition.shapes(config).items()
    }
    tensors["embed.W_E"] = [[Fraction(300 + 7 * token)] for token in range(vocab)]
    return load_model(models.model_bytes(tensors, config))


def test_the_numbers_of_scores_are_counted() -> None:
    # 16 heads over 1 024 tokens took 1.5 GB: a product counted as one number for each row.
    model = shallow(192, 4)
    domain = parse_domain(models.domain_of(model.config), model)
    ledger = Ledger(lambda done: None)
    tracemalloc.start()
    try:
        fold(model, domain, ledger)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 * peak <= ledger.held + SLACK


@pytest.mark.slow
def test_answers_of_a_polynomial_take_seconds() -> None:
    p = 2**31 - 1
    model = shallow(64, 1)
    terms = [[p - 1 - at, 65536 - at // 32, 65536 - at % 32] for at in range(1024)]
    task: Any = {"polynomial": {"modulus": p, "terms": terms}}
    tokens = {"tokens": [[0, 63]], "values": p - 100}
    written = models.domain_of(model.config, positions=[tokens, tokens])
    domain = parse_domain(written, model)
    start = time.process_time()
    with pytest.raises(Refusal):
        parse_task(task, model, domain)
    assert time.process_time() - start < 4
