"""SPEC-16.3, SPEC-16.5, SPEC-16.10 and SPEC-16.11 read a second time: the terms of a wide cell, of
every answer at every vertex, to the last bit, from the page's formulas by plain loops over tokens.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from types import SimpleNamespace
from typing import Any

import exhaustion
import pytest
from models import Seeded
from test_cells import ledger
from usual import usual_places

from checker.cells.cell import Failures, Inputs
from checker.cells.counting import Count
from checker.cells.parse import Cell
from checker.cells.paths import Paths
from checker.cells.terms import Left
from checker.cells.weights import Scores
from checker.float32.cells import REAL, Slack
from checker.ground.errors import Refusal
from checker.ground.exact import Matrix
from checker.wide import frame as frame_module
from checker.wide import single
from checker.wide.derive import WideCells
from checker.wide.final import Final
from checker.wide.frame import WideFrame
from checker.wide.heads import Heads
from checker.wide.hints import Hints, Side, parse_hints
from checker.wide.methods import WideCount, WideEnumerate
from checker.wide.mlp import Neurons, chord, down, ramp, up
from checker.wide.norm import NORM_SCALE, Deviation
from checker.wide.single import Single

VOCAB, PLACES, NEURONS, PRECISION = 5, 3, 2, 64
LAMBDA, BOUND, SLOPE = 16, 12, 8
EPS = Deviation(2, 1, 0)


def heads_of(choose: Seeded, count: int, *, enclosed: bool) -> list[Paths]:
    """Return tables of heads with entries that say something."""
    found = []
    for _ in range(count):
        paths = exhaustion.random_paths(choose, VOCAB, PLACES, d_head=2, spread=9)
        found.append(exhaustion.widened(choose, paths) if enclosed else paths)
    return found


def cell_of(
    m: int, queries: list[tuple[int, int]], blocks: list[tuple[int, int]], hints: Hints
) -> Cell:
    """Return a cell with these blocks below the maximum."""
    own: Any = SimpleNamespace(
        where="cell 0",
        maximum=m,
        queries=queries,
        method=WideEnumerate(hints),
        inputs=lambda: Inputs(
            m, [q for a, b in queries for q in range(a, b + 1)], [*blocks, (m, m)]
        ),
    )
    found: Cell = own
    return found


def framed(
    heads: list[Paths], m: int, queries: list[tuple[int, int]], blocks: Any, hints: Hints
) -> WideFrame:
    """Return the terms of a cell; its box is not tested."""
    named = usual_places({"d_vocab": VOCAB, "n_ctx": PLACES})
    tables = Heads([[paths] for paths in heads], None, None)
    cells = WideCells(tables, named, PRECISION, ledger(), [REAL] * len(heads))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_module, "require_box", lambda *_: None)
        found = cells.frame(cell_of(m, queries, blocks, hints))
    assert isinstance(found, WideFrame)
    return found


class Page:
    """The formulas of SPEC-16.5 for one cell, the weights given."""

    def __init__(self, heads: list[Paths], own: WideFrame, lambdas: dict[int, Any]) -> None:
        self.heads, self.own, self.lambdas = heads, own, lambdas
        self.blocks, self.m = own.blocks, own.maximum
        self.asked = own.queries
        self.final: Final | None = None
        self.neurons: Neurons | None = None
        self.bounds: tuple[tuple[int, int], ...] = ()

    def plane(self, j: int, *, upper: bool) -> tuple[list[Fraction], Fraction]:
        """Return c_k s_k and the sum of c_k t_k."""
        assert self.neurons is not None
        scale = self.neurons.effects.scale
        unit = Fraction(2**scale) if scale >= 0 else Fraction(1, 2**-scale)
        slopes, constant = [], Fraction(0)
        for row, (least, most) in zip(self.neurons.effects.rows, self.bounds, strict=True):
            c = (row[j] - row[self.m]) / unit
            low, high = Fraction(least, 1 << BOUND), Fraction(most, 1 << BOUND)
            if c > 0 if upper else c < 0:
                s = Fraction(1) if low >= 0 else Fraction(0)
                if low < 0 < high:
                    s = Fraction(floor(high / (high - low) * 2**SLOPE), 2**SLOPE)
                zero = Fraction(0)
                t = max(max(low, zero) - s * low, max(high, zero) - s * high)
            else:
                s, t = Fraction(int(low + high > 0)), Fraction(0)
            slopes.append(c * s)
            constant += c * t
        return slopes, constant

    def brackets(self, j: int, *, upper: bool) -> tuple[int, list[list[list[int]]]]:
        """Return g without mu, and the brackets of every head by position and block."""
        first = self.heads[0]
        rounded = ceil if upper else floor
        slopes, constant = [Fraction(0)] * NEURONS, Fraction(0)
        if self.neurons is not None:
            slopes, constant = self.plane(j, upper=upper)
        added = rounded(constant * 2**first.value_scale)

        def push(row: tuple[int, ...]) -> int:
            return rounded(sum(s * x for s, x in zip(slopes, row[-NEURONS:], strict=True)))

        def gap(low: tuple[int, ...], high: tuple[int, ...]) -> int:
            one, other = (high, low) if upper else (low, high)
            return one[j] - other[self.m] + push(low)

        asked = [gap(first.eu_low[q], first.eu_high[q]) for q in self.asked]
        rows = []
        for paths in self.heads:
            found = []
            for place in paths.pvou:
                shift = place[j] - place[self.m] + push(place)
                row = []
                for start, end in self.blocks:
                    held = range(start, end + 1)
                    if upper and self.neurons is None:
                        top = max(paths.evou_high[t][j] for t in held)
                        top -= min(paths.evou_low[t][self.m] for t in held)
                    else:
                        top = max(gap(paths.evou_low[t], paths.evou_high[t]) for t in held)
                    row.append(top + shift)
                found.append(row)
            rows.append(found)
        g = max(asked) + added
        if self.final is not None:
            low, high = self.final.beta_low, self.final.beta_high
            beta = high[j] - low[self.m] if upper else low[j] - high[self.m]
            products = [Fraction(end * beta, 1 << NORM_SCALE) for end in self.final.ends]
            g += rounded(max(products) if upper else min(products))
        return g, rows

    def others(self, j: int, brackets: list[Any]) -> list[int]:
        """Return lambda_h for h > 0: as it is hinted, else the mean bracket of one tuple."""
        if j in self.lambdas:
            scale = self.heads[0].value_scale
            return [floor(Fraction(x, 1 << LAMBDA) * 2**scale) for x in self.lambdas[j]]
        found = []
        for head, rows in zip(self.own.heads[1:], brackets[1:], strict=True):
            total, mean = 0, 0
            for i, row in enumerate(rows):
                b = len(self.blocks) - 1
                if i == len(rows) - 1:
                    b = min(head.weights[i])
                total += head.weights[i][b][0]
                mean += head.weights[i][b][0] * row[b]
            found.append(floor(Fraction(mean, total)) if total else 0)
        return found

    def terms(
        self, j: int, direct: int, rows: list[Any], *, upper: bool
    ) -> list[list[dict[int, int]]]:
        """Return f_i^v(b, j) by vertex, position and block, for all blocks that have a weight."""
        others = self.others(j, rows)
        lambdas = [-direct - sum(others), *others]
        found = []
        for vertex in itertools.product(*(head.ends for head in self.own.heads)):
            places = []
            for i in range(PLACES):
                row = dict.fromkeys(self.own.heads[0].weights[i], 0)
                for b in row:
                    for h, head in enumerate(self.own.heads):
                        low, high = head.weights[i][b]
                        value = rows[h][i][b] - lambdas[h]
                        end = high if (value > 0) == upper else low
                        row[b] += vertex[h] * end * value
                places.append(row)
            found.append(places)
        return found


BLOCKS = {
    "single": [(t, t) for t in range(4)],
    "wide": [(0, 2), (3, 3)],
}
QUERIES = {"one": [(2, 2)], "some": [(0, 1), (3, 3)], "own": [(4, 4)]}


def hints_of(rng: random.Random, count: int, answers: int) -> Hints:
    """Return sides of any box, and lambda for some answers."""
    sides = []
    for _ in range(count - 1):
        low = rng.randrange(5)
        sides.append(Side(low, low + rng.randrange(5), rng.choice((-3, -1, 0, 1))))
    lambdas = {
        j: tuple(rng.randrange(-1 << 18, 1 << 18) for _ in sides)
        for j in range(answers)
        if rng.random() < 0.5
    }
    return Hints(tuple(sides), lambdas)


def compared(seed: int, kind: str, blocks: str, queries: str) -> None:
    """Compare the terms of a random cell with those of the page."""
    rng = random.Random(f"{seed} {kind} {blocks} {queries}")
    count, m = rng.choice((1, 2, 3)), 4
    heads = heads_of(Seeded(rng), count, enclosed=kind != "neurons" and rng.random() < 0.5)
    answers = VOCAB + 1 - NEURONS * (kind == "neurons")
    hints = hints_of(rng, count, answers)
    own = framed(heads, m, QUERIES[queries], BLOCKS[blocks], hints)
    if kind == "neurons":  # the last columns are what neurons read; the maximum is answer 0
        own.paths = replace(own.paths, right=(0,) * VOCAB)
        rows = tuple(tuple(rng.randint(-9, 9) for _ in range(answers)) for _ in range(NEURONS))
        bounds = [sorted(rng.randint(-9000, 9000) for _ in range(2)) for _ in range(NEURONS)]
        own.neurons = Neurons(Matrix(rows, rng.choice((-1, 0, 2))), answers)
        own.hints = replace(hints, neurons=tuple((a, b) for a, b in bounds))
    page = Page(heads, own, hints.lambdas)
    page.neurons, page.bounds = own.neurons, own.hints.neurons
    page.m = own.paths.right[m]
    own.drop = rng.randrange(9)
    if kind == "final":
        low = tuple(rng.randrange(-3 << 96, 3 << 96) for _ in range(answers))
        high = tuple(x + rng.randrange(2) for x in low)
        ends = rng.randrange(1 << 96), (1 << 96) + rng.randrange(1 << 97)
        page.final = own.final = Final(EPS, ends, low, high)
    mu = rng.randrange(20)
    for j in set(range(answers)) - {page.m}:
        allowed = tuple(rng.randrange(1, 32) for _ in range(PLACES))
        direct, rows_ = page.brackets(j, upper=True)
        expected = page.terms(j, direct + mu, rows_, upper=True)
        assert own.upper_pairs(j, allowed, mu) == [
            chosen(own, terms, allowed) for terms in expected
        ]
        if blocks == "single" and queries != "some":
            direct, rows_ = page.brackets(j, upper=False)
            vertices = page.terms(j, direct - own.drop, rows_, upper=False)
            least = [
                {b: min(terms[i][b] for terms in vertices) for b in vertices[0][i]}
                for i in range(PLACES)
            ]
            assert own.lower_terms(j, allowed) == chosen(own, least, allowed)


def chosen(own: WideFrame, terms: list[dict[int, int]], allowed: tuple[int, ...]) -> Any:
    """Return the terms of blocks that hold a token which is allowed."""
    return [
        {
            b: x
            for b, x in row.items()
            if any(tokens >> t & 1 for t in range(own.blocks[b][0], own.blocks[b][1] + 1))
        }
        for row, tokens in zip(terms, allowed, strict=True)
    ]


@pytest.mark.parametrize("kind", ["plain", "final", "neurons"])
@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("blocks", BLOCKS)
def test_terms_are_those_of_the_page(kind: str, blocks: str, queries: str) -> None:
    for seed in range(6):
        compared(seed, kind, blocks, queries)


# --- neurons ----------------------------------------------------------------------


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("blocks", BLOCKS)
def test_bounds_of_neurons_are_held_to_the_page(blocks: str, queries: str) -> None:
    seen = set()
    for seed in range(40):
        rng = random.Random(f"read {seed} {blocks} {queries}")
        count = rng.choice((1, 2, 3))
        heads = heads_of(Seeded(rng), count, enclosed=False)
        first = VOCAB + 1 - NEURONS
        own = framed(heads, 4, QUERIES[queries], BLOCKS[blocks], hints_of(rng, count, first))
        own.neurons = Neurons(Matrix(((0,) * first,) * NEURONS, 0), first)
        page = Page(heads, own, {})
        for k in range(NEURONS):
            column = first + k
            widest = rng.choice((1 << 11, 1 << 13, 1 << 15, 1 << 16))
            bounds = -rng.randrange(widest), rng.randrange(widest)
            holds = True
            for sign, end in ((1, bounds[1]), (-1, bounds[0])):
                scale = heads[0].value_scale
                limit = floor(Fraction(sign * end, 1 << BOUND) * 2**scale)
                g = max(sign * heads[0].eu_low[q][column] for q in own.queries) - limit
                rows = [
                    [
                        [
                            max(sign * paths.evou_low[t][column] for t in range(a, b + 1))
                            + sign * place[column]
                            for a, b in own.blocks
                        ]
                        for place in paths.pvou
                    ]
                    for paths in heads
                ]
                for terms in page.terms(column, g, rows, upper=True):
                    tops = [max(row.values()) for row in terms]
                    gain = 0
                    if QUERIES[queries] != [(4, 4)]:
                        last = len(own.blocks) - 1
                        gain = max(terms[i][last] - tops[i] for i in range(PLACES - 1))
                    holds = holds and sum(tops) + gain <= 0
            assert own._is_read(k, bounds) is holds
            seen.add(holds)
    assert seen == {False, True}


def test_a_neuron_may_read_its_bound_and_no_more() -> None:
    zeros = (0,) * (VOCAB + 1)
    paths = exhaustion.exact_paths(
        eqke=((0,) * VOCAB,) * VOCAB,
        eqkp=((0,) * PLACES,) * VOCAB,
        score_scale=4,
        evou=(zeros,) * VOCAB,
        pvou=(zeros,) * PLACES,
        eu=((*zeros[:-1], 3),) * VOCAB,
        value_scale=3,
        d_head=2,
    )
    own = framed([paths], 4, [(2, 2)], BLOCKS["single"], Hints((), {}))
    own.neurons = Neurons(Matrix(((0,) * VOCAB,), 0), VOCAB)
    exact = 3 << BOUND - 3
    for bounds, holds in (
        ((exact, exact), True),
        ((exact, exact - 1), False),
        ((exact + 1, exact + 2), False),
        ((exact - 1, exact), True),
    ):
        assert own._is_read(0, bounds) is holds
    own.neurons = None
    assert own._is_read(0, (exact, exact)) is False


@pytest.mark.parametrize(("sums", "holds"), [(0, True), (-1, True), (1, False)])
def test_a_neuron_may_not_exceed_its_bound_by_the_least(
    sums: int, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = heads_of(Seeded(random.Random(1)), 2, enclosed=False)
    own = framed(heads, 4, [(2, 2)], BLOCKS["single"], Hints((Side(0, 1, 0),), {}))
    own.neurons = Neurons(Matrix(((0,) * VOCAB,), 0), VOCAB)
    monkeypatch.setattr(frame_module, "largest_sum", lambda *_: sums)
    assert own._is_read(0, (0, 1)) is holds


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_block_that_no_window_covers_costs_one_comparison_more(count: int) -> None:
    rng = random.Random(count)
    vocab, m = 9, 8
    heads = [exhaustion.random_paths(Seeded(rng), vocab, PLACES) for _ in range(count)]
    hints = Hints((Side(0, 1, 0),) * (count - 1), {})
    named = usual_places({"d_vocab": vocab, "n_ctx": PLACES})
    tables = Heads([[paths] for paths in heads], None, None)
    book = ledger()
    cells = WideCells(tables, named, PRECISION, book, [REAL] * count)
    costs = []
    # Both have two blocks of several tokens; in the second no power of two.
    for blocks in ([(0, 3), (4, 7)], [(0, 2), (3, 7)]) * 2:
        before = book.total
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(frame_module, "require_box", lambda *_: None)
            frame = cells.frame(cell_of(m, [(1, 1)], blocks, hints))
        assert isinstance(frame, WideFrame)
        formed = book.total
        frame.upper_pairs(0, (511,) * PLACES, 0)
        costs.append((formed - before, book.total - formed))
    # Windows are formed once; then values take it in the weights and once in every head.
    (even, even_terms), (odd, odd_terms) = costs[2:]
    assert (odd - even, odd_terms - even_terms) == (2 * (1 + count), 2 * count)


@pytest.mark.parametrize("bits", [-3, -1, 0, 1, 2])
def test_rounding_goes_one_way_whatever_the_scale(bits: int) -> None:
    for value in range(-9, 10):
        exact = Fraction(value) / Fraction(2) ** bits
        assert (up(value, bits), down(value, bits)) == (ceil(exact), floor(exact))


def test_lines_over_and_under_a_neuron() -> None:
    # Bounds over 2^-12, slopes over 2^-8, what is added over both.
    for least, most in itertools.combinations_with_replacement(range(-6, 7), 2):
        slope, rest = chord((least, most))
        kept = ramp((least, most))
        assert kept == (256 if least + most > 0 else 0)
        expected = 256 if least >= 0 < most or least > 0 else 0
        if least < 0 < most:
            expected = 256 * most // (most - least)
        if (least, most) != (0, 0):
            assert slope == expected
        ends = [256 * max(x, 0) - slope * x for x in (least, most)]
        assert rest == max(ends)
        for x in range(least, most + 1):
            assert kept * x <= 256 * max(x, 0) <= slope * x + rest


def parsed(box: Any, lambdas: Any = (), neurons: Any = ()) -> Hints:
    """Return the hints of a cell of a model with two heads, four outputs and an MLP."""
    sizes = {"n_heads": 2, "d_vocab_out": 4, "d_mlp": 1}
    found = {"box": box, "lambda": [*lambdas], "neurons": [*neurons] or [[0, 1]]}
    hints = parse_hints(found, "here", sizes)["hints"]
    assert isinstance(hints, Hints)
    return hints


MOST = 1 << 31


def test_hints_at_their_limits_are_read() -> None:
    ends = (0, MOST, 128), (0, 0, -128), (MOST, MOST, 0)
    for box in ends:
        assert parsed([list(box)]).box == (Side(*box),)
    for j, number in ((0, MOST), (3, -MOST)):
        assert parsed([[0, 1, 0]], [[j, [number]]]).lambdas == {j: (number,)}
    for bounds in ((-MOST, MOST), (5, 5)):
        assert parsed([[0, 1, 0]], (), [list(bounds)]).neurons == (bounds,)


@pytest.mark.parametrize(
    ("box", "lambdas", "neurons", "clause"),
    [
        ([0, MOST + 1, 0], [], [0, 1], "SPEC-3.3"),
        ([-1, 1, 0], [], [0, 1], "SPEC-3.3"),
        ([-1, -1, 0], [], [0, 1], "SPEC-3.3"),
        ([0, -1, 0], [], [0, 1], "SPEC-3.3"),
        ([0, 1, 129], [], [0, 1], "SPEC-3.3"),
        ([0, 1, -129], [], [0, 1], "SPEC-3.3"),
        ([0, 1, 0], [[4, [0]]], [0, 1], "SPEC-3.3"),
        ([0, 1, 0], [[-1, [0]]], [0, 1], "SPEC-3.3"),
        ([0, 1, 0], [[0, [MOST + 1]]], [0, 1], "SPEC-3.3"),
        ([0, 1, 0], [[0, [-MOST - 1]]], [0, 1], "SPEC-3.3"),
        ([0, 1, 0], [], [0, MOST + 1], "SPEC-3.3"),
        ([0, 1, 0], [], [-MOST - 1, 0], "SPEC-3.3"),
        ([0, 1, 0], [], [1, 0], "SPEC-16.11"),
        ([0, 1, 0], [], None, "SPEC-16.11"),
        ([1, 0, 0], [], [0, 1], "SPEC-16.3"),
        ([0, 1, 0], [[0, [0, 0]]], [0, 1], "SPEC-16.3"),
    ],
)
def test_hints_past_their_limits_are_not(box: Any, lambdas: Any, neurons: Any, clause: str) -> None:
    with pytest.raises(Refusal) as found:
        parsed([box], lambdas, [neurons] if neurons else [[0, 1], [0, 1]])
    assert found.value.rule == clause


def test_sides_are_over_the_finest_of_their_scales() -> None:
    for exponents, scale in (((), 0), ((0, 3), 0), ((-1, 4), 1), ((-3, -7), 7)):
        hints = Hints(tuple(Side(3, 5, e) for e in exponents), {})
        assert hints.scale == scale
        for side, e in zip(hints.box, exponents, strict=True):
            assert side.over(scale) == (3 << scale + e, 5 << scale + e)


def test_what_a_neuron_adds_has_two_ends() -> None:
    # Effects 3/4 and -5/4 on answer 0 against answer 1.
    neurons = Neurons(Matrix(((5, 2), (-4, 1)), 2), 2)
    assert neurons.added(0, 1, [(2, 7), (-3, 1)]) == (
        floor(Fraction(6 - 5, 4)),
        ceil(Fraction(21, 4)),
    )
    assert neurons.added(1, 0, [(2, 7), (-3, 1)]) == (
        floor(Fraction(-21, 4)),
        ceil(Fraction(-6 + 5, 4)),
    )
    assert neurons.added(0, 1, [(-7, -2), (-3, -1)]) == (0, 0)


# --- counting ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("joint", "apart", "size", "upper"),
    [(10, (3, 4), 99, 7), (6, (3, 4), 99, 6), (10, (3, 4), 5, 5), (7, (0, 8), 99, 7)],
)
def test_failures_are_counted_together_and_vertex_by_vertex(
    joint: int, apart: tuple[int, int], size: int, upper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = ([{0: x}] for x in range(3))
    frame: Any = SimpleNamespace(vertices=2, pairs={(5, 0): one, (5, 1): two, (6, 1): three})
    counts = [({5: two, 6: three}, joint), ({5: one}, apart[0]), ({5: two, 6: three}, apart[1])]
    seen: list[Any] = []

    def upper_count(_: object, left: Left) -> int:
        terms, count = counts[len(seen)]
        assert left.terms == terms
        seen.append(terms)
        return count

    monkeypatch.setattr(Count, "upper_count", upper_count)
    monkeypatch.setattr(Count, "lower_count", lambda *_: 2)
    left = Left("here", frame, {5: two, 6: three}, 0, size)
    count = WideCount(Hints((), {}), ())
    assert count.failures(left) == Failures(2, upper)
    assert len(seen) == 3
    # One head has one vertex, of which nothing is counted twice.
    seen.clear()
    frame.vertices = 1
    assert count.failures(left) == Failures(2, min(joint, size))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("lows", "values", "expected"),
    [
        ((2, 3), (2, 0), 0),  # 4/5: a unit more would make 1 of it
        ((2, 3), (1, 1), 1),
        ((2, 3), (-1, 0), -1),  # -2/5
        ((0, 3), (9, 5), 5),
        ((0, 0), (9, 9), 0),  # 0 if all lower ends are 0
    ],
)
def test_lambda_is_the_mean_bracket_rounded_down(
    lows: tuple[int, int], values: tuple[int, int], expected: int
) -> None:
    # 16.3: of {m} at the free position, and of the first block that holds a query at the last.
    (paths,) = heads_of(Seeded(random.Random(1)), 1, enclosed=False)
    free, last = ((low, low + 7) for low in lows)
    weights = [{0: (99, 99), 1: free}, {0: last, 1: (99, 99)}]
    own = frame_module.Head(paths, weights, [], (1, 1))
    assert own.mean([[77, values[0]], [values[1], 77]]) == expected


# --- single inputs -----------------------------------------------------------------


def mean_of(values: Any, weights: Any, bits: int) -> tuple[int, int]:
    """Return both ends of a weighted mean over ``bits`` bits more, of numbers between ends."""
    pairs = list(zip(values, weights, strict=True))
    least = sum(min(v[0] * w[0], v[0] * w[1]) for v, w in pairs)
    most = sum(max(v[1] * w[0], v[1] * w[1]) for v, w in pairs)
    totals = [sum(w[end] for w in weights) for end in (0, 1)]
    low = min(Fraction(least << bits, total) for total in totals)
    high = max(Fraction(most << bits, total) for total in totals)
    return floor(low), ceil(high)


@pytest.mark.parametrize("seed", range(12))
def test_a_single_input_is_read_as_the_page_says(seed: int) -> None:
    rng = random.Random(f"single {seed}")
    heads = heads_of(Seeded(rng), rng.choice((1, 2, 3)), enclosed=seed % 3 > 0)
    tokens = tuple(rng.randrange(VOCAB) for _ in range(PLACES))
    bits = rng.choice((6, 40))
    low = [[rng.randrange(1, 1 << bits) for _ in range(PLACES)] for _ in heads]
    weights = [[(x, x + rng.randrange(1 << bits // 2)) for x in row] for row in low]
    own = Single(
        tokens,
        heads[0],
        [[(paths, w) for w in row] for paths, row in zip(heads, weights, strict=True)],
        bits,
    )
    q = tokens[-1]
    ends: dict[Any, tuple[int, int]] = {}
    for j, right in itertools.product(range(VOCAB + 1), (None, 0)):
        least, most = heads[0].eu_low[q][j], heads[0].eu_high[q][j]
        if right is not None:
            least -= heads[0].eu_high[q][right]
            most -= heads[0].eu_low[q][right]
        found = [least << bits, most << bits]
        for paths, row in zip(heads, weights, strict=True):
            values = []
            for place, t in zip(paths.pvou, tokens, strict=True):
                shift = place[j] - (0 if right is None else place[right])
                under, over = paths.evou_low[t][j], paths.evou_high[t][j]
                if right is not None:
                    under -= paths.evou_high[t][right]
                    over -= paths.evou_low[t][right]
                values.append((under + shift, over + shift))
            mean = mean_of(values, row, bits)
            found = [found[0] + mean[0], found[1] + mean[1]]
        column = single._entry(j) if right is None else single._difference(j, right)
        assert own.ends(column) == tuple(found)
        ends[j, right] = found[0], found[1]
    neurons = Neurons(Matrix(((0,) * 3,) * 2, 0), VOCAB - 1)
    assert own.reads(neurons) == [ends[VOCAB - 1, None], ends[VOCAB, None]]
    final = Final(EPS, (1, 2), (0,) * (VOCAB - 1), (1,) * (VOCAB - 1))
    assert replace(final, beta_high=final.beta_low, ends=(5, 7)).even
    assert own.spread(replace(final, beta_high=final.beta_low, ends=(5, 7))) == (5, 7)
    nearest = farthest = Fraction(0)
    for low_, high in (ends[VOCAB - 1, None], ends[VOCAB, None]):
        nearest += Fraction(0 if low_ <= 0 <= high else min(abs(low_), abs(high))) ** 2
        farthest += Fraction(max(abs(low_), abs(high))) ** 2
    below, above = own.spread(final)
    # S^2 = |Y|^2 / d + d^2 eps, in units of 2^-96
    unit = Fraction(1, 1 << bits)
    squares = [sum_ * unit**2 / 2 + 4 * Fraction(1 << 192) for sum_ in (nearest, farthest)]
    assert below**2 <= squares[0] < (below + 1) ** 2
    assert (above - 1) ** 2 <= squares[1] < above**2


def test_a_spread_is_the_sum_of_squares_and_nothing_more() -> None:
    seen: list[tuple[int, int]] = []

    def ends(square: int, scale: int) -> tuple[int, int]:
        seen.append((square, scale))
        return len(seen), 10 + len(seen)

    deviation: Any = SimpleNamespace(width=2, ends=ends)
    final = Final(deviation, (1, 2), (0, 0), (0, 1))
    columns = {2: (-3, 5), 3: (2, 4)}
    own: Any = SimpleNamespace(
        precision=7, ends=lambda column: columns[column((0, 1, 2, 3), ())[0]]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single, "_entry", lambda k: lambda low, _: (low[k], 0))
        assert Single.spread(own, final) == (1, 12)
        columns[2] = (-5, -3)
        Single.spread(own, final)
    assert seen == [(4, 103), (25 + 16, 103), (9 + 4, 103), (25 + 16, 103)]


def test_weights_are_blurred_if_those_of_a_head_may_be_nothing() -> None:
    (paths,) = heads_of(Seeded(random.Random(1)), 1, enclosed=False)

    def blurred(*lows: tuple[int, ...]) -> bool:
        heads = [[(paths, (low, 9)) for low in row] for row in lows]
        return Single((0, 1, 2), paths, heads, 8).blurred

    assert not blurred((0, 0, 1), (1, 0, 0))
    assert blurred((0, 0, 0), (1, 1, 1))
    assert blurred((1, 1, 1), (0, 0, 0))


def scores_of(heads: list[Paths], precision: int) -> list[Any]:
    named = usual_places({"d_vocab": VOCAB, "n_ctx": PLACES})
    tables = Heads([[paths] for paths in heads], None, None)
    return WideCells(tables, named, precision, ledger(), [REAL] * len(heads)).scores_of_heads


def test_weights_of_a_single_input_are_those_of_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scores, "exp_ends", lambda _, below, bits: [(x, bits) for x in below])
    rng = random.Random(5)
    heads = heads_of(Seeded(rng), 1, enclosed=False)
    wide = tuple(tuple(x + 7 * t + 3 for t, x in enumerate(row)) for row in heads[0].eqke_low)
    heads = [replace(heads[0], eqke_high=wide)]
    (own,) = scores_of(heads, 64)
    own = replace(own, slack=Slack(score_error=11))
    tokens = (3, 0, 2)
    low, high = (
        [rows[2][t] + heads[0].eqkp[2][i] for i, t in enumerate(tokens)]
        for rows in (heads[0].eqke_low, heads[0].eqke_high)
    )
    below = [(max(high) - b, max(high) - a + 11) for a, b in zip(low, high, strict=True)]
    found: Any = [*single._weighed(own, tokens, 99)]
    assert found == [(heads[0], (x, 99)) for x in below]


def flat(gap: int) -> Paths:
    """Return tables of which answer 1 is so much above answer 0, whatever the input."""
    zeros = (0,) * (VOCAB + 1)
    return exhaustion.exact_paths(
        eqke=((0,) * VOCAB,) * VOCAB,
        eqkp=((0,) * PLACES,) * VOCAB,
        score_scale=4,
        evou=(zeros,) * VOCAB,
        pvou=(zeros,) * PLACES,
        eu=((0, gap, gap - 9, *zeros[3:]),) * VOCAB,
        value_scale=3,
        d_head=2,
    )


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("gap", "mu", "drop", "wrong"),
    [
        (0, 0, 0, True),
        (-1, 0, 0, False),
        (-1, 1, 0, None),
        (-2, 1, 0, False),
        (2, 0, 3, None),
        (3, 0, 3, True),
        (2, 5, 3, None),
        (-5, 5, 3, None),
        (-6, 5, 3, False),
    ],
)
def test_an_input_is_wrong_or_right_from_its_bound_on(
    count: int, gap: int, mu: int, drop: int, wrong: bool | None
) -> None:
    scores = scores_of([flat(gap), *[flat(0)] * (count - 1)], 64)
    for answers in ([1], [2, 1], [1, 2]):
        assert single.is_wrong(scores, None, None, 0, (0, 1, 2), answers, mu, drop) is wrong


def test_an_upper_end_of_a_single_unit_below_zero_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One part of 2^precision weighs the first token, whose value is -1: the mean is one unit.
    seen: list[int] = []

    def exp_ends(_: object, __: Any, precision: int) -> list[tuple[int, int]]:
        seen.append(precision)
        return [(x, x) for x in (1, (1 << precision) - 1, 0)]

    monkeypatch.setattr(Scores, "exp_ends", exp_ends)
    first, *others = flat(0).evou_low
    values = ((0, -1, *first[2:]), *others)
    paths = replace(flat(0), evou_low=values, evou_high=values)
    scores = scores_of([paths], 64)
    assert single.is_wrong(scores, None, None, 0, (0, 1, 2), [1], 0, 0) is False
    assert seen == [128]


@pytest.mark.parametrize(
    ("kind", "columns"), [("plain", 0), ("even", 0), ("final", 2), ("neurons", 3)]
)
def test_an_input_costs_what_the_page_says(
    kind: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def exp_ends(_: object, below: Any, precision: int) -> list[tuple[int, int]]:
        seen.append(precision)
        return [(1 << precision, 1 << precision)] * len(below)

    monkeypatch.setattr(Scores, "exp_ends", exp_ends)
    scores = scores_of([flat(-1), flat(0)], 64)
    book = scores[0].tables.ledger
    biases = (0,) * 4, (0, 0, 0, int(kind == "final"))
    final = Final(EPS, (1, 2), *biases) if kind in ("even", "final") else None
    neurons = Neurons(Matrix(((0,) * 3,) * 3, 0), 3) if kind == "neurons" else None
    answers = [1, 2]
    for mu, precisions in ((0, [128]), (1, [128, 256, 512, 1024, 2048, 4096])):
        before = book.total
        seen.clear()
        found = single.is_wrong(scores, final, neurons, 0, (0, 1, 2), answers, mu, 0)
        assert found is (None if mu else False)
        assert seen == [bits for bits in precisions for _ in scores]
        each = 2 * (len(answers) + columns) * (9 * 3 + 5) + 2 * 3
        assert book.total - before == len(precisions) * each
    seen.clear()
    single.is_wrong(
        [replace(own, precision=3000) for own in scores], None, None, 0, (0,) * 3, [1], 0, 0
    )
    assert seen == [4096, 4096]


def test_a_norm_and_neurons_count_in_single_inputs() -> None:
    scores = scores_of([flat(0)], 64)
    tokens = 0, 1, 2
    # S is 2 where nothing is read; beta of answer 1 is 1/8 above that of answer 0, or below it.
    for beta, wrong in ((1 << 93, True), (-1 << 93, False), (0, True)):
        final = Final(EPS, (0, 0), (0, beta, 0, 0), (0, beta, 0, 0))
        assert single.is_wrong(scores, final, None, 0, tokens, [1], 0, 0) is wrong
    open_ = Final(EPS, (0, 0), (0, -1 << 93, 0, 0), (0, 1 << 93, 0, 0))
    assert single.is_wrong(scores, open_, None, 0, tokens, [1], 0, 0) is None
    reads = replace(flat(-1), eu_low=((0, -1, 0, 0, 0, 8),) * VOCAB)
    scores = scores_of([replace(reads, eu_high=reads.eu_low)], 64)
    # A neuron that reads one, and adds 1/8 to answer 1, or 1/16, or takes 1/8 off.
    for effect, wrong in ((2, True), (1, False), (-2, False)):
        neurons = Neurons(Matrix(((0, effect, 0, 0, 0),), 4), 5)
        assert single.is_wrong(scores, None, neurons, 0, tokens, [1], 0, 0) is wrong
    # It reads something between 0 and 2, and adds half of that: anything may be.
    paths = replace(flat(-1), eu_high=((0, -1, 0, 0, 0, 16),) * VOCAB)
    neurons = Neurons(Matrix(((0, 1, 0, 0, 0),), 1), 5)
    assert single.is_wrong(scores_of([paths], 64), None, neurons, 0, tokens, [1], 0, 0) is None
    assert single.MAX_PRECISION == 4096
