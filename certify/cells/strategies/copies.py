"""Strategies ``cubic`` and ``subcubic``: inputs grouped by how many free positions do not hold the
maximum.

The published cubic proof groups by query, maximum, the number c of such positions and a set of
tokens that may stand there; the sub-cubic one takes all tokens up to m - g, with a gap g for each
group.  Both are groups of SPEC-7.14, on the separable form: nothing is said about orderings or
attention intervals, which were where the published derivations could fail.  Source: arXiv
2406.11779 and its released code.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from certify.cells.estimates import Examined, Tokens
from certify.cells.forest import Cell, cell, ranges, runs
from certify.cells.problem import Problem, pooled_then_single, skipped, starts_of
from certify.cells.scaled import SLACK, Array
from certify.cells.strategies.cascade import Fine, Offers, plans

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
        weights = problem.cells.weights(examined)
        forced = examined.forced
        groups, _, _ = grouped(examined.terms, weights, forced=forced, any_tokens=True)
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


def _gaps(offers: Offers) -> None:
    """Offer a cell with only the blocks that its gaps need: found with single tokens, then tried
    with larger blocks.
    """
    below, queries = offers.below, offers.queries
    maximum, forced = below.maximum, bool(queries[-1] != below.maximum)
    if offers.fine is None:
        blocks = below.blocks(np.arange(maximum + 1))
        terms, _ = blocks.terms(queries)
        groups, right, _ = grouped(terms, blocks.weights(queries), forced=forced, any_tokens=False)
        gaps = {held[-1][1] + 1 for _, held in groups if held}
        offers.fine = Fine(gaps, max(offers.size - right, 0.0))
    gaps, least = offers.fine.gaps, offers.fine.loss
    for share in QUICK_SHARES if offers.quick else SHARES:
        far = {
            int(start) for start in starts_of(maximum, 0, share) if start <= max(gaps, default=0)
        }
        first = np.array(sorted({0, maximum, *gaps, *far}))
        name = first.tobytes()
        if name in offers.settled or offers.hopeless(below.least_work(queries, first), least):
            continue
        offers.settled.add(name)
        examined = below.examine(queries, first)
        if not len(examined.left.answers):
            offers.add(examined.operations, 0.0, cell("extreme", queries.tolist(), runs(first)))
            continue
        weights = below.weights(examined)
        groups, right, work = grouped(examined.terms, weights, forced=forced, any_tokens=False)
        loss = max(offers.size - right, 0.0)
        if not offers.hopeless(examined.operations + work, loss):
            one = cell("copies", queries.tolist(), runs(first), groups=groups)
            offers.add(examined.operations + work, loss, one)


def grouped(
    terms: Array, weights: Array, *, forced: bool, any_tokens: bool
) -> tuple[list[Any], float, float]:
    """Return groups for a cell, the weight of the inputs in them, and the operations.  (SPEC-7.14)

    ``terms`` [n, J, blocks]; ``forced``: whether a free position must hold the maximum.
    Per number c of free positions without the maximum, the blocks are taken in ascending order (or,
    for ``any_tokens``, from the least to the most dangerous), as many as keep every wrong answer
    beaten.
    Cost: n^2 |J| blocks, for each c if ``any_tokens``.
    """
    positions, count, width = terms.shape
    free = positions - 1
    there = np.isfinite(terms)
    largest = np.abs(terms).max(axis=(0, 2), initial=0.0, where=there)
    floor = -(positions + 1) * largest - 1.0
    terms = np.where(there, terms, floor[:, None])
    others, own, last = terms[:free, :, :-1], terms[:free, :, -1], terms[free].max(axis=1)
    size = positions * largest * SLACK
    order = np.arange(width - 1)
    chosen: list[tuple[int, Tokens]] = []
    if (own.sum(axis=0) + last < -size).all():
        chosen.append((0, order[:0]))
    worst = _worst(others if any_tokens else np.maximum.accumulate(others, axis=2), own, last)
    for c in range(1, free + 1 - forced):
        sums = worst[c - 1]
        if any_tokens:
            order = np.argsort(sums.max(axis=0), kind="stable")
            together = np.maximum.accumulate(others[:, :, order], axis=2)
            sums = _worst(together, own, last)[c - 1]
        beaten = (sums < -size[:, None]).all(axis=0)
        taken = len(beaten) if beaten.all() else int(np.argmin(beaten))
        if taken:
            chosen.append((c, order[:taken]))
    work = 3.0 * terms.size + 2.0 * count * positions
    work += sum(
        count * (free * (len(blocks) + 8.0) + 4.0) + 3.0 * free * (c + 1) for c, blocks in chosen
    )
    right = sum(_share(weights, blocks, c) for c, blocks in chosen)
    return [[c, ranges(blocks.tolist())] for c, blocks in chosen], right, work


def _worst(others: Array, own: Array, last: Array) -> list[Array]:
    """Return per answer and block the largest sum with 1, 2, ... free positions in the block, the
    others the maximum, each [J, blocks].
    """
    gains = accumulate(_descending(list(others - own[:, :, None])))
    return [own.sum(axis=0)[:, None] + gain + last[:, None] for gain in gains]


def _descending(rows: list[Array]) -> list[Array]:
    """Return a few arrays sorted place by place, the largest first."""
    found = list(rows)
    for least in range(len(found)):
        for at in range(len(found) - 1, least, -1):
            pair = found[at - 1], found[at]
            found[at - 1], found[at] = np.maximum(*pair), np.minimum(*pair)
    return found


def _share(weights: Array, chosen: Tokens, copies: int) -> float:
    """Return the weight of the inputs with exactly so many free positions in the chosen blocks, the
    others the maximum.
    """
    polynomial = [1.0] + copies * [0.0]
    for row in weights[:-1]:
        own, others = float(row[-1]), float(row[chosen].sum())
        raised = [0.0, *polynomial[:-1]]
        polynomial = [
            kept * own + others * added for kept, added in zip(polynomial, raised, strict=True)
        ]
    return polynomial[copies] * float(weights[-1].sum())
