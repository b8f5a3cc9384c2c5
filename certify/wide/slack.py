"""Estimates of how far a float32 execution of several heads may be from the reals.

Source: SPEC-16.12, with norms in float64.  An estimate only helps a strategy to choose; the checker
        derives its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certify.cells.scaled import Array
from certify.model.file import Model
from certify.question.float32 import Float32, require_no_float64

UNIT = 2.0**-24


@dataclass(frozen=True, slots=True)
class Slack:
    """By how much a log-weight of each head may be off, and what must be added to a bracket."""

    thetas: tuple[float, ...]
    bracket: float = 0.0


def _gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


def _largest(rows: Array) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


def slack(model: Model, semantics: Float32 | None) -> Slack:
    """Return theta of every head and B; nothing in real arithmetic.

    Requires: no MLP, no normalisation.
    Errors:   ``Unsupported`` naming a float64 tensor.
    """
    config = model.config
    if semantics is None:
        return Slack((0.0,) * config.n_heads)
    require_no_float64(model)
    n, d, h = config.n_ctx, config.d_model, config.d_head
    embed, position = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    unembed, b_U = model.tensor("unembed.W_U"), model.bias("unembed.b_U")
    weights = {letter: model.tensor(f"blocks.0.attn.W_{letter}") for letter in "QKVO"}
    biases = {letter: model.bias(f"blocks.0.attn.b_{letter}") for letter in "QKVO"}
    r, reach = _largest(embed + position[-1]), _largest(embed) + _largest(position)
    kappa = (1 + UNIT) ** 2 / (1 - _gamma(n)) - 1
    alpha, inexact = 3 * float(semantics.eta_exp), float(semantics.eps_exp) + UNIT
    bias = float(np.linalg.norm(biases["O"]))
    thetas, moved, sums, norm = [], UNIT * r, bias + (1 + UNIT) * r, bias + r
    for head in range(config.n_heads):
        w = {letter: weights[letter][head] for letter in "QKVO"}
        b = {letter: biases[letter][head] for letter in "QKV"}
        size = {letter: float(np.linalg.norm(w[letter])) for letter in w}
        errors = {}
        for letter, x in (("Q", r), ("K", reach), ("V", reach)):
            computed = (1 + UNIT) * x * size[letter] + float(np.linalg.norm(b[letter]))
            errors[letter] = UNIT * x * size[letter] + _gamma(d + 1) * computed
        queries = _largest((embed + position[-1]) @ w["Q"] + b["Q"])
        keys, values = (
            _largest(embed @ w[letter] + b[letter]) + _largest(position @ w[letter])
            for letter in "KV"
        )
        e_q, e_k, e_v = (errors[letter] for letter in "QKV")
        dots = queries * e_k + e_q * keys + e_q * e_k
        score = (dots + _gamma(h + 4) * (queries + e_q) * (keys + e_k)) / np.sqrt(h)
        subtracted = 2 * UNIT * (queries * keys / np.sqrt(h) + score)
        thetas.append(float(score + subtracted + inexact / (1 - inexact)))
        e_z = (1 + kappa) * (e_v + _gamma(n) * (values + e_v)) + (kappa + 2 * n * alpha) * values
        moved += e_z * size["O"]
        sums += (values + e_z) * size["O"]
        norm += values * size["O"]
    e_y = moved + _gamma(config.n_heads * h + 2) * sums
    apart = 2 * _largest((unembed - unembed.mean(axis=1, keepdims=True)).T)
    rounding = _gamma(d + 1) * ((norm + e_y) * _largest(unembed.T) + float(np.linalg.norm(b_U)))
    return Slack(tuple(thetas), float(e_y * apart + 2 * rounding))
