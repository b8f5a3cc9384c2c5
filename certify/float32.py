"""The float32 semantics: what a statement assumes of exp, and estimates of how far an execution may
be from the reals.

Source: SPEC 12, with norms in float64.  An estimate only helps a strategy to choose; the checker
        derives its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.model import Model

NAME = "float32:any-order"
UNIT = 2.0**-24
EPS_EXP, ETA_EXP = Fraction(1, 1 << 22), Fraction(1, 1 << 126)
LEAST_EPS, LEAST_ETA, MOST = Fraction(1, 1 << 25), Fraction(1, 1 << 149), Fraction(1, 1 << 6)


@dataclass(frozen=True, slots=True)
class Float32:
    """Executions in float32 with sums in any order, and an exp with |exp(d) - e^d| <= eps_exp e^d +
    eta_exp for d <= 0.

    Defaults: 2^-22, an error of two units in the last place; 2^-126, subnormal results that are
    worth nothing.
    Errors:   ``Unsupported`` for an error that the checker does not accept.
    """

    eps_exp: Fraction = EPS_EXP
    eta_exp: Fraction = ETA_EXP

    def __post_init__(self) -> None:
        if not LEAST_EPS <= self.eps_exp <= MOST:
            raise Unsupported(f"eps_exp is {self.eps_exp}, supported are 2^-25 to 1/64")
        if not LEAST_ETA <= self.eta_exp <= MOST:
            raise Unsupported(f"eta_exp is {self.eta_exp}, supported are 2^-149 to 1/64")

    def statement(self) -> dict[str, str]:
        """Return the fields of a statement."""
        return {
            key: f"{x.numerator}/{x.denominator}"
            for key, x in (("eps_exp", self.eps_exp), ("eta_exp", self.eta_exp))
        }


def require_no_float64(model: Model) -> None:
    """Refuse a model that no float32 program holds.

    Errors: ``Unsupported`` naming a tensor.
    """
    for name, tensor in model.tensors.items():
        if tensor.dtype == np.float64:
            raise Unsupported(f"{NAME}: tensor {name} is stored in float64")


def _gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


def _largest(rows: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(rows, axis=1).max())


@dataclass(frozen=True, slots=True)
class Slack:
    """By how much a log-weight may be off, and what must be added to a bracket.

    ``stages``: the errors of scores, of attention's mix of values and of the residual (norms), and
    of the difference of
    two logits, each if what it is computed from before the weights' error is exact.
    """

    theta: float = 0.0
    bracket: float = 0.0
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
    return Slack(float(theta), float(error / share) if share > 0 else np.inf, stages)
