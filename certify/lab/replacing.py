"""Paths of a one-layer model, and what stands in for them (classes: hypotheses.toml).

``zero`` and ``mean`` change weights, so that the result is a model; ``resample`` and ``scrub``
show some readers another input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.lab.frequencies import at, residual
from certify.lab.readers import BATCH, Readers, Seen, passed
from certify.model.file import Model

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

NONE, TRUE_MODEL = "none", "true"
ZERO, MEAN, RESAMPLE, SCRUB = "zero", "mean", "resample", "scrub"
PESSIMAL = "pessimal"
EDITS, REPLACEMENTS = (ZERO, MEAN), (RESAMPLE, SCRUB)


@dataclass(frozen=True, slots=True)
class Path:
    """A path: its name, and its sort, which is that of the claims about it; ``number`` is the head
    or the frequency that it is about, ``keys`` are the key frequencies that a residual is without.
    """

    name: str
    sort: str
    number: int = 0
    keys: tuple[int, ...] = ()


def paths_of(readers: Readers, keys: Sequence[int] | None = None) -> list[Path]:
    """Return the paths of a model of Max-of-K, or of modular addition with these key frequencies.

    Errors: ``Unsupported`` if a model of modular addition has other tokens than the residues.
    """
    with_mlp = [Path("mlp", "mlp")] if readers.mlp is not None else []
    if keys is not None:
        if len(readers.places) != 2 or len(readers.seen) % 2 == 0:
            raise Unsupported("frequencies: the inputs are not two residues of an odd modulus")
        return [
            *(Path(f"frequency {key}", "frequency", key) for key in keys),
            Path("residual", "residual", keys=tuple(keys)),
            Path("direct", "direct"),
            Path("attention", "attention"),
            *with_mlp,
        ]
    of_heads = [
        Path(sort if readers.heads == 1 else f"{sort} head {head}", sort, head)
        for sort in ("qk", "ov")
        for head in range(readers.heads)
    ]
    return [
        Path("direct", "direct"),
        *of_heads,
        Path("positions", "positions"),
        *with_mlp,
        Path("all", "all"),
    ]


def methods_of(path: Path) -> tuple[str, ...]:
    """Return how a path is replaced."""
    if path.sort == NONE:
        return (TRUE_MODEL,)
    if path.sort == "all":
        return (SCRUB,)
    if path.sort in ("frequency", "residual"):
        return (ZERO, *REPLACEMENTS)
    return (*EDITS, *REPLACEMENTS)


# --- edits ----------------------------------------------------------------------


def edited(readers: Readers, path: Path, method: str, tokens: Tokens) -> Readers:
    """Return the readers with what one path carries zero, or its mean.

    Requires: ``method`` is zero or mean; ``tokens`` are the sample, over which the MLP is averaged.
    """
    mean = method == MEAN
    match path.sort:
        case "direct":
            table = readers.direct.mean(axis=0) if mean else np.zeros(readers.direct.shape[1])
            return replace(
                readers,
                direct=np.broadcast_to(table, readers.direct.shape),
                direct_at=readers.direct_at if mean else np.zeros_like(readers.direct_at),
            )
        case "qk":
            query = readers.stand.mean(axis=0) + readers.stand_at
            fixed = query @ readers.W_Q[path.number] + readers.b_Q[path.number]
            return replace(
                readers,
                W_Q=_with(readers.W_Q, path.number, 0.0),
                b_Q=_with(readers.b_Q, path.number, fixed if mean else 0.0),
            )
        case "ov" | "attention":
            heads = range(readers.heads) if path.sort == "attention" else (path.number,)
            value = readers.seen.mean(axis=0) + readers.places.mean(axis=0)
            W_V, b_V = readers.W_V, readers.b_V
            for head in heads:
                fixed = value @ readers.W_V[head] + readers.b_V[head]
                W_V, b_V = _with(W_V, head, 0.0), _with(b_V, head, fixed if mean else 0.0)
            return replace(readers, W_V=W_V, b_V=b_V)
        case "positions":
            place = readers.places.mean(axis=0) if mean else np.zeros(readers.places.shape[1])
            return replace(readers, places=np.broadcast_to(place, readers.places.shape))
        case "mlp":
            added = mean_mlp(readers, tokens) if mean else np.zeros_like(readers.b_O)
            if readers.mlp is None:
                return readers
            silent = replace(readers.mlp, W_out=np.zeros_like(readers.mlp.W_out), b_out=added)
            return replace(readers, mlp=silent)
        case _:
            part = part_of(readers, path)
            less = readers.seen - part
            return replace(readers, stand=less, seen=less, direct=less)


def mean_mlp(readers: Readers, tokens: Tokens) -> Floats:
    """Return the mean of what the MLP adds, over a sample."""
    sums = [
        passed(readers, tokens[at_ : at_ + BATCH]).mlp.sum(axis=0)
        for at_ in range(0, len(tokens), BATCH)
    ]
    found: Floats = np.sum(sums, axis=0) / len(tokens)
    return found


def part_of(readers: Readers, path: Path) -> Floats:
    """Return the summand of the embedding that a path of modular addition is about."""
    if path.sort == "frequency":
        return at(readers.seen, path.number)
    return residual(readers.seen, path.keys)


def _with(heads: Floats, head: int, value: Floats | float) -> Floats:
    changed = heads.copy()
    changed[head] = value
    return changed


# --- replacements -----------------------------------------------------------------


def below_maximum(generator: np.random.Generator, tokens: Tokens) -> Tokens:
    """Return inputs in which each token below the maximum is drawn anew from those below it."""
    maximum = tokens.max(axis=1, keepdims=True)
    drawn = generator.integers(0, np.maximum(maximum, 1), size=tokens.shape)
    return np.where(tokens == maximum, tokens, drawn)


def at_most_maximum(generator: np.random.Generator, tokens: Tokens) -> Tokens:
    """Return a token for each input that is at most its maximum, [batch]."""
    found: Tokens = generator.integers(0, tokens.max(axis=1) + 1)
    return found


def permuted(generator: np.random.Generator, tokens: Tokens) -> Tokens:
    """Return an order of the positions for each input, [batch, n_ctx]."""
    found: Tokens = generator.permuted(
        np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape), axis=1
    )
    return found


def same_sum(generator: np.random.Generator, tokens: Tokens, p: int) -> Tokens:
    """Return pairs (a + s, b - s) modulo p, s drawn for each input."""
    shift = generator.integers(0, p, size=(len(tokens), 1))
    found: Tokens = (tokens + shift * np.array([1, -1])) % p
    return found


def drawn(
    generator: np.random.Generator,
    readers: Readers,
    path: Path,
    method: str,
    tokens: Tokens,
    *,
    addition: bool,
) -> Seen:
    """Return what the readers see if one path is resampled or scrubbed, drawn for each input."""
    if path.sort == "all":
        return _all(generator, readers, tokens)
    vocab = len(readers.seen)
    others: Tokens = generator.integers(0, vocab, size=tokens.shape)
    scrub = method == SCRUB
    if addition:
        same = same_sum(generator, tokens, vocab) if scrub else others
        match path.sort:
            case "frequency":
                return Seen(part=(part_of(readers, path), same))
            case "residual":
                return Seen(part=(part_of(readers, path), others))
            case "direct":
                return Seen(direct=others[:, -1])
            case "attention":
                return Seen(values=dict.fromkeys(range(readers.heads), same))
            case _:
                return Seen(mlp=same)
    match path.sort:
        case "direct":
            chosen = at_most_maximum(generator, tokens) if scrub else others[:, -1]
            return Seen(direct=chosen)
        case "qk":
            queries = {path.number: others[:, -1]}
            return Seen(queries=queries, keys={} if scrub else {path.number: others})
        case "ov":
            values = below_maximum(generator, tokens) if scrub else others
            return Seen(values={path.number: values})
        case "positions":
            order = permuted(generator, tokens)
            anywhere = generator.integers(0, tokens.shape[1], size=tokens.shape)
            return Seen(order=order if scrub else anywhere)
        case _:
            return Seen(mlp=below_maximum(generator, tokens) if scrub else others)


def _all(generator: np.random.Generator, readers: Readers, tokens: Tokens) -> Seen:
    """Return what the readers see if every path of Max-of-K is scrubbed by itself."""
    heads: Sequence[int] = range(readers.heads)
    vocab = len(readers.seen)
    return Seen(
        queries={head: generator.integers(0, vocab, size=len(tokens)) for head in heads},
        values={head: below_maximum(generator, tokens) for head in heads},
        direct=at_most_maximum(generator, tokens),
        order=permuted(generator, tokens),
        mlp=below_maximum(generator, tokens) if readers.mlp is not None else None,
    )


def dtype_of(model: Model) -> type:
    """Return the dtype of a changed model: that of the original, at least float32."""
    widest = max(tensor.dtype.itemsize for tensor in model.tensors.values())
    return np.float64 if widest > 4 else np.float32
