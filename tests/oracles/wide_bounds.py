"""The numbers of SPEC-16.12 to SPEC-16.14, read off the page line by line in exact fractions;
nothing is shared with `checker/`.

``up`` rounds every named number up, as the page allows; else nothing is rounded but roots, and
those so that no number grows.  What the checker finds has to be the first and at least the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, prod
from typing import Any

from models import Model
from norm_bounds import BITS, TINY, Rows, U, Vector, gamma, minus, plus, root_of, times

ATTENTION, MLP = "blocks.0.attn.", "blocks.0.mlp."
ZERO = Fraction(0)


@dataclass(frozen=True)
class Row:
    """X and e: a bound on the norm of an exact row, and on the error of the computed one."""

    norm: Fraction
    error: Fraction

    @property
    def reached(self) -> Fraction:
        return self.norm + self.error


@dataclass(frozen=True)
class Bounds:
    """What the pages name; ``read``: the rows of norm N before attention, ``centred`` and ``end``:
    e_c and the row at the end, ``wider``: sqrt(d) e_c there; ``squares``: of what is squared, and
    eps.
    """

    thetas: list[Fraction]
    read: Row | None
    y: Row
    centred: Fraction
    end: Row | None
    wider: Fraction
    B: Fraction
    largest: Fraction
    squares: Fraction
    root: Fraction

    def width(self, head: int) -> Fraction:
        """Return by how much a score may be lower, before the division by sqrt(d_head)."""
        return 2 * self.thetas[head] * self.root


class Page:
    """The pages' arithmetic, rounded up or not."""

    def __init__(
        self, model: Model, exp: tuple[Fraction, Fraction], reach: Fraction, *, up: bool
    ) -> None:
        """Set up; ``reach``: S_high of a model with a final norm."""
        self.model, self.up, self.reach = model, up, reach
        self.eps, self.eta = exp
        self.d = model.config["d_model"]

    def short(self, value: Fraction) -> Fraction:
        ceiled = Fraction(-(-(value.numerator << 96) // value.denominator), 1 << 96)
        return ceiled if self.up else value

    def norm(self, row: Sequence[Fraction]) -> Fraction:
        return root_of(sum((x * x for x in row), ZERO), 48 if self.up else BITS, up=self.up)

    def most(self, rows: Rows) -> Fraction:
        return max(map(self.norm, rows))

    def frobenius(self, rows: Rows) -> Fraction:
        return self.norm([x for row in rows for x in row])

    def apart(self, rows: Rows, *factors: Rows) -> Fraction:
        """Return L of a matrix; the mean column is rounded down to the unit of its scale, which is
        that of its factors.
        """
        unit = prod(max(x.denominator for row in one for x in row) for one in factors or (rows,))
        mean = [Fraction(floor(sum(row) * unit / len(row)), unit) for row in rows]
        return 2 * self.most([minus(list(column), mean) for column in zip(*rows, strict=True)])

    def root(self, value: int) -> Fraction:
        """Return a square root, rounded up to 2^-64."""
        if not self.up:
            return root_of(Fraction(value), BITS, up=False)
        return root_of(Fraction(value), 64, up=False) + Fraction(1, 1 << 64)

    def affine(self, x: Row, weight: Rows, bias: Vector) -> Row:
        """Return the image of a row, with A as its error."""
        size, shift = self.frobenius(weight), self.norm(bias)
        rounded = gamma(len(weight) + 1) * (x.reached * size + shift) + TINY
        return Row(x.norm * size + shift, self.short(x.error * size + rounded))

    def tensor(self, name: str, head: int | None = None) -> Any:
        """Return a tensor, or a head's part of it; an absent one is zero."""
        found = self.model.tensors.get(name)
        if found is None:
            sizes = self.model.config
            width = {"b_O": "d_model", "b_out": "d_model", "b_in": "d_mlp", "b_U": "d_vocab_out"}
            return [ZERO] * sizes[width.get(name.rpartition(".")[2], "d_head")]
        found = found if head is None else found[head]
        return _exact(found)

    def norm_vectors(self, name: str) -> tuple[Vector, Vector]:
        """Return w and b."""
        if self.model.config["normalization_type"] == "LN":
            return self.tensor(f"{name}.w"), self.tensor(f"{name}.b")
        return [Fraction(1)] * self.d, [ZERO] * self.d

    @property
    def variance_offset(self) -> Fraction:
        return Fraction(float.fromhex(self.model.config["eps"]))

    def centring(self, x: Row) -> Fraction:
        return self.short(x.error + gamma(self.d + 4) * x.reached + TINY)

    def normed(self, name: str, moved: Fraction) -> Row:
        """Return N and e_m."""
        w, b = self.norm_vectors(name)
        factor: Fraction = max(map(abs, w))
        shift, root = self.norm(b), self.root(self.d)
        e_n = moved + gamma(self.d + 8) * root + TINY
        e_m = factor * e_n + gamma(2) * (factor * (root + e_n) + shift) + TINY
        return Row(factor * root + shift, self.short(e_m))

    def least_deviation(self) -> Fraction:
        """Return sigma_min."""
        embed, positions = self.tensor("embed.W_E"), self.tensor("pos_embed.W_pos")
        found: list[Fraction] = []
        for place in positions:
            for token in embed:
                x = plus(token, place)
                mean = sum(x, ZERO) / self.d
                variance = sum(((v - mean) ** 2 for v in x), ZERO) / self.d
                # d sigma is rounded down, to 2^-96
                square = self.d**2 * (variance + self.variance_offset)
                bits = 96 if self.up else BITS
                found.append(root_of(square, bits, up=not self.up) / self.d)
        return min(found)


def _exact(part: Any) -> Any:
    return [_exact(x) for x in part] if isinstance(part, list) else Fraction(part)


def bounds(
    model: Model, exp: tuple[Fraction, Fraction], reach: Fraction = ZERO, *, up: bool
) -> Bounds:
    """Return what the pages say of a model; ``reach``: S_high."""
    page = Page(model, exp, reach, up=up)
    config, d = model.config, page.d
    n, h, heads = config["n_ctx"], config["d_head"], config["n_heads"]
    eps, eta = exp
    embed, positions = page.tensor("embed.W_E"), page.tensor("pos_embed.W_pos")
    ends = [plus(x, positions[-1]) for x in embed]
    r, R = page.most(ends), page.most(embed) + page.most(positions)
    x = Row(R, U * R)
    largest = [(1 + U) * R]
    squares, read = ZERO, None
    if config["normalization_type"]:
        e_c = page.centring(x)
        squares = (R + e_c) ** 2 + page.variance_offset
        over = e_c * page.root(d) / d
        read = x = page.normed("blocks.0.ln1", e_c / (page.least_deviation() - over))
        largest.append(x.reached)
    kappa = page.short((1 + U) ** 2 / (1 - gamma(n))) - 1 + TINY
    alpha = 3 * eta
    down = root_of(Fraction(h), 64 if up else BITS, up=False)
    b_O = page.norm(page.tensor(f"{ATTENTION}b_O"))
    thetas, s, moved, norm = [], b_O + (1 + U) * r, U * r, b_O + r
    for head in range(heads):
        w = {a: page.tensor(f"{ATTENTION}W_{a}", head) for a in "QKVO"}
        b = {a: page.tensor(f"{ATTENTION}b_{a}", head) for a in "QKV"}
        query, key, value = (page.affine(x, w[a], b[a]) for a in "QKV")
        if read is None:
            asked = page.most([plus(times(row, w["Q"]), b["Q"]) for row in ends])
            query = Row(asked, page.affine(Row(r, U * r), w["Q"], b["Q"]).error)
            key, value = (
                Row(
                    page.most([plus(times(row, w[a]), b[a]) for row in embed])
                    + page.most([times(row, w[a]) for row in positions]),
                    crude.error,
                )
                for a, crude in (("K", key), ("V", value))
            )
        dots = query.norm * key.error + query.error * key.norm + query.error * key.error
        D = page.short((dots + gamma(h + 4) * query.reached * key.reached) / down + TINY)
        inexact = page.short((eps + U) / (1 - eps - U))
        thetas.append(D + 2 * U * (query.norm * key.norm / down + D) + inexact)
        rounded = (1 + kappa) * value.error + gamma(n) * (1 + kappa) * value.reached + TINY
        e_z = page.short(page.short(rounded) + (kappa + 2 * n * alpha) * value.norm)
        W_O = page.frobenius(w["O"])
        s += (value.norm + e_z) * W_O
        moved += e_z * W_O
        norm += value.norm * W_O
        largest += [x.reached * page.frobenius(w[a]) + page.norm(b[a]) for a in "QKV"]
        largest += [query.reached * key.reached, 2 * (query.norm * key.norm + D)]
        largest.append(value.norm + e_z)
    y = Row(norm, page.short(moved + gamma(heads * h + 2) * s + TINY))
    largest += [s + y.error, y.reached]
    ended = _after(page, y, largest)
    if read is not None:
        squares = max(squares, (y.norm + ended[0]) ** 2 + page.variance_offset)
    return Bounds(thetas, read, y, *ended, max(largest), squares, page.root(h))


def _after(
    page: Page, y: Row, largest: list[Fraction]
) -> tuple[Fraction, Row | None, Fraction, Fraction]:
    """Return e_c and the row at the end, sqrt(d) e_c, and B."""
    config, d = page.model.config, page.d
    unembed, b_U = page.tensor("unembed.W_U"), page.tensor("unembed.b_U")
    columns = [list(column) for column in zip(*unembed, strict=True)]
    longest, b, L = page.most(columns), page.norm(b_U), page.apart(unembed)

    def logits(norm: Fraction) -> Fraction:
        largest.append(norm * longest + b)
        return gamma(d + 1) * (norm * longest + b) + TINY

    if config["normalization_type"]:
        w, shift = page.norm_vectors("ln_final")
        e_c, end = page.centring(y), page.normed("ln_final", ZERO)
        largest.append(end.reached)
        P = end.error * L + 2 * logits(end.reached)
        scaled = [[f * x for x in row] for f, row in zip(w, unembed, strict=True)]
        beta = plus(times(shift, unembed), b_U)
        low, high = min(beta), max(beta)
        if page.up:  # over 2^-96, outward
            low, high = (
                Fraction(floor(low * 2**96), 2**96),
                -Fraction(floor(-high * 2**96), 2**96),
            )
        wider = page.root(d) * e_c
        if page.up:
            ceiled = Fraction(-floor(-wider * 2**96), 2**96)
            reach = page.reach + ceiled
        else:
            reach = page.reach + wider
        B = d * e_c * page.apart(scaled, [w], unembed) + wider * (high - low) + reach * P
        return e_c, end, wider, B
    if config["attn_only"]:
        return ZERO, None, ZERO, y.error * L + 2 * logits(y.reached)
    W_in, W_out = page.tensor(f"{MLP}W_in"), page.tensor(f"{MLP}W_out")
    b_in, b_out = page.tensor(f"{MLP}b_in"), page.tensor(f"{MLP}b_out")
    pre = page.affine(y, W_in, b_in)
    f = pre.reached * page.frobenius(W_out) + page.norm(b_out) + y.reached
    e_f = page.short(gamma(len(W_out) + 2) * f + TINY)
    largest += [y.reached * page.frobenius(W_in) + page.norm(b_in), pre.reached, f + e_f]
    M = [times(row, unembed) for row in W_out]
    last = page.short(logits(f + e_f))
    return (
        ZERO,
        None,
        ZERO,
        pre.error * page.apart(M, W_out, unembed) + (y.error + e_f) * L + 2 * last,
    )
