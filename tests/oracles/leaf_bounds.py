"""Balls of SPEC-14.3 to SPEC-14.6, read off the page a second time: middles and radii of every
logit.

Nothing is shared with `checker/`, but two functions are handed in whose results the page leaves
open within bounds: lower bounds on exp, and an integer near sqrt(8/pi).  Everything that is floored
is written as the floor of a fraction, so that each term of each radius is a term of a sum here, at
its place on the page.  (Queries, keys and values of all heads are one image: they have one radius.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, isqrt
from typing import Any

import networks
from models import Model

Rows = list[list[Fraction]]
Weigh = Callable[[list[int], int], tuple[list[int], int]]
Slope = Callable[[int], int]


@dataclass(frozen=True)
class Ball:
    """Middles and a radius in units of ``2^-precision``."""

    middles: list[int]
    radius: int

    @property
    def top(self) -> int:
        """Return the largest absolute value of a middle."""
        return max(map(abs, self.middles))


@dataclass(frozen=True)
class Seen:
    """Queries, keys and values of one position, per head, and their radius."""

    queries: list[list[int]]
    keys: list[list[int]]
    values: list[list[int]]
    radius: int

    @property
    def size(self) -> int:
        """Return the largest sum of absolute middles of a query or key."""
        return max(sum(map(abs, row)) for row in self.queries + self.keys)

    @property
    def top(self) -> int:
        """Return the largest absolute value of a middle of the values."""
        return max(abs(value) for row in self.values for value in row)


def plus(a: Ball, b: Ball) -> Ball:
    """Return the sum: middles and radii."""
    return Ball([x + y for x, y in zip(a.middles, b.middles, strict=True)], a.radius + b.radius)


class Reading:
    """A model at one precision."""

    def __init__(self, model: Model, precision: int, weigh: Weigh, slope: Slope) -> None:
        self.model, self.config, self.p = model, model.config, precision
        self.every = model.every
        self.weigh, self.slope = weigh, slope
        self.u = Fraction(1, 2**precision)
        hidden = len(model.tensors["head.W_1"][0]) if "head.W_1" in model.tensors else 1
        self.shapes = {name: shape for name, shape, _ in networks.shapes(model.config, hidden)}

    # --- weights ------------------------------------------------------------------

    def matrix(self, name: str) -> list[Rows]:
        """Return a tensor as a list of matrices, one for each head; what is absent is zero."""
        shape, value = self.shapes[name], self.model.tensors.get(name)
        nested: Any = _zeros(shape) if value is None else _exact(value)
        for _ in range(3 - len(shape)):
            nested = [nested]
        return nested  # type: ignore[no-any-return]

    def scale(self, name: str) -> int:
        """Return how many fractional bits the finest entry has."""
        values = [v for rows in self.matrix(name) for row in rows for v in row]
        return max(v.denominator.bit_length() - 1 for v in values)

    # --- the maps of 14.3 ---------------------------------------------------------

    def affine(self, ball: Ball, *names: str, heads: bool = False) -> Ball:
        """Return ``floor(X W + b)`` with its radius, for weights side by side."""
        biases = [name.replace("W_", "b_") for name in names]
        scale = max(map(self.scale, (*names, *biases)))
        s = 8 * -(-min(scale, self.p) // 8)

        def cut(v: Fraction) -> Fraction:
            return Fraction(floor(v * 2**s), 2**s)

        columns, offsets = [], []
        for name, bias in zip(names, biases, strict=True):
            stack, added = self.matrix(name), self.matrix(bias)
            if not heads:
                # One matrix, whose rows are those of all heads one below the other.
                stack = [[row for rows in stack for row in rows]]
            columns += [
                [cut(v) for v in column] for rows in stack for column in zip(*rows, strict=True)
            ]
            offsets += [cut(v) for rows in added for row in rows for v in row]
        d, X, r = len(ball.middles), ball.middles, ball.radius
        norm = max(sum(abs(v) * 2**s for v in column) for column in columns)
        e = d * (ball.top + r) + 2**self.p if scale > s else 0
        radius = floor((r * norm + e) / Fraction(2**s)) + 2
        middles = [
            floor(sum((x * w for x, w in zip(X, column, strict=True)), Fraction(0)) + b * 2**self.p)
            for column, b in zip(columns, offsets, strict=True)
        ]
        return Ball(middles, radius)

    # --- normalisation, 14.6 ------------------------------------------------------

    def normal(self, name: str, ball: Ball) -> Ball:
        kind = self.config["normalization_type"]
        if kind is None:
            return ball
        d, X, r, u = len(ball.middles), ball.middles, ball.radius, self.u
        eps = Fraction(float.fromhex(self.config["eps"]))
        N = [d * x - sum(X) for x in X]
        R = isqrt(floor(Fraction(sum(v * v for v in N), d)) + floor(d * d * eps / u**2))
        t, M = isqrt(d) + 1, max(map(abs, N))
        if d * r < R:
            middles = [floor(Fraction(v) / (R * u)) for v in N]
            radius = floor((d * r * (2 * R + M) + 2 * M) / (R * (R - d * r) * u)) + 2
        else:
            middles, radius = [0] * d, t * 2**self.p
        if kind == "LNPre":
            return Ball(middles, radius)
        ((w,),), ((b,),) = self.matrix(f"{name}.w"), self.matrix(f"{name}.b")
        scaled = [floor(y * v) + floor(c / u) for y, v, c in zip(middles, w, b, strict=True)]
        return Ball(scaled, floor(radius * max(map(abs, w))) + 3)

    # --- attention, 14.4 ----------------------------------------------------------

    def project(self, block: str, ball: Ball) -> Seen:
        x = self.normal(f"{block}ln1", ball)
        image = self.affine(x, *(f"{block}attn.W_{which}" for which in "QKV"), heads=True)
        D, H = self.config["d_head"], self.config["n_heads"]

        cut = [image.middles[at : at + D] for at in range(0, 3 * H * D, D)]
        return Seen(cut[:H], cut[H : 2 * H], cut[2 * H :], image.radius)

    def delta(self, own: Seen, seen: Sequence[Seen]) -> int:
        """Return by how much a score may be wrong."""
        D, u = int(self.config["d_head"]), self.u
        R = isqrt(floor(Fraction(4**self.p, D)))
        K, Q = max(other.size for other in seen), own.size
        rho, r = max(other.radius for other in seen), own.radius
        whole: int = floor(((r * (K + D * rho) + rho * Q) * (R + 1) + Q * K) * u**2)
        return whole + 2

    def attention(self, own: Seen, seen: Sequence[Seen]) -> Ball:
        D, u, n = self.config["d_head"], self.u, len(seen)
        c = Fraction(float.fromhex(self.config.get("attention_mix", "0x1.0p+0")))
        R = isqrt(floor(Fraction(4**self.p, D)))
        delta = self.delta(own, seen)
        V, rho = max(other.top for other in seen), max(other.radius for other in seen)
        found, radii = [], []
        for head, query in enumerate(own.queries):
            dots = [
                sum(a * b for a, b in zip(query, other.keys[head], strict=True)) for other in seen
            ]
            S = [floor(dot * R * u**2) for dot in dots]
            w, e = self.weigh([max(S) - s for s in S], self.p)
            A = [floor(c * floor(Fraction(v) / (sum(w) * u)) + (1 - c) / u) for v in w]
            E = min(Fraction(delta), Fraction(2) / u) + 2 * n * (e + 1)
            for k in range(D):
                found.append(
                    floor(
                        sum(a * other.values[head][k] for a, other in zip(A, seen, strict=True)) * u
                    )
                )
            radii.append(floor(((sum(A) + E) * rho + E * V) * u) + 2)
        return Ball(found, max(radii))

    # --- activations, 14.5 --------------------------------------------------------

    def active(self, function: str, ball: Ball) -> Ball:
        if function == "relu":
            return Ball([max(x, 0) for x in ball.middles], ball.radius)
        u, zs, blur = self.u, ball.middles, 0
        if function == "gelu_new":
            a = self.slope(self.p)
            b = floor(Fraction(44715 * a, 10**6))
            zs = [floor(x * (a + floor(b * x**2 * u**2)) * u) for x in zs]
            blur = 4 * floor(max(map(abs, zs)) * u) + 5
        weights, e = self.weigh([abs(z) for z in zs], self.p)
        middles = [
            floor(Fraction(x if z >= 0 else x * w * u) / (1 + w * u))
            for x, z, w in zip(ball.middles, zs, weights, strict=True)
        ]
        return Ball(middles, 2 * ball.radius + floor(ball.top * (e + blur) * u) + 2)

    # --- the network, 4.5 ---------------------------------------------------------

    def logits(self, tokens: Sequence[int]) -> list[Ball]:
        """Return the ball of the logits at every position that is read."""
        config, u = self.config, self.u
        (embed,), (places,) = self.matrix("embed.W_E"), self.matrix("pos_embed.W_pos")
        stream = [
            Ball([floor(e / u) + floor(q / u) for e, q in zip(embed[t], place, strict=True)], 2)
            for t, place in zip(tokens, places, strict=True)
        ]
        for block in (f"blocks.{layer}." for layer in range(config["n_layers"])):
            kept = [self.project(block, x) for x in stream]
            for i, own in enumerate(kept):
                seen = kept[: i + 1] if config["attention_dir"] == "causal" else kept
                x = plus(stream[i], self.affine(self.attention(own, seen), f"{block}attn.W_O"))
                if not config["attn_only"]:
                    inner = self.affine(self.normal(f"{block}ln2", x), f"{block}mlp.W_in")
                    x = plus(
                        x, self.affine(self.active(config["act_fn"], inner), f"{block}mlp.W_out")
                    )
                stream[i] = x
        stream = [self.normal("ln_final", x) for x in stream]
        readout = config.get("readout", "last")
        if readout == "last":
            read = stream if self.every else stream[-1:]
            return [self.affine(x, "unembed.W_U") for x in read]
        pooled = Ball([0] * config["d_model"], 0)
        for x in stream:
            pooled = plus(pooled, x)
        n = len(stream)
        if readout == "mean-pool-mlp":
            pooled = Ball(
                [floor(Fraction(v, n)) for v in pooled.middles],
                floor(Fraction(pooled.radius, n)) + 2,
            )
        return [self.affine(self.active("relu", self.affine(pooled, "head.W_1")), "head.W_2")]


def _exact(value: Any) -> Any:
    return [_exact(x) for x in value] if isinstance(value, list) else Fraction(value)


def _zeros(shape: Sequence[int]) -> Any:
    return [_zeros(shape[1:]) for _ in range(shape[0])] if shape else Fraction(0)
