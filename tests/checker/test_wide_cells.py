"""What every wide cell is handed and what it proves is true of every input: SPEC-16.2 to SPEC-16.8.

As in `test_cells.py`, over path matrices of two or three heads.  The truth is that of
`exhaustion.py` for each head, added.  Boxes are as tight as the checker's own test lets them be,
and lambda is anything, so that a test which lets too much pass is seen.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import exhaustion
import forests
import pytest
from boxes import MOST, bounds_of, side_of
from exhaustion import Input
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from models import Choices, Drawn, Seeded
from test_cells import Watched, build_rows, layout, ledger
from usual import usual_places

from checker.cells.cell import Inputs, Known, mask
from checker.cells.parse import Cell, parse_cells
from checker.cells.paths import Paths
from checker.cells.terms import Frame
from checker.cells.weights import both_ends
from checker.float32.cells import REAL
from checker.statement.outcome import Outcome
from checker.wide import frame
from checker.wide.derive import WideCells
from checker.wide.frame import WideFrame
from checker.wide.heads import Heads
from checker.wide.hints import Hints, parse_hints
from checker.wide.methods import WIDE_METHODS, WideBruteForce, WideCopies
from checker.wide.norm import times

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "60"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class WideWatched(Watched, WideCells):
    """A checker of several heads that compares what is handed down, and each outcome, with the
    truth.
    """

    def __init__(
        self,
        choose: Choices,
        heads: list[Paths],
        truth: list[Input],
        rows: list[list[int]],
        precision: int,
    ) -> None:
        tables = Heads([[paths] for paths in heads], None, None)
        named = usual_places({"d_vocab": len(rows[0]), "n_ctx": len(rows)}, rows)
        WideCells.__init__(self, tables, named, precision, ledger(), [REAL] * len(heads))
        self.truth, self.seen = truth, dict.fromkeys(("answers", "tokens", "margins", "copies"), 0)
        self.seen |= {"singles": 0, "lower": 0}
        self.choose = choose

    on_allowed = False

    def visit(self, cell: Cell, given: Known) -> None:
        self.given = given
        super().visit(cell, given)

    def _allowed(self, weights: list[Any], inputs: Inputs) -> list[Any]:
        """Return the weights of the blocks that the first answer may win with, a mutant's."""
        masks = [mask(*block) for block in inputs.blocks]
        found = []
        for head in weights:
            rows = []
            for i, row in enumerate(head):
                tokens = next(iter(self.given.answers.values()))[i]
                last = len(masks) - 1
                kept = {b: row[b] for b in row if masks[b] & tokens or b == last}
                rows.append(kept or row)
            found.append(rows)
        return found

    def frame(self, cell: Cell) -> Frame:
        inputs = cell.inputs()
        heads = self.scores_of_heads
        weights = [
            both_ends(*own.weights(inputs.queries, own.tables.layout(inputs.blocks)))
            for own in heads
        ]
        if self.on_allowed:
            weights = self._allowed(weights, inputs)
        maximum = len(inputs.blocks) - 1 if inputs.forced else None
        sides = [side_of(weights[0], other, maximum) for other in weights[1:]]
        named = [j for j in range(len(heads[0].tables.paths.pvou[0])) if self.choose.pick((0, 1))]
        lambdas = {j: tuple(self.choose.integer(-30, 30) << 13 for _ in heads[1:]) for j in named}
        hints = Hints(tuple(sides), lambdas)
        neurons = self.read.neurons
        if neurons is not None:
            every = [(-MOST, MOST)] * neurons.count
            widest = replace(hints, neurons=tuple(every))
            whole = WideFrame(heads, cell, self.named, widest, self.read)
            hints = replace(hints, neurons=tuple(map(partial(bounds_of, whole), range(len(every)))))
        return WideFrame(heads, cell, self.named, hints, self.read)

    def judge(self, cell: Cell, inputs: list[Input], outcome: Outcome, mu: int) -> None:
        super().judge(cell, inputs, outcome, mu)
        if isinstance(cell.method, WideBruteForce) and not mu:
            ties = sum(x.weight for x in inputs if is_tie(x))
            assert outcome.upper - outcome.lower <= ties
            self.seen["singles"] += outcome.upper == outcome.lower > 0
        self.seen["lower"] += outcome.lower > 0
        self.seen["copies"] += isinstance(cell.method, WideCopies) and outcome.upper < outcome.size


def is_tie(x: Input) -> bool:
    return any(low <= 0 <= high for low, high in x.margins.values())


def heads_of(choose: Choices, vocab: int, n: int) -> list[Paths]:
    """Return path matrices of two or three heads with as many answers."""
    make = choose.pick((exhaustion.likely_paths, exhaustion.likely_paths, exhaustion.random_paths))
    count = choose.pick((2, 2, 3))
    found: list[Paths] = []
    while len(found) < count:
        paths = make(choose, vocab, n)
        answers = len(paths.pvou[0])
        if len(found) == 0 or answers == len(found[0].pvou[0]):
            found.append(paths)
    return found


def inputs_of(heads: list[Paths], rows: list[list[int]]) -> list[Input]:
    """Return every input with the heads' margins added; the direct path is the first one's."""
    zeros = tuple((0,) * len(heads[0].pvou[0]) for _ in heads[0].eu_low)
    only = [heads[0], *(replace(head, eu_low=zeros, eu_high=zeros) for head in heads[1:])]
    parts = [exhaustion.inputs_of(head, rows) for head in only]
    return [
        Input(
            same[0].tokens,
            same[0].weight,
            {
                j: (
                    sum((x.margins[j][0] for x in same), Fraction(0)),
                    sum((x.margins[j][1] for x in same), Fraction(0)),
                )
                for j in same[0].margins
            },
        )
        for same in zip(*parts, strict=True)
    ]


def hinted(found: list[dict[str, Any]], heads: int, neurons: int = 0) -> list[dict[str, Any]]:
    """Return cells with a box, and bounds of neurons, that are read and not used."""
    room: dict[str, Any] = {"box": [[0, 1, 0]] * (heads - 1)}
    room |= {"neurons": [[0, 1]] * neurons} if neurons else {}
    return [cell if cell["method"] == "skip" else cell | room for cell in found]


def watch(
    choose: Choices, heads: list[Paths], rows: list[list[int]], found: list[dict[str, Any]]
) -> WideWatched:
    """Check the cells over paths, watched; return the checker."""
    vocab, n, answers = len(rows[0]), len(rows), len(heads[0].pvou[0])
    sizes = {"places": vocab, "d_vocab_out": answers, "n_ctx": n, "n_heads": len(heads)}
    roots = parse_cells(
        [*hinted(found, len(heads))],
        sizes,
        WIDE_METHODS,
        lambda cell, where: parse_hints(cell, where, sizes),
    )
    watched = WideWatched(choose, heads, inputs_of(heads, rows), rows, choose.pick((64, 70, 200)))
    for root in roots:
        everything = ((2 << root.maximum) - 1,) * n
        wrong = {j: everything for j in range(answers) if j != root.maximum}
        watched.visit(root, Known(wrong, None))
    return watched


def build_case(choose: Choices) -> WideWatched:
    """Check a random forest over random paths."""
    vocab, n = choose.pick((3, 4, 2, 3)), choose.pick((2, 3, 1, 3))
    heads, rows = heads_of(choose, vocab, n), build_rows(choose, vocab, n)
    found = forests.build_cells(choose, rows, len(heads[0].pvou[0]))
    return watch(choose, heads, rows, unscreened(found))


def unscreened(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the forest with its screens left out: their children become roots."""
    kept: list[dict[str, Any]] = []
    named: dict[str, Any] = {}
    roots = 0
    inside = 0
    for cell in found:
        if cell["method"] == "screen":
            named = {key: cell[key] for key in ("maximum", "mu")}
            roots = cell["children"]
            continue
        at_root = inside == 0
        inside += cell.get("children", 0) - (inside > 0)
        if at_root and roots:
            kept.append(cell | named)
            roots -= 1
        else:
            kept.append(cell)
    return kept


def build_nested(choose: Choices) -> WideWatched:
    """Check trees three deep, each level with a layout and a box of its own."""
    vocab, n = choose.pick((4, 3)), choose.pick((3, 2))
    heads, rows = heads_of(choose, vocab, n), build_rows(choose, vocab, n)
    answers = len(heads[0].pvou[0])
    found: list[dict[str, Any]] = []
    for m in range(vocab):
        mu = choose.pick((["0", "0"], ["0", "0"], ["1", "-2"], ["3", "1"]))
        for part in [part for part in (list(range(m)), [m]) if part]:
            root = {"maximum": m, "mu": mu, "queries": [[q, q] for q in part]}
            found.append({"method": "split", "children": len(part), **root, **layout(choose, m)})
            for q in part:
                leaf = choose.pick(("enumerate", "copies", "count", "brute-force"))
                cell = {"queries": [[q, q]], "method": leaf, "failures": ["0", str(10**60)]}
                if leaf != "brute-force":
                    cell |= layout(choose, m)
                if leaf == "copies":
                    most = max(n - 1 - (q < m), 0)
                    cell["groups"] = forests._groups(choose, len(cell["layout"]), most)
                if leaf == "count":
                    cell["blocks"] = [[choose.pick((50, 7, 0)), []]]
                    if all(length == 1 for length, _ in cell["layout"]):
                        cell["lower"] = [[50, [j for j in range(answers) if j != m]]]
                found.append(cell)
    return watch(choose, heads, rows, found)


@SETTINGS
@given(st.data())
def test_no_failing_input_is_lost(data: st.DataObject) -> None:
    build_case(Drawn(data.draw))


@pytest.mark.parametrize("block", range(6))
def test_no_failing_input_is_lost_on_seeded_cases(block: int) -> None:
    for seed in range(15 * block, 15 * block + 15):
        build_case(Seeded(random.Random(seed)))
        build_nested(Seeded(random.Random(seed)))


def test_random_forests_reach_the_rules() -> None:
    seen: dict[str, int] = {}
    for seed in range(40):
        for make in (build_case, build_nested):
            for key, count in make(Seeded(random.Random(seed))).seen.items():
                seen[key] = seen.get(key, 0) + count
    assert seen["answers"] >= 300, seen
    assert seen["tokens"] >= 200, seen
    assert seen["margins"] >= 50, seen
    assert seen["copies"] >= 10, seen
    assert seen["singles"] >= 10, seen
    assert seen["lower"] >= 30, seen


# --- errors that first versions had, each put back --------------------------------


def upside_down(patch: pytest.MonkeyPatch) -> None:
    """Box of W_h / W_0 in place of W_0 / W_h."""
    here = sys.modules[__name__]
    honest = side_of
    patch.setattr(here, "side_of", lambda first, other, maximum: honest(other, first, maximum))
    patch.setattr(frame, "require_box", lambda *_: None)


def lambda_for_each_vertex(patch: pytest.MonkeyPatch) -> None:
    """A lambda of its own at each vertex: at every one the better side is taken."""
    honest = WideFrame._vertices

    def each(self: WideFrame, j: int, *given: Any) -> list[list[int]]:
        lambdas = WideFrame._lambdas
        found = []
        for vertex in range(self.vertices):
            push = 400 if vertex % 2 else -400

            def pushed(own: WideFrame, *given: Any, push: int = push) -> Any:
                first, second, *others = lambdas(own, *given)
                return [first - push, second + push, *others]

            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(WideFrame, "_lambdas", pushed)
                found.append(honest(self, j, *given)[vertex])
        return found

    patch.setattr(WideFrame, "_vertices", each)


def box_on_allowed_tokens(patch: pytest.MonkeyPatch) -> None:
    """A box tested on the tokens that one answer is allowed; the others rest on it too.

    Tokens allowed to *some* answer would do here: lower terms are only of allowed ones.
    """
    patch.setattr(frame, "require_box", lambda *_: None)
    patch.setattr(WideWatched, "on_allowed", True)


def one_vertex_of_lower_terms(patch: pytest.MonkeyPatch) -> None:
    """A lower bound from one vertex: the count of one pair."""
    patch.setattr(frame, "least_over_vertices", lambda flat: flat[0])


def one_vertex_of_upper_terms(patch: pytest.MonkeyPatch) -> None:
    """An answer removed that is beaten at one vertex."""
    honest = WideFrame.upper_pairs
    patch.setattr(WideFrame, "upper_pairs", lambda self, *given: honest(self, *given)[:1])


def lowest_lambda_too_high(patch: pytest.MonkeyPatch) -> None:
    """lambda_0 that forgets the direct path."""
    honest = WideFrame._lambdas

    def wrong(self: WideFrame, j: int, direct: int, brackets: Any) -> list[int]:
        _, *others = honest(self, j, direct, brackets)
        return [-sum(others), *others]

    patch.setattr(WideFrame, "_lambdas", wrong)


MUTANTS = (
    upside_down,
    lambda_for_each_vertex,
    box_on_allowed_tokens,
    one_vertex_of_lower_terms,
    one_vertex_of_upper_terms,
    lowest_lambda_too_high,
)
SEEDS = 300


@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_error_that_was_made_is_seen(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for seed in range(SEEDS):
        for make in (build_nested, build_case):
            try:
                make(Seeded(random.Random(seed)))
            except AssertionError:
                return
    pytest.fail(f"{SEEDS} forests do not tell {mutant.__name__}")


@given(
    st.tuples(st.integers(-50, 50), st.integers(0, 30)),
    st.tuples(st.integers(1, 50), st.integers(0, 30)),
)
@example((-1, 2), (1, 1))
def test_a_product_with_a_positive_factor_has_its_own_two_ends(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    ends, factor = ((low, low + width) for low, width in (first, second))
    products = [one * other for one in ends for other in factor]
    assert times(ends, factor) == (min(products), max(products))
