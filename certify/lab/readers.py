"""A one-layer model in which each reader of a token has coordinates of its own.

In a model file one embedding is read by the queries and the MLP, by the keys and the values, and by
the unembedding.  Here each has its copy, so that one can be replaced and the others stay, and the
copies are a model again (``model_of``) whose residual stream is ::

    [ stand | seen | direct | moved ]

``stand``   the last token where it stands: read by W_Q and W_in
``seen``    every token where attention sees it: read by W_K and W_V
``direct``  the last token on its way to the logits: read by W_U alone
``moved``   what attention and MLP write: read by W_in and W_U

Nothing is rounded: until something is replaced, the function is that of the original.  Layer norm
is not covered: it reads all of the stream at once.  b_K adds the same to all scores of a query and
is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.model.config import Config
from certify.model.file import Model
from certify.model.tensors import Tensor

Floats = NDArray[np.float64]
Tokens = NDArray[np.int64]

WIDEST_STREAM = 1024
"""The largest d_model that is supported (SPEC-3.5)."""
BATCH = 4096


@dataclass(frozen=True, slots=True)
class Mlp:
    """A ReLU MLP, in float64."""

    W_in: Floats
    b_in: Floats
    W_out: Floats
    b_out: Floats

    def added(self, stream: Floats) -> Floats:
        """Return what it adds to streams [batch, d_model]."""
        found: Floats = np.maximum(stream @ self.W_in + self.b_in, 0.0) @ self.W_out + self.b_out
        return found


@dataclass(frozen=True, slots=True)
class Readers:
    """The weights, in float64.

    ``stand``, ``seen``, ``direct``: [d_vocab, d_model]; ``stand_at``, ``direct_at``: [d_model],
    what the last position adds; ``places``: [n_ctx, d_model], what each position adds to ``seen``.
    W_Q .. b_V have a head each.
    """

    stand: Floats
    stand_at: Floats
    seen: Floats
    places: Floats
    direct: Floats
    direct_at: Floats
    W_Q: Floats
    W_K: Floats
    W_V: Floats
    W_O: Floats
    b_Q: Floats  # noqa: N815
    b_V: Floats  # noqa: N815
    b_O: Floats  # noqa: N815
    W_U: Floats
    b_U: Floats  # noqa: N815
    mix: float
    mlp: Mlp | None = None

    @property
    def heads(self) -> int:
        """Return the number of heads."""
        return len(self.W_Q)

    @property
    def shared(self) -> bool:
        """Return whether all readers still read the same, so that the original layout will do."""
        return (
            np.array_equal(self.stand, self.seen)
            and np.array_equal(self.stand, self.direct)
            and np.array_equal(self.stand_at, self.places[-1])
            and np.array_equal(self.direct_at, self.places[-1])
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """Inputs that some readers see in place of the true one; what is left out sees that.

    ``queries``: head to tokens [batch]; ``keys``, ``values``: head to tokens [batch, n_ctx];
    ``direct``: tokens [batch]; ``order``: the position that each position is taken for, [batch,
    n_ctx]; ``mlp``: tokens [batch, n_ctx] of the input that the MLP answers;  ``part``: a summand
    of every embedding, [d_vocab, d_model], and the tokens [batch, n_ctx] that it is taken from.
    """

    queries: Mapping[int, Tokens] = field(default_factory=dict)
    keys: Mapping[int, Tokens] = field(default_factory=dict)
    values: Mapping[int, Tokens] = field(default_factory=dict)
    direct: Tokens | None = None
    order: Tokens | None = None
    mlp: Tokens | None = None
    part: tuple[Floats, Tokens] | None = None

    def slice(self, rows: slice) -> Seen:
        """Return what some of the inputs see."""
        return Seen(
            queries={head: tokens[rows] for head, tokens in self.queries.items()},
            keys={head: tokens[rows] for head, tokens in self.keys.items()},
            values={head: tokens[rows] for head, tokens in self.values.items()},
            direct=None if self.direct is None else self.direct[rows],
            order=None if self.order is None else self.order[rows],
            mlp=None if self.mlp is None else self.mlp[rows],
            part=None if self.part is None else (self.part[0], self.part[1][rows]),
        )


TRUE = Seen()


def readers_of(model: Model) -> Readers:
    """Return the readers of a model.

    Errors: ``Unsupported`` if it has several layers, layer norm, an MLP that is not ReLU, or is not
            read at the last position.
    """
    config = model.config
    for fits, why in (
        (config.n_layers == 1, "several layers"),
        (config.normalization_type is None, "layer norm"),
        (config.read == "last", "a pooled readout"),
        (config.attn_only or config.act_fn == "relu", f"the activation {config.act_fn}"),
    ):
        if not fits:
            raise Unsupported(f"the paths of a model with {why} are not replaced one by one")
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_Q, W_K, W_V, W_O = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "QKVO")
    bias = {name: model.bias(f"blocks.0.attn.{name}") for name in ("b_Q", "b_V", "b_O")}
    mlp = None
    if not config.attn_only:
        mlp = Mlp(
            W_in=model.tensor("blocks.0.mlp.W_in"),
            b_in=model.bias("blocks.0.mlp.b_in"),
            W_out=model.tensor("blocks.0.mlp.W_out"),
            b_out=model.bias("blocks.0.mlp.b_out"),
        )
    return Readers(
        stand=W_E,
        stand_at=W_pos[-1],
        seen=W_E,
        places=W_pos,
        direct=W_E,
        direct_at=W_pos[-1],
        W_Q=W_Q,
        W_K=W_K,
        W_V=W_V,
        W_O=W_O,
        **bias,
        W_U=model.tensor("unembed.W_U"),
        b_U=model.bias("unembed.b_U"),
        mix=config.mix,
        mlp=mlp,
    )


# --- as a model ----------------------------------------------------------------


def model_of(
    readers: Readers, config: Config, dtype: type = np.float32, *, compact: bool = False
) -> tuple[dict[str, Tensor], Config]:
    """Return the readers as a model.

    Requires: ``config`` is that of the original; 4 d_model is at most 1 024, unless the readers
              still read the same and ``compact`` asks for the original layout in that case.
    Ensures:  each entry is that of the readers, rounded once to ``dtype``; zeros are added.
    Errors:   ``Unsupported`` if the stream would be too wide.
    """
    blocks = 1 if compact and readers.shared else 4
    width = config.d_model
    if blocks * width > WIDEST_STREAM:
        raise Unsupported(f"a residual stream of {blocks * width} coordinates is too wide")
    stand, seen, direct, moved = range(4) if blocks == 4 else (0, 0, 0, 0)

    def rows(*chosen: tuple[int, Floats]) -> Floats:
        """Return a matrix with these blocks of coordinates, the rest zero."""
        found = np.zeros((blocks, width, chosen[0][1].shape[-1]))
        for block, matrix in chosen:
            found[block] = matrix
        return found.reshape(blocks * width, -1)

    def columns(*chosen: tuple[int, Floats]) -> Floats:
        return rows(*((block, matrix.T) for block, matrix in chosen)).T

    last = np.zeros((config.n_ctx, 1))
    last[-1] = 1.0
    tensors = {
        "embed.W_E": columns(
            (stand, readers.stand), (seen, readers.seen), (direct, readers.direct)
        ),
        "pos_embed.W_pos": columns(
            (stand, last * readers.stand_at),
            (direct, last * readers.direct_at),
            (seen, readers.places),
        ),
        "unembed.W_U": rows((direct, readers.W_U), (moved, readers.W_U)),
        "blocks.0.attn.W_Q": np.stack([rows((stand, one)) for one in readers.W_Q]),
        "blocks.0.attn.W_K": np.stack([rows((seen, one)) for one in readers.W_K]),
        "blocks.0.attn.W_V": np.stack([rows((seen, one)) for one in readers.W_V]),
        "blocks.0.attn.W_O": np.stack([columns((moved, one)) for one in readers.W_O]),
    }
    biases = {
        "blocks.0.attn.b_Q": readers.b_Q,
        "blocks.0.attn.b_V": readers.b_V,
        "blocks.0.attn.b_O": columns((moved, readers.b_O[None]))[0],
        "unembed.b_U": readers.b_U,
    }
    if (mlp := readers.mlp) is not None:
        tensors["blocks.0.mlp.W_in"] = rows((stand, mlp.W_in), (moved, mlp.W_in))
        tensors["blocks.0.mlp.W_out"] = columns((moved, mlp.W_out))
        biases["blocks.0.mlp.b_in"] = mlp.b_in
        biases["blocks.0.mlp.b_out"] = columns((moved, mlp.b_out[None]))[0]
    tensors |= {name: bias for name, bias in biases.items() if np.any(bias)}
    stored: dict[str, Tensor] = {name: one.astype(dtype) for name, one in tensors.items()}
    return stored, dataclasses.replace(config, d_model=blocks * width)


# --- the forward pass ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passed:
    """What the last position receives: the logits, [batch, outputs]; the patterns, [heads, batch,
    n_ctx]; what each head adds, [heads, batch, d_model]; what the MLP adds, zero without one.
    """

    logits: Floats
    patterns: Floats
    heads: Floats
    mlp: Floats


def passed(readers: Readers, tokens: Tokens, seen: Seen = TRUE) -> Passed:
    """Return the forward pass of one batch, in which readers may see other inputs.

    Requires: ``tokens`` [batch, n_ctx].
    Cost:     the multiplications of the network for each input.
    """
    last = _part_of(readers.stand, tokens[:, -1:], seen, last=True)[:, 0] + readers.stand_at
    attended = [_head(readers, head, tokens, seen) for head in range(readers.heads)]
    heads = np.stack([added for _, added in attended])
    moved = heads.sum(axis=0) + readers.b_O
    mlp = np.zeros_like(moved)
    if readers.mlp is not None:
        if seen.mlp is None:
            mlp = readers.mlp.added(last + moved)
        else:
            mlp = passed(readers, seen.mlp).mlp
    query = tokens[:, -1] if seen.direct is None else seen.direct
    direct = _part_of(readers.direct, query[:, None], seen, last=True)[:, 0] + readers.direct_at
    logits = (direct + moved + mlp) @ readers.W_U + readers.b_U
    return Passed(logits, np.stack([pattern for pattern, _ in attended]), heads, mlp)


def logits_of(readers: Readers, tokens: Tokens, seen: Seen = TRUE) -> Floats:
    """Return the logits of many inputs, a batch at a time."""
    found = [
        passed(readers, tokens[at : at + BATCH], seen.slice(slice(at, at + BATCH))).logits
        for at in range(0, len(tokens), BATCH)
    ]
    return np.concatenate(found)


def _part_of(table: Floats, tokens: Tokens, seen: Seen, *, last: bool) -> Floats:
    """Return rows of an embedding, one summand of it from other tokens."""
    if seen.part is None:
        return table[tokens]
    part, others = seen.part
    others = others[:, -1:] if last else others
    return (table - part)[tokens] + part[others]


def _head(readers: Readers, head: int, tokens: Tokens, seen: Seen) -> tuple[Floats, Floats]:
    """Return the pattern of a head and what it adds."""
    query_token = seen.queries.get(head, tokens[:, -1])
    query = _part_of(readers.stand, query_token[:, None], seen, last=True)[:, 0]
    query = (query + readers.stand_at) @ readers.W_Q[head] + readers.b_Q[head]
    places = readers.places[np.arange(tokens.shape[1]) if seen.order is None else seen.order]
    keyed = seen.keys.get(head, tokens)
    key = (_part_of(readers.seen, keyed, seen, last=False) + places) @ readers.W_K[head]
    scores = np.einsum("bnd,bd->bn", key, query) / math.sqrt(readers.W_Q.shape[2])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    pattern = readers.mix * weights / weights.sum(axis=1, keepdims=True) + (1.0 - readers.mix)
    valued = seen.values.get(head, tokens)
    mixed = np.einsum(
        "bn,bnd->bd", pattern, _part_of(readers.seen, valued, seen, last=False) + places
    )
    value = mixed @ readers.W_V[head] + pattern.sum(axis=1)[:, None] * readers.b_V[head]
    return pattern, value @ readers.W_O[head]
