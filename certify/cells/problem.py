"""What a strategy is given, and the plan most strategies start from: screen, pool, then split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from certify.cells.estimates import Cells, Examined, Open, Tokens
from certify.cells.forest import Cell, Layout, cell, near_and_far, runs, singles, starts, tree
from certify.cells.scaled import Scaled
from certify.model.file import Model
from certify.progress import Progress
from certify.question.scope import Scope


@dataclass(frozen=True)
class Problem:
    """A model, the scope of the claim, and how much work the proof may ask of the checker.

    ``effort``: a higher effort gives a tighter bound and a longer check.
    ``cautious``: trust no estimate, so that no leaf claims what only an estimate supports.
    """

    model: Model
    scope: Scope
    scaled: Scaled
    effort: float
    cautious: bool
    progress: Progress

    @cached_property
    def cells(self) -> Cells:
        """Return the tables arranged for cells."""
        config = self.model.config
        # Cells are about the usual domain: every token at every position.
        weights = self.scope.weights or ((1,) * config.d_vocab,) * config.n_ctx
        return Cells(
            self.scaled, np.array([[entry / sum(row) for entry in row] for row in weights])
        )


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
    found: list[tuple[float, int, Open, float, Tokens]] = []
    for near, share in SCREENS:
        first = starts_of(maximum, near, share)
        left, work = cells.screen(maximum, first)
        found.append(
            (
                work + len(left.answers) * (2 * maximum + COST_OF_ANSWER),
                len(found),
                left,
                work,
                first,
            )
        )
    _, _, left, work, first = min(found, key=lambda one: one[:2])
    return runs(first), left, work


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


def skipped(problem: Problem) -> list[Cell]:
    """Return a proof of nothing: every maximum with cells that count in neither bound."""
    parts = [
        (m, part)
        for m in range(problem.model.config.d_vocab)
        for part in (range(m), [m])
        if len(part)
    ]
    return [one for m, part in parts for one in tree(m, cell("skip", part))]


def pooled_then_single(problem: Problem, settle: Settle, blind: Blind) -> list[Cell]:
    """Return a forest of one screen per maximum, a split pooled over the queries below it, and
    cells with a single query.

    A screen and a split remove the wrong answers and tokens that lose whatever the query.
    ``settle`` chooses the method of a single cell whose own test leaves answers; ``blind`` where no
    estimate is trusted.
    Source: the cells of SPEC-7, pooling over queries rather than over answers.
    """
    found: list[Cell] = []
    vocab = problem.model.config.d_vocab
    for m in range(vocab):
        problem.progress(m, vocab, f"maximum {m}")
        found += (
            _without_estimates(blind, m)
            if problem.cautious
            else list(_screened(problem, settle, m))
        )
    return found


def _without_estimates(blind: Blind, m: int) -> Iterator[Cell]:
    layout = near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
    children = [blind(m, q) for q in range(m + 1)]
    if m:
        yield from tree(m, cell("split", range(m), layout, children=m), children[:m])
    yield from tree(m, children[m])


def _screened(problem: Problem, settle: Settle, m: int) -> Iterator[Cell]:
    cells = problem.cells
    layout, left, _ = screen(cells, m)
    parts: list[Cell] = []
    if m and len(left.answers):
        coarse = near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
        pooled = cells.examine(m, np.arange(m), np.array(starts(coarse)), left)
        if len(pooled.left.answers):
            parts = [cell("split", range(m), coarse, children=m)]
            parts += [_single(cells, settle, m, q, pooled.left) for q in range(m)]
        else:
            parts = [cell("extreme", range(m), coarse)]
    elif m:
        parts = [cell("extreme", range(m), singles(m))]
    own = (
        _single(cells, settle, m, m, left)
        if len(left.answers)
        else cell("extreme", [m], singles(m))
    )
    yield from tree(m, cell("screen", range(m + 1), layout, children=1 + (m > 0)), [*parts, own])


def _single(cells: Cells, settle: Settle, m: int, q: int, left: Open) -> Cell:
    found = cells.examine(m, np.array([q]), np.arange(m + 1), left)
    return settle(found) if len(found.left.answers) else cell("extreme", [q], singles(m))
