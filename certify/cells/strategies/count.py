"""Strategy ``count``: near-exact counts of failing sequences for any k, by integer generating
functions.

For an undecided query and maximum the checker counts, for every wrong answer j, the sequences whose
terms can sum to zero or more, on a grid of ``bins`` steps.  Rounding costs about as much as the
grid is coarse, so the bins go where the failing mass is: an estimate of every count and of its
rounding error at a coarse grid is made here by discrete Fourier transform, and the bins minimise
(sum of errors) + price * (time of the polynomials).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.cells.estimates import Examined
from certify.cells.forest import Cell, Share, cell, singles
from certify.cells.problem import Problem, Settle, pooled_then_single
from certify.cells.scaled import Array
from certify.cells.tails import within

COARSE, FINE = 48, 384
"""Bins of the first estimate, and of the second, where the first leaves more than ``UNCLEAR`` of
the domain open.
"""

UNCLEAR = 1e-7
CHOICES = (48, 96, 192, 384, 768, 1536, 3072)
SECONDS_PER_PRODUCT = 2.0e-5
"""Rough time of one packed product of 48 bins, in bare Python; only the ratio to the errors
matters.
"""

GROWTH = 1.5
"""The time of a packed product grows about like bins to this power."""

PRICE = 4e-8
"""Share of the domain that one second of checking is worth at effort 1."""


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


@dataclass(frozen=True)
class _Estimate:
    """Shares of the domain per answer: deficits rounded down, to the nearest, and up; each is
    counted when it is asked for.

    ``deficits`` [free, answers, m + 1] in steps, not rounded; ``weights`` [free, m + 1];
    ``shares`` [answers]: that of the query where the answer may win.
    """

    deficits: Array
    weights: Array
    bins: int
    forced: int
    shares: Array

    @cached_property
    def upper(self) -> Array:
        """Return no less than what fails."""
        return self._counted(np.floor(self.deficits))

    @cached_property
    def middle(self) -> Array:
        """Return about what fails."""
        return self._counted(np.rint(self.deficits))

    @cached_property
    def lower(self) -> Array:
        """Return no more than what fails."""
        return self._counted(np.ceil(self.deficits))

    def _counted(self, rounded: Array) -> Array:
        return self.shares * within(rounded.astype(np.intp), self.weights, self.bins, self.forced)


def build(problem: Problem) -> list[Cell]:
    """Return pooled roots, split into single queries where needed, with the undecided cells
    counted.

    Ensures: for any k, upper minus lower is the rounding of the grids plus the overlap of wrong
             answers.
    Cost:    per undecided query, maximum and answer about 2 k polynomial products of the chosen
             bins.
    """
    settle = settling(problem.cells.probabilities, problem.effort)
    return pooled_then_single(
        problem, settle, lambda m, q: cell("count", [q], singles(m), blocks=[[COARSE, []]])
    )


def settling(probabilities: Array, effort: float) -> Settle:
    """Return what chooses the bins of a cell with one query and single tokens.

    ``probabilities`` [n, V]: how much each token counts at each position.
    """
    price = PRICE / effort * 2 * max(len(probabilities) - 1, 1) * SECONDS_PER_PRODUCT

    def settle(examined: Examined) -> Cell:
        leaf = _leaf(examined)
        blocks, lower = _shares(leaf, probabilities, price)
        hints: dict[str, Any] = {"lower": lower} if lower else {}
        return cell("count", [leaf.query], singles(leaf.maximum), blocks=blocks, **hints)

    return settle


def _leaf(found: Examined) -> Leaf:
    query = int(found.queries[0])
    return Leaf(
        found.maximum,
        query,
        found.left.answers,
        found.terms[:-1].transpose(0, 2, 1),
        found.terms[-1, :, query],
    )


def _shares(leaf: Leaf, probabilities: Array, price: float) -> tuple[list[Share], list[Share]]:
    """Return the hints ``blocks`` and ``lower`` of one leaf.

    Every answer of the estimate gets its own polynomial or, where one for all of them is as good,
    shares one; whatever else the checker may find undecided falls into the last block, which takes
    all that is left.
    """
    size = _share(leaf, probabilities)
    if size < price:
        return [[COARSE, []]], []
    resolution = COARSE
    apart = _estimate(leaf, probabilities, resolution)
    joint = _estimate(_joined(leaf), probabilities, resolution)
    most = min(size, float(apart.upper.sum()), float(joint.upper[0]))
    if most >= UNCLEAR and most - float(apart.lower.max()) >= UNCLEAR:
        resolution = FINE
        apart = _estimate(leaf, probabilities, resolution)
        joint = _estimate(_joined(leaf), probabilities, resolution)
    bins, costs = _allocate(apart.middle, apart.upper, price, resolution)
    together, joint_costs = _allocate(joint.middle, joint.upper, price, resolution)
    separate = float(costs.sum()) + min(float(apart.middle.sum()), size)
    if float(joint_costs[0]) + float(joint.middle[0]) < separate:
        blocks: list[Share] = [[int(together[0]), []]]
    else:
        rare = apart.upper < price
        if (
            rare.any()
            and _estimate(_joined(_chosen(leaf, rare)), probabilities, COARSE).upper[0]
            > price * rare.sum()
        ):
            rare[:] = False
        blocks = [[int(b), [int(j)]] for b, j in zip(bins[~rare], leaf.answers[~rare], strict=True)]
        blocks.append([COARSE, []])
    if apart.middle.max() < price:
        return blocks, []
    likely, spent = _likeliest(apart, price)
    return blocks, [[spent, [int(leaf.answers[likely])]]]


def _likeliest(apart: _Estimate, price: float) -> tuple[int, int]:
    """Return the answer whose lower count is worth most after its price, and its bins."""
    first = np.array([int(apart.middle.argmax())])
    # No count costs less than the price, so no other can be worth more than this leaves it.
    _, (least,) = _lower_worth(apart, first, price)
    chosen = np.union1d(first, np.flatnonzero(apart.middle - price > least))
    bins, worth = _lower_worth(apart, chosen, price)
    best = int(worth.argmax())
    return int(chosen[best]), int(bins[best])


def _lower_worth(
    apart: _Estimate, chosen: NDArray[np.intp], price: float
) -> tuple[NDArray[np.intp], Array]:
    """Return the bins for lower counts of these answers, and what the counts are worth."""
    some = replace(apart, deficits=apart.deficits[:, chosen], shares=apart.shares[chosen])
    middle = apart.middle[chosen]
    bins, costs = _allocate(middle, 2 * middle - some.lower, price, apart.bins)
    return bins, middle - costs


def _allocate(
    middle: Array, upper: Array, price: float, resolution: int
) -> tuple[NDArray[np.intp], Array]:
    """Return for every count the bins that minimise rounding error plus price, and these minima.

    The count on b bins is taken as ``middle * (upper/middle)^(resolution/b)``: rounding shifts
    every sum by a number of steps, and tails of sums fall off about exponentially.  Grids coarser
    than the estimate's own are for counts that do not matter.
    """
    choices = np.array(CHOICES)
    least = np.maximum(middle, 1e-30)[:, None]
    ratio = np.maximum(upper[:, None] / least, 1.0)
    errors = least * (np.minimum(ratio, 1e12) ** (resolution / choices) - 1)
    blind = (choices < resolution) & (upper[:, None] > price)
    totals = np.where(blind, np.inf, errors + price * (choices / COARSE) ** GROWTH)
    best = totals.argmin(axis=1)
    return choices[best], totals.min(axis=1)


def _share(leaf: Leaf, probabilities: Array) -> float:
    """Return the share of the domain that lies in the leaf."""
    up_to = probabilities[:-1, : leaf.maximum + 1].sum(axis=1).prod()
    below = (
        probabilities[:-1, : leaf.maximum].sum(axis=1).prod() if leaf.query != leaf.maximum else 0.0
    )
    return float(probabilities[-1, leaf.query] * (up_to - below))


def _chosen(leaf: Leaf, answers: NDArray[np.bool_]) -> Leaf:
    """Return the leaf with some of its answers only."""
    return Leaf(
        leaf.maximum,
        leaf.query,
        leaf.answers[answers],
        leaf.terms[:, :, answers],
        leaf.last[answers],
    )


def _joined(leaf: Leaf) -> Leaf:
    """Return the leaf with one answer that wins wherever any of its answers does: the termwise
    maximum.
    """
    return Leaf(
        leaf.maximum,
        leaf.query,
        leaf.answers[:1],
        leaf.terms.max(axis=2, keepdims=True),
        leaf.last.max(keepdims=True),
    )


def _estimate(leaf: Leaf, probabilities: Array, bins: int) -> _Estimate:
    """Return estimates of the failing share for every answer on a grid of so many bins.

    Cost: one Fourier transform per free position and answer for each that is asked for.
    """
    free = leaf.terms.shape[0]
    share = float(probabilities[-1, leaf.query])
    tops = leaf.terms.max(axis=1, initial=-np.inf) if free else np.zeros((0, len(leaf.answers)))
    total = tops.sum(axis=0) + leaf.last
    step = np.where(total > 0, total, 1.0) / bins
    deficits = np.minimum((tops[:, None, :] - leaf.terms) / step, bins + 1)
    weights = probabilities[:-1, : leaf.maximum + 1]
    forced = free if leaf.query != leaf.maximum else 0
    shares = np.where(total >= 0, share, 0.0)
    by_answer = np.ascontiguousarray(deficits.transpose(0, 2, 1))
    return _Estimate(by_answer, weights, bins, forced, shares)
