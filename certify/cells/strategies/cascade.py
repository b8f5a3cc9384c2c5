"""Strategy ``cascade``: pool over queries, coarse to fine, and spend operations where failing
inputs are.

Per maximum: one screen of all wrong answers; what it leaves goes to cells with many queries, near
tokens single and far tokens in blocks, whose undecided tuples of blocks are enumerated (or, for
long inputs, counted). Queries are split where that removes more possible failures than it costs,
along the two numbers that distinguish queries: how steeply attention falls below the maximum, and
the direct path's logit of the maximum.  Everything is chosen by one price, the operations that the
certified share of one whole domain is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from certify.cells.below import Below
from certify.cells.estimates import Examined, Open, Tokens, counting, enumerated, enumeration
from certify.cells.forest import Cell, Layout, cell, runs, tree
from certify.cells.problem import Problem, TooDear, nothing_at, screen, skipped, starts_of

WORTH = 3e9
"""Operations that certifying a whole domain is worth at effort 1."""

LAYOUTS = ((1, 1.0), (3, 0.5), (6, 0.5), (10, 0.3), (16, 0.2))
QUICK = LAYOUTS[1:3]
ROOT = (4, 0.5)
MOST_SAVED = 1.25
"""A root makes what is below it cheaper by at most so many times the share of tokens and answers
that it removes; measured: 1.1, mostly less than 0.6.
"""

HOPELESS = 0.3
"""A cell whose failures are worth less than this share of its own cost is not split."""

PATIENCE = 2
"""How often in a row halves may be no better than the whole before splitting stops."""

USELESS = 0.8
"""A screen that leaves more than this share of the answers is left out."""

MOST_TUPLES = 1 << 20
BINS = (32, 64, 128, 256)
QUICK_BINS = (64,)
APART, MOST_APART = (0, 1, 2, 4), 8
"""How many of the likeliest wrong answers get a polynomial of their own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells of a proof, the share of the domain that they leave open, and the operations they
    cost.
    """

    cells: tuple[Cell, ...]
    loss: float
    work: float

    def value(self, worth: float) -> float:
        """Return the price of the plan: what it costs and what it leaves open, in operations."""
        return self.work + worth * self.loss

    def tops(self) -> list[bool]:
        """Return which cells are not below another one of the plan."""
        unread, found = 0, []
        for one in self.cells:
            found.append(unread == 0)
            unread += one.get("children", 0) - (unread > 0)
        return found


def joined(plans: Sequence[Plan]) -> Plan:
    """Return the plan that holds all of these, one after the other."""
    cells = tuple(one for plan in plans for one in plan.cells)
    return Plan(cells, sum(plan.loss for plan in plans), sum(plan.work for plan in plans))


def build(problem: Problem) -> list[Cell]:
    """Return one screen per maximum and pooled cells below it, or a skipped cell where that is the
    better bargain.

    Ensures: lower side only; ``correct_upper`` is the total.
    Cost:    for the checker about 40 V^2 for the screens and 40 V^2 for pooled cells beside the
             products, and what
             the model's own failures ask for.
    Source:  the pooled cascade of this project; entry pruning and split axes after SPEC-7.6.
    """
    if problem.cautious:
        return skipped(problem)
    found = plans(problem, WORTH * problem.effort, pooled)
    return [*problem.without_inputs(), *(one for plan in found for one in plan.cells)]


def plans(problem: Problem, worth: float, leaves: Leaves) -> Iterator[Plan]:
    """Yield the best plan found for each maximum, with the cells that ``leaves`` offers.

    Errors: ``TooDear`` as soon as those found are dearer than the proof that is to be beaten.
    """
    price = 0.0
    for m in problem.maxima():
        found = _Search(problem, m, worth, leaves).plan()
        price += found.value(worth)
        if price > problem.most:
            raise TooDear(f"plans up to maximum {m} cost {price:.0f} operations")
        yield found


@dataclass(frozen=True, slots=True)
class Fine:
    """What groups of a cell with single tokens have shown: where gaps end, and the share of the
    domain that they leave open, which no larger blocks make less.
    """

    gaps: set[int]
    loss: float


class Offers:
    """Plans for some queries below one maximum: the best so far, and what it takes to be better.

    ``below``: what is left of the answers.  ``quick``: whether a rough estimate will do.
    ``settled``: layouts that cannot give a better plan, however fine the estimate.  ``fine``: what
    is known of single tokens, if they were looked at.
    """

    def __init__(self, below: Below, queries: Tokens, worth: float) -> None:
        """``worth``: of certifying a whole domain; the first plan is to leave the queries out."""
        self.below, self.queries, self.size = below, queries, below.size(queries)
        self.best = Plan((cell("skip", queries.tolist()),), self.size, 0.0)
        self.quick = True
        self.settled: set[bytes] = set()
        self.fine: Fine | None = None
        self._worth, self._price = worth, self.best.value(worth)

    def consider(self, plan: Plan) -> None:
        """Keep a plan that is better than the best so far."""
        price = plan.value(self._worth)
        if price < self._price:
            self.best, self._price = plan, price

    def add(self, work: float, loss: float, one: Cell) -> None:
        """Offer a plan with one cell."""
        self.consider(Plan((one,), loss, work))

    def hopeless(self, work: float, loss: float = 0.0) -> bool:
        """Return whether no plan that costs so much and leaves so much open can be the best."""
        return work + self._worth * loss >= self._price


Leaves = Callable[[Offers], None]
"""Offers plans with one cell; may leave out what is hopeless."""


class _Search:
    """The search for a plan of one maximum."""

    def __init__(self, problem: Problem, maximum: int, worth: float, leaves: Leaves) -> None:
        cells = problem.cells
        self.cells, self.m, self.worth, self.leaves = cells, maximum, worth, leaves
        every = np.arange(maximum + 1)
        self.parts = [np.array(part) for part in problem.parts(maximum) if part]
        self.idle = tuple(cell("skip", part) for part in problem.idle(maximum))
        scores = cells.s.E_high[every]
        self.axes = [
            scores[:, maximum] - scores[:, max(maximum - 8, 0)],
            cells.s.U_high[every, maximum],
        ]
        if not cells.s.exact:
            self.axes.append((cells.s.E_high - cells.s.E_low)[every].mean(axis=1))

    def plan(self) -> Plan:
        """Return the best plan: all cells below a screen, or nothing at all."""
        size = sum(self.cells.size(self.m, part) for part in self.parts)
        skipped = Plan(
            tuple(nothing_at(self.m)),
            size,
            0.0,
        )
        if self.worth * size <= 5.0 * self.m:
            return skipped
        layout, left, work = screen(self.cells, self.m)
        if len(left.answers) > USELESS * self.cells.outputs:
            best = self._below(self.cells.everything(self.m), 0.0, None)
        else:
            best = self._below(left, work, layout)
        return self._best(skipped, best)

    def _best(self, *plans: Plan) -> Plan:
        return min(plans, key=lambda plan: plan.value(self.worth))

    def _below(self, left: Open, work: float, layout: Layout | None) -> Plan:
        """Return the best plan below a screen, or with roots of their own if there is no layout of
        a screen.
        """
        nothing = Plan(self.idle, 0.0, 0.0)
        below = joined([nothing, *(self._part(part, left) for part in self.parts)])
        tops = below.tops()
        if layout is not None:
            root = cell("screen", range(self.m + 1), layout, children=sum(tops))
            return Plan(tuple(tree(self.m, root, below.cells)), below.loss, work + below.work)
        cells = [
            tree(self.m, one)[0] if top else one for one, top in zip(below.cells, tops, strict=True)
        ]
        return Plan(tuple(cells), below.loss, work + below.work)

    def _part(self, queries: Tokens, left: Open) -> Plan:
        """Return the best plan for the queries of one part, given what the screen left."""
        if not len(left.answers):
            return self._beaten(queries)
        below = Below(self.cells, self.m, queries, left)
        direct = self._leaves(below)
        first = starts_of(self.m, *ROOT)
        whole = below.examine(queries, first)
        if not len(whole.left.answers):
            found = cell("extreme", queries.tolist(), runs(first))
            return self._best(direct, Plan((found,), 0.0, whole.operations))
        removed = 1 - whole.left.allowed.sum() / left.allowed.sum()
        if MOST_SAVED * removed * direct.value(self.worth) < whole.operations:
            return direct
        leaves = self._leaves(Below(self.cells, self.m, queries, whole.left))
        root = cell("split", queries.tolist(), runs(first), children=sum(leaves.tops()))
        split = Plan((root, *leaves.cells), leaves.loss, leaves.work + whole.operations)
        return self._best(direct, split)

    def _beaten(self, queries: Tokens) -> Plan:
        return Plan((cell("extreme", queries.tolist(), [[self.m, 1]] if self.m else []),), 0.0, 0.0)

    def _leaves(self, below: Below) -> Plan:
        """Return the best plan found for the leaves of all queries."""
        return _Leaves(self, below).plan()


class _Leaves:
    """The search for the leaves of all queries, given what is left of the answers."""

    def __init__(self, search: _Search, below: Below) -> None:
        self.search, self.below = search, below
        self._known: dict[bytes, Offers] = {}

    def plan(self) -> Plan:
        """Return the best plan found."""
        return self._best(self._quick(self.below.queries), PATIENCE)

    def _best(self, rough: Offers, patience: int) -> Plan:
        """Return the best plan found with some queries in one leaf, or halved along some axis, and
        so on; ``rough``: what ``_quick`` returns of them.
        """
        whole, queries, worth = rough.best, rough.queries, self.search.worth
        if len(queries) < 2 or whole.loss * worth < HOPELESS * whole.work:
            return self._leaf(rough)
        halves: list[tuple[float, int, list[Offers]]] = []
        for axis in self.search.axes:
            order = np.argsort(axis[queries], kind="stable")
            both = [self._quick(np.sort(queries[half])) for half in np.array_split(order, 2)]
            value = sum(half.best.value(worth) for half in both)
            halves.append((value, len(halves), both))
        value, _, both = min(halves, key=lambda half: half[:2])
        patience = PATIENCE if value < whole.value(worth) else patience - 1
        if patience:
            rough.consider(joined([self._best(half, patience) for half in both]))
        return self._leaf(rough)

    def _quick(self, queries: Tokens) -> Offers:
        """Return offers of plans with one cell, roughly estimated.

        They are made once for the same queries: axes often agree, and no half is halved twice.
        """
        name = queries.tobytes()
        if name not in self._known:
            self._known[name] = Offers(self.below, queries, self.search.worth)
            self.search.leaves(self._known[name])
        return self._known[name]

    def _leaf(self, offers: Offers) -> Plan:
        """Return the best plan when those with one cell are estimated more finely."""
        offers.quick = False
        self.search.leaves(offers)
        return offers.best


def pooled(offers: Offers) -> None:
    """Offer ways to bound the failures of one cell: layouts, and what to do with the answers they
    leave.
    """
    below, queries = offers.below, offers.queries
    shapes = QUICK if offers.quick else LAYOUTS
    layouts = {first.tobytes(): first for first in (starts_of(below.maximum, *s) for s in shapes)}
    for name, first in layouts.items():
        if name in offers.settled:
            continue
        examined = below.examine(queries, first)
        if not len(examined.left.answers):
            offers.add(examined.operations, 0.0, cell("extreme", queries.tolist(), runs(first)))
        elif not offers.hopeless(examined.operations):
            if _tuples(examined) > MOST_TUPLES:
                for bins in QUICK_BINS if offers.quick else BINS:
                    _count(examined, bins, offers)
                continue
            _enumerate(examined, offers)
        offers.settled.add(name)


def _tuples(examined: Examined) -> float:
    """Return how many tuples of blocks a cell has."""
    there = np.isfinite(examined.terms).any(axis=1)
    return float(there.sum(axis=1, dtype=np.float64).prod())


def _enumerate(examined: Examined, offers: Offers) -> None:
    """Offer to enumerate a cell's tuples."""
    at, least = enumeration(examined)
    if offers.hopeless(examined.operations + least):
        return
    loss, more = enumerated(examined, offers.below.weights(examined), at)
    if not offers.hopeless(examined.operations + least + more, loss):
        one = cell("enumerate", examined.queries.tolist(), runs(examined.starts))
        offers.add(examined.operations + least + more, loss, one)


def _count(examined: Examined, bins: int, offers: Offers) -> None:
    """Offer to count a cell's failures on one grid: the likeliest answers apart, the others
    together.
    """
    likely = np.argsort(-examined.terms.max(axis=2).sum(axis=0), kind="stable")
    terms, answers = examined.terms[:, likely], examined.left.answers[likely]
    weights = offers.below.weights(examined)
    alone = counting(terms[:, :MOST_APART], weights, bins, forced=examined.forced)
    every = counting(terms.max(axis=1, keepdims=True), weights, bins, forced=examined.forced)
    if offers.hopeless(examined.operations + min(alone.work.min(), every.work[0])):
        return
    losses = alone.failing()
    order = np.argsort(-losses, kind="stable")
    for apart in sorted({min(count, len(order)) for count in (*APART, MOST_APART)}):
        first = order[:apart]
        rest = np.concatenate([order[apart:], np.arange(len(order), len(answers))])
        loss, work = losses[first].sum(), examined.operations + alone.work[first].sum()
        named: list[Any] = [[bins, [int(j)]] for j in answers[first]]
        if len(rest):
            together = terms[:, rest].max(axis=1, keepdims=True)
            joint = counting(together, weights, bins, forced=examined.forced)
            work += joint.work[0]
            if offers.hopeless(work):
                continue
            loss += joint.failing()[0]
            named.append([bins, []])
        one = cell("count", examined.queries.tolist(), runs(examined.starts), blocks=named)
        offers.add(float(work), min(float(loss), offers.size), one)
