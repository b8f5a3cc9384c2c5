"""Estimates of how far a float32 execution of a wide model may be from the reals.

Source: SPEC-16.12 to SPEC-16.14, with norms in float64.  An estimate only helps a strategy to
        choose; the checker derives its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certify.cells.scaled import Array
from certify.model.file import Model
from certify.question.float32 import Float32, require_no_float64
from certify.wide.tables import norm_of

UNIT = 2.0**-24


@dataclass(frozen=True, slots=True)
class Slack:
    """By how much a log-weight of each head may be off, and what must be added to a bracket.

    Under a final norm ``bracket`` is that of what is read, not yet divided.
    """

    thetas: tuple[float, ...]
    bracket: float = 0.0


@dataclass(frozen=True, slots=True)
class _Computed:
    """Bounds on the norm of a row, and on its error."""

    norm: float
    error: float

    @property
    def reached(self) -> float:
        return self.norm + self.error


@dataclass(frozen=True, slots=True)
class _Normalisation:
    """One normalisation of rows of ``width`` numbers, with max |w| and |b|."""

    width: int
    factor: float
    shift: float

    def centring(self, x: _Computed) -> float:
        """Return e_c."""
        return x.error + _gamma(self.width + 4) * x.reached

    def row(self, moved: float) -> _Computed:
        """Return N and e_m."""
        root = float(np.sqrt(self.width))
        error = moved + _gamma(self.width + 8) * root
        rounded = _gamma(2) * (self.factor * (root + error) + self.shift)
        return _Computed(self.factor * root + self.shift, self.factor * error + rounded)


def _gamma(k: int) -> float:
    return k * UNIT / (1 - k * UNIT)


def _norm(part: Array) -> float:
    return float(np.linalg.norm(part))


def _largest(rows: Array) -> float:
    return float(np.linalg.norm(rows, axis=-1).max())


def _apart(columns: Array) -> float:
    """Return a bound on the norm of the difference of two columns."""
    return 2 * _largest((columns - columns.mean(axis=1, keepdims=True)).T)


def _image(x: _Computed, weight: Array, bias: Array) -> _Computed:
    """Return what becomes of rows through a map, by norms of its weights."""
    size, shift = _norm(weight), _norm(bias)
    rounded = _gamma(len(weight) + 1) * (x.reached * size + shift)
    return _Computed(x.norm * size + shift, x.error * size + rounded)


def _normalisation(model: Model, name: str) -> _Normalisation:
    w, b = norm_of(model, name)
    return _Normalisation(model.config.d_model, float(np.abs(w).max()), _norm(b))


def _read(model: Model, residual: _Computed) -> _Computed:
    """Return the rows that attention reads under a norm; infinite where one may be constant."""
    own = _normalisation(model, "blocks.0.ln1")
    rows = model.tensor("embed.W_E")[None] + model.tensor("pos_embed.W_pos")[:, None]
    variance = rows.var(axis=-1) + model.config.variance_offset
    moved = own.centring(residual)
    least = float(np.sqrt(variance.min())) - moved / np.sqrt(own.width)
    return own.row(moved / least if least > 0 else np.inf)


def slack(model: Model, semantics: Float32 | None, largest: float = 1.0) -> Slack:
    """Return theta of every head and B; nothing in real arithmetic.

    ``largest``: S_high of a model with a final norm.
    Errors:   ``Unsupported`` naming a float64 tensor.
    """
    config = model.config
    if semantics is None:
        return Slack((0.0,) * config.n_heads)
    require_no_float64(model)
    n, h = config.n_ctx, config.d_head
    embed, position = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    asked = embed + position[-1]
    r, reach = _largest(asked), _largest(embed) + _largest(position)
    x = _Computed(reach, UNIT * reach)
    normed = config.normalization_type is not None
    if normed:
        x = _read(model, x)
    kappa = (1 + UNIT) ** 2 / (1 - _gamma(n)) - 1
    alpha, inexact = 3 * float(semantics.eta_exp), float(semantics.eps_exp) + UNIT
    bias = _norm(model.bias("blocks.0.attn.b_O"))
    thetas, moved, sums, norm = [], UNIT * r, bias + (1 + UNIT) * r, bias + r
    for head in range(config.n_heads):
        w = {letter: model.tensor(f"blocks.0.attn.W_{letter}")[head] for letter in "QKVO"}
        b = {letter: model.bias(f"blocks.0.attn.b_{letter}")[head] for letter in "QKV"}
        query, key, value = (_image(x, w[letter], b[letter]) for letter in "QKV")
        if not normed:
            last = _image(_Computed(r, UNIT * r), w["Q"], b["Q"])
            query = _Computed(_largest(asked @ w["Q"] + b["Q"]), last.error)
            key, value = (
                _Computed(
                    _largest(embed @ w[letter] + b[letter]) + _largest(position @ w[letter]),
                    crude.error,
                )
                for letter, crude in (("K", key), ("V", value))
            )
        dots = query.norm * key.error + query.error * key.reached
        score = (dots + _gamma(h + 4) * query.reached * key.reached) / np.sqrt(h)
        subtracted = 2 * UNIT * (query.norm * key.norm / np.sqrt(h) + score)
        thetas.append(float(score + subtracted + inexact / (1 - inexact)))
        lost = (kappa + 2 * n * alpha) * value.norm
        e_z = (1 + kappa) * (value.error + _gamma(n) * value.reached) + lost
        output = _norm(w["O"])
        moved += e_z * output
        sums += (value.norm + e_z) * output
        norm += value.norm * output
    y = _Computed(norm, moved + _gamma(config.n_heads * h + 2) * sums)
    return Slack(tuple(thetas), _drift(model, y, largest))


def _drift(model: Model, y: _Computed, largest: float) -> float:
    """Return B of a model whose residual is y before it is read."""
    config, d = model.config, model.config.d_model
    unembed, b_U = model.tensor("unembed.W_U"), _norm(model.bias("unembed.b_U"))
    apart, longest = _apart(unembed), _largest(unembed.T)
    if config.normalization_type is not None:
        own = _normalisation(model, "ln_final")
        w, b = norm_of(model, "ln_final")
        beta = b @ unembed + model.bias("unembed.b_U")
        moved, m = own.centring(y), own.row(0.0)
        rounded = m.error * apart + 2 * _gamma(d + 1) * (m.reached * longest + b_U)
        wider = np.sqrt(d) * moved
        known = d * moved * _apart(w[:, None] * unembed) + wider * np.ptp(beta)
        return float(known + (largest + wider) * rounded)
    if config.attn_only:
        return y.error * apart + 2 * _gamma(d + 1) * (y.reached * longest + b_U)
    W_in, W_out = (model.tensor(f"blocks.0.mlp.{name}") for name in ("W_in", "W_out"))
    b_in, b_out = (model.bias(f"blocks.0.mlp.{name}") for name in ("b_in", "b_out"))
    pre = _image(y, W_in, b_in)
    f = pre.reached * _norm(W_out) + _norm(b_out) + y.reached
    e_f = _gamma(len(W_out) + 2) * f
    moved = pre.error * _apart(W_out @ unembed) + (y.error + e_f) * apart
    return moved + 2 * _gamma(d + 1) * ((f + e_f) * longest + b_U)
