"""What a strategy is given, and the plan every strategy but brute force starts from: pool first, then split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model import Model
from certify.scope import Scope
from certify.strategies import pooling
from certify.strategies.forest import Cell, cell, near_and_far, singles, starts, tree

Settle = Callable[[pooling.Leaf], Cell]
Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """A model, the scope of the claim, and how much work the proof may ask of the checker.

    ``effort`` scales the polynomials of ``count``: twice the effort, about half the width and three times the work.
    ``cautious``: trust no estimate, so that no leaf claims what only an estimate supports.
    """

    model: Model
    scope: Scope
    scaled: pooling.Scaled
    effort: float
    cautious: bool
    progress: Progress


NEAR_TOKENS, FIRST_BLOCK, GROWTH = 8, 3, 2


def pooled_then_single(problem: Problem, settle: Settle) -> list[Cell]:
    """Return a forest with two roots per maximum m: all queries below m pooled, and the query m.

    The pooled root removes the wrong answers that lose to m whatever the query; if any is left, it is split into
    one cell per query.  ``settle`` chooses the method of a cell whose own extreme test leaves answers.
    Source: the cells of SPEC 7, pooling over queries rather than over answers.
    """
    s, cells = problem.scaled, []
    vocab = problem.model.config.d_vocab
    everything = np.arange(problem.model.config.d_vocab_out)
    for m in range(vocab):
        problem.progress(m, f"maximum {m}")
        if m:
            layout = near_and_far(m, NEAR_TOKENS, FIRST_BLOCK, GROWTH)
            queries = np.arange(m)
            left = everything[everything != m]
            if not problem.cautious:
                left = pooling.surviving_pooled(s, m, queries, starts(layout))
            if len(left):
                children = [_single(problem, settle, m, q, left) for q in range(m)]
                cells += tree(m, cell("split", range(m), layout, children=m), children)
            else:
                cells += tree(m, cell("extreme", range(m), layout))
        cells += tree(m, _single(problem, settle, m, m, everything[everything != m]))
    return cells


def _single(problem: Problem, settle: Settle, m: int, q: int, answers: NDArray[np.intp]) -> Cell:
    found = pooling.leaf(problem.scaled, m, q, answers)
    if len(found.answers) or problem.cautious:
        return settle(found)
    return cell("extreme", [q], singles(m))
