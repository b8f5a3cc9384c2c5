"""The numbers of SPEC-12.3, read off the page line by line in exact fractions; nothing is shared
with `checker/`.

``exact`` rounds nothing but roots, and those down; ``rounded`` rounds every named number up, as the
page allows.  Every
number grows with those above it, so what the checker finds has to lie between the two.  (Of the
mean of the unembedding's
columns the page says nothing: any row is sound.  Here it is rounded down to the scale of the
weights.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, isqrt
from typing import Any

from models import ATTENTION, Model, filled, shapes

Vector = list[Fraction]
Rows = list[Vector]
U, TINY = Fraction(1, 2**24), Fraction(1, 2**100)
BITS = 200


@dataclass(frozen=True)
class Bounds:
    """What SPEC-12.3 names, by its names; ``root``: sqrt(d_head), on the side that makes the width
    safe.
    """

    r: Fraction
    e_q: Fraction
    e_k: Fraction
    e_v: Fraction
    D: Fraction
    theta: Fraction
    kappa: Fraction
    alpha: Fraction
    e_z: Fraction
    e_y: Fraction
    P: Fraction
    G: Fraction
    B: Fraction
    rho: Fraction
    root: Fraction
    largest: Fraction

    @property
    def width(self) -> Fraction:
        """Return by how much a score may be lower, before the division by sqrt(d_head).
        (SPEC-12.5)
        """
        return 2 * self.theta * self.root


def weights_of(model: Model) -> dict[str, Rows]:
    """Return the weights by their short names as rows of fractions; absent biases are zero."""

    def exact(part: Any) -> Any:
        return [exact(x) for x in part] if isinstance(part, list) else Fraction(part)

    found = {}
    for name, shape in shapes(model.config).items():
        value = exact(model.tensors.get(name) or filled(shape, Fraction))
        rows = value[0] if name.startswith(ATTENTION) and len(shape) == 3 else value
        found[name.rpartition(".")[2]] = rows if isinstance(rows[0], list) else [rows]
    return found


def times(x: Vector, w: Rows) -> Vector:
    """Return a row times a matrix."""
    return [
        sum((a * b for a, b in zip(x, column, strict=True)), Fraction(0))
        for column in zip(*w, strict=True)
    ]


def plus(a: Vector, b: Vector) -> Vector:
    """Return the sum of two rows."""
    return [x + y for x, y in zip(a, b, strict=True)]


def minus(a: Vector, b: Vector) -> Vector:
    """Return the difference of two rows."""
    return [x - y for x, y in zip(a, b, strict=True)]


def root_of(value: Fraction, bits: int, *, up: bool) -> Fraction:
    """Return the square root, rounded to a multiple of 2^-bits."""
    below = isqrt((value.numerator << 2 * bits) // value.denominator)
    return Fraction(
        below + (up and below * below * value.denominator != value.numerator << 2 * bits), 1 << bits
    )


def size(row: Sequence[Fraction]) -> Fraction:
    """Return the Euclidean norm, rounded down."""
    return root_of(sum((x * x for x in row), Fraction(0)), BITS, up=False)


def gamma(k: int) -> Fraction:
    """Return gamma_k."""
    return k * U / (1 - k * U)


def exact(model: Model, eps: Fraction, eta: Fraction) -> Bounds:
    """Return the bounds with nothing rounded up."""
    return _bounds(model, eps, eta, up=False)


def rounded(model: Model, eps: Fraction, eta: Fraction) -> Bounds:
    """Return the bounds with everything rounded up: norms to multiples of 2^-48, the others to
    multiples of 2^-96.
    """
    return _bounds(model, eps, eta, up=True)


def _bounds(model: Model, eps: Fraction, eta: Fraction, *, up: bool) -> Bounds:
    w = weights_of(model)
    n, d, h = (model.config[name] for name in ("n_ctx", "d_model", "d_head"))

    def short(value: Fraction) -> Fraction:
        return Fraction(-(-(value.numerator << 96) // value.denominator), 1 << 96) if up else value

    def norm(row: Sequence[Fraction]) -> Fraction:
        return root_of(sum((x * x for x in row), Fraction(0)), 48 if up else BITS, up=up)

    def frobenius(name: str) -> Fraction:
        return norm([x for row in w[name] for x in row])

    def most(rows: Sequence[Vector]) -> Fraction:
        return max(map(norm, rows))

    def affine(x: Fraction, e: Fraction, name: str, rows: int) -> Fraction:
        weight, bias = frobenius(f"W_{name}"), frobenius(f"b_{name}")
        return short(e * weight + gamma(rows + 1) * ((x + e) * weight + bias) + TINY)

    def token_and_place(name: str) -> Fraction:
        tokens = [plus(times(x, w[f"W_{name}"]), w[f"b_{name}"][0]) for x in w["W_E"]]
        return most(tokens) + most([times(x, w[f"W_{name}"]) for x in w["W_pos"]])

    ends = [plus(x, w["W_pos"][-1]) for x in w["W_E"]]
    r, R = most(ends), most(w["W_E"]) + most(w["W_pos"])
    Q = most([plus(times(x, w["W_Q"]), w["b_Q"][0]) for x in ends])
    K, Z = token_and_place("K"), token_and_place("V")
    columns = [list(column) for column in zip(*w["W_U"], strict=True)]
    unit = max(x.denominator for row in w["W_U"] for x in row)
    mean = [Fraction(floor(sum(row) * unit / len(row)), unit) for row in w["W_U"]]
    L, U_ = 2 * most([minus(column, mean) for column in columns]), most(columns)
    b = frobenius("b_U")
    root = root_of(Fraction(h), 64 if up else BITS, up=False)
    e_q, e_k, e_v = affine(r, U * r, "Q", d), affine(R, U * R, "K", d), affine(R, U * R, "V", d)
    moved = Q * e_k + e_q * K + e_q * e_k + gamma(h + 4) * (Q + e_q) * (K + e_k)
    D = short(moved / root + TINY)
    theta = D + 2 * U * (Q * K / root + D) + short((eps + U) / (1 - eps - U))
    kappa = short((1 + U) ** 2 / (1 - gamma(n))) - 1 + TINY
    alpha = 3 * eta
    z = (1 + kappa) * Z
    e_z = short((1 + kappa) * (e_v + gamma(n) * (Z + e_v)) + TINY)
    W_O, b_O = frobenius("W_O"), frobenius("b_O")
    e_y = U * r + short(e_z * W_O + gamma(h + 2) * ((z + e_z) * W_O + b_O + (1 + U) * r) + TINY)
    y = z * W_O + b_O + r
    P = e_y * L + 2 * (gamma(d + 1) * ((y + e_y) * U_ + b) + TINY)
    G = (r + frobenius("b_O")) * L + 2 * b
    B = kappa * G + n * alpha * (Z * frobenius("W_O") * L + G) + P
    reached = [(1 + U) * R * frobenius(f"W_{a}") + frobenius(f"b_{a}") for a in "QKV"]
    reached += [(1 + U) * R, (Q + e_q) * (K + e_k), 2 * (Q * K + D), z + e_z]
    reached += [y + e_y, (y + e_y) * U_ + b]
    above = root + Fraction(1, 1 << 64) if up else root
    rho = 1 - kappa - n * alpha
    return Bounds(
        r, e_q, e_k, e_v, D, theta, kappa, alpha, e_z, e_y, P, G, B, rho, above, max(reached)
    )
