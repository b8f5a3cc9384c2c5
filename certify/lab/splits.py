"""What an explanation keeps of a model, and what it leaves out, circuit by circuit.

Max-of-K, with E_q = W_E + W_pos[n-1], Ebar = W_E + mean(W_pos), X' for what is left of X::

    QK       EQKE = kept + E_q' W_Q' W_K'^T Ebar'^T
             with the position's mean folded into the key token, as published.  Off the embeddings
             come the first singular direction of EQKE and the first rank - 1 of what is left, off
             W_Q and W_K their first max(rank - 1, 1): rank 2 is the published peeling.  All terms
             with a direction that came off are kept, and have rank 2 (rank + max(rank - 1, 1)).
    QK, svd  EQKE = kept + A' B', A = E_q W_Q W_K^T, B = Ebar^T, the first singular directions of
             EQKE off both: what is kept is the best approximation of this rank.
    direct   EU = mean row + (E~ - its mean row) W_U
    OV       EVOU = first singular directions + value' out', these directions off both factors

Source: arXiv 2406.11779 and its released code for QK and the direct path.  Where the embedding is
split at key frequencies (modular addition), what is left of W_E is read by W = (1/2) sum_h W_V W_O
W_in: what a token at the other position adds to the neurons if attention is one half.  The residual
is W^T W_E'^T, of which W^T stays: a row is a neuron, and its range is what the choice of the token
can do to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from certify.lab.circuits import Circuits, circuits_of
from certify.lab.residual import Floats, Residual
from certify.model.config import Config
from certify.model.file import Model
from certify.model.paths import Paths
from certify.model.tensors import Tensor
from certify.sums.fourier import Basis, cyclic_basis

QK, DIRECT, OV, EMBEDDING = "qk", "direct", "ov", "embedding"
CIRCUITS = (QK, DIRECT, OV)
"""Of Max-of-K; QK is the one that the published study is about."""
ALL_CIRCUITS = (*CIRCUITS, EMBEDDING)
PEEL, SVD = "peel", "svd"
KEPT_SHARE = 0.95
"""Key frequencies are the fewest that have this share of the power of the embedding together, but
never all.
"""

Residuals = Mapping[str, Residual]


@dataclass(frozen=True, slots=True)
class Split:
    """A one-layer, one-head model as kept parts and residuals.

    ``kept_qk`` [V, V] is EQKE less its residual; ``positions_qk`` [V, n] the scores of positions;
    ``mean_direct`` [V_out] the mean row of EU; ``kept_ov`` [V, V_out]; ``positions_ov`` [n, V_out].
    ``ranks``: of the kept parts of QK and OV at most.
    """

    kept_qk: Floats
    positions_qk: Floats
    mean_direct: Floats
    kept_ov: Floats
    positions_ov: Floats
    residuals: Residuals
    ranks: Mapping[str, int]
    d_head: int

    def paths(self, residuals: Residuals) -> Paths:
        """Return the path matrices with these residuals, those of the model where none is named."""
        chosen = {**self.residuals, **residuals}
        products = {name: one.product() for name, one in chosen.items()}
        return Paths(
            EU=self.mean_direct + products[DIRECT],
            EVOU=self.kept_ov + products[OV],
            PVOU=self.positions_ov,
            EQKE=self.kept_qk + products[QK],
            EQKP=self.positions_qk,
            d_head=self.d_head,
        )

    def circuits(self, residuals: Residuals) -> Circuits:
        """Return factors with these residuals, those of the model where none is named.

        Ensures: kept parts, residuals and positions have coordinates of their own, the same number
                 whatever the residuals.
        """
        chosen = {**self.residuals, **residuals}
        n_ctx, vocab = len(self.positions_ov), len(self.kept_qk)
        query, key = _factored(self.kept_qk, self.ranks[QK])
        left, right = chosen[QK].halves()
        value, out = _factored(self.kept_ov, self.ranks[OV])
        values, outs = chosen[OV].halves()
        rows, unembed = chosen[DIRECT].halves()
        here, none = np.eye(n_ctx), np.zeros((vocab, n_ctx))
        return Circuits(
            query=np.hstack([query, left, self.positions_qk]),
            key=np.hstack([key.T, right.T, none]),
            key_at=np.hstack([np.zeros((n_ctx, key.shape[0] + right.shape[0])), here]),
            value=np.hstack([value, values, none]),
            value_at=np.hstack([np.zeros((n_ctx, value.shape[1] + values.shape[1])), here]),
            out=np.vstack([out, outs, self.positions_ov]),
            direct=rows,
            unembed=unembed,
            offset=self.mean_direct,
            d_head=self.d_head,
        )


def split_of(model: Model, rank: int, ov_rank: int, form: str = PEEL) -> Split:
    """Return what an explanation keeps of a model, and the residuals.

    Requires: ``form`` says how QK is split, PEEL or SVD.
    Ensures:  kept parts and residuals are the path matrices together, up to rounding in float64
              (of each row of EQKE, up to a constant, which softmax ignores).
    Errors:   ``Unsupported`` if the model is not one layer of attention with one head.
    Cost:     singular values of the path matrices.
    """
    circuits = circuits_of(model)
    factors = _qk_factors(model)
    residual = _peeled(factors, rank) if form == PEEL else _best(factors, rank)
    product = np.linalg.multi_dot(factors)
    mean = circuits.direct.mean(axis=0)
    EVOU = circuits.value @ circuits.out
    u, _, v = np.linalg.svd(EVOU)
    values, outs = (
        _without_rows(circuits.value, u[:, :ov_rank]),
        _without_columns(circuits.out, v[:ov_rank]),
    )
    residuals = {
        QK: residual,
        DIRECT: Residual((circuits.direct - mean, circuits.unembed)),
        OV: Residual((values, outs)),
    }
    kept_rank = 2 * (rank + max(rank - 1, 1)) if form == PEEL else rank
    middle = circuits.key_at.mean(axis=0)
    return Split(
        kept_qk=product - residual.product(),
        positions_qk=circuits.query @ (circuits.key_at - middle).T,
        mean_direct=mean @ circuits.unembed + circuits.offset,
        kept_ov=EVOU - residuals[OV].product(),
        positions_ov=circuits.value_at @ circuits.out,
        residuals=residuals,
        ranks={
            QK: min(kept_rank, len(product)),
            OV: min(ov_rank, *EVOU.shape),
        },
        d_head=circuits.d_head,
    )


def _qk_factors(model: Model) -> list[Floats]:
    """Return E_q, W_Q, W_K^T and Ebar^T; a bias of queries is a column of ones at E_q."""
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_Q, W_K = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QK")
    b_Q = model.bias("blocks.0.attn.b_Q")[0]
    query = W_E + W_pos[-1]
    if np.any(b_Q):
        query, W_Q = np.hstack([query, np.ones((len(query), 1))]), np.vstack([W_Q, b_Q])
    return [query, W_Q, W_K.T, (W_E + W_pos.mean(axis=0)).T]


def _peeled(factors: list[Floats], rank: int) -> Residual:
    """Return what is left of all four factors.  Source: decomposition "quadratic" of the released
    code, where ``rank`` is 2.
    """
    query, W_Q, W_K, tokens = factors
    u, _, v = np.linalg.svd(np.linalg.multi_dot(factors))
    queries, keys = _without_rows(query, u[:, :1]), _without_columns(tokens, v[:1])
    inner = max(rank - 1, 1)
    return Residual(
        (
            _without_first(queries, rank - 1),
            _without_first(W_Q, inner),
            _without_first(W_K, inner),
            _without_first(keys, rank - 1),
        )
    )


def _best(factors: list[Floats], rank: int) -> Residual:
    """Return what is left of two factors without the first singular directions of the product."""
    first, tokens = np.linalg.multi_dot(factors[:3]), factors[3]
    u, _, v = np.linalg.svd(first @ tokens)
    return Residual((_without_rows(first, u[:, :rank]), _without_columns(tokens, v[:rank])))


def _without_rows(matrix: Floats, directions: Floats) -> Floats:
    """Return a matrix less its projection on the span of orthonormal columns."""
    return matrix - directions @ (directions.T @ matrix)


def _without_columns(matrix: Floats, directions: Floats) -> Floats:
    """Return a matrix less its projection, from the right, on the span of orthonormal rows."""
    return matrix - (matrix @ directions.T) @ directions


def _without_first(matrix: Floats, rank: int) -> Floats:
    """Return a matrix without its first singular directions."""
    if rank == 0:
        return matrix
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    found: Floats = matrix - (u[:, :rank] * s[:rank]) @ v[:rank]
    return found


def _factored(matrix: Floats, rank: int) -> tuple[Floats, Floats]:
    """Return two factors of a matrix of this rank at most, of about the same size."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]


# --- modular addition -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frequencies:
    """An embedding as its mean and key frequencies, and what is left of it.

    ``kept`` [V, d_model], ``residual`` as in the module docstring, of which the last factor is the
    transpose of what is left.  ``keys`` are key frequencies, ``shares`` [frequencies] of the power.
    """

    kept: Floats
    residual: Residual
    keys: tuple[int, ...]
    shares: Floats

    def embedding(self, residual: Residual) -> Floats:
        """Return the embedding with this residual."""
        return self.kept + residual.factors[-1].T


def frequencies_of(model: Model, modulus: int) -> Frequencies:
    """Return the key frequencies of an embedding, and what is left of it.

    Requires: a model for addition modulo an odd number, one token for each residue.
    """
    basis = cyclic_basis(modulus)
    W_E = model.tensor("embed.W_E")
    mean = W_E.mean(axis=0)
    shares = _shares(basis, W_E - mean)
    order = np.argsort(-shares, kind="stable")
    enough = int(np.searchsorted(np.cumsum(shares[order]), KEPT_SHARE)) + 1
    keys = np.sort(order[: min(enough, len(order) - 1)])
    columns = basis.columns[:, np.isin(basis.of, keys)]
    kept = mean + columns @ (columns.T @ (W_E - mean))
    values, outs = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "VO")
    moved = np.einsum("hde,hef->df", values, outs) / 2.0
    into = moved @ model.tensor("blocks.0.mlp.W_in")
    residual = Residual((into.T, (W_E - kept).T), fixed=1)
    return Frequencies(kept, residual, tuple(int(key) + 1 for key in keys), shares)


def _shares(basis: Basis, centred: Floats) -> Floats:
    """Return the share of each frequency in the power of all columns together."""
    power = ((basis.columns.T @ centred) ** 2).sum(axis=1)
    found: Floats = np.bincount(basis.of, weights=power) / max(float(power.sum()), 1e-300)
    return found


def with_embedding(
    model: Model, embedding: Floats, dtype: type = np.float32
) -> tuple[dict[str, Tensor], Config]:
    """Return a model with another embedding, each entry rounded once to ``dtype``."""
    return {**model.tensors, "embed.W_E": embedding.astype(dtype)}, model.config
