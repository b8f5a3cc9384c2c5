"""Strategies for wide models: pooled cells with the best numbers to compare heads with, split where
something is left.

A pooled cell with numbers that were searched for decides what a screen and single cells decide of a
model with one head, so there are few cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from certify.cells.estimates import Examined, Open, Tokens
from certify.cells.forest import Cell, cell, near_and_far, runs, singles, starts
from certify.cells.numbering import Numbering
from certify.cells.problem import nothing_at
from certify.cells.strategies import STRATEGIES as ONE_HEAD
from certify.cells.strategies.brute_force import LARGEST_DOMAIN
from certify.cells.strategies.count import settling
from certify.cells.strategies.exact import enumerated_cell
from certify.certificate.job import EFFORT, SEMANTICS, Strategy
from certify.errors import Unsupported
from certify.progress import Progress
from certify.wide.estimates import Cells, WideExamined
from certify.wide.slack import Slack
from certify.wide.tables import Tables

NEAR_TOKENS, FIRST_BLOCK, GROWTH = 8, 3, 2
"""The layout of a pooled cell: single tokens below the maximum, then ever longer blocks."""

PARTS = 4
"""How many cells a pooled one is split into."""

POOLED_TUPLES = 1 << 16
"""A pooled cell with more tuples of blocks is counted."""


@dataclass(frozen=True)
class Problem:
    """The tables of a wide model, and what is asked of it; as the problem of one head.

    ``looser``: by what share boxes and bounds are wider than estimated.  ``slack``: how far scores
    and logits may be off in the semantics of the claim, None in real arithmetic.
    """

    named: Numbering
    weights: list[list[int]]
    tables: Tables
    effort: float
    looser: float
    progress: Progress
    slack: Slack | None = None

    @cached_property
    def cells(self) -> Cells:
        """Return the tables arranged for cells."""
        shares = [[entry / sum(row) for entry in row] for row in self.weights]
        return Cells(self.tables, np.array(shares), self.named.allowed, self.looser, self.slack)

    def everything(self, maximum: int) -> Open:
        """Return every wrong answer with every token that its position allows."""
        return self.cells.everything(maximum)

    def maxima(self) -> Iterator[int]:
        """Yield the maxima that some input has, and report progress."""
        for maximum in range(self.named.context, self.named.places):
            self.progress(maximum, self.named.places, f"maximum {maximum}")
            yield maximum


Settle = Callable[[WideExamined], Cell]
"""Returns the leaf of a cell of which answers are left."""


def hinted(found: WideExamined, one: Cell) -> Cell:
    """Return a cell with its box and its numbers."""
    lambdas = [[answer, numbers] for answer, numbers in sorted(found.lambdas.items())]
    more: dict[str, Any] = {"box": [side.spelled() for side in found.box]}
    if len(found.neurons):
        more["neurons"] = [[int(least), int(most)] for least, most in found.neurons]
    return one | more | ({"lambda": lambdas} if lambdas else {})


def pooled(problem: Problem, settle: Settle, least: int) -> list[Cell]:
    """Return a forest of pooled cells, split until ``least`` queries are left or nothing is.

    ``settle`` chooses the method of a cell with so few queries of which answers are left.
    """
    found = [one for m in range(problem.named.context) for one in nothing_at(m)]
    asked = problem.named.asked
    for m in problem.maxima():
        below = np.array([q for q in asked if q < m], dtype=np.intp)
        parts = [below, np.array([q for q in asked if q == m], dtype=np.intp)]
        idle = [[q for q in range(m) if q not in asked], [m] if m not in asked else []]
        roots = [[cell("skip", part)] for part in idle if part]
        roots += [
            _tree(problem, settle, least, m, part, problem.everything(m))
            for part in parts
            if len(part)
        ]
        for root in roots:
            found += [root[0] | {"maximum": m, "mu": ["0", "0"]}, *root[1:]]
    return found


def _tree(
    problem: Problem, settle: Settle, least: int, m: int, queries: Tokens, left: Open
) -> list[Cell]:
    """Return a cell with everything below it."""
    alone = len(queries) == 1
    layout = singles(m) if alone else near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
    found = problem.cells.examine(m, queries, np.array(starts(layout)), left)
    if found.unknown:
        return [cell("skip", queries.tolist())]
    if not len(found.left.answers):
        return [hinted(found, cell("extreme", queries.tolist(), layout))]
    if len(queries) <= least:
        return [hinted(found, settle(found))]
    halves = np.array_split(queries, min(PARTS, len(queries)))
    below = [_tree(problem, settle, least, m, part, found.left) for part in halves]
    root = cell("split", queries.tolist(), layout, children=len(below))
    return [hinted(found, root), *(one for part in below for one in part)]


def exact(problem: Problem) -> list[Cell]:
    """Return pooled cells, split into single queries where something is left, which are enumerated.

    Ensures: both sides of the claim meet, but for exact ties that no enclosure tells.
    """
    return pooled(problem, enumerated_cell, 1)


def by_answer(found: WideExamined) -> Examined:
    """Return the cell as one of one head: for each answer its largest terms over the vertices."""
    answers = found.left.answers
    terms = np.stack([found.terms[:, found.pair_answers == j].max(axis=1) for j in answers], axis=1)
    return Examined(found.maximum, found.queries, found.starts, found.left, terms, 0.0)


def count(problem: Problem) -> list[Cell]:
    """Return pooled cells, split into single queries where something is left, which are counted."""
    settle = settling(problem.cells.probabilities, problem.effort)
    return pooled(problem, lambda found: settle(by_answer(found)), 1)


def cascade(problem: Problem) -> list[Cell]:
    """Return pooled cells, split into a few queries where something is left: lower side only."""
    least = max(1, round(PARTS / problem.effort))

    def settle(found: WideExamined) -> Cell:
        there = np.isfinite(found.terms).any(axis=1).sum(axis=1)
        layout = runs(found.starts)
        if there.prod(dtype=float) <= POOLED_TUPLES:
            return cell("enumerate", found.queries.tolist(), layout)
        return cell("count", found.queries.tolist(), layout, blocks=[[64, []]])

    return pooled(problem, settle, least)


def brute_force(problem: Problem) -> list[Cell]:
    """Return one brute-force cell per query and maximum."""
    inputs = float(np.prod(problem.named.allowed.sum(axis=1), dtype=float))
    if inputs > LARGEST_DOMAIN:
        raise Unsupported(
            f"strategy brute-force stops at {LARGEST_DOMAIN} inputs, here are {inputs:.0f}; use"
            " exact or count"
        )
    found = [one for m in range(problem.named.context) for one in nothing_at(m)]
    for m in problem.maxima():
        for q in range(m + 1):
            one = np.array([q])
            known = problem.cells.examine(m, one, np.arange(m + 1), problem.everything(m))
            asked = q in problem.named.asked and not known.unknown
            leaf = hinted(known, cell("brute-force", [q])) if asked else cell("skip", [q])
            found.append(leaf | {"maximum": m, "mu": ["0", "0"]})
    return found


PLAIN = ONE_HEAD["brute-force"]

STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(PLAIN.name, PLAIN.idea, PLAIN.cost, brute_force, PLAIN.takes),
        Strategy(
            "exact",
            "pooled cells with searched lambdas, the rest by single queries: lower = upper",
            "2 H V^2 d and 2^H V^2 or more",
            exact,
            frozenset({SEMANTICS}),
        ),
        Strategy(
            "count",
            "the same, the rest counted by generating functions: any k",
            "2 H V^2 d and 2^H V^2 or more, and the products",
            count,
            frozenset({SEMANTICS, EFFORT}),
        ),
        Strategy(
            "cascade",
            "pooled cells with searched lambdas, a few queries at the least: lower side only",
            "2 H V^2 d and 2^H V^2 or more",
            cascade,
            frozenset({SEMANTICS, EFFORT}),
        ),
    )
}
