"""The path matrices of every head in float64, in the units in which strategies reason.
(SPEC-16.1, SPEC-16.9, SPEC-16.10)

Every estimate made from them only chooses hints: what it says is never a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from certify.cells.estimates import Tokens
from certify.cells.numbering import Numbering
from certify.cells.scaled import LARGEST_TRUSTED, Array
from certify.model.file import Model
from certify.model.paths import Paths


@dataclass(frozen=True, slots=True)
class HeadTables:
    """One head: scores ``E`` of tokens, divided by sqrt(d_head), and logits ``A`` of tokens, by
    position: [n, V, V] and [n, V, V_out]; and of positions ``EP`` [V, n] and ``D`` [n, V_out].

    ``alike``: E and A are the same at all positions.  ``read`` [V, neurons] and
    ``read_of_positions`` [n, neurons]: what the neurons of an MLP read.
    """

    E: Array
    EP: Array
    A: Array
    D: Array
    alike: bool
    read: Array
    read_of_positions: Array


@dataclass(frozen=True, slots=True)
class Tables:
    """All heads, and ``U`` [V, V_out]: the direct path with the constants of all of them.

    Under a final norm what is read is not yet divided by ``S``, both ends of which are here, and
    ``beta`` [V_out] is what is added to logits then.  ``read`` [V, neurons]: what neurons read
    directly; ``effects`` [neurons, V_out]: what they do.
    """

    heads: tuple[HeadTables, ...]
    U: Array
    beta: Array
    S: tuple[float, float] = (1.0, 1.0)
    read: Array = field(default_factory=lambda: np.zeros((0, 0)))
    effects: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def trusted(self) -> bool:
        """Return whether float64 estimates of this model mean anything."""
        tables = [self.U, *(t for one in self.heads for t in (one.E, one.EP, one.A, one.D))]
        return all(
            bool(np.all(np.isfinite(t))) and float(np.abs(t).max(initial=0.0)) < LARGEST_TRUSTED
            for t in tables
        )

    def direct(self, queries: Tokens, answers: Tokens, maximum: int) -> Array:
        """Return the largest direct path of each answer over the queries, with what a final norm
        adds.
        """
        apart = self.U[np.ix_(queries, answers)] - self.U[queries, maximum][:, None]
        beta = self.beta[answers] - self.beta[maximum]
        found: Array = apart.max(axis=0) + np.maximum(self.S[0] * beta, self.S[1] * beta)
        return found


@dataclass(frozen=True, slots=True)
class _Weights:
    """The attention weights of a model, by letter [heads, ...], with a norm's w and b folded in."""

    w: dict[str, Array]
    b: dict[str, Array]


def tables_of(model: Model, named: Numbering) -> Tables:
    """Return the tables of a model with one layer of attention, by place and column.

    Requires: no MLP.
    Cost:     as many products as ``certify.model.paths.decompose`` takes, for each head; with a
              norm for each position too.
    """
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_U, b_U = model.tensor("unembed.W_U"), model.bias("unembed.b_U")
    config, d = model.config, model.config.d_model
    normed = config.normalization_type is not None
    weights = _folded(model)
    rows = np.repeat(W_E[None], 1, axis=0)
    columns, beta, shift = W_U, np.zeros(len(b_U)), b_U
    if normed:
        w, b = norm_of(model, "ln_final")
        scaled = w[:, None] * W_U
        columns = d * scaled - scaled.sum(axis=0)
        beta, shift = b @ W_U + b_U, np.zeros(len(b_U))
        places = W_E[None] + W_pos[:, None]
        centred = places - places.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True) + config.variance_offset
        rows = centred / np.sqrt(variance)
    asked = rows[-1] if normed else W_E + W_pos[-1]
    last = W_E + W_pos[-1]
    moved = sum(
        (b @ W_O for b, W_O in zip(weights.b["V"], weights.w["O"], strict=True)),
        model.bias("blocks.0.attn.b_O"),
    )
    mlp = _mlp(model)
    direct = (last + moved + mlp.b_out) @ columns + shift
    longest = float(np.linalg.norm(_centred(last + moved), axis=-1).max())
    root, heads = float(np.sqrt(config.d_head)), []
    no_positions = np.zeros_like(W_pos)
    for h in range(config.n_heads):
        query = asked @ weights.w["Q"][h] + weights.b["Q"][h]
        writes = weights.w["V"][h] @ weights.w["O"][h]
        positions = no_positions if normed else W_pos
        found = [
            named.renamed(
                Paths(
                    EU=direct,
                    EVOU=row @ writes @ columns,
                    PVOU=positions @ writes @ columns,
                    EQKE=query @ (row @ weights.w["K"][h]).T,
                    EQKP=query @ (positions @ weights.w["K"][h]).T,
                    d_head=config.d_head,
                )
            )
            for row in rows
        ]
        longest += float(np.linalg.norm(_centred(rows @ writes), axis=-1).max())
        heads.append(
            HeadTables(
                np.stack([one.EQKE for one in found]) / root,
                found[0].EQKP / root,
                np.stack([one.EVOU for one in found]),
                found[0].PVOU,
                alike=not normed,
                read=(W_E @ writes @ mlp.W_in)[list(named.tokens)],
                read_of_positions=W_pos @ writes @ mlp.W_in,
            )
        )
    if not normed:
        return Tables(
            tuple(heads),
            found[0].EU,
            np.zeros(found[0].EU.shape[1]),
            read=((last + moved) @ mlp.W_in + mlp.b_in)[list(named.tokens)],
            effects=named.columns(mlp.W_out @ W_U),
        )
    eps = config.variance_offset
    ends = d * np.sqrt(eps), d * np.sqrt(longest**2 / d + eps)
    known = named.columns(beta[None])[0]
    return Tables(tuple(heads), found[0].EU, known, (float(ends[0]), float(ends[1])))


@dataclass(frozen=True, slots=True)
class _MLP:
    """The MLP of a model, without neurons where there is none."""

    W_in: Array
    b_in: Array
    W_out: Array
    b_out: Array


def _mlp(model: Model) -> _MLP:
    d = model.config.d_model
    if model.config.attn_only:
        return _MLP(np.zeros((d, 0)), np.zeros(0), np.zeros((0, d)), np.zeros(d))
    inner, outer = (model.tensor(f"blocks.0.mlp.{name}") for name in ("W_in", "W_out"))
    b_in, b_out = (model.bias(f"blocks.0.mlp.{name}") for name in ("b_in", "b_out"))
    return _MLP(inner, b_in, outer, b_out)


def _centred(rows: Array) -> Array:
    found: Array = rows - rows.mean(axis=-1, keepdims=True)
    return found


def norm_of(model: Model, name: str) -> tuple[Array, Array]:
    """Return w and b of a norm."""
    if model.config.normalization_type != "LN":
        d = model.config.d_model
        return np.ones(d), np.zeros(d)
    return model.tensor(f"{name}.w"), model.tensor(f"{name}.b")


def _folded(model: Model) -> _Weights:
    weights = {letter: model.tensor(f"blocks.0.attn.W_{letter}") for letter in "QKVO"}
    biases = {letter: model.bias(f"blocks.0.attn.b_{letter}") for letter in "QKV"}
    if model.config.normalization_type is None:
        return _Weights(weights, biases)
    w, b = norm_of(model, "blocks.0.ln1")
    biases = {letter: biases[letter] + b @ weights[letter] for letter in "QKV"}
    return _Weights(weights | {letter: w[:, None] * weights[letter] for letter in "QKV"}, biases)
