"""The room that the ledger counts is not below what a cell takes in Python."""

from __future__ import annotations

import tracemalloc

import models
import mutators
import pytest
from make_vectors import completed, document, root

from checker import check
from checker.ground.ledger import Ledger


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

    most = [0]
    take = Ledger.take

    def counted(self: Ledger, bits: int) -> None:
        take(self, bits)
        most[0] = max(most[0], self.held)

    monkeypatch.setattr(Ledger, "take", counted)
    parsed = check.parse(model.bytes, text)
    tracemalloc.start()
    try:
        check.check(parsed, lambda done, declared: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 * peak <= most[0] + (8 << 20)  # a mebibyte for everything else
