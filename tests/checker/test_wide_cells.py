"""What every wide cell is handed and what it proves is true of every input: SPEC-16.2 to SPEC-16.8.

As in `test_cells.py`, over path matrices of two or three heads.  The truth is that of
`exhaustion.py` for each head, added.  Boxes are as tight as the checker's own test lets them be,
and lambda is anything, so that a test which lets too much pass is seen.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import exhaustion
import forests
import make_vectors
import models
import mutators
import pytest
import vectors_wide
from boxes import MOST, bounds_of, side_of
from exhaustion import Input
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from models import ATTENTION, Choices, Drawn, Model, Seeded
from test_cells import Watched, build_rows, layout, ledger
from usual import usual_places

from checker.cells.cell import Inputs, Known, mask
from checker.cells.parse import Cell, parse_cells
from checker.cells.paths import Paths
from checker.cells.tables import Tables
from checker.cells.terms import Frame
from checker.cells.weights import both_ends
from checker.check import parse
from checker.float32.cells import REAL
from checker.ground.errors import Declined, Rejected
from checker.ground.exact import Matrix
from checker.statement.model import load_model
from checker.statement.outcome import Outcome
from checker.wide import box, final, frame
from checker.wide.derive import WideCells
from checker.wide.final import Final, reading_columns
from checker.wide.forest import WideForest, parse_wide
from checker.wide.frame import WideFrame
from checker.wide.heads import Heads
from checker.wide.hints import Hints, parse_hints
from checker.wide.methods import WIDE_METHODS, WideBruteForce, WideCopies
from checker.wide.norm import Deviation, times

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


# --- numbers by hand --------------------------------------------------------------


def test_the_largest_sum_takes_one_term_of_each_position() -> None:
    rows = [{0: 3, 1: -2}, {0: 7, 1: 6}, {0: 5, 1: 9}]
    assert box.largest_sum(rows, None) == 3 + 7 + 9
    # A free position holds block 1: the second loses least, and the last is not free.
    assert box.largest_sum(rows, 1) == 3 + 6 + 9
    assert box.largest_sum(rows[2:], 0) == 9


@pytest.mark.parametrize(
    ("side", "holds"), [((2, 2), True), ((1, 3), True), ((2, 1), False), ((3, 2), False)]
)
def test_a_box_may_have_its_ends_at_the_ratio(side: tuple[int, int], holds: bool) -> None:
    weights: Any = [[{0: (6, 6)}], [{0: (3, 3)}]]
    if holds:
        box.require_box("here", weights, [side], 1, None, ledger())
        return
    with pytest.raises(Rejected) as found:
        box.require_box("here", weights, [side], 1, None, ledger())
    assert found.value.rule == "SPEC-16.4"


def test_a_box_is_refused_from_the_least_excess_on() -> None:
    # W_0 may be 7 where W_1 is 3, and W_1 3 where W_0 is 7: 7 - 2 * 3 and 3 * 3 - 7 are too much.
    for first, other, side in (((7, 7), (3, 3), (2, 2)), ((8, 8), (3, 3), (3, 3))):
        weights: Any = [[{0: first}], [{0: other}]]
        with pytest.raises(Rejected) as found:
            box.require_box("here", weights, [side], 1, None, ledger())
        assert found.value.rule == "SPEC-16.4"


def test_under_a_norm_the_least_margin_is_over_the_largest_deviation() -> None:
    own: Any = SimpleNamespace(
        read=SimpleNamespace(final=SimpleNamespace(ends=(1 << 96, 3 << 96))), slack=REAL
    )
    two = 2 << 20
    assert WideCells._least(own, None, 6 << 96) == two
    assert WideCells._least(own, 5, 6 << 96) == 5
    assert WideCells._least(own, two + 1, 6 << 96) == two
    assert WideCells._least(own, None, (6 << 96) - 1) == two - 1


def derived(model: Model, cells: list[dict[str, Any]]) -> tuple[WideCells, Any]:
    """Return the checker of a certificate of these cells with boxes, and the roots."""
    doc = vectors_wide.boxed(make_vectors, model, cells)
    parsed: Any = parse(model.bytes, mutators.encode(doc))
    return parsed.proof.derivation(ledger()), parsed.proof.roots


def longest_of(*tables: Any) -> int:
    longest: int = max(abs(x) for rows in tables for row in rows for x in row).bit_length()
    return longest


@pytest.mark.parametrize(("name", "head"), [("W_V", 0), ("W_V", 1), ("b_U", 0)])
def test_room_for_a_term_is_that_of_the_longest_number_of_all_heads(name: str, head: int) -> None:
    model = vectors_wide.two_heads(5)
    if name == "b_U":
        grown: Any = {"unembed.b_U": [1 << 40, *model.tensors["unembed.b_U"][1:]]}
    else:
        grown = {f"{ATTENTION}{name}": list(model.tensors[f"{ATTENTION}{name}"])}
        part = grown[f"{ATTENTION}{name}"]
        part[head] = [[x * 2**30 for x in row] for row in part[head]]
    model = Model(model.config, model.tensors | grown)
    checker, _ = derived(model, vectors_wide.whole(make_vectors, "extreme"))
    own = [(paths.evou_low, paths.evou_high, paths.pvou) for (paths,) in checker.read.tables]
    values = [longest_of(*tables) for tables in own]
    first = checker.read.tables[0][0]
    longest = max(*values, longest_of(first.eu_low))
    assert {"W_V": values[head], "b_U": longest_of(first.eu_low)}[name] == longest
    # 64 bits of a weight, and 1 024 that Python takes.
    assert checker.bits == 1024 + 64 + longest


@pytest.mark.parametrize(
    ("head", "position", "table"),
    [
        *((0, 0, table) for table in ("evou_low", "evou_high", "pvou", "eu_low", "eu_high")),
        *((head, position, "evou_low") for head in (0, 1) for position in (0, 1)),
        (1, 1, "evou_high"),
        (1, 0, "pvou"),
    ],
)
def test_room_for_a_term_counts_every_table_of_the_first_and_all_values(
    head: int, position: int, table: str
) -> None:
    paths = exhaustion.likely_paths(Seeded(random.Random(table)), 3, 2)
    tables = [[paths, replace(paths)], [replace(paths), replace(paths)]]
    first, *others = getattr(paths, table)
    longer: Any = {table: ((-1 << 99, *first[1:]), *others)}
    tables[head][position] = replace(paths, **longer)
    named = usual_places({"d_vocab": 3, "n_ctx": 2})
    own = WideCells(Heads(tables, None, None), named, 64, ledger(), [REAL] * 2)
    assert own.bits == 1024 + 64 + 100


def test_tables_of_integers_are_over_one_in_real_arithmetic() -> None:
    # 16.3: lambda is rounded down to the scale of logits, so that decides what is proved.
    given = vectors_wide.two_heads(5)
    whole = {
        name: models.filled(models.shape_of(rows), lambda: Fraction(3))
        for name, rows in given.tensors.items()
    }
    model = load_model(Model(given.config, whole).bytes)
    named = usual_places({"d_vocab": 3, "n_ctx": 3})
    statement: Any = SimpleNamespace(exp_errors=None)
    own: Any = WideForest(model, statement, 64, named, {}, ())
    derivation = own.derivation(ledger())
    assert derivation.value_scale == 0
    assert {paths.score_scale for (paths,) in derivation.read.tables} == {0}


def test_the_terms_of_a_wide_cell_are_measured_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = vectors_wide.two_heads(5)
    cells = vectors_wide.whole(make_vectors, "enumerate", mu=["1", "30"])
    checker, roots = derived(model, cells)
    root = roots[-1]
    frame_ = checker.frame(root)
    mu = root.mu.above(checker.value_scale)
    unit, (low, high) = frame_.unit, frame_.heads[1].ends  # type: ignore[attr-defined]
    # A term is a weight times a bracket with mu, times an end of the box.
    width = checker.bits + mu.bit_length() + unit.bit_length() + (low + high).bit_length()
    everything = (7, 7, 7)
    seen: list[int] = []
    monkeypatch.setattr(type(checker.ledger), "take", lambda _, bits: seen.append(bits))
    monkeypatch.setattr(type(checker.ledger), "release", lambda _, bits: seen.append(-bits))
    left, _ = checker._left(root, frame_, Known({0: everything, 1: everything}, None), mu)
    assert set(left) == {0, 1}
    # Two vertices: the terms of both and the largest, of the answer in hand and of what is left.
    most = 5 * 3 * (2048 + 3 * width)
    expected = [most]
    for j in left:
        rows = [row for (i, _), terms in frame_.pairs.items() if i == j for row in terms]  # type: ignore[attr-defined]
        rows += left[j]
        expected.append(2048 * len(rows) + width * sum(map(len, rows)))
    assert seen == expected


@pytest.mark.parametrize("seed", range(8))
def test_brackets_of_a_head_are_the_extremes_of_its_blocks(seed: int) -> None:
    """Each entry of a maximum is an upper end, each of a minimum a lower one; mirrored, the others;
    what is read has one end for all.
    """
    choose = Seeded(random.Random(seed))
    vocab, m = 7, 6
    paths = exhaustion.random_paths(choose, vocab, 3)
    other = replace(exhaustion.widened(choose, paths), pvou=paths.pvou)
    if seed % 2:
        paths = other
    for blocks in ([(0, 2), (3, 5), (6, 6)], [(0, 4), (5, 5), (6, 6)], [(t, t) for t in range(7)]):
        inputs = Inputs(m, [0, 1], blocks)
        tables = [Tables(one, ledger()) for one in (paths, other)]
        # positions have tables of their own under a norm
        values = [frame.LowValues(one, inputs) for one in tables]
        head = frame.Head(paths, [], [values[0], values[1], values[0]], (1,))
        at = [paths, other, paths]
        right = paths.right[m]
        for j in range(vocab + 1):
            places = [row[j] - row[right] for row in paths.pvou]
            for i, (row, floors) in enumerate(
                zip(head.highest(j, right), head.lowest(j, right), strict=True)
            ):
                low, high = at[i].evou_low, at[i].evou_high
                for b, (first, last) in enumerate(blocks):
                    held = range(first, last + 1)
                    top = max(high[t][j] for t in held) - min(low[t][right] for t in held)
                    assert row[b] == top + places[i]
                    if first == last:
                        assert floors[b] == low[first][j] - high[first][right] + places[i]
        alike = frame.Head(paths, [], [values[0]] * 3, (1,))
        for column in range(vocab + 1):
            most, least = alike.most_read(column), alike.least_read(column)
            for i, (first, last) in itertools.product(range(3), blocks):
                b, place = blocks.index((first, last)), paths.pvou[i][column]
                held = range(first, last + 1)
                assert most[i][b] == max(paths.evou_high[t][column] for t in held) + place
                assert least[i][b] == -min(paths.evou_low[t][column] for t in held) - place


def test_wide_cells_are_about_one_task() -> None:
    other: Any = SimpleNamespace(name="modular-addition")
    with pytest.raises(Declined) as found:
        parse_wide({"wide": []}, other, other, 64)
    assert found.value.rule == "SPEC-7"


# --- a final norm ------------------------------------------------------------------

ONE = 1 << 96


def normed(low: tuple[int, ...], high: tuple[int, ...]) -> Final:
    return Final(Deviation(2, 1, 0), (1, 2), low, high)


@pytest.mark.parametrize(
    ("low", "high", "even"),
    [
        ((0, 0), (0, 0), True),
        ((0, -1), (0, 0), False),
        ((0, 0), (0, 1), False),
        ((-1, -1), (0, 0), False),
        ((0, 0), (1, 1), False),
        ((5, 5), (5, 5), False),
    ],
)
def test_a_deviation_decides_nothing_only_where_no_output_has_a_bias(
    low: tuple[int, ...], high: tuple[int, ...], even: bool
) -> None:
    assert normed(low, high).even is even


def test_what_a_final_norm_adds_is_rounded_outward() -> None:
    # beta_0 is 5 or 6, beta_1 is 2 or 4, over 2^-96; S between 1 and 3/2, or nothing more than 2.
    own = normed((5, 2), (6, 4))
    ends = ONE, ONE * 3 // 2
    assert (own.above(0, 1, ends), own.below(0, 1, ends)) == (6, 1)
    assert (own.above(1, 0, ends), own.below(1, 0, ends)) == (-1, -6)
    ends = ONE - 1, ONE + 1
    assert (own.above(0, 1, ends), own.below(0, 1, ends)) == (5, 0)
    assert (own.above(1, 0, ends), own.below(1, 0, ends)) == (0, -5)


@pytest.mark.parametrize("scales", [(-1, 0), (-1, -2), (0, 0), (3, 1), (2, -1)])
def test_columns_read_the_centred_product_and_the_centred_row(scales: tuple[int, int]) -> None:
    unembed, factors = ((3, -1), (4, 0), (0, 5)), (2, 3, -1)
    matrix = reading_columns(Matrix(unembed, scales[0]), Matrix((factors,), scales[1]), ledger())
    found = [[Fraction(x) / Fraction(2) ** matrix.scale for x in row] for row in matrix.rows]
    columns = []
    for column in zip(*unembed, strict=True):
        scaled = [Fraction(u * w) for u, w in zip(column, factors, strict=True)]
        columns.append([x / Fraction(2) ** sum(scales) for x in scaled])
    columns += [[Fraction(int(k == i)) for i in range(3)] for k in range(3)]
    # Over the scale of the products, and no finer than one where that is coarser.
    assert matrix.scale == max(sum(scales), 0)
    centred = [[3 * x - sum(column) for x in column] for column in columns]
    assert found == [list(row) for row in zip(*centred, strict=True)]


def test_the_length_of_a_row_is_that_of_its_farther_ends() -> None:
    low, high = ((99, -3, 4), (0, 1, -1)), ((99, 2, 4), (0, 1, 1))
    assert 5 <= final._longest(low, high, 1) <= 6
    low, high = ((99, -2, 4), (0, 1, -1)), ((99, 3, 4), (0, 1, 1))
    assert 5 <= final._longest(low, high, 1) <= 6
    assert 2 <= final._longest(low[1:], high[1:], 1) ** 2 <= 4
    assert 0 <= final._longest(((0, 0),), ((0, 0),), 1) <= 1


def test_the_largest_deviation_is_of_the_row_itself_and_of_every_head() -> None:
    # d = 2, eps = 1; one output, of bias 1 + 2 + 1/2, and two columns of Y over 2^-96.
    own = Deviation(2, 1, 0)
    unit = ONE

    def tables(eu: tuple[int, int], value: tuple[int, int]) -> Any:
        return SimpleNamespace(
            eu_low=((0, eu[0] * unit, 0),),
            eu_high=((0, eu[1] * unit, 0),),
            evou_low=((7, 0, value[0] * unit), (0, 0, 0)),
            evou_high=((7, 0, value[1] * unit), (0, 0, 0)),
        )

    unembed, bias = Matrix(((1,), (2,)), 0), Matrix(((1,),), 1)
    for eu, first, second, longest in (
        ((-3, 1), ((1, 2), (-4, 4)), ((0, 5), (-1, 0)), 3 + 4 + 5),
        ((1, 3), ((1, 2), (-4, 1)), ((-5, 0), (-1, 0)), 3 + 4 + 5),
    ):
        heads = [[tables(eu, part) for part in parts] for parts in (first, second)]
        found = final.final_of(own, Matrix(((1, 1),), 0), unembed, bias, heads, ledger())
        least, most = found.ends
        # S^2 = |Y|^2 / d + d^2 eps, of nothing and of the longest row
        assert least == 2 * ONE
        true = Fraction(longest**2, 2) + 4
        assert true <= Fraction(most, ONE) ** 2 <= true * (1 + Fraction(1, 2**80))
        assert found.beta_low == found.beta_high == (ONE * 7 // 2,)
        finer = Matrix(((3,),), 100)
        found = final.final_of(own, Matrix(((0, 0),), 0), unembed, finer, heads, ledger())
        assert (found.beta_low, found.beta_high) == ((0,), (1,))
