"""The room that the ledger counts is not below what a cell takes in Python."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import hostile_files
import models
import mutators
import pytest
from make_vectors import completed, document, flat, root

from checker import __main__, check
from checker.chain.line import line
from checker.chain.parts import Reading, Widths
from checker.ground.exact import Matrix
from checker.ground.interval import exp_tables
from checker.ground.ledger import Ledger
from checker.statement.outcome import Outcome

MEBIBYTE = 1 << 20
"""For everything else."""


class Most(Ledger):
    """A ledger that remembers the most that was held."""

    most_held = 0

    def take(self, bits: int) -> None:
        super().take(bits)
        self.most_held = max(self.most_held, self.held)


def room_of(model: bytes, text: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return the bytes that a check takes at most, and those that are counted."""
    made = list[Most]()

    def make(*given: Any) -> Ledger:
        made.append(Most(*given))
        return made[0]

    monkeypatch.setattr(check, "Ledger", make)
    parsed = check.parse(model, text)
    exp_tables(parsed.precision)
    tracemalloc.start()
    try:
        check.check(parsed, lambda done, declared: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak, made[0].most_held // 8


def test_the_terms_that_copies_fills_in_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The extreme test leaves one term of each position, that of the maximum; `copies` then holds a
    # list of a place for every block, for every position and every answer.
    vocab, n = 128, 64
    m = vocab - 1
    config = models.config_of(vocab=vocab, k=n, d_model=1, d_head=1)
    ones = {models.ATTENTION + f"W_{letter}": [[[1]]] for letter in "QKVO"}
    tensors = {
        "embed.W_E": [[1]] * m + [[0]],
        "pos_embed.W_pos": [[0]] * n,
        "unembed.W_U": [[1] * m + [2]],
        **ones,
    }
    model = models.Model(config, tensors)
    cell = root(m, [[m, m]], "copies", layout=[[1, m]], groups=[])
    text = mutators.encode(document(model, completed(vocab, [cell], "skip")))

    peak, held = room_of(model.bytes, text, monkeypatch)
    assert peak <= held + MEBIBYTE


def test_weights_of_a_cell_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing of a chain is large but the weights of its blocks and one answer's terms.
    vocab, n = 256, 24
    m = vocab - 1
    model = flat(vocab, n)
    mu = ["1", "9"]
    cells = [root(m, [[0, m - 1]], "count", layout=[[1, m]], mu=mu, blocks=[[1, []]])]
    cells += [root(m, [[m, m]], "skip", mu=mu), root(0, [[0, 0]], "skip", mu=mu)]
    cells += [
        root(k, part, "skip", mu=mu) for k in range(1, m) for part in ([[0, k - 1]], [[k, k]])
    ]
    one = {"exponent": 0, "rows": [[1]]}
    cells[0]["failures"] = ["0", str(vocab**n)]
    chain = {"cells": cells, "ov": [one, one], "qk": [one, one]}
    text = hostile_files.claimed(model.bytes, "max-of-k", {"chain": chain, "precision": 1024})
    peak, held = room_of(model.bytes, text, monkeypatch)
    assert held / 3 < peak <= held + MEBIBYTE


def test_masks_of_an_enumeration_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = flat(2, 24)
    cell = root(1, [[0, 0]], "enumerate", layout=[[1, 1]], mu=["1", "9"])
    text = hostile_files.skipping(model, cell)
    peak, held = room_of(model.bytes, text, monkeypatch)
    assert 2 * MEBIBYTE < peak <= held + MEBIBYTE


def test_differences_of_answers_on_a_line_are_counted() -> None:
    rows = tuple(tuple((j * k) ** 9 << 70 for k in range(1, 301)) for j in range(1, 121))
    unembed = Matrix(tuple(zip(*rows, strict=True)), 0)
    answers = tuple((j,) for j in range(120))
    widths = Widths(Fraction(1), (1,) * 300, 0)
    book = Most(lambda done: None)
    logits = Reading((), answers, (0,) * 120, widths, 48)
    tracemalloc.start()
    try:
        line(logits, unembed, 0, book)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2 * MEBIBYTE < peak <= book.most_held // 8 + MEBIBYTE


@pytest.mark.parametrize("width", [64, 448, 1984])
def test_outcomes_that_may_be_printed_take_a_limited_room(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 256th of what is at the limit takes less than a 256th of 768 MiB."""
    monkeypatch.setattr(__main__, "facts", lambda theorem: {})
    total = (1 << width) - 1
    count = (1 << 27) // (64 + width) // 256
    outcomes = [Outcome(total - at, total, total, None) for at in range(count)]
    found = SimpleNamespace(
        parsed=SimpleNamespace(statement=SimpleNamespace(total=total)),
        ledger=Ledger(lambda done: None),
        margin=0,
        outcomes=outcomes,
    )
    tracemalloc.start()
    try:
        __main__.as_json(found, "0.00")  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 256 * peak <= 768 * MEBIBYTE
