"""Estimates of what the checker derives in one wide cell, in float64.  (SPEC-16.3 to SPEC-16.6)

The same formulas without outward rounding.  They only choose hints: boxes and numbers to compare
heads with, and where to stop splitting.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from certify.cells.estimates import NOTHING, Examined, Flags, Open, Tokens, tested
from certify.cells.estimates import Cells as OneHead
from certify.cells.scaled import Array
from certify.wide.comparison import Comparison, Ends
from certify.wide.planes import UNITS_OF_A_BOUND, Planes
from certify.wide.slack import Slack
from certify.wide.tables import HeadTables, Tables

LOOSER = (1e-9, 1e-4, 1e-2)
"""By what share a side of a box, or a bound, is moved outward, so that rounding cannot make it
false; a larger one is tried where the checker refuses.
"""

GRAIN = 2.0**-93
"""By how much the checker's ends of a weight may be wider than these, at the usual precision."""

MANTISSA = 30
"""Bits of a side of a box."""

UNITS = 1 << 16
"""Numbers for heads are spelled as multiples of the reciprocal.  (SPEC-16.3)"""

STEPS_OF_A_BOUND = 24
"""Halvings of what is not known of a neuron."""

MOST_STEPS = 60
"""Steps towards the tightest box; each is a better one from within."""


@dataclass(frozen=True, slots=True)
class Side:
    """``low * 2^exponent`` and ``high * 2^exponent``, bounds on the ratio of one head."""

    low: int
    high: int
    exponent: int

    @property
    def ends(self) -> tuple[float, float]:
        """Return both bounds."""
        return math.ldexp(self.low, self.exponent), math.ldexp(self.high, self.exponent)

    def spelled(self) -> list[int]:
        """Return the side as a certificate spells it."""
        return [self.low, self.high, self.exponent]


@dataclass(frozen=True, slots=True)
class WideExamined(Examined):
    """A cell after the extreme tests of all pairs.

    ``terms`` [n, pairs, blocks] of the pairs that are left, ``pair_answers`` [pairs] and
    ``pair_vertices`` [pairs]; ``left`` is about answers.  ``lambdas`` by answer, where not the
    checker's own are taken.  ``unknown``: float64 finds no box.
    ``neurons`` [neurons, 2]: bounds on what each reads, in units of 2^-12.
    """

    box: tuple[Side, ...]
    lambdas: dict[int, list[int]]
    pair_answers: Tokens
    pair_vertices: Tokens
    unknown: bool = False
    neurons: Array = field(default_factory=lambda: np.zeros((0, 2)))


def _ratio(above: Ends, below: Ends, *, forced: bool) -> float:
    """Return the largest ratio of the sum of upper ends to that of lower ends, over the inputs.

    Newton's method on a convex function, from below.
    """
    there = np.isfinite(above.upper)
    free = len(there) - 1
    rows = np.arange(free + 1)
    large = np.where(there, above.upper, 0.0)
    ratio = 0.0
    for _ in range(MOST_STEPS):
        values = np.where(there, large - ratio * below.lower, -np.inf)
        chosen = values.argmax(axis=1)
        if forced and free:
            best = values[rows[:free], chosen[:free]]
            at = int(np.argmax(values[:free, -1] - best))
            chosen[at] = values.shape[1] - 1
        small = below.lower[rows, chosen].sum()
        if small <= 0.0:
            return math.inf
        better = float(large[rows, chosen].sum() / small)
        if better <= ratio * (1 + 1e-12):
            break
        ratio = better
    return ratio


def side_of(first: Ends, other: Ends, looser: float, *, forced: bool) -> Side | None:
    """Return bounds on the ratio of the first head's denominator to another's, None where float64
    knows none.
    """
    high = _ratio(first, other, forced=forced) * (1 + looser)
    most = _ratio(other, first, forced=forced) * (1 + looser)
    if not (0.0 < high < math.inf and 0.0 < most < math.inf):
        return None
    exponent = math.frexp(high)[1] - MANTISSA
    if not -128 <= exponent <= 90:
        return None
    return Side(
        math.floor(math.ldexp(1 / most, -exponent)),
        math.ceil(math.ldexp(high, -exponent)),
        exponent,
    )


class Cells(OneHead):
    """The tables of one wide model, arranged for many cells."""

    def __init__(
        self,
        tables: Tables,
        probabilities: Array,
        allowed: Flags | None = None,
        looser: float = LOOSER[0],
        slack: Slack | None = None,
    ) -> None:
        self.looser = looser
        self.slack = slack or Slack((0.0,) * len(tables.heads))
        self.held = np.ones(probabilities.shape, dtype=bool) if allowed is None else allowed
        self.near = np.arange(probabilities.shape[1])
        self.tables, self.probabilities = tables, probabilities
        self.positions, self.outputs = tables.heads[0].D.shape
        free = self.positions - 1
        self.relative = [
            one.EP - (one.EP[:, :free].mean(axis=1, keepdims=True) if free else 0.0)
            for one in tables.heads
        ]

    def ends(self, h: int, maximum: int, queries: Tokens, starts: Tokens) -> Ends:
        """Return the weights of one head, divided as the checker divides them.
        (SPEC-7.5, SPEC-16.9)
        """
        head, m, free = self.tables.heads[h], maximum, self.positions - 1
        base = head.E[0][queries, m]
        scores = head.E[:, queries, : m + 1] - base[None, :, None]
        high = np.maximum.reduceat(scores, starts, axis=2).max(axis=1)
        low = np.minimum.reduceat(scores, starts, axis=2).min(axis=1)
        if head.alike:
            high[:, -1] = low[:, -1] = 0.0
        places = self.relative[h][queries]
        own = scores[-1, np.arange(len(queries)), queries] + places[:, free]
        blocks = np.searchsorted(starts, queries, side="right") - 1
        last_high, last_low = np.full(len(starts), NOTHING), np.full(len(starts), np.inf)
        np.maximum.at(last_high, blocks, own)
        np.minimum.at(last_low, blocks, own)
        most = places[:, :free].max(axis=0)[:, None]
        least = places[:, :free].min(axis=0)[:, None]
        # one table serves all positions, or each has its own
        kept = slice(None) if head.alike else slice(free)
        upper = np.vstack([high[kept] + most, last_high])
        lower = np.vstack([low[kept] + least, last_low])
        top = float(upper.max())
        there = np.isfinite(upper)
        off = 2 * self.slack.thetas[h]
        least = np.exp(np.where(there, lower, 0.0) - top - off) - GRAIN
        return Ends(
            np.where(there, np.maximum(least, 0.0), 0.0),
            np.where(there, np.exp(np.where(there, upper, 0.0) - top) + GRAIN, NOTHING),
        )

    def _brackets(self, head: HeadTables, m: int, starts: Tokens, answers: Tokens) -> Array:
        """Return the largest brackets [n, J, blocks], without lambda.  (SPEC-16.5)"""
        floors = np.minimum.reduceat(head.A[:, : m + 1, m], starts, axis=1)
        tops = np.maximum.reduceat(head.A[:, : m + 1, answers], starts, axis=1)
        values = (tops - floors[:, :, None]).transpose(0, 2, 1)
        places = head.D[:, answers] - head.D[:, m][:, None]
        found: Array = values + places[:, :, None]
        return found

    def examine(self, maximum: int, queries: Tokens, starts: Tokens, left: Open) -> WideExamined:
        """Return a cell after the extreme test of every pair, with the tightest box, and with
        better numbers for the answers that the checker's own do not decide.

        Requires: as in a cell of one head.
        """
        m, answers, forced = maximum, left.answers, bool(queries[-1] != maximum)
        ends = [self.ends(h, m, queries, starts) for h in range(len(self.tables.heads))]
        sides = [side_of(ends[0], other, self.looser, forced=forced) for other in ends[1:]]
        if any(side is None for side in sides):
            return self._unknown(m, queries, starts, left)
        box = tuple(side for side in sides if side is not None)
        vertices = list(itertools.product(*(side.ends for side in box)))
        neurons = self._neurons(ends, vertices, queries, starts, forced=forced)
        if neurons is None:
            return self._unknown(m, queries, starts, left)
        if len(neurons):
            planes = Planes.over(neurons, self.tables.effects, answers, m)
            brackets = [self._bent(one, m, starts, answers, planes) for one in self.tables.heads]
            direct = planes.direct(self.tables, queries, answers, m)
        else:
            brackets = [self._brackets(one, m, starts, answers) for one in self.tables.heads]
            direct = self.tables.direct(queries, answers, m)
        direct = direct + self.slack.bracket
        comparison = Comparison(ends, brackets, direct, vertices, forced)
        there = np.logical_or.reduceat(left.allowed, starts, axis=2)
        there[-1] &= np.isfinite(ends[0].upper[-1])
        lambdas, named = comparison.chosen(there)
        terms = np.concatenate(comparison.terms(lambdas, there), axis=1)
        count = len(vertices)
        pairs = Open(
            np.arange(len(answers) * count), np.concatenate([left.allowed] * count, axis=1)
        )
        found = tested(m, queries, starts, pairs, terms, 0.0, np.inf)
        hints = {
            int(answers[at]): [int(value) for value in np.rint(lambdas[:, at] * UNITS)]
            for at in np.flatnonzero(named)
        }
        return replace(_joined(found, answers, box, hints), neurons=neurons)

    def _bent(
        self, head: HeadTables, m: int, starts: Tokens, answers: Tokens, planes: Planes
    ) -> Array:
        """Return the largest brackets with planes over what neurons read.  (SPEC-16.11)"""
        values = head.A[0][: m + 1, answers] - head.A[0][: m + 1, m][:, None]
        values = values + head.read[: m + 1] @ planes.slopes
        tops = np.maximum.reduceat(values, starts, axis=0).T
        places = head.D[:, answers] - head.D[:, m][:, None]
        places = places + head.read_of_positions @ planes.slopes
        found: Array = tops[None] + places[:, :, None]
        return found

    def _neurons(
        self,
        ends: list[Ends],
        vertices: list[tuple[float, ...]],
        queries: Tokens,
        starts: Tokens,
        *,
        forced: bool,
    ) -> Array | None:
        """Return bounds [neurons, 2] on what each neuron reads, in units of 2^-12; None where
        float64 knows none.
        """
        count = self.tables.effects.shape[0]
        bounds = np.zeros((count, 2))
        if not count:
            return bounds
        m = starts[-1]
        there = np.isfinite(ends[0].upper)[:, None].repeat(count, axis=1)
        for column, sign in enumerate((-1.0, 1.0)):
            brackets, reach = [], np.zeros(count)
            for head in self.tables.heads:
                read = sign * head.read[: m + 1]
                tops = np.maximum.reduceat(read, starts, axis=0).T
                places = sign * head.read_of_positions
                brackets.append(tops[None] + places[:, :, None])
                reach += np.abs(brackets[-1]).max(axis=(0, 2))
            own = (sign * self.tables.read[queries]).max(axis=0)
            high, low = reach + 1.0, -reach - 1.0
            for _ in range(STEPS_OF_A_BOUND):
                middle = (low + high) / 2
                passes = Comparison(ends, brackets, -middle, vertices, forced).beaten(there)
                high, low = np.where(passes, middle, high), np.where(passes, low, middle)
            if not Comparison(ends, brackets, -high, vertices, forced).beaten(there).all():
                return None
            outward = own + high + self.looser * (np.abs(own) + reach)
            bounds[:, column] = sign * np.ceil(outward * UNITS_OF_A_BOUND + 1.0)
        return bounds

    def _unknown(self, m: int, queries: Tokens, starts: Tokens, left: Open) -> WideExamined:
        """Return a cell of which nothing is known but that the checker cannot be told its box."""
        terms = np.zeros((self.positions, len(left.answers), len(starts)))
        vertices = np.zeros(len(left.answers), dtype=np.intp)
        return WideExamined(
            m, queries, starts, left, terms, 0.0, (), {}, left.answers, vertices, unknown=True
        )


def _joined(
    found: Examined, answers: Tokens, box: tuple[Side, ...], hints: dict[int, list[int]]
) -> WideExamined:
    """Return what is left of answers where pairs are left."""
    count = len(answers)
    pairs = found.left.answers
    which = pairs % count
    kept = np.unique(which)
    allowed = np.zeros((len(found.left.allowed), len(kept), found.maximum + 1), dtype=bool)
    for at, answer in enumerate(kept):
        allowed[:, at] = found.left.allowed[:, which == answer].any(axis=1)
    return WideExamined(
        found.maximum,
        found.queries,
        found.starts,
        Open(answers[kept], allowed),
        found.terms,
        found.operations,
        box,
        hints,
        answers[which],
        pairs // count,
    )
