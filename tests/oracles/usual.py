"""The usual domain of a model, as a proof of cells numbers its tokens."""

from __future__ import annotations

from checker.cells.places import Places
from checker.statement.scope import Scope


def usual_places(sizes: dict[str, int]) -> Places:
    """Return places that are the tokens, every one of them allowed everywhere and counted once."""
    vocab, n = sizes["d_vocab"], sizes["n_ctx"]
    tokens = tuple(range(vocab))
    ones = ((1,) * vocab,) * n
    scope = Scope("uniform", "inputs", ones)
    return Places(tokens, tokens, ones, ((1 << vocab) - 1,) * n, tokens, scope)
