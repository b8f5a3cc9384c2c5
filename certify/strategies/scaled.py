"""Estimates of the checker's extreme test, in float64: which wrong answers can still win somewhere in a cell.

The same formulas as SPEC 7.5 and 7.6, without outward rounding.  They only choose hints: where an estimate is
close to zero the answer is kept, and a proof whose estimates were wrong is refused by the checker, not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.paths import Paths

Array: TypeAlias = NDArray[np.float64]

SLACK = 1e-9
"""A sum within this share of its largest summand counts as undecided."""

LARGEST_TRUSTED = 1e9
"""Beyond this magnitude float64 no longer resolves scores or logits to better than about 1e-6."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Path matrices with scores divided by sqrt(d_head).

    ``E`` [V, V], ``EP`` [V, n] scores; ``A`` [V, V_out], ``D`` [n, V_out], ``U`` [V, V_out] logits.
    """

    E: Array
    EP: Array
    A: Array
    D: Array
    U: Array

    @property
    def trusted(self) -> bool:
        """Return whether float64 estimates of this model mean anything."""
        tables = (self.E, self.EP, self.A, self.D, self.U)
        return all(bool(np.all(np.isfinite(t))) and float(np.abs(t).max(initial=0.0)) < LARGEST_TRUSTED for t in tables)


def scale(paths: Paths) -> Scaled:
    """Return the path matrices in the units of the log-weights."""
    root = float(np.sqrt(paths.d_head))
    return Scaled(paths.EQKE / root, paths.EQKP / root, paths.EVOU, paths.PVOU, paths.EU)


def surviving_pooled(s: Scaled, maximum: int, queries: NDArray[np.intp], starts: list[int]) -> NDArray[np.intp]:
    """Return the wrong answers that the extreme test of a pooled cell leaves.  (SPEC 7.5, 7.6)

    Requires: ``starts`` are the first tokens of consecutive blocks, the last being ``maximum`` itself.
    Cost:     |queries| (m + n) + n blocks V_out, vectorised.
    """
    m, free = maximum, s.EP.shape[1] - 1
    relative = s.E[queries, : m + 1] - s.E[queries, m][:, None]
    high = np.maximum.reduceat(relative, starts, axis=1).max(axis=0)
    low = np.minimum.reduceat(relative, starts, axis=1).min(axis=0)
    place = s.EP[queries] - s.EP[queries, :free].mean(axis=1, keepdims=True) if free else s.EP[queries]
    own = s.E[queries, queries] - s.E[queries, m] + place[:, free]
    place_high, place_low = place[:, :free].max(axis=0), place[:, :free].min(axis=0)
    top = max(float(high.max() + place_high.max(initial=-np.inf)), float(own.max()))
    upper = np.exp(high[None, :] + place_high[:, None] - top)[:, :, None]
    lower = np.exp(low[None, :] + place_low[:, None] - top)[:, :, None]
    tops = np.maximum.reduceat(s.A[: m + 1], starts, axis=0) - np.minimum.reduceat(s.A[: m + 1, m], starts)[:, None]
    direct = s.U[queries] - s.U[queries, m][:, None]
    values = tops[None] + (s.D[:free] - s.D[:free, m][:, None])[:, None, :] + direct.max(axis=0)
    terms = np.where(values > 0, upper, lower) * values
    bracket = s.A[queries] - s.A[queries, m][:, None] + direct + (s.D[free] - s.D[free, m])
    last = _last_by_class(own - top, bracket, queries, starts)
    return _undecided(terms, last, m, contains_maximum=bool(queries[-1] != m))


def _last_by_class(exponents: Array, bracket: Array, queries: NDArray[np.intp], starts: list[int]) -> Array:
    """Return the bound on the last position's term: per block of queries the largest bracket and either weight's end."""
    classes = np.searchsorted(np.asarray(starts), queries, side="right") - 1
    bounds = []
    for chosen in np.unique(classes):
        members = classes == chosen
        value = bracket[members].max(axis=0)
        ends = exponents[members]
        bounds.append(np.where(value > 0, np.exp(ends.max()), np.exp(ends.min())) * value)
    found: Array = np.max(bounds, axis=0)
    return found


def _undecided(terms: Array, last: Array, m: int, *, contains_maximum: bool) -> NDArray[np.intp]:
    """Return the answers whose largest sum of terms [free, blocks, answers] is not clearly negative."""
    if contains_maximum and not len(terms):
        return np.array([], dtype=np.intp)
    best = terms.max(axis=1)
    forced = (terms[:, -1] - best).max(axis=0) if contains_maximum else 0.0
    sums = best.sum(axis=0) + forced + last
    size = np.abs(best).sum(axis=0) + np.abs(last)
    left: NDArray[np.intp] = np.flatnonzero(~(sums < -SLACK * size))
    chosen: NDArray[np.intp] = left[left != m]
    return chosen


@dataclass(frozen=True, slots=True)
class Leaf:
    """One query and one maximum: the answers still possible and their terms.

    ``terms`` [free, m + 1, answers] and ``last`` [answers], all in one positive unit.
    """

    maximum: int
    query: int
    answers: NDArray[np.intp]
    terms: Array
    last: Array


def leaf(s: Scaled, maximum: int, query: int, answers: NDArray[np.intp]) -> Leaf:
    """Return the cell with a single query and single tokens, reduced to the answers its extreme test leaves.

    Cost: n (m + 1) |answers|, vectorised.
    """
    m, q, free = maximum, query, s.EP.shape[1] - 1
    scores = s.E[q, : m + 1][None, :] + s.EP[q][:, None]
    top = max(float(scores[:free].max(initial=-np.inf)), float(scores[free, q]))
    weights = np.exp(scores - top)
    tokens = s.A[: m + 1][:, answers] - s.A[: m + 1, m][:, None]
    places = s.D[:, answers] - s.D[:, m][:, None] + (s.U[q, answers] - s.U[q, m])
    terms = (tokens[None] + places[:, None, :]) * weights[:, :, None]
    last = terms[free, q]
    left = _undecided(terms[:free], last, -1, contains_maximum=q != m)
    return Leaf(m, q, answers[left], terms[:free][:, :, left], last[left])
