"""The room that the ledger counts is not below what a cell takes in Python, and is that of
SPEC-3.5, to the bit: of every step of a cell, what is taken and what is given back, in order.
"""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import exhaustion
import models
import mutators
import pytest
from make_vectors import completed, document, root
from models import Seeded
from usual import usual_places

from checker import check
from checker.cells.cell import Known, Margin
from checker.cells.copies import Copies
from checker.cells.derive import Cells
from checker.cells.enclosed import Bound, PathHint, enclose
from checker.cells.enumeration import Enumerate
from checker.cells.parse import Cell, Method, Split
from checker.cells.terms import Left
from checker.ground.exact import Matrix, bits
from checker.ground.ledger import Ledger
from checker.statement.outcome import Outcome
from checker.statement.scope import Scope


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

    most = [0]
    take = Ledger.take

    def counted(self: Ledger, bits: int) -> None:
        take(self, bits)
        most[0] = max(most[0], self.held)

    monkeypatch.setattr(Ledger, "take", counted)
    parsed = check.parse(model.bytes, text)
    tracemalloc.start()
    try:
        check.check(parsed, lambda done, declared: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 * peak <= most[0] + (8 << 20)  # a mebibyte for everything else


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
    # each of them; then the test lets some go, or all if the answer is beaten.
    derived, cell, given = cell_of(seed, method, mu)
    book: Any = derived.ledger
    frame = derived.frame(cell)
    raised = mu.above(derived.value_scale)
    width = derived.bits + raised.bit_length()
    held = book.held
    book.moves.clear()
    left, _ = derived._left(cell, frame, given, raised)
    most = 3 * (2048 + 4 * width)
    due = []
    for j in given.answers:
        due += [most, -most]
        if j in left:
            due.append(3 * 2048 + sum(map(len, left[j])) * width)
    assert book.moves == due
    # What is left is given back when the cell is done.
    book.release(sum(due))
    derived._derive(cell, given)
    assert book.held == held
    assert book.moves[-1] == -sum(due)


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
