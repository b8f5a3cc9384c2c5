"""Numbers to compare heads with: a search for those with which most answers lose.  (SPEC-16.3)

The largest sum of an answer, over the vertices of the box and over the inputs, is a convex function
of its lambdas, because every term is.  What is asked for is a point where it is negative, so a
subgradient step goes as far as would bring it some way below zero if it were linear (Polyak).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certify.cells.estimates import NOTHING, Flags, Tokens
from certify.cells.scaled import SLACK, Array

STEPS = 60
AIM, SHRINKING = 0.3, 0.95
"""How far below zero the first step aims, in logits, and by what that falls with each step."""

UNIT = 2.0**-16
"""Hinted numbers are multiples of it.  (SPEC-16.3)"""


@dataclass(frozen=True, slots=True)
class Ends:
    """The weights of one head in one cell, [n, blocks]; at the last position zero and minus
    infinity where a block holds no query.
    """

    lower: Array
    upper: Array


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cell: the weights of its heads, their brackets [n, J, blocks] without lambda, the largest
    direct path [J], and the vertices of the box.
    """

    ends: list[Ends]
    brackets: list[Array]
    direct: Array
    vertices: list[tuple[float, ...]]
    forced: bool

    def usual(self) -> Array:
        """Return the checker's own lambdas of every head but the first [H - 1, J].

        The mean bracket of the tuple whose free positions hold the maximum and whose last holds the
        first query.
        """
        last = int(np.flatnonzero(np.isfinite(self.ends[0].upper[-1]))[0])
        found = []
        for own, rows in zip(self.ends[1:], self.brackets[1:], strict=True):
            weights = np.append(own.lower[:-1, -1], own.lower[-1, last])
            values = np.concatenate([rows[:-1, :, -1], rows[-1:, :, last]])
            total = weights.sum()
            found.append(weights @ values / total if total > 0 else np.zeros(values.shape[1]))
        return np.array(found).reshape(len(self.ends) - 1, len(self.direct))

    def terms(self, lambdas: Array, there: Flags) -> list[Array]:
        """Return per vertex the terms [n, J, blocks], minus infinity where there is none."""
        parts = [part for part, _ in self._parts(lambdas, np.arange(len(self.direct)))]
        return [np.where(there, _joint(parts, vertex), NOTHING) for vertex in self.vertices]

    def chosen(self, there: Flags) -> tuple[Array, Flags]:
        """Return lambdas [H - 1, J], and which of them are better than the checker's own.

        ``there`` [n, J, blocks]: which blocks have a term.
        """
        best = self.usual()
        if not len(best):
            return best, np.zeros(len(self.direct), dtype=bool)
        usual, _, size = self._largest(best, there, np.arange(len(self.direct)))
        lowest, live = usual.copy(), np.flatnonzero(usual >= -SLACK * size)
        lambdas, named = best.copy(), np.zeros(len(self.direct), dtype=bool)
        aim = AIM
        for _ in range(STEPS):
            if not len(live):
                break
            sums, slopes, size = self._largest(lambdas[:, live], there, live)
            better = sums < lowest[live]
            lowest[live[better]] = sums[better]
            best[:, live[better]] = lambdas[:, live[better]]
            named[live[better]] = True
            step = (sums + aim * size) / np.maximum((slopes**2).sum(axis=0), 1e-300)
            moved = lambdas[:, live] - np.where(np.isfinite(step), step, 0.0) * slopes
            lambdas[:, live] = np.rint(np.clip(moved, -16384, 16384) / UNIT) * UNIT
            live = live[(sums >= -SLACK * size) & np.isfinite(sums)]
            aim *= SHRINKING
        return best, named

    def beaten(self, there: Flags) -> Flags:
        """Return which of the answers lose with the checker's own lambdas."""
        sums, _, size = self._largest(self.usual(), there, np.arange(len(self.direct)))
        found: Flags = sums <= -SLACK * size
        return found

    def _parts(self, lambdas: Array, which: Tokens) -> list[tuple[Array, Array]]:
        """Return per head its terms and the ends of the weights in them [n, answers, blocks]."""
        every = [-self.direct[which] - lambdas.sum(axis=0), *lambdas]
        found = []
        for own, rows, shift in zip(self.ends, self.brackets, every, strict=True):
            values = rows[:, which] - shift[:, None]
            upper = np.where(np.isfinite(own.upper), own.upper, 0.0)
            weights = np.where(values > 0, upper[:, None], own.lower[:, None])
            found.append((weights * values, weights))
        return found

    def _largest(self, lambdas: Array, there: Flags, which: Tokens) -> tuple[Array, Array, Array]:
        """Return the largest sum [answers] over vertices and inputs, its slopes by the lambdas, and
        the first head's denominator in that sum.
        """
        parts = self._parts(lambdas, which)
        count = np.arange(len(which))
        top = np.full(len(which), NOTHING)
        slopes, size = np.zeros(lambdas.shape), np.ones(len(which))
        for vertex in self.vertices:
            terms = np.where(there[:, which], _joint([part for part, _ in parts], vertex), NOTHING)
            at = terms.argmax(axis=2)
            best = np.take_along_axis(terms, at[:, :, None], 2)[:, :, 0]
            total = best.sum(axis=0)
            if self.forced and len(terms) > 1:
                with np.errstate(invalid="ignore"):
                    gains = np.nan_to_num(terms[:-1, :, -1] - best[:-1], nan=NOTHING)
                where = gains.argmax(axis=0)
                total = total + gains[where, count]
                at[where, count] = terms.shape[2] - 1
            held = [
                np.take_along_axis(weights, at[:, :, None], 2)[:, :, 0].sum(axis=0)
                for _, weights in parts
            ]
            higher = total > top
            top = np.where(higher, total, top)
            size = np.where(higher, held[0], size)
            moves = [held[0] - v * own for v, own in zip(vertex, held[1:], strict=True)]
            slopes = np.where(higher, np.array(moves).reshape(slopes.shape), slopes)
        return top, slopes, size


def _joint(parts: list[Array], vertex: tuple[float, ...]) -> Array:
    """Return the terms of all heads at one vertex."""
    first, *others = parts
    for end, part in zip(vertex, others, strict=True):
        first = first + end * part
    return first
