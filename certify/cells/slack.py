"""Estimates of how far a float32 execution may be from the reals, for a model of one attention
layer.

Source: SPEC-12, with norms in float64.  An estimate only helps a strategy to choose; the checker
        derives its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model
from certify.question.float32 import (
    Float32,
    require_no_float64,
)

UNIT = 2.0**-24


def _gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


def _largest(rows: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


@dataclass(frozen=True, slots=True)
class Slack:
    """By how much a log-weight may be off, and what must be added to a bracket.

    ``share``: the least sum of attention weights; so much is left of a margin.  ``stages``: the
    errors of scores, of attention's mix of values and of the residual (norms), and of the
    difference of two logits, each if what it is computed from before the weights' error is exact.
    """

    theta: float = 0.0
    bracket: float = 0.0
    share: float = 1.0
    stages: Mapping[str, float] = field(default_factory=dict)


def slack(model: Model, semantics: Float32) -> Slack:
    """Return estimates of theta and B / rho for a one-layer, one-head, attention-only model.

    Requires: no float64 tensors.
    Errors:   ``Unsupported`` naming such a tensor.
    Cost:     four products.
    """
    require_no_float64(model)
    config = model.config
    n, d, h = config.n_ctx, config.d_model, config.d_head
    embed, position, unembed = (
        model.tensor(name) for name in ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")
    )
    w = {letter: model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QKVO"}
    b = {letter: model.bias(f"blocks.0.attn.b_{letter}").reshape(-1) for letter in "QKVO"}
    size = {letter: float(np.linalg.norm(w[letter])) for letter in w}
    r, reach = _largest(embed + position[-1]), _largest(embed) + _largest(position)

    def affine(x: float, error: float, rows: int, letter: str) -> float:
        weight, bias = size[letter], float(np.linalg.norm(b[letter]))
        return error * weight + _gamma(rows + 1) * ((x + error) * weight + bias)

    queries = _largest((embed + position[-1]) @ w["Q"] + b["Q"])
    keys, values = (
        _largest(embed @ w[letter] + b[letter]) + _largest(position @ w[letter]) for letter in "KV"
    )
    e_q, e_k, e_v = (
        affine(r, UNIT * r, d, "Q"),
        affine(reach, UNIT * reach, d, "K"),
        affine(reach, UNIT * reach, d, "V"),
    )
    score = (
        queries * e_k + e_q * keys + e_q * e_k + _gamma(h + 4) * (queries + e_q) * (keys + e_k)
    ) / np.sqrt(h)
    inexact = float(semantics.eps_exp) + UNIT
    theta = score + 2 * UNIT * (queries * keys / np.sqrt(h) + score) + inexact / (1 - inexact)
    kappa, alpha = (1 + UNIT) ** 2 / (1 - _gamma(n)) - 1, 3 * float(semantics.eta_exp)
    e_z = (1 + kappa) * (e_v + _gamma(n) * (values + e_v))
    bias_o, bias_u = float(np.linalg.norm(b["O"])), float(np.linalg.norm(model.bias("unembed.b_U")))
    moved, added = (1 + kappa) * values, bias_o + (1 + UNIT) * r
    e_y = UNIT * r + e_z * size["O"] + _gamma(h + 2) * ((moved + e_z) * size["O"] + added)
    y = moved * size["O"] + bias_o + r
    apart = 2 * _largest((unembed - unembed.mean(axis=1, keepdims=True)).T)
    last = e_y * apart + 2 * _gamma(d + 1) * ((y + e_y) * _largest(unembed.T) + bias_u)
    direct = (r + bias_o) * apart + 2 * bias_u
    error = kappa * direct + n * alpha * (values * size["O"] * apart + direct) + last
    share = 1 - kappa - n * alpha
    stages = {
        "scores": float(score),
        "mixed": float(e_z),
        "residual": float(e_y),
        "logits": float(error),
    }
    bracket = float(error / share) if share > 0 else np.inf
    return Slack(float(theta), bracket, float(share), stages)
