"""What every cell is handed and what it proves is true of every input: SPEC-7.6 to SPEC-7.15, on
path matrices.

The truth is that of `exhaustion.py`.  At every cell of a random forest: a wrong answer that is no
longer left, and a token
that is no longer allowed, must not matter (no input that holds it fails, and by at least the margin
that is handed down);
at every leaf the bounds and the margin must hold.  Paths are exact, or enclosed by random ends.
"""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import replace
from fractions import Fraction
from math import prod
from types import SimpleNamespace
from typing import Any

import exhaustion
import forests
import pytest
from exhaustion import Input
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import Choices, Drawn, Seeded
from usual import usual_places

from checker.cells.cell import Known, expand
from checker.cells.copies import Copies
from checker.cells.counting import Count
from checker.cells.derive import Cells
from checker.cells.enumeration import BruteForce
from checker.cells.parse import Cell, parse_cells
from checker.cells.paths import Paths
from checker.ground.errors import Rejected
from checker.ground.ledger import Ledger
from checker.statement.outcome import MARGIN_BITS, Outcome

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "100"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def ledger() -> Ledger:
    return Ledger(lambda done: None)


class Watched(Cells):
    """A checker of path matrices that compares what is handed down, and each outcome, with the
    truth.
    """

    def __init__(
        self, paths: Paths, truth: list[Input], rows: list[list[int]], precision: int
    ) -> None:
        named = usual_places({"d_vocab": len(rows[0]), "n_ctx": len(rows)}, rows)
        super().__init__(paths, named, precision, ledger())
        self.truth, self.seen = truth, dict.fromkeys(("answers", "tokens", "margins", "copies"), 0)

    def visit(self, cell: Cell, given: Known) -> None:
        inputs = [
            x
            for x in self.truth
            if max(x.tokens) == cell.maximum and x.tokens[-1] in expand(cell.queries)
        ]
        mu = cell.mu.above(self.paths.value_scale)
        self.look(cell, inputs, given, mu)
        super().visit(cell, given)
        if not cell.children:
            self.judge(cell, inputs, self.outcomes[-1], mu)

    def shown(self, margin: Fraction, claimed: int) -> bool:
        return margin * (1 << MARGIN_BITS) >= claimed << self.paths.value_scale

    def look(self, cell: Cell, inputs: list[Input], given: Known, mu: int) -> None:
        """Assert that whatever was removed before this cell is beaten, by mu and by the margin."""
        answers, margin = given.answers, given.margin
        for x in inputs:
            for j, (_, high) in x.margins.items():
                gone = j not in answers or any(
                    not mask >> t & 1 for mask, t in zip(answers[j], x.tokens, strict=True)
                )
                if gone:
                    assert high > mu, (cell.where, x.tokens, j)
                    assert margin is not None
                    assert self.shown(high, margin), (cell.where, x.tokens, j, margin)
                    self.seen["answers" if j not in answers else "tokens"] += 1

    def judge(self, cell: Cell, inputs: list[Input], outcome: Outcome, mu: int) -> None:
        """Assert the outcome of a leaf."""
        assert outcome.size == sum(x.weight for x in inputs)
        certain = sum(x.weight for x in inputs if any(low <= 0 for low, _ in x.margins.values()))
        possible = sum(
            x.weight for x in inputs if any(high <= mu for _, high in x.margins.values())
        )
        assert 0 <= outcome.lower <= certain, cell.where
        assert possible <= outcome.upper <= outcome.size, cell.where
        if isinstance(cell.method, BruteForce) and self.paths.exact and not mu:
            assert outcome.lower == outcome.upper == certain
        if outcome.margin is not None:
            enough = sum(
                x.weight
                for x in inputs
                if all(self.shown(high, outcome.margin) for _, high in x.margins.values())
            )
            assert outcome.size - outcome.upper <= enough, (cell.where, outcome)
            self.seen["margins"] += outcome.margin > 0
        else:
            assert outcome.upper == outcome.size or not any(x.margins for x in inputs)
        self.seen["copies"] += isinstance(cell.method, Copies) and outcome.upper < outcome.size


def build_rows(choose: Choices, vocab: int, n: int) -> list[list[int]]:
    """Return a scope: uniform, or with zeros, down to rows that leave few inputs."""
    kind = choose.pick(((1,), (1,), (1, 0, 2, 3), (0, 0, 1, 10**12)))
    rows = [[choose.pick(kind) for _ in range(vocab)] for _ in range(n)]
    for row in rows:
        row[-1] = row[-1] or int(not any(row))
    return rows


def watch(
    choose: Choices, true: Paths, rows: list[list[int]], found: list[dict[str, Any]], *, wide: bool
) -> Watched:
    """Check the cells over paths, watched; return the checker."""
    vocab, n, answers = len(true.eqkp), len(true.pvou), len(true.pvou[0])
    roots = parse_cells([*found], {"places": vocab, "d_vocab_out": answers, "n_ctx": n})
    paths = exhaustion.widened(choose, true) if wide else true
    if wide:
        roots = tuple(without_lower(root) for root in roots)
    watched = Watched(paths, exhaustion.inputs_of(true, rows), rows, choose.pick((64, 70, 200)))
    for root in roots:
        everything = ((2 << root.maximum) - 1,) * n
        wrong = {j: everything for j in range(answers) if j != root.maximum}
        watched.visit(root, Known(wrong, None))
    assert sum(outcome.size for outcome in watched.outcomes) == prod(map(sum, rows))
    return watched


def build_case(choose: Choices, *, wide: bool) -> Watched:
    """Check a random forest over random paths."""
    vocab, n = choose.pick((3, 4, 2, 3, 5, 1)), choose.pick((2, 3, 1, 3, 4))
    n = min(n, 3) if vocab > 3 else n
    make = choose.pick((exhaustion.likely_paths, exhaustion.likely_paths, exhaustion.random_paths))
    true, rows = make(choose, vocab, n), build_rows(choose, vocab, n)
    return watch(
        choose, true, rows, forests.build_cells(choose, rows, len(true.pvou[0])), wide=wide
    )


def build_nested(choose: Choices, *, wide: bool) -> Watched:
    """Check trees three deep, each level with a layout of its own, over paths that err now and
    then.
    """
    vocab, n = choose.pick((4, 3)), choose.pick((3, 2))
    true, rows = exhaustion.likely_paths(choose, vocab, n), build_rows(choose, vocab, n)
    found: list[dict[str, Any]] = []
    for m in range(vocab):
        mu = choose.pick((["0", "0"], ["0", "0"], ["1", "-2"], ["3", "1"]))
        root: dict[str, Any] = {"maximum": m, "mu": mu}
        if choose.pick((True, False)):
            below = [[q for q in range(m) if q % 2 == side] for side in (0, 1)] + [[m]]
            below = [part for part in below if part]
            found.append(
                {
                    "queries": [[0, m]],
                    "method": "screen",
                    "children": len(below),
                    **root,
                    **layout(choose, m),
                }
            )
            root = {}
        else:
            below = [part for part in (list(range(m)), [m]) if part]
        for part in below:
            leaf = choose.pick(("enumerate", "copies", "count", "brute-force"))
            queries = [[q, q] for q in part]
            found.append(
                {
                    "queries": queries,
                    "method": "split",
                    "children": len(part),
                    **root,
                    **layout(choose, m),
                }
            )
            for q in part:
                found.append({"queries": [[q, q]], "method": leaf, "failures": ["0", str(10**60)]})
                if leaf != "brute-force":
                    found[-1] |= layout(choose, m)
                if leaf == "copies":
                    found[-1]["groups"] = forests._groups(
                        choose, len(found[-1]["layout"]), max(n - 1 - (q < m), 0)
                    )
                if leaf == "count":
                    found[-1]["blocks"] = [[choose.pick((50, 7, 0)), []]]
    return watch(choose, true, rows, found, wide=wide)


def layout(choose: Choices, m: int) -> dict[str, Any]:
    """Return single tokens, two blocks, or one."""
    cut = choose.integer(1, m) if m else 0
    runs = choose.pick(([[1, 1]] * m, [[1, 1]] * m, [[cut, 1], [m - cut, 1]], [[m, 1]]))
    return {"layout": [run for run in runs if run[0]]}


def without_lower(cell: Cell) -> Cell:
    method = cell.method
    if isinstance(method, Count):
        method = replace(method, lower=())
    return replace(cell, method=method, children=tuple(map(without_lower, cell.children)))


@SETTINGS
@given(st.data())
def test_no_failing_input_is_lost(data: st.DataObject) -> None:
    build_case(Drawn(data.draw), wide=False)


@SETTINGS
@given(st.data())
def test_no_failing_input_is_lost_where_paths_are_enclosed(data: st.DataObject) -> None:
    build_case(Drawn(data.draw), wide=True)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("block", range(12))
def test_no_failing_input_is_lost_on_seeded_cases(block: int, wide: bool) -> None:
    for seed in range(25 * block, 25 * block + 25):
        build_case(Seeded(random.Random(seed)), wide=wide)
        build_nested(Seeded(random.Random(seed)), wide=wide)


def test_random_forests_reach_the_rules() -> None:
    # The properties above would hold of a checker that removes nothing.
    seen: dict[str, int] = {}
    for seed in range(60):
        for make in (build_case, build_nested):
            for key, count in make(Seeded(random.Random(seed)), wide=seed % 2 == 0).seen.items():
                seen[key] = seen.get(key, 0) + count
    assert seen["answers"] >= 300, seen
    assert seen["tokens"] >= 300, seen
    assert seen["margins"] >= 50, seen
    assert seen["copies"] >= 20, seen


@pytest.mark.parametrize("seed", range(10))
def test_the_size_of_a_cell_is_the_weight_of_its_inputs(seed: int) -> None:
    # Of a screen, which holds all queries up to the maximum, as of the cells below it.
    choose = Seeded(random.Random(seed))
    vocab, n = choose.pick((3, 4)), choose.pick((1, 2, 3))
    rows = build_rows(choose, vocab, n)
    paths = exhaustion.likely_paths(choose, vocab, n)
    derived = Cells(paths, usual_places({"d_vocab": vocab, "n_ctx": n}, rows), 64, ledger())
    for m in range(vocab):
        below = [(q, q) for q in range(m) if choose.pick((True, False))]
        for queries in ([(0, m)], [(m, m)], below, [(0, m - 1)] if m else []):
            if queries:
                cell: Any = SimpleNamespace(maximum=m, queries=tuple(queries))
                due = sum(
                    prod(row[t] for row, t in zip(rows, tokens, strict=True))
                    for tokens in itertools.product(range(m + 1), repeat=n)
                    if max(tokens) == m and tokens[-1] in expand(queries)
                )
                assert derived.size(cell) == due


def test_a_lower_count_over_enclosed_paths_is_refused() -> None:
    # SPEC-7.10 needs exact brackets: upper ends of an enclosure would count failures that are none.
    choose = Seeded(random.Random(0))
    true = exhaustion.random_paths(choose, 3, 2)
    rows, answers = [[1] * 3] * 2, len(true.pvou[0])
    refused = 0
    for m, q in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]:
        others = [(k, p) for k in range(3) for p in range(k + 1) if (k, p) != (m, q)]
        item: list[dict[str, Any]] = [
            {"maximum": k, "mu": ["0", "0"], "queries": [[p, p]], "method": "skip"}
            for k, p in others
        ]
        item.append(
            {
                "maximum": m,
                "mu": ["0", "0"],
                "queries": [[q, q]],
                "method": "count",
                "layout": [[1, m]] if m else [],
                "blocks": [[50, []]],
                "lower": [[50, list(range(answers))]],
                "failures": ["0", "9"],
            }
        )
        root = parse_cells([*item], {"places": 3, "d_vocab_out": answers, "n_ctx": 2})[-1]
        given = Known({j: ((2 << m) - 1,) * 2 for j in range(answers) if j != m}, None)
        exact, enclosed = (
            Watched(paths, exhaustion.inputs_of(true, rows), rows, 64)
            for paths in (true, exhaustion.widened(choose, true))
        )
        exact.visit(root, given)
        if exact.outcomes[0].upper:  # some answer is left, so it is counted
            with pytest.raises(Rejected) as refusal:
                enclosed.visit(root, given)
            assert refusal.value.rule == "SPEC-7.10"
            refused += 1
    assert refused >= 3
