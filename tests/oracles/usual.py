"""The usual domain of a model, as a proof of cells numbers its tokens."""

from __future__ import annotations

from checker.cells.places import Places


def usual_places(sizes: dict[str, int]) -> Places:
    """Return places that are the tokens, every one of them allowed everywhere and counted once."""
    vocab, n = sizes["d_vocab"], sizes["n_ctx"]
    tokens = tuple(range(vocab))
    return Places(tokens, tokens, ((1,) * vocab,) * n, ((1 << vocab) - 1,) * n)
