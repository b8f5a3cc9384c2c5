"""The path matrices of every head in float64, in the units in which strategies reason.  (SPEC-16.1)

Every estimate made from them only chooses hints: what it says is never a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certify.cells.numbering import Numbering
from certify.cells.scaled import LARGEST_TRUSTED, Array
from certify.model.file import Model
from certify.model.paths import Paths


@dataclass(frozen=True, slots=True)
class HeadTables:
    """One head: scores ``E`` [V, V] of tokens and ``EP`` [V, n] of positions, divided by
    sqrt(d_head); logits ``A`` [V, V_out] of tokens and ``D`` [n, V_out] of positions.
    """

    E: Array
    EP: Array
    A: Array
    D: Array


@dataclass(frozen=True, slots=True)
class Tables:
    """All heads, and ``U`` [V, V_out]: the direct path with the constants of all of them."""

    heads: tuple[HeadTables, ...]
    U: Array

    @property
    def trusted(self) -> bool:
        """Return whether float64 estimates of this model mean anything."""
        tables = [self.U, *(t for one in self.heads for t in (one.E, one.EP, one.A, one.D))]
        return all(
            bool(np.all(np.isfinite(t))) and float(np.abs(t).max(initial=0.0)) < LARGEST_TRUSTED
            for t in tables
        )


def tables_of(model: Model, named: Numbering) -> Tables:
    """Return the tables of a model with one layer of attention, by place and column.

    Requires: no MLP, no normalisation.
    Cost:     as many products as ``certify.model.paths.decompose`` takes, for each head.
    """
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_U, b_U = model.tensor("unembed.W_U"), model.bias("unembed.b_U")
    weights = {letter: model.tensor(f"blocks.0.attn.W_{letter}") for letter in "QKVO"}
    biases = {letter: model.bias(f"blocks.0.attn.b_{letter}") for letter in "QVO"}
    root = float(np.sqrt(model.config.d_head))
    last = W_E + W_pos[-1]
    moved = sum((b @ W_O for b, W_O in zip(biases["V"], weights["O"], strict=True)), biases["O"])
    direct = (last + moved) @ W_U + b_U
    heads = []
    for h in range(model.config.n_heads):
        query = last @ weights["Q"][h] + biases["Q"][h]
        writes = weights["V"][h] @ weights["O"][h] @ W_U
        paths = Paths(
            EU=direct,
            EVOU=W_E @ writes,
            PVOU=W_pos @ writes,
            EQKE=query @ (W_E @ weights["K"][h]).T,
            EQKP=query @ (W_pos @ weights["K"][h]).T,
            d_head=model.config.d_head,
        )
        heads.append(named.renamed(paths))
    return Tables(
        tuple(HeadTables(one.EQKE / root, one.EQKP / root, one.EVOU, one.PVOU) for one in heads),
        heads[0].EU,
    )
