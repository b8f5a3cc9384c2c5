"""Estimates of what the checker derives in one pooled cell, and of what that costs, in float64.

The same formulas as SPEC-7.5 to SPEC-7.15, without outward rounding.  They only choose hints: where
an estimate is close to zero the answer is kept, and a proof whose estimates were wrong is refused
by the checker, not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from certify.cells.scaled import SLACK, Array, Scaled
from certify.cells.tails import operations, within

Tokens = NDArray[np.intp]
Flags = NDArray[np.bool_]
MOST_SUFFIXES = 1 << 16
"""The checker cuts tuples so that no more than so many share a prefix.  (SPEC-7.8)"""

TIE = 1e-12
"""A sum that is less below zero may be a tie."""

NOTHING = -np.inf
"""The term of a block with which an answer can no longer win."""


@dataclass(frozen=True, slots=True)
class Open:
    """What is left after a test: wrong answers [J], and per position and answer the tokens they may
    win with.

    ``allowed`` [n, J, m + 1]; ``margin``: of the logits, over all that was removed so far, before
    what float32 takes off it; infinite where nothing was.
    """

    answers: Tokens
    allowed: Flags
    margin: float = np.inf

    def after(self, largest: float, heaviest: float) -> float:
        """Return the margin when sums are removed too of which ``largest`` is the largest, below
        zero, or ``NOTHING`` if there is none; no sum of weights exceeds ``heaviest``.
        """
        return self.margin if largest == NOTHING else min(self.margin, -largest / heaviest)


@dataclass(frozen=True, slots=True)
class Examined:
    """A pooled cell after its extreme test.

    ``terms`` [n, J, blocks], minus infinity where a block has no term; ``operations``: what the
    checker is charged.
    """

    maximum: int
    queries: Tokens
    starts: Tokens
    left: Open
    terms: Array
    operations: float

    @property
    def forced(self) -> bool:
        """Return whether the inputs must hold the maximum in a free position."""
        return bool(self.queries[-1] != self.maximum)


class Cells:
    """The tables of one model, arranged for many cells."""

    def __init__(
        self,
        scaled: Scaled,
        probabilities: Array,
        allowed: Flags | None = None,
        near: Tokens | None = None,
    ) -> None:
        """``probabilities`` [n, V]: how much each token counts at each position, summing to one per
        position; ``allowed`` [n, V]: which tokens a position allows, all unless told; ``near``
        [V]: by maximum, the first token too near to stand beside it, itself unless told.
        """
        self.held = np.ones(probabilities.shape, dtype=bool) if allowed is None else allowed
        self.near = np.arange(probabilities.shape[1]) if near is None else near
        self.s, self.probabilities = scaled, probabilities
        self.positions, self.outputs = scaled.D.shape
        free = self.positions - 1
        kappa = scaled.EP[:, :free].mean(axis=1, keepdims=True) if free else 0.0
        self.places = scaled.EP - kappa

    @cached_property
    def prefixes(self) -> tuple[Array, Array, Array, Array]:
        """Return the extremes over the queries up to each token: direct path high and low,
        positional scores high and low.
        """
        s = self.s
        mean = s.U_low.mean(axis=1, keepdims=True)
        return (
            np.maximum.accumulate(s.U_high - mean, axis=0),
            np.minimum.accumulate(s.U_low - mean, axis=0),
            np.maximum.accumulate(self.places.max(axis=1)),
            np.minimum.accumulate(self.places.min(axis=1)),
        )

    def spans(self, maximum: int, queries: Tokens, starts: Tokens) -> tuple[Array, Array, float]:
        """Return per block the extremes of the scores less the maximum's, over the queries, and the
        operations.
        """
        s, m = self.s, maximum
        high = (
            np.maximum.reduceat(s.E_high[queries, : m + 1], starts, axis=1)
            - s.E_low[queries, m][:, None]
        )
        low = (
            np.minimum.reduceat(s.E_low[queries, : m + 1], starts, axis=1)
            - s.E_high[queries, m][:, None]
        )
        high[:, -1] = low[:, -1] = 0.0
        wide = np.diff(starts) > 1
        work = len(queries) * float(np.where(wide, 6, 3 if s.exact else 4).sum())
        return high.max(axis=0), low.min(axis=0), work

    def everything(self, maximum: int) -> Open:
        """Return every wrong answer with every token up to the maximum."""
        answers = np.delete(np.arange(self.outputs), maximum)
        held = self.beside(maximum)[:, None]
        return Open(answers, np.repeat(held, len(answers), axis=1))

    def beside(self, maximum: int) -> Flags:
        """Return the tokens up to a maximum that inputs may hold [n, maximum + 1]."""
        held = self.held[:, : maximum + 1].copy()
        held[:, self.near[maximum] : maximum] = False
        return held

    def screen(self, maximum: int, starts: Tokens) -> tuple[Open, float]:
        """Return what the screen of one maximum leaves, and the operations.  (SPEC-7.15)"""
        s, m, n = self.s, maximum, self.positions
        high, low, work = self.spans(m, np.arange(m + 1), starts)
        direct_high, direct_low, most, least = (part[m] for part in self.prefixes)
        top = high.max() + most
        upper, lower = np.exp(high + most - top), np.exp(low + least - top - 2 * s.slack.theta)
        floors = (
            np.minimum.reduceat(s.A_low[: m + 1, m], starts)
            + direct_low[m]
            + s.D[:, m].min()
            - s.slack.bracket
        )
        values = (
            np.maximum.reduceat(s.A_high[: m + 1], starts, axis=0)
            + direct_high
            + s.D.max(axis=0)
            - floors[:, None]
        )
        terms = np.where(values > 0, upper[:, None], lower[:, None]) * values
        own, best = terms[-1], terms.max(axis=0)
        slack = SLACK * (np.abs(own) + n * np.abs(best))
        beaten = own + (n - 1) * best
        keep = beaten >= -slack
        keep[m], beaten[m] = False, NOTHING
        answers = np.flatnonzero(keep)
        sums = terms + own + max(n - 2, 0) * best
        blocks = (sums >= -slack)[:, answers]
        blocks[-1] = True
        tokens = np.repeat(blocks, np.diff(np.append(starts, m + 1)), axis=0).T
        count, wide = len(starts), int((np.diff(starts) > 1).sum())
        work += (self.outputs - 1) * (6 * count + wide + n + 8) + 4 * count
        left = Open(answers, tokens & self.beside(m)[:, None])
        lost = sums[:-1, answers].max(initial=NOTHING, where=~blocks[:-1])
        largest = max(beaten.max(initial=NOTHING, where=~keep), lost)
        margin = left.after(float(largest), n * float(upper.max()))
        return replace(left, margin=margin), work

    def _weight_ends(
        self, maximum: int, queries: Tokens, starts: Tokens
    ) -> tuple[Array, Array, float]:
        """Return upper and lower ends of the weights [n, blocks], nothing and infinity for a block
        without a query at the last position, and the operations of the spans.
        """
        s, m, free = self.s, maximum, self.positions - 1
        high, low, work = self.spans(m, queries, starts)
        places = self.places[queries]
        own_high = (
            np.where(queries == m, 0, s.E_high[queries, queries] - s.E_low[queries, m])
            + places[:, free]
        )
        own_low = (
            np.where(queries == m, 0, s.E_low[queries, queries] - s.E_high[queries, m])
            + places[:, free]
        )
        blocks = np.searchsorted(starts, queries, side="right") - 1
        last_high, last_low = np.full(len(starts), NOTHING), np.full(len(starts), np.inf)
        np.maximum.at(last_high, blocks, own_high)
        np.minimum.at(last_low, blocks, own_low)
        top = max(float(high.max() + places[:, :free].max(initial=NOTHING)), float(own_high.max()))
        upper = np.exp(np.vstack([high + places[:, :free].max(axis=0)[:, None], last_high]) - top)
        lower = np.exp(
            np.vstack([low + places[:, :free].min(axis=0)[:, None], last_low])
            - top
            - 2 * s.slack.theta
        )
        return upper, lower, work

    def _bracket_tops(
        self, maximum: int, queries: Tokens, starts: Tokens, answers: Tokens
    ) -> Array:
        """Return upper bounds on the brackets of these answers [n, J, blocks], before slack."""
        s, m, j = self.s, maximum, answers
        floors = np.minimum.reduceat(s.A_low[: m + 1, m], starts)
        tops = np.maximum.reduceat(s.A_high[: m + 1, j], starts, axis=0).T - floors
        direct = (s.U_high[np.ix_(queries, j)] - s.U_low[queries, m][:, None]).max(axis=0)
        found: Array = tops[None] + ((s.D[:, j] - s.D[:, m][:, None]) + direct)[:, :, None]
        return found

    def lower_terms(self, cell: Examined, answers: Tokens) -> Array:
        """Return lower bounds on the terms of these answers among those that are left
        [n, answers, blocks].  (SPEC-7.10)

        Requires: one query, single tokens, no path enclosed; ``answers`` index ``cell.left``.
        """
        chosen = cell.left.answers[answers]
        upper, lower, _ = self._weight_ends(cell.maximum, cell.queries, cell.starts)
        brackets = self._bracket_tops(cell.maximum, cell.queries, cell.starts, chosen)
        values = brackets - self.s.slack.bracket
        with np.errstate(invalid="ignore"):
            terms = np.where(values > 0, lower[:, None], upper[:, None]) * values
        return np.where(np.isfinite(cell.terms[:, answers]), terms, NOTHING)

    def examine(self, maximum: int, queries: Tokens, starts: Tokens, left: Open) -> Examined:
        """Return a cell after its extreme test, with what it removes.  (SPEC-7.5, SPEC-7.6)

        Requires: ``queries`` ascending, all below the maximum or the maximum alone; ``starts`` the
                  first tokens of the
                  blocks, the last being the maximum.
        Cost:     n |J| blocks, vectorised.
        """
        m, free, j = maximum, self.positions - 1, left.answers
        upper, lower, work = self._weight_ends(m, queries, starts)
        values = self._bracket_tops(m, queries, starts, j) + self.s.slack.bracket
        there = np.logical_or.reduceat(left.allowed, starts, axis=2)
        there[free] &= np.isfinite(lower[free])
        with np.errstate(invalid="ignore"):
            terms = np.where(values > 0, upper[:, None], lower[:, None]) * values
        terms[~there] = NOTHING
        wide = int((np.diff(starts) > 1).sum())
        entries = float(there.sum())
        heaviest = float(upper.max(axis=1).sum())
        work += 2 * len(queries) * (free + 3) + 6 * (free + 1) * len(starts)
        work += len(j) * (2 * len(queries) + len(starts) + wide + 13 * self.positions) + 6 * entries
        return self._tested(maximum, queries, starts, left, terms, work, heaviest)

    def _tested(
        self,
        m: int,
        queries: Tokens,
        starts: Tokens,
        left: Open,
        terms: Array,
        work: float,
        heaviest: float = np.inf,
    ) -> Examined:
        """Return the cell with the answers and blocks removed that the extreme test removes; no sum
        of weights exceeds ``heaviest``.
        """
        free = self.positions - 1
        forced = bool(queries[-1] != m)
        best = terms.max(axis=2)
        total = best.sum(axis=0)
        with np.errstate(invalid="ignore"):
            gains = terms[:free, :, -1] - best[:free] if forced else np.zeros((1, terms.shape[1]))
        gains = np.where(np.isnan(gains), NOTHING, gains)
        ordered = np.sort(np.vstack([gains, np.full((2, terms.shape[1]), NOTHING)]), axis=0)[::-1]
        size = np.where(np.isfinite(best), np.abs(best), 0.0).sum(axis=0) * SLACK
        with np.errstate(invalid="ignore"):
            keep = total + ordered[0] >= -size
            gain = np.broadcast_to(ordered[0], (free + 1, terms.shape[1])).copy()
            if forced:
                gain[:free] = np.where(gains == ordered[0], ordered[1], ordered[0])
            bound = (total - best)[:, :, None] + terms + gain[:, :, None]
            if forced:
                bound[:free, :, -1] = (total - best)[:free] + terms[:free, :, -1]
            there = np.isfinite(terms)
            stay = (bound >= -size[None, :, None]) & there
            beaten = (total + ordered[0]).max(initial=NOTHING, where=~keep)
        lost = bound.max(initial=NOTHING, where=there & ~stay & keep[:, None])
        margin = left.after(float(max(beaten, lost)), heaviest)
        stay, terms = stay[:, keep], np.where(stay, terms, NOTHING)[:, keep]
        tokens = np.repeat(stay, np.diff(np.append(starts, m + 1)), axis=2)
        found = Open(left.answers[keep], tokens, margin)
        return Examined(m, queries, starts, found, terms, work)

    def weights(self, cell: Examined) -> Array:
        """Return how much the tokens of each block count at each position [n, blocks], the queries
        at the last.
        """
        held = self.probabilities[:, : cell.maximum + 1] * self.beside(cell.maximum)
        outside = np.ones(cell.maximum + 1, dtype=bool)
        outside[cell.queries] = False
        held[-1, outside] = 0.0
        found: Array = np.add.reduceat(held, cell.starts, axis=1)
        return found

    def size(self, maximum: int, queries: Tokens) -> float:
        """Return how much the inputs of a cell count."""
        held = self.probabilities[:, : maximum + 1] * self.beside(maximum)
        up_to = held[:-1].sum(axis=1).prod()
        below = held[:-1, :maximum].sum(axis=1).prod() if queries[-1] != maximum else 0.0
        return float((up_to - below) * held[-1, queries].sum())


def enumeration(cell: Examined) -> tuple[int, float]:
    """Return where the checker cuts the tuples of a cell to enumerate them, and what that costs it
    however few of them fail.  (SPEC-7.8)

    Requires: answers.
    """
    positions, _, width = cell.terms.shape
    free = positions - 1
    at, masks = cut(np.isfinite(cell.terms).sum(axis=2)[[free, *range(free)]], width)
    suffixes = width ** (free - at)
    return at, masks + suffixes * free + 6.0 * (free - at) * suffixes


def enumerated(cell: Examined, weights: Array, at: int) -> tuple[float, float]:
    """Return the failing weight of a cell by enumeration of its block tuples, and the operations
    beside those of ``enumeration``, which says where they are cut.  (SPEC-7.8)

    Requires: answers.
    Cost:     blocks^n flags, and per answer the tuples it may win with.
    """
    positions, _, width = cell.terms.shape
    free = positions - 1
    last_first = (free, *range(free))
    present = [np.flatnonzero(np.isfinite(cell.terms[i]).any(axis=0)) for i in last_first]
    terms = [cell.terms[i][:, blocks] for i, blocks in zip(last_first, present, strict=True)]
    flags = _failing(terms).reshape([len(blocks) for blocks in present])
    if cell.forced and free:
        lacking = [np.flatnonzero(blocks != width - 1) for blocks in present[1:]]
        flags[np.ix_(np.arange(len(present[0])), *lacking)] = False
    failing = flags.astype(np.float64)
    for i in reversed(range(free)):
        failing = failing @ weights[i][present[i + 1]]
    found = int(flags.reshape(*flags.shape[: at + 1], -1).any(axis=-1).sum())
    words = -(-(width ** (free - at)) // 64)
    work = found * (at + 2) + 12.0 * (free - at) * found * words
    return float(failing @ weights[-1][present[0]]), work


def _failing(terms: list[Array]) -> Flags:
    """Return which tuples of blocks some answer may win with, those of the first half of the
    positions by those of the second.

    ``terms``: per position [J, blocks].
    """
    half = (len(terms) + 1) // 2
    nothing = np.zeros((len(terms[0]), 1))
    heads, tails = _sums(terms[:half]), _sums([nothing, *terms[half:]])
    found = np.zeros((heads.shape[1], tails.shape[1]), dtype=bool)
    for head, tail in zip(heads, tails, strict=True):
        rows = np.flatnonzero(head >= -TIE - tail.max())[:, None]
        columns = np.flatnonzero(tail >= -TIE - head.max())
        found[rows, columns] |= head[rows] + tail[columns] >= -TIE
    return found


def _sums(terms: list[Array]) -> Array:
    """Return the sum of the terms of each tuple, for every answer [J, tuples]."""
    sums = terms[0]
    for row in terms[1:]:
        sums = (sums[:, :, None] + row[:, None, :]).reshape(len(row), -1)
    return sums


def cut(sizes: NDArray[np.intp], width: int) -> tuple[int, float]:
    """Return where the checker cuts tuples into prefix and suffix, and what its masks cost.

    ``sizes`` [n, J]: the number of terms per position, the last position first, and answer.
    """
    free = len(sizes) - 1
    average = np.maximum(sizes.sum(axis=1) // sizes.shape[1], 1)[:, None]
    places = [at for at in range(free + 1) if width ** (free - at) <= MOST_SUFFIXES]
    best = min(places, key=lambda at: float(_masks(average, width, at).sum()))
    return best, float(_masks(sizes, width, best).sum())


def _masks(sizes: NDArray[np.intp], width: int, at: int) -> Array:
    """Return the operations of the masks of each answer, cut behind so many free positions."""
    heads, tails = (
        np.cumprod(part, axis=0, dtype=np.float64) for part in (sizes[: at + 1], sizes[at + 1 :])
    )
    tail = tails[-1] if len(tails) else np.ones(sizes.shape[1])
    words = float(-(-(width ** (len(sizes) - 1 - at)) // 64))
    found: Array = (
        heads.sum(axis=0)
        + tails.sum(axis=0)
        + 2
        + (heads[-1] + tail) * (np.floor(np.log2(tail)) + 1 + words)
    )
    return found


@dataclass(frozen=True, slots=True)
class Counting:
    """Shares of answers of a cell that may be counted on one grid.  (SPEC-7.9)

    ``deficits`` [n, shares, blocks], ``weights`` [n, blocks] and ``forced`` as ``within`` takes
    them; ``possible`` [shares]: whether any input can fail; ``work`` [shares]: what the checker is
    charged for each.
    """

    weights: Array
    bins: int
    forced: int
    possible: Flags
    deficits: Tokens
    work: Array

    def failing(self) -> Array:
        """Return upper counts of the failing weight [shares].

        Cost: a Fourier transform per position and share.
        """
        found = within(self.deficits, self.weights, self.bins, self.forced)
        return np.where(self.possible, found, 0.0)


def counting(terms: Array, weights: Array, bins: int, *, forced: bool) -> Counting:
    """Return how shares of answers may be counted; only the operations are known yet.

    ``terms`` [n, shares, blocks]: per share the blockwise maximum over its answers.
    """
    positions, _shares, blocks = terms.shape
    tops = terms.max(axis=2)
    total = tops.sum(axis=0)
    possible = total >= 0
    step = np.where(possible, np.maximum(total, 1e-300), 1.0) / bins
    deficits = np.minimum(np.floor((tops[:, :, None] - terms) / step[:, None]), bins + 1).astype(
        np.intp
    )
    among = positions - 1 if forced else 0
    products = np.where(possible, operations(deficits, bins, among), 0.0)
    return Counting(weights, bins, among, possible, deficits, 3.0 * positions * blocks + products)
