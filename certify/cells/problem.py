"""What a strategy is given, and the plan most strategies start from: screen, pool, then split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from certify.cells.below import Below
from certify.cells.estimates import Cells, Examined, Open, Tokens
from certify.cells.expected import NO_INPUT, beaten, counted, handed_down
from certify.cells.forest import Cell, Layout, cell, near_and_far, runs, singles, starts, tree
from certify.cells.numbering import Numbering
from certify.cells.scaled import Scaled
from certify.errors import Unsupported
from certify.progress import Progress


class TooDear(Unsupported):
    """Raised where a plan can no longer be better than one that is known."""


@dataclass(frozen=True)
class Problem:
    """The tables of a model, what is asked of it, and how much work the proof may ask of the
    checker.

    ``named``: how tokens are numbered.  ``weights`` [n_ctx, places]: how much each place counts.
    ``effort``: a higher effort gives a tighter bound and a longer check.
    ``cautious``: trust no estimate, so that no leaf claims what only an estimate supports.
    ``most``: the price, in operations, of a proof that is to be beaten.
    """

    named: Numbering
    weights: list[list[int]]
    scaled: Scaled
    effort: float
    cautious: bool
    progress: Progress
    most: float = math.inf

    @cached_property
    def cells(self) -> Cells:
        """Return the tables arranged for cells."""
        shares = [[entry / sum(row) for entry in row] for row in self.weights]
        return Cells(self.scaled, np.array(shares), self.named.allowed, self.named.near)

    def parts(self, maximum: int) -> tuple[list[int], list[int]]:
        """Return the queries below a maximum that some input has, and the maximum if it is one."""
        asked = self.named.asked
        below = [query for query in asked if query < self.named.near[maximum]]
        return below, [query for query in asked if query == maximum]

    def idle(self, maximum: int) -> list[list[int]]:
        """Return the queries up to a maximum that no input has, as sets that a cell may hold."""
        near = self.named.near[maximum]
        asked = self.named.asked
        below = [query for query in range(maximum) if query not in asked or query >= near]
        own = [] if maximum in self.named.asked else [maximum]
        return [part for part in (below, own) if part]

    def maxima(self) -> Iterator[int]:
        """Yield the maxima that some input has, and report progress."""
        for maximum in range(self.named.context, self.named.places):
            self.progress(maximum, self.named.places, f"maximum {maximum}")
            yield maximum

    def without_inputs(self) -> list[Cell]:
        """Return cells for the maxima that no input has: context places."""
        found = [one for m in range(self.named.context) for one in nothing_at(m)]
        return [one | {"expected": NO_INPUT} for one in found]


Settle = Callable[[Examined], Cell]
Blind = Callable[[int, int], Cell]
"""The cell for a maximum and a query of which nothing is known."""

SCREENS = ((1, 1.0), (3, 1.0), (4, 0.5), (6, 0.35), (8, 0.25), (12, 0.2))
"""Layouts of a screen: single tokens below the maximum, then blocks of this share of their distance
to it.
"""

COST_OF_ANSWER = 200
"""Rough operations of a pooled cell for each answer that a screen leaves, beside two for each
query.
"""

NEAR_TOKENS, FIRST_BLOCK, GROWTH = 8, 3, 2


def screen(cells: Cells, maximum: int) -> tuple[Layout, Open, float]:
    """Return the layout of the screen that costs least with what follows, what it leaves, and its
    operations.
    """
    layouts = [starts_of(maximum, *shape) for shape in SCREENS]
    found = list(cells.screens(maximum, layouts))
    prices = [work + len(left.answers) * (2 * maximum + COST_OF_ANSWER) for left, work in found]
    best = prices.index(min(prices))
    left, work = found[best]
    return runs(layouts[best]), left, work


@lru_cache(maxsize=256)
def starts_of(maximum: int, near: int, share: float) -> Tokens:
    """Return the starts of ``near`` single tokens below the maximum and then blocks of a share of
    their distance to it.
    """
    found = [maximum]
    while found[-1] > 0:
        distance = maximum - found[-1]
        found.append(
            found[-1] - (1 if distance < near else min(max(1, int(share * distance)), found[-1]))
        )
    return np.array(found[::-1])


def nothing_at(maximum: int) -> list[Cell]:
    """Return cells of a maximum that count in neither bound."""
    parts = [part for part in (range(maximum), [maximum]) if len(part)]
    return [one for part in parts for one in tree(maximum, cell("skip", part))]


def skipped(problem: Problem) -> list[Cell]:
    """Return a proof of nothing: every maximum with cells that count in neither bound."""
    return [one for m in range(problem.named.places) for one in nothing_at(m)]


def pooled_then_single(problem: Problem, settle: Settle, blind: Blind) -> list[Cell]:
    """Return a forest of one screen per maximum, a split pooled over the queries below it, and
    cells with a single query.

    A screen and a split remove the wrong answers and tokens that lose whatever the query.
    ``settle`` chooses the method of a single cell whose own test leaves answers; ``blind`` where no
    estimate is trusted.
    Source: the cells of SPEC-7, pooling over queries rather than over answers.
    """
    found = problem.without_inputs()
    for m in problem.maxima():
        found += (
            _without_estimates(problem, blind, m)
            if problem.cautious
            else list(_screened(problem, settle, m))
        )
    return found


def _without_estimates(problem: Problem, blind: Blind, m: int) -> Iterator[Cell]:
    layout = near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
    below, own = problem.parts(m)
    for part in problem.idle(m):
        yield from tree(m, cell("skip", part))
    if below:
        children = [blind(m, q) for q in below]
        yield from tree(m, cell("split", below, layout, children=len(below)), children)
    for q in own:
        yield from tree(m, blind(m, q))


def _screened(problem: Problem, settle: Settle, m: int) -> Iterator[Cell]:
    cells = problem.cells
    layout, left, work = screen(cells, m)
    below, own = problem.parts(m)
    idle = [cell("skip", part, expected=NO_INPUT) for part in problem.idle(m)]
    parts: list[Cell] = []
    if below and len(left.answers):
        coarse = near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
        queries = np.array(below)
        pooled = Below(cells, m, queries, left).examine(queries, np.array(starts(coarse)))
        if len(pooled.left.answers):
            expected = handed_down(pooled.operations)
            parts = [cell("split", below, coarse, children=len(below), expected=expected)]
            single = Below(cells, m, queries, pooled.left)
            parts += [_single(single, settle, q) for q in below]
        else:
            parts = [_extreme(cells, m, below, coarse, pooled.left, pooled.operations)]
    elif below:
        parts = [_extreme(cells, m, below, singles(m), left, 0.0)]
    for q in own:
        if len(left.answers):
            parts.append(_single(Below(cells, m, np.array([q]), left), settle, q))
        else:
            parts.append(_extreme(cells, m, [q], singles(m), left, 0.0))
    children = len(idle) + bool(below) + len(own)
    expected = handed_down(work)
    root = cell("screen", range(m + 1), layout, children=children, expected=expected)
    yield from tree(m, root, [*idle, *parts])


def _single(below: Below, settle: Settle, q: int) -> Cell:
    cells, m = below.cells, below.maximum
    found = below.examine(np.array([q]), np.arange(m + 1))
    if not len(found.left.answers):
        return _extreme(cells, m, [q], singles(m), found.left, found.operations)
    one = settle(found)
    return one | {"expected": counted(cells, found, one)} if one["method"] == "count" else one


def _extreme(
    cells: Cells, m: int, queries: list[int], layout: Layout, left: Open, work: float
) -> Cell:
    expected = beaten(cells, m, queries, left, work)
    return cell("extreme", queries, layout, expected=expected)
