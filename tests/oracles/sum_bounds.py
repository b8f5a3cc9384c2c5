"""What SPEC-13.3 to SPEC-13.6 prove of every input, read off the page a second time in exact
fractions.

The network is run forward for each input, with enclosures of the shares handed in, and every term
of e is a term of a sum, at its place on the page.  Rows of the tables are formed for one input at a
time, so that they can be rounded.
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
Shares = Callable[[int, tuple[int, ...]], list[tuple[Fraction, Fraction]]]
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


@dataclass(frozen=True)
class Row:
    """What neurons and answers read of an input, and bounds on the error of a difference that is
    there before neurons write: by shares, and by rounding.
    """

    pre: Vector
    direct: Vector
    shares: Fraction
    rounding: Fraction


class Page:
    """A model and a proof of sums about a question.

    ``shares(h, tokens)``: an enclosure of the share of each position but the last; ``scales``:
    those of the tables of 13.2 and of M; ``precision``: that of the shares; ``drift``: B of 13.7,
    or zero.
    """

    def __init__(
        self,
        model: Model,
        sums: dict[str, Any],
        question: addition.Question,
        shares: Shares,
        scales: tuple[int, int],
        precision: int,
        drift: Fraction,
    ) -> None:
        self.w, self.c, self.config = weights_of(model), mix_of(model), model.config
        self.sums, self.shares, self.drift = sums, shares, drift
        self.scale, self.scale_of_M = scales
        self.precision = precision
        self.model, self.question = model, question
        self.M = [times(row, self.w["W_U"]) for row in self.w["W_out"]]
        self.heads = range(model.config["n_heads"] if self.c else 0)
        self.effects = [self.effect(h) for h in self.heads]
        if sums["rule"] != "exact":
            self.P, self.Q = matrix(sums["left"]), matrix(sums["right"])
            self.PQ = [times(row, self.Q) for row in self.P]
            self.R = [minus(row, other) for row, other in zip(self.M, self.PQ, strict=True)]
        if sums["rule"] == "switches":
            self.switches()
        self.S = sum(map(spread, self.M), Fraction(0))
        self.terms = len(question.tokens) + 2 * len(self.heads)
        self.F = 32 + ((self.terms + 1) * (floor(1 + self.S) + 1)).bit_length()

    def residual(self, token: int, place: int) -> Vector:
        return plus(self.w["W_E"][token], self.w["W_pos"][place])

    def written(self, head: int, token: int, place: int) -> Vector:
        """Return Z_hi of a token."""
        value = plus(times(self.residual(token, place), self.w["W_V"][head]), self.w["b_V"][head])
        return times(value, self.w["W_O"][head])

    def effect(self, head: int) -> list[Fraction]:
        """Return L_hi of every position but the last."""

        def f(z: Vector) -> Fraction:
            through = times(z, self.w["W_in"])
            moved = (abs(x) * spread(row) for x, row in zip(through, self.M, strict=True))
            return sum(moved, Fraction(0)) + spread(times(z, self.w["W_U"]))

        *before, last = (
            max(f([self.c * x for x in self.written(head, t, place)]) for t in tokens)
            for place, tokens in enumerate(self.question.tokens)
        )
        return [most + last for most in before]

    def read(self, y: Vector) -> Vector:
        """Return what neurons and answers read of a stream, without biases."""
        return times(y, self.w["W_in"]) + times(y, self.w["W_U"])

    def tables(self, tokens: tuple[int, ...]) -> list[tuple[Fraction, Vector]]:
        """Return the rows of 13.2 that an input adds, and what each is multiplied by."""
        last = len(tokens) - 1
        rows: list[tuple[Fraction, Vector]] = []
        one = Fraction(1)
        for place, token in enumerate(tokens):
            y = [Fraction(0)] * self.config["d_model"]
            for head in range(self.config["n_heads"]):
                kept = one if place == last else one - self.c
                y = plus(y, [kept * x for x in self.written(head, token, place)])
            if place == last:
                y = plus(y, plus(self.residual(token, place), self.w["b_O"]))
            row = self.read(y)
            if place == last:
                biases = plus(times(self.w["b_out"], self.w["W_U"]), self.w["b_U"])
                row = plus(row, self.w["b_in"] + biases)
            rows.append((one, row))
        for head in self.heads:
            of_last = self.read([-self.c * x for x in self.written(head, tokens[last], last)])
            for place, (low, _) in enumerate(self.shares(head, tokens)):
                own = self.read([self.c * x for x in self.written(head, tokens[place], place)])
                rows += [(low, own), (low, of_last)]
        return rows

    def run(self, tokens: tuple[int, ...], *, rounded: bool) -> Row:
        """Return the row of an input, its shares at their lower ends."""
        rounded = rounded and self.scale > self.F
        unit = Fraction(1, 2**self.F)
        total = [Fraction(0)] * (len(self.M) + self.config["d_vocab_out"])
        for factor, row in self.tables(tokens):
            entries = [floor(x / unit) * unit for x in row] if rounded else row
            total = plus(total, [factor * x for x in entries])
        if rounded and self.heads:
            over = len(tokens) * 2 ** (self.F + self.precision - 8 * (self.precision // 8))
            total = [Fraction(floor(x * over), over) for x in total]
        shares = Fraction(0)
        for head in self.heads:
            for effect, (low, high) in zip(
                self.effects[head], self.shares(head, tokens), strict=True
            ):
                shares += (high - low) * effect
        rounding = (self.terms + 1) * unit * (1 + self.S) if rounded else Fraction(0)
        neurons = len(self.M)
        return Row(total[:neurons], total[neurons:], shares, rounding)

    def switches(self) -> None:
        """Tabulate ``sum_i q_i (rng(R_i) + rng((P Q)_i))`` for every switch."""
        rows = addition.activations(self.model, self.question)
        self.tables_of_switches = matrix(self.sums["tables"])
        tables = self.tables_of_switches
        members: list[list[tuple[Fraction, int, Fraction]]] = [[] for _ in tables]
        for i, (at, alpha) in enumerate(
            zip(self.sums["neurons"], self.sums["scales"], strict=True)
        ):
            e = iter([row[i] - alpha * t for row, t in zip(rows, tables[at], strict=True)])
            parts = [[next(e) for _ in allowed] for allowed in self.question.tokens]
            most, least = sum(map(max, parts)), sum(map(min, parts))
            by = spread(self.R[i]) + spread(self.PQ[i])
            members[at].append((Fraction(max(most, -least)), alpha, by))
        self.members = members

    def switch_error(self, at: int, t: Fraction) -> Fraction:
        members, unit = self.members[at], Fraction(1, 2**self.scale)
        widest = max((floor(E / alpha / unit) for E, alpha, _ in members), default=0)
        step = (widest // LEVELS + 1) * unit
        level = floor(abs(t) / step)
        if level >= LEVELS:
            return Fraction(0)
        reach = level * step
        return sum(
            (by * max(Fraction(0), E - alpha * reach) for E, alpha, by in members), Fraction(0)
        )

    def first(self, tokens: tuple[int, ...]) -> Known:
        """Return what the rule itself proves."""
        if self.sums["rule"] == "exact":
            return self.whole(tokens, rounded=True)
        row = self.run(tokens, rounded=self.sums["rule"] == "low-rank")
        error = row.shares + row.rounding
        on = [max(x, Fraction(0)) for x in row.pre]
        if self.sums["rule"] == "switches":
            places = self.question.places(tokens)
            sizes = list(map(len, self.question.tokens))
            at = [sum(sizes[:i]) + place for i, place in enumerate(places)]
            values = [sum((table[k] for k in at), Fraction(0)) for table in self.tables_of_switches]
            on = [
                x if values[number] > 0 else Fraction(0)
                for x, number in zip(row.pre, self.sums["neurons"], strict=True)
            ]
            error += sum(map(self.switch_error, range(len(values)), values), Fraction(0))
        error += sum((x * spread(R) for x, R in zip(on, self.R, strict=True)), Fraction(0))
        return self.known(tokens, plus(times(times(on, self.P), self.Q), row.direct), error)

    def whole(self, tokens: tuple[int, ...], *, rounded: bool) -> Known:
        """Return what M itself proves."""
        row = self.run(tokens, rounded=rounded)
        on = [max(x, Fraction(0)) for x in row.pre]
        M, error = self.M, row.shares + row.rounding
        unit = Fraction(1, 2**self.F)
        if rounded and self.scale_of_M > self.F:
            M = [[floor((x - min(weight)) / unit) * unit for x in weight] for weight in M]
            error += sum(on, Fraction(0)) * unit
        return self.known(tokens, plus(times(on, M), row.direct), error)

    def known(self, tokens: tuple[int, ...], logits: Vector, error: Fraction) -> Known:
        rest = list(logits)
        own = rest.pop(self.question.right(tokens))
        return Known(own - max(rest), error + self.drift)

    def outcome(self, tokens: tuple[int, ...]) -> tuple[int, int, int | None]:
        """Return what is proved of an input of weight one."""
        ways = [self.first(tokens)]
        if self.sums["rule"] == "exact" or self.sums["settle"]:
            ways += [self.whole(tokens, rounded=rounded) for rounded in (True, False)]
        open_ways = (way.outcome for way in ways if way.outcome[:2] != (0, 1))
        return next(open_ways, (0, 1, None))
