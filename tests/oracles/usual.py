"""The usual domain of a model, as a proof of cells numbers its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from checker.cells.places import Places
from checker.statement.scope import Scope


def usual_places(sizes: dict[str, int], weights: Sequence[Sequence[int]] | None = None) -> Places:
    """Return places that are the tokens, every one of them allowed everywhere and counted, once
    unless weights are given.
    """
    vocab, n = sizes["d_vocab"], sizes["n_ctx"]
    tokens = tuple(range(vocab))
    rows = tuple(map(tuple, weights or [[1] * vocab] * n))
    scope = Scope("usual", "inputs", rows)
    return Places(tokens, tokens, rows, ((1 << vocab) - 1,) * n, tokens, scope)
