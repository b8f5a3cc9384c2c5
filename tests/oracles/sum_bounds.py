"""What SPEC-13.3 to SPEC-13.6 prove of every input, read off the page a second time in exact
fractions.

Nothing is folded here: the network is run forward for each input, with the heads' weights on the
first token handed in, and every term of e is a term of a sum, at its place on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import addition
from adder_float32 import mix_of, weights_of
from models import Model
from norm_bounds import minus, plus, times

Vector = list[Fraction]
Rows = list[Vector]
Weight = Callable[[int, int, int], tuple[Fraction, Fraction]]
LEVELS = 64


@dataclass(frozen=True)
class Known:
    """What is proved of one input: its logits but for an error e of all differences."""

    gap: Fraction
    error: Fraction

    @property
    def outcome(self) -> tuple[int, int, int | None]:
        """Return the failures at least, at most, and a margin in units of 2^-20, for weight one."""
        if self.gap - self.error > 0:
            return 0, 0, floor((self.gap - self.error) * 2**20)
        return (1, 1, None) if self.gap + self.error <= 0 else (0, 1, None)


def spread(row: Sequence[Fraction]) -> Fraction:
    """Return rng, the largest entry minus the smallest."""
    return max(row) - min(row)


def matrix(written: dict[str, Any]) -> Rows:
    """Return a hinted matrix."""
    return [[x * Fraction(2) ** written["exponent"] for x in row] for row in written["rows"]]


class Page:
    """A model and a proof of sums.

    ``weight(h, a, b)``: an enclosure of the softmax weight of head h on the first token; ``unit``:
    that of the tables of 13.2; ``drift``: B of 13.7, or zero.
    """

    def __init__(
        self,
        model: Model,
        sums: dict[str, Any],
        weight: Weight,
        unit: Fraction,
        drift: Fraction,
    ) -> None:
        self.w, self.c, self.config = weights_of(model), mix_of(model), model.config
        self.sums, self.weight, self.unit, self.drift = sums, weight, unit, drift
        self.model = model
        self.M = [times(row, self.w["W_U"]) for row in self.w["W_out"]]
        self.heads = range(model.config["n_heads"] if self.c else 0)
        self.effects = [self.effect(h) for h in self.heads]
        if sums["rule"] != "exact":
            self.P, self.Q = matrix(sums["left"]), matrix(sums["right"])
            self.PQ = [times(row, self.Q) for row in self.P]
            self.R = [minus(row, other) for row, other in zip(self.M, self.PQ, strict=True)]
        if sums["rule"] == "switches":
            self.switches()

    def residual(self, token: int, place: int) -> Vector:
        return plus(self.w["W_E"][token], self.w["W_pos"][place])

    def written(self, head: int, token: int, place: int) -> Vector:
        """Return Z_hi of a token."""
        value = plus(times(self.residual(token, place), self.w["W_V"][head]), self.w["b_V"][head])
        return times(value, self.w["W_O"][head])

    def effect(self, head: int) -> Fraction:
        """Return L_h."""

        def f(z: Vector) -> Fraction:
            through = times(z, self.w["W_in"])
            moved = (abs(x) * spread(row) for x, row in zip(through, self.M, strict=True))
            return sum(moved, Fraction(0)) + spread(times(z, self.w["W_U"]))

        tokens = range(self.config["d_vocab"])
        of_place = [
            max(f([self.c * x for x in self.written(head, t, place)]) for t in tokens)
            for place in (0, 1)
        ]
        return of_place[0] + of_place[1]

    def run(self, a: int, b: int) -> tuple[Vector, Vector, Fraction]:
        """Return pre, direct and e_att, the heads' weights at their lower ends."""
        y, error = plus(self.residual(b, 1), self.w["b_O"]), Fraction(0)
        for head in range(self.config["n_heads"]):
            low, high = self.weight(head, a, b) if self.c else (Fraction(0), Fraction(0))
            error += (high - low) * (self.effects[head] if self.c else 0)
            shares = self.c * low + 1 - self.c, self.c * (1 - low) + 1 - self.c
            for share, token, place in zip(shares, (a, b), (0, 1), strict=True):
                y = plus(y, [share * x for x in self.written(head, token, place)])
        pre = plus(times(y, self.w["W_in"]), self.w["b_in"])
        direct = plus(times(plus(y, self.w["b_out"]), self.w["W_U"]), self.w["b_U"])
        return pre, direct, error

    def switches(self) -> None:
        """Tabulate ``sum_i q_i (rng(R_i) + rng((P Q)_i))`` for every switch."""
        rows = addition.activations(self.model)
        p = self.config["d_vocab"]
        self.tables = matrix(self.sums["tables"])
        members: list[list[tuple[Fraction, int, Fraction]]] = [[] for _ in self.tables]
        for i, (at, alpha) in enumerate(
            zip(self.sums["neurons"], self.sums["scales"], strict=True)
        ):
            e = [row[i] - alpha * t for row, t in zip(rows, self.tables[at], strict=True)]
            most, least = max(e[:p]) + max(e[p:]), min(e[:p]) + min(e[p:])
            by = spread(self.R[i]) + spread(self.PQ[i])
            members[at].append((max(most, -least), alpha, by))
        self.members = members

    def switch_error(self, at: int, t: Fraction) -> Fraction:
        members, unit = self.members[at], self.unit
        widest = max((floor(E / alpha / unit) for E, alpha, _ in members), default=0)
        step = (widest // LEVELS + 1) * unit
        level = floor(abs(t) / step)
        if level >= LEVELS:
            return Fraction(0)
        reach = level * step
        return sum(
            (by * max(Fraction(0), E - alpha * reach) for E, alpha, by in members), Fraction(0)
        )

    def first(self, a: int, b: int) -> Known:
        """Return what the rule itself proves."""
        pre, direct, error = self.run(a, b)
        if self.sums["rule"] == "exact":
            return self.whole(a, b)
        on = [max(x, Fraction(0)) for x in pre]
        if self.sums["rule"] == "switches":
            p = self.config["d_vocab"]
            values = [table[a] + table[p + b] for table in self.tables]
            on = [
                x if values[at] > 0 else Fraction(0)
                for x, at in zip(pre, self.sums["neurons"], strict=True)
            ]
            error += sum(map(self.switch_error, range(len(values)), values), Fraction(0))
        error += sum((x * spread(row) for x, row in zip(on, self.R, strict=True)), Fraction(0))
        return self.known(a, b, plus(times(times(on, self.P), self.Q), direct), error)

    def whole(self, a: int, b: int) -> Known:
        """Return what M itself proves."""
        pre, direct, error = self.run(a, b)
        on = [max(x, Fraction(0)) for x in pre]
        return self.known(a, b, plus(times(on, self.M), direct), error)

    def known(self, a: int, b: int, logits: Vector, error: Fraction) -> Known:
        rest = list(logits)
        own = rest.pop((a + b) % self.config["d_vocab"])
        return Known(own - max(rest), error + self.drift)

    def outcome(self, a: int, b: int) -> tuple[int, int, int | None]:
        """Return what is proved of an input of weight one."""
        found = self.first(a, b).outcome
        if found[:2] == (0, 1) and self.sums.get("settle", 0) == 1:
            return self.whole(a, b).outcome
        return found
