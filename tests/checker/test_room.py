"""The room that the ledger counts is not below what a cell takes in Python, and is that of
SPEC-3.5, to the bit: of every step of a cell, what is taken and what is given back, in order.
"""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import exhaustion
import hostile_files
import models
import mutators
import pytest
from make_vectors import completed, document, flat, root
from models import Seeded
from usual import usual_places

from checker import __main__, check
from checker.cells.cell import Known, Margin
from checker.cells.copies import Copies
from checker.cells.derive import Cells
from checker.cells.enclosed import Bound, PathHint, enclose
from checker.cells.enumeration import Enumerate
from checker.cells.parse import Cell, Method, Split
from checker.cells.screen import Screen
from checker.cells.tables import Tables
from checker.cells.terms import Left
from checker.chain.line import line
from checker.chain.parts import Reading, Widths
from checker.ground.exact import Matrix, bits
from checker.ground.interval import exp_tables
from checker.ground.ledger import Ledger
from checker.statement.outcome import Outcome
from checker.statement.scope import Scope

MEBIBYTE = 1 << 20
"""For everything else."""


class Most(Ledger):
    """A ledger that remembers the most that was held."""

    most_held = 0

    def take(self, bits: int) -> None:
        super().take(bits)
        self.most_held = max(self.most_held, self.held)


def room_of(model: bytes, text: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Return the bytes that a check takes at most, and those that are counted."""
    made = list[Most]()

    def make(*given: Any) -> Ledger:
        made.append(Most(*given))
        return made[0]

    monkeypatch.setattr(check, "Ledger", make)
    parsed = check.parse(model, text)
    exp_tables(parsed.precision)
    tracemalloc.start()
    try:
        check.check(parsed, lambda done, declared: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak, made[0].most_held // 8


class Kept(Ledger):
    """A ledger that remembers what is taken, in order; what is given back is negative."""

    def __init__(self) -> None:
        super().__init__(lambda done: None)
        self.moves: list[int] = []

    def take(self, bits: int) -> None:
        self.moves.append(bits)
        super().take(bits)

    def release(self, bits: int) -> None:
        self.moves.append(-bits)
        super().release(bits)


def test_the_terms_that_copies_fills_in_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The extreme test leaves one term of each position, that of the maximum; `copies` then holds a
    # list of a place for every block, for every position and every answer.
    vocab, n = 128, 64
    m = vocab - 1
    config = models.config_of(vocab=vocab, k=n, d_model=1, d_head=1)
    ones = {models.ATTENTION + f"W_{letter}": [[[1]]] for letter in "QKVO"}
    tensors = {
        "embed.W_E": [[1]] * m + [[0]],
        "pos_embed.W_pos": [[0]] * n,
        "unembed.W_U": [[1] * m + [2]],
        **ones,
    }
    model = models.Model(config, tensors)
    cell = root(m, [[m, m]], "copies", layout=[[1, m]], groups=[])
    text = mutators.encode(document(model, completed(vocab, [cell], "skip")))

    peak, held = room_of(model.bytes, text, monkeypatch)
    assert peak <= held + MEBIBYTE


def test_weights_of_a_cell_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing of a chain is large but the weights of its blocks and one answer's terms.
    vocab, n = 256, 24
    m = vocab - 1
    model = flat(vocab, n)
    mu = ["1", "9"]
    cells = [root(m, [[0, m - 1]], "count", layout=[[1, m]], mu=mu, blocks=[[1, []]])]
    cells += [root(m, [[m, m]], "skip", mu=mu), root(0, [[0, 0]], "skip", mu=mu)]
    cells += [
        root(k, part, "skip", mu=mu) for k in range(1, m) for part in ([[0, k - 1]], [[k, k]])
    ]
    one = {"exponent": 0, "rows": [[1]]}
    cells[0]["failures"] = ["0", str(vocab**n)]
    chain = {"cells": cells, "ov": [one, one], "qk": [one, one]}
    text = hostile_files.claimed(model.bytes, "max-of-k", {"chain": chain, "precision": 1024})
    peak, held = room_of(model.bytes, text, monkeypatch)
    assert held / 3 < peak <= held + MEBIBYTE


def test_masks_of_an_enumeration_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = flat(2, 24)
    cell = root(1, [[0, 0]], "enumerate", layout=[[1, 1]], mu=["1", "9"])
    text = hostile_files.skipping(model, cell)
    peak, held = room_of(model.bytes, text, monkeypatch)
    assert 2 * MEBIBYTE < peak <= held + MEBIBYTE


def test_differences_of_answers_on_a_line_are_counted() -> None:
    rows = tuple(tuple((j * k) ** 9 << 70 for k in range(1, 301)) for j in range(1, 121))
    unembed = Matrix(tuple(zip(*rows, strict=True)), 0)
    answers = tuple((j,) for j in range(120))
    widths = Widths(Fraction(1), (1,) * 300, 0)
    book = Most(lambda done: None)
    logits = Reading((), answers, (0,) * 120, widths, 48)
    tracemalloc.start()
    try:
        line(logits, unembed, 0, book)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2 * MEBIBYTE < peak <= book.most_held // 8 + MEBIBYTE
    assert book.held == 300 * 120 * (384 + bits(unembed) + 1)  # of two numbers of as many bits


@pytest.mark.parametrize("name", ["eqkp", "eu_low", "eu_high"])
def test_arranged_tables_are_counted_by_the_longest_number_of_any(name: str) -> None:
    paths = exhaustion.likely_paths(Seeded(random.Random(name)), 8, 4)
    rows = getattr(paths, name)
    longer: Any = {
        name: tuple(tuple(x + (1 << 9999 + i) for i, x in enumerate(row)) for row in rows)
    }
    paths = replace(paths, **longer, exact=False)
    book = Kept()
    tracemalloc.start()
    try:
        Tables(paths, book)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Per query, position and answer both ends, less the mean of their row.
    entries = len(paths.eqkp) * (len(paths.pvou) + len(paths.pvou[0]))
    assert book.moves[-1] == 2 * entries * (384 + bits(Matrix(longer[name], 0)))
    assert peak <= book.held // 8 + MEBIBYTE // 8


@pytest.mark.parametrize("width", [64, 448, 1984])
def test_outcomes_that_may_be_printed_take_a_limited_room(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 256th of what is at the limit takes less than a 256th of 768 MiB."""
    monkeypatch.setattr(__main__, "facts", lambda theorem: {})
    total = (1 << width) - 1
    count = (1 << 27) // (64 + width) // 256
    outcomes = [Outcome(total - at, total, total, None) for at in range(count)]
    found = SimpleNamespace(
        parsed=SimpleNamespace(statement=SimpleNamespace(total=total)),
        ledger=Ledger(lambda done: None),
        margin=0,
        outcomes=outcomes,
    )
    tracemalloc.start()
    try:
        __main__.as_json(found, "0.00")  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 256 * peak <= 768 * MEBIBYTE


@pytest.mark.parametrize(
    ("free", "blocks", "answers"), [(0, 1, 1), (1, 2, 3), (3, 4, 2), (5, 3, 1)]
)
def test_copies_takes_a_place_for_every_block_position_and_answer(
    free: int, blocks: int, answers: int
) -> None:
    # A place of a number that is held already counts 64 bits; the last position is one of them.
    book = Kept()
    frame: Any = SimpleNamespace(
        scope=Scope("uniform", "inputs", ()),
        multiplicities=[[1] * blocks] * (free + 1),
        blocks=[(t, t) for t in range(blocks)],
        highs=[{blocks - 1: 1}],
        ledger=book,
    )
    terms = dict.fromkeys(range(answers), [{blocks - 1: -1}] * (free + 1))
    assert Copies(()).failures(Left("cell", frame, terms, 0, 9)).upper == 9
    due = 64 * blocks * (free + 1)
    assert book.moves == [due] * answers + [-answers * due]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("table", ["evou_low", "evou_high", "pvou", "eu_low", "eu_high"])
def test_terms_are_as_long_as_a_weight_and_the_longest_number_of_a_path(
    table: str, sign: int
) -> None:
    # A bracket adds numbers of all of them, so any of them alone may make terms long.
    paths = exhaustion.likely_paths(Seeded(random.Random(table)), 3, 2)
    longest = max(bits(Matrix(rows, 0)) for rows in (paths.evou_low, paths.pvou, paths.eu_low))
    places = usual_places({"d_vocab": 3, "n_ctx": 2})
    assert Cells(paths, places, 70, Kept()).bits == 70 + longest + 1024
    first, *others = getattr(paths, table)
    longer: Any = {table: ((sign << 99, *first[1:]), *others), "exact": False}
    wide = Cells(replace(paths, **longer), places, 70, Kept())
    assert wide.bits == 70 + 100 + 1024


@pytest.mark.parametrize(
    ("size", "margin", "longest"),
    [
        (0, None, 0),
        (0, 0, 0),
        (1, None, 1),
        (5, 4, 3),
        (5, 8, 4),
        (5, None, 3),
        (0, 1 << 70, 71),
        (1 << 90, 1 << 70, 91),
    ],
)
def test_what_is_handed_down_and_what_is_kept_of_a_leaf(
    size: int, margin: int | None, longest: int
) -> None:
    # While its children are visited, a mask of five tokens for each of two answers at three
    # positions; of the leaf three numbers, as long as its size or its margin.
    book = Kept()
    paths = exhaustion.likely_paths(Seeded(random.Random(0)), 5, 3)
    derived: Any = Cells(paths, usual_places({"d_vocab": 5, "n_ctx": 3}), 64, book)
    outcome = Outcome(0, 0, size, margin)
    found = [Known({1: (31,) * 3, 2: (31,) * 3}, None), outcome]
    derived._derive = lambda cell, given: found.pop(0)
    leaf = SimpleNamespace(queries=((0, 0),), children=(), claim=None)
    book.moves.clear()
    derived.visit(SimpleNamespace(queries=((0, 0),), children=(leaf,)), Known({}, None))
    masks = 2 * 3 * (384 + 5)
    assert book.moves == [masks, 3 * (384 + longest), -masks]
    assert derived.outcomes == [outcome]


def cell_of(seed: int, method: Method, mu: Margin) -> tuple[Cells, Cell, Known]:
    """Return what derives a cell of four blocks over three positions, the cell, and all answers."""
    paths = exhaustion.likely_paths(Seeded(random.Random(seed)), 5, 3)
    derived = Cells(paths, usual_places({"d_vocab": 5, "n_ctx": 3}), 64, Kept())
    query = seed % 4
    cell = Cell("cell", 4, ((query, query),), mu, ((1, 2), (2, 1)), method, (), None)
    return derived, cell, Known({j: (31,) * 3 for j in range(len(paths.pvou[0])) if j != 4}, None)


@pytest.mark.parametrize("method", [Enumerate(), Split()])
@pytest.mark.parametrize("mu", [Margin(0, 0), Margin(5, 60)])
@pytest.mark.parametrize("seed", range(8))
def test_of_the_terms_of_an_answer_those_that_are_left_are_kept(
    seed: int, mu: Margin, method: Method
) -> None:
    # All terms of an answer are formed, 2 048 bits for a position and 1 024 more than a number for
    # each of them, and counted once; the test lets some go, or all if the answer is beaten.
    derived, cell, given = cell_of(seed, method, mu)
    book: Any = derived.ledger
    frame = derived.frame(cell)
    raised = mu.above(derived.value_scale)
    width = derived.bits + raised.bit_length()
    held = book.held
    book.moves.clear()
    left, _ = derived._left(cell, frame, given, raised)
    due = [3 * (2048 + 4 * width)]
    due += [3 * 2048 + sum(map(len, left[j])) * width for j in left]
    assert book.moves == due
    # A cell begins with both ends of the weights of four blocks at three positions, and gives back
    # everything when it is done.
    book.release(sum(due))
    book.moves.clear()
    derived._derive(cell, given)
    assert book.held == held
    assert book.moves[0] == 2 * 4 * 3 * derived.bits
    assert book.moves[-1] == -sum(book.moves[:-1])


def test_a_screen_gives_back_the_weights_of_its_blocks() -> None:
    derived, cell, given = cell_of(3, Screen(), Margin(0, 0))
    book: Any = derived.ledger
    book.moves.clear()
    assert isinstance(derived._derive(replace(cell, queries=((0, 4),)), given), Known)
    assert book.moves[0] == 2 * 4 * 3 * derived.bits
    assert book.moves[-1] == -book.moves[0]


def test_these_cells_let_answers_and_terms_go() -> None:
    beaten = fewer = 0
    for seed in range(8):
        derived, cell, given = cell_of(seed, Split(), Margin(0, 0))
        left, _ = derived._left(cell, derived.frame(cell), given, 0)
        beaten += len(given.answers) - len(left)
        fewer += sum(sum(map(len, terms)) < 4 + 4 + 1 for terms in left.values())
    assert beaten > 3
    assert fewer > 3


@pytest.mark.parametrize("scale", [0, 50])
def test_ends_are_as_long_as_what_they_are_the_sum_of(scale: int) -> None:
    # F_1 = 3 = 2 + 1 and F_2 = (1, 5), so A = (2, 10) and the rest has the range 4: s is 2, r is 1.
    # A is over 2^-48 or finer; s and r are over 2^-48, and their product is formed first.
    chain = [Matrix(((3,),), 0), Matrix(((1 << scale, 5 << scale),), scale)]
    book = Kept()
    peel = Matrix(((2,),), 0), Matrix(((1,),), 0)
    hint = PathHint((1, 1), (peel, ()), Bound("range", 0, (), ()))
    low, high = enclose(chain, hint, book)
    finer = max(scale, 48)
    longest = bits(Matrix(((10,),), 0)) + finer
    reach = 2 * (2 + 48)
    assert book.moves[-1] == 2 * 2 * (384 + longest + reach)
    assert low.rows == ((0, 8 << 48),)
    assert high.rows == ((4 << 48, 12 << 48),)
