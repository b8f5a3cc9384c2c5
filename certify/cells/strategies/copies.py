"""Strategies ``cubic`` and ``subcubic``: inputs grouped by how many free positions do not hold the
maximum.

The published cubic proof groups by query, maximum, the number c of such positions and a set of
tokens that may stand there; the sub-cubic one takes all tokens up to m - g, with a gap g for each
group.  Both are groups of SPEC-7.14, on the separable form: nothing is said about orderings or
attention intervals, which were where the published derivations could fail.  Source: arXiv
2406.11779 and its released code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from certify.cells.estimates import Cells, Examined, Tokens
from certify.cells.forest import Cell, cell, ranges, runs
from certify.cells.problem import Problem, pooled_then_single, skipped, starts_of
from certify.cells.scaled import SLACK, Array
from certify.cells.strategies.cascade import Offers, plans

WORTH = 2.5e8
"""Operations that certifying a whole domain is worth to ``subcubic`` at effort 1."""


SHARES, QUICK_SHARES = (1.0, 0.5, 0.25, 0.12), (0.5,)
"""How long the blocks beyond a gap may be, as a share of their distance to the maximum."""


def cubic(problem: Problem) -> list[Cell]:
    """Return single queries below pooled cells, each settled by groups of any tokens.

    Ensures: lower side only.
    Cost:    for the checker about 2 V^2 d and V^3, and V^2 |J| k for the answers left in single
             cells.
    """

    def settle(examined: Examined) -> Cell:
        groups, _, _ = grouped(examined, problem.cells.weights(examined), any_tokens=True)
        return cell("copies", examined.queries.tolist(), runs(examined.starts), groups=groups)

    return pooled_then_single(problem, settle, lambda m, q: cell("skip", [q]))


def subcubic(problem: Problem) -> list[Cell]:
    """Return pooled cells settled by groups of all tokens up to a gap below the maximum.

    Ensures: lower side only.
    Cost:    for the checker that of the enclosed paths, and about 100 V^2 with |J| k for the
             answers left in pooled cells.
    """
    if problem.cautious:
        return skipped(problem)
    found = plans(problem, WORTH * problem.effort, _gaps)
    return [*problem.without_inputs(), *(one for plan in found for one in plan.cells)]


def _gaps(cells: Cells, offers: Offers) -> None:
    """Offer a cell with only the blocks that its gaps need: found with single tokens, then tried
    with larger blocks.
    """
    maximum, queries = offers.maximum, offers.queries
    fine = cells.examine(maximum, queries, np.arange(maximum + 1), offers.left)
    groups, _, _ = grouped(fine, cells.weights(fine), any_tokens=False)
    ends = {held[-1][1] + 1 for _, held in groups if held}
    for share in QUICK_SHARES if offers.quick else SHARES:
        far = {
            int(start) for start in starts_of(maximum, 0, share) if start <= max(ends, default=0)
        }
        first = np.array(sorted({0, maximum, *ends, *far}))
        examined = cells.examine(maximum, queries, first, offers.left)
        if not len(examined.left.answers):
            offers.add(examined.operations, 0.0, cell("extreme", queries.tolist(), runs(first)))
            continue
        groups, right, work = grouped(examined, cells.weights(examined), any_tokens=False)
        loss = max(cells.size(maximum, queries) - right, 0.0)
        one = cell("copies", queries.tolist(), runs(first), groups=groups)
        offers.add(examined.operations + work, loss, one)


def grouped(
    examined: Examined, weights: Array, *, any_tokens: bool
) -> tuple[list[Any], float, float]:
    """Return groups for a cell, the weight of the inputs in them, and the operations.  (SPEC-7.14)

    Per number c of free positions without the maximum, the blocks are taken in ascending order (or,
    for ``any_tokens``, from the least to the most dangerous), as many as keep every wrong answer
    beaten.
    Cost: n |J| blocks log n for each c.
    """
    positions, count, width = examined.terms.shape
    free = positions - 1
    finite = np.where(np.isfinite(examined.terms), examined.terms, 0.0)
    floor = -(positions + 1) * np.abs(finite).max(axis=(0, 2)) - 1.0
    terms = np.where(np.isfinite(examined.terms), examined.terms, floor[:, None])
    own, last = terms[:free, :, -1], terms[free].max(axis=1)
    size = positions * np.abs(finite).max(axis=(0, 2)) * SLACK
    groups: list[Any] = []
    right = 0.0
    work = 3.0 * terms.size + 2.0 * count * positions
    for c in range(free + 1 - examined.forced):
        order = np.arange(width - 1)
        if any_tokens:
            order = np.argsort(
                _worst(terms[:free, :, :-1], own, last, c).max(axis=0), kind="stable"
            )
        together = np.maximum.accumulate(terms[:free][:, :, order], axis=2)
        beaten = (_worst(together, own, last, c) < -size[:, None]).all(axis=0)
        taken = order[: int(np.argmin(beaten)) if not beaten.all() else len(beaten)]
        if (c and not len(taken)) or (not c and not (own.sum(axis=0) + last < -size).all()):
            continue
        chosen = taken if c else taken[:0]
        groups.append([c, ranges(chosen.tolist())])
        right += _share(weights, chosen, c)
        work += count * (free * (len(chosen) + 8.0) + 4.0) + 3.0 * free * (c + 1)
    return groups, right, work


def _worst(others: Array, own: Array, last: Array, copies: int) -> Array:
    """Return per answer and block the largest sum with so many free positions in the block, the
    others the maximum.
    """
    gains = -np.sort(-(others - own[:, :, None]), axis=0)
    found: Array = own.sum(axis=0)[:, None] + gains[:copies].sum(axis=0) + last[:, None]
    return found


def _share(weights: Array, chosen: Tokens, copies: int) -> float:
    """Return the weight of the inputs with exactly so many free positions in the chosen blocks, the
    others the maximum.
    """
    polynomial = np.zeros(copies + 1)
    polynomial[0] = 1.0
    for row in weights[:-1]:
        others = row[chosen].sum()
        polynomial = polynomial * row[-1] + others * np.concatenate([[0.0], polynomial[:-1]])
    return float(polynomial[copies] * weights[-1].sum())
