"""Estimates of what the checker derives in one pooled cell, and of what that costs, in float64.

The same formulas as SPEC-7.5 to SPEC-7.15, without outward rounding.  They only choose hints: where
an estimate is close to zero the answer is kept, and a proof whose estimates were wrong is refused
by the checker, not believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import mul

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

    def scores(self, maximum: int, queries: Tokens) -> tuple[Array, Array]:
        """Return upper and lower ends of the scores of the tokens up to a maximum, less the
        maximum's [queries, maximum + 1]; one array if no path is enclosed.
        """
        s, m = self.s, maximum
        high: Array = s.E_high[queries, : m + 1] - s.E_low[queries, m][:, None]
        if s.exact:
            return high, high
        return high, s.E_low[queries, : m + 1] - s.E_high[queries, m][:, None]

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

    def screens(self, maximum: int, layouts: Sequence[Tokens]) -> Iterator[tuple[Open, float]]:
        """Yield what the screen of one maximum leaves, and the operations, for each layout.
        (SPEC-7.15)
        """
        s, m, n = self.s, maximum, self.positions
        scores_high, scores_low = self.scores(m, np.arange(m + 1))
        tokens_high, tokens_low = scores_high.max(axis=0), scores_low.min(axis=0)
        direct_high, direct_low, most, least = (part[m] for part in self.prefixes)
        added = s.D.max(axis=0)
        beside = self.beside(m)[:, None]
        for starts in layouts:
            high = np.maximum.reduceat(tokens_high, starts)
            low = np.minimum.reduceat(tokens_low, starts)
            high[-1] = low[-1] = 0.0
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
                + added
                - floors[:, None]
            )
            terms = np.where(values > 0, upper[:, None], lower[:, None]) * values
            own, best = terms[-1], terms.max(axis=0)
            slack = SLACK * (np.abs(own) + n * np.abs(best))
            beaten = own + (n - 1) * best
            keep = beaten >= -slack
            keep[m], beaten[m] = False, NOTHING
            answers = np.flatnonzero(keep)
            sums = terms[:, answers] + own[answers] + max(n - 2, 0) * best[answers]
            blocks = sums >= -slack[answers]
            blocks[-1] = True
            lost = sums[:-1].max(initial=NOTHING, where=~blocks[:-1])
            largest = max(beaten.max(initial=NOTHING, where=~keep), lost)
            left = Open(answers, _by_token(blocks.T, starts) & beside)
            margin = left.after(float(largest), n * float(upper.max()))
            yield replace(left, margin=margin), self._work_of_screen(starts)

    def _work_of_screen(self, starts: Tokens) -> float:
        """Return the operations of the screen of one maximum."""
        blocks, queries = len(starts), int(starts[-1]) + 1
        of_an_answer = 6 * blocks + wide(starts) + self.positions + 8
        work = queries * self.work_of_spans(starts) + (self.outputs - 1) * of_an_answer
        return float(work + 4 * blocks)

    def work_of_spans(self, starts: Tokens) -> int:
        """Return the operations of the extremes of one query's scores in the blocks."""
        several = wide(starts)
        return 6 * several + (3 if self.s.exact else 4) * (len(starts) - 1 - several)

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
        held = self.probabilities[-1, : maximum + 1] * self.beside(maximum)[-1]
        return self.of_others(maximum, queries) * float(held[queries].sum())

    def of_others(self, maximum: int, queries: Tokens) -> float:
        """Return how much the tokens before the last position count, where some must be the maximum
        if no query is.
        """
        held = self.probabilities[:-1, : maximum + 1] * self.beside(maximum)[:-1]
        up_to = held.sum(axis=1).prod()
        below = held[:, :maximum].sum(axis=1).prod() if queries[-1] != maximum else 0.0
        return float(up_to - below)


def wide(starts: Tokens) -> int:
    """Return how many blocks below the maximum have several tokens."""
    return int(np.count_nonzero(np.diff(starts) > 1))


def tested(
    maximum: int,
    queries: Tokens,
    starts: Tokens,
    left: Open,
    terms: Array,
    work: float,
    heaviest: float,
) -> Examined:
    """Return a cell with the answers and blocks removed that the extreme test removes; no sum of
    weights exceeds ``heaviest``.  (SPEC-7.6)
    """
    free = len(terms) - 1
    best = terms.max(axis=2)
    total = best.sum(axis=0)
    size = SLACK * np.where(np.isfinite(best), np.abs(best), 0.0).sum(axis=0)
    forced = bool(queries[-1] != maximum)
    first, gain = _gains(terms, best, forced=forced)
    keep = total + first >= -size
    answers = np.flatnonzero(keep)
    beaten = (total + first).max(initial=NOTHING, where=~keep)
    # An answer that is kept has a term at every position, so what follows is no NaN.
    terms, size, others = terms[:, answers], size[answers], total[answers] - best[:, answers]
    bound = others[:, :, None] + terms + gain[:, answers, None]
    if forced:
        bound[:free, :, -1] = others[:free] + terms[:free, :, -1]
    stay = bound >= -size[:, None]
    lost = bound.max(initial=NOTHING, where=~stay)
    margin = left.after(float(max(beaten, lost)), heaviest)
    found = Open(left.answers[answers], _by_token(stay, starts), margin)
    return Examined(maximum, queries, starts, found, np.where(stay, terms, NOTHING), work)


def _by_token(blocks: Flags, starts: Tokens) -> Flags:
    """Return by token [..., maximum + 1] what is known by block [..., blocks]."""
    if len(starts) == starts[-1] + 1:
        return blocks
    return np.repeat(blocks, np.diff(np.append(starts, starts[-1] + 1)), axis=-1)


def _gains(terms: Array, best: Array, *, forced: bool) -> tuple[Array, Array]:
    """Return what the best sum of terms gains, which is nothing or less, if some free position must
    hold the maximum: per answer [J], and if it is to be another position than each [n, J].
    """
    free, answers = len(terms) - 1, terms.shape[1]
    if not forced:
        return np.zeros(answers), np.zeros((free + 1, answers))
    with np.errstate(invalid="ignore"):
        gains = terms[:free, :, -1] - best[:free]
    gains[np.isnan(gains)] = NOTHING
    nothing = np.full((2, answers), NOTHING)
    second, first = np.sort(np.vstack([gains, nothing]), axis=0)[-2:]
    return first, np.vstack([np.where(gains == first, second, first), first])


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
    failing = _failing(terms)
    flags = failing.reshape([len(blocks) for blocks in present])
    if cell.forced and free:
        lacking = [np.flatnonzero(blocks != width - 1) for blocks in present[1:]]
        flags[np.ix_(np.arange(len(present[0])), *lacking)] = False
    counts = [weights[i][blocks] for i, blocks in zip(last_first, present, strict=True)]
    half = _half(positions)
    loss = _products(counts[:half]) @ (failing @ _products(counts[half:]))
    found = int(flags.reshape(*flags.shape[: at + 1], -1).any(axis=-1).sum())
    words = _words(free - at, width)
    work = found * (at + 2) + 12.0 * (free - at) * found * words
    return float(loss), work


def _failing(terms: list[Array]) -> Flags:
    """Return which tuples of blocks some answer may win with, those of the first half of the
    positions by those of the second.

    ``terms``: per position [J, blocks].
    """
    half = _half(len(terms))
    nothing = np.zeros((len(terms[0]), 1))
    heads, tails = _sums(terms[:half]), _sums([nothing, *terms[half:]])
    found = np.zeros((heads.shape[1], tails.shape[1]), dtype=bool)
    needed = -TIE - tails
    for head, tail, least in zip(heads, needed, needed.min(axis=1), strict=True):
        rows = np.flatnonzero(head >= least)
        found[rows] |= head[rows, None] >= tail
    return found


def _half(positions: int) -> int:
    """Return how many positions are in the first half of a tuple."""
    return (positions + 1) // 2


def _products(weights: list[Array]) -> Array:
    """Return the product of the weights of each tuple."""
    products = np.ones(1)
    for row in weights:
        products = np.multiply.outer(products, row).ravel()
    return products


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
    average = np.maximum(sizes.sum(axis=1) // sizes.shape[1], 1)
    at = _cheapest(tuple(average.tolist()), width)
    heads = np.cumprod(sizes[: at + 1], axis=0, dtype=np.float64)
    tails = np.cumprod(sizes[at + 1 :], axis=0, dtype=np.float64)
    tail = tails[-1] if len(tails) else np.ones(sizes.shape[1])
    steps = np.floor(np.log2(tail)) + 1 + _words(len(sizes) - 1 - at, width)
    masks = heads.sum(axis=0) + tails.sum(axis=0) + 2 + (heads[-1] + tail) * steps
    return at, float(masks.sum())


@lru_cache(maxsize=1 << 12)
def _cheapest(sizes: tuple[int, ...], width: int) -> int:
    """Return where masks cost least for an answer with so many terms per position."""
    free = len(sizes) - 1
    places = [at for at in range(free + 1) if width ** (free - at) <= MOST_SUFFIXES]
    return min(places, key=lambda at: _masks(sizes, width, at))


def _masks(sizes: tuple[int, ...], width: int, at: int) -> float:
    """Return the operations of the masks of an answer, cut behind so many free positions."""
    heads = list(accumulate(sizes[: at + 1], mul))
    tails = list(accumulate(sizes[at + 1 :], mul))
    tail = tails[-1] if tails else 1
    steps = tail.bit_length() + _words(len(sizes) - 1 - at, width)
    return float(sum(heads) + sum(tails) + 2 + (heads[-1] + tail) * steps)


def _words(positions: int, width: int) -> int:
    """Return how many words a mask has."""
    return -(-int(width**positions) // 64)


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
