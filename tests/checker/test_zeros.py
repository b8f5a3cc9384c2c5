"""SPEC-6.1: what adds nothing to a chain of matrices is left out and not charged, and the product
is the same.
"""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_terms import Counted, counted

from checker.ground.errors import Declined, Malformed
from checker.ground.exact import Matrix, multiply
from checker.ground.ledger import PLACE_BITS, Ledger

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "150"))
Table = tuple[tuple[int, ...], ...]


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def product_of(a: Table, b: Table) -> Table:
    """Return a product by its definition."""
    columns = tuple(zip(*b, strict=True))
    return tuple(
        tuple(sum(x * y for x, y in zip(row, column, strict=True)) for column in columns)
        for row in a
    )


@st.composite
def sparse(draw: st.DrawFn, rows: int, columns: int) -> Table:
    """Return a table of which whole rows, whole columns and single entries may be zero."""
    entry = st.integers(-3, 3)
    kept_rows = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    kept_columns = draw(st.lists(st.booleans(), min_size=columns, max_size=columns))
    return tuple(
        tuple(draw(entry) if row and column else 0 for column in kept_columns) for row in kept_rows
    )


@st.composite
def chains(draw: st.DrawFn) -> list[Matrix]:
    """Return factors that fit."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=6))
    return [Matrix(draw(sparse(*pair)), draw(st.integers(-2, 2))) for pair in pairwise(sizes)]


@given(chains())
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_product_is_that_of_the_definition(chain: list[Matrix]) -> None:
    truth = chain[0].rows
    for factor in chain[1:]:
        truth = product_of(truth, factor.rows)
    found = multiply(chain, ledger())
    assert found == Matrix(truth, sum(factor.scale for factor in chain))


@given(chains())
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_chain_costs_no_more_than_is_charged(chain: list[Matrix]) -> None:
    Counted.reset()
    book = ledger()
    multiply([Matrix(counted(factor.rows), factor.scale) for factor in chain], book)
    assert Counted.mul <= book.mul
    assert Counted.add <= book.add
    assert Counted.cmp <= book.cmp
    dense = sum(2 * len(f.rows) * len(f.rows[0]) for f in chain)
    assert book.cmp <= dense


def filled(rows: int, columns: int, kept_rows: int, kept_columns: int) -> Matrix:
    """Return ones, and zeros in all but the first rows and columns."""
    return Matrix(
        tuple(
            tuple(int(row < kept_rows and column < kept_columns) for column in range(columns))
            for row in range(rows)
        ),
        0,
    )


def cost(*chain: Matrix) -> tuple[int, int, int]:
    book = ledger()
    multiply(chain, book)
    return book.mul, book.add, book.cmp


def test_without_zeros_looking_takes_a_comparison_per_inner_index() -> None:
    assert cost(filled(5, 4, 5, 4), filled(4, 6, 4, 6)) == (120, 120, 8)


def test_zero_columns_and_rows_are_not_charged() -> None:
    # Two of four columns are zero in five rows; then two rows of the other factor in six columns.
    assert cost(filled(5, 4, 5, 2), filled(4, 6, 4, 6)) == (60, 60, 4 + 4 * 2 + 4)
    assert cost(filled(5, 4, 5, 4), filled(4, 6, 2, 6)) == (60, 60, 4 + 4 + 5 * 2)


def test_of_indices_that_all_add_nothing_the_first_stays() -> None:
    # The left factor has a zero column in front, the right one a zero row behind.
    left, right = Matrix(((0, 1),), 0), Matrix(((1, 1, 1), (0, 0, 0)), 0)
    behind = filled(3, 4, 3, 4)
    book = ledger()
    assert multiply([left, right, behind], book).rows == ((0, 0, 0, 0),)
    # A comparison for the second column and two for the row of zeros; then one per inner index of
    # the first row, (1, 1, 1), and of what is behind it; at last (1 x 1)(1 x 3)(3 x 4).
    looked = (2 + 0) + (2 + 2) + 3 + 3
    assert (book.mul, book.cmp) == (1 * 3 + 3 * 4, looked)


def test_a_low_rank_in_the_middle_decides_the_order() -> None:
    # (8 x 6)(6 x 6)(6 x 6)(6 x 8) of rank one in the middle: through the one index.
    found = cost(filled(8, 6, 8, 6), filled(6, 6, 6, 1), filled(6, 6, 1, 6), filled(6, 8, 6, 8))
    assert found[0] == 8 * 6 + 6 * 8 + 8 * 8


def test_disjoint_supports_leave_one_index() -> None:
    left, right = filled(3, 4, 3, 2), Matrix(filled(4, 5, 2, 5).rows[::-1], 0)
    book = ledger()
    assert multiply([left, right], book).rows == ((0,) * 5,) * 3
    assert book.mul == 3 * 5


def test_what_a_pair_leaves_is_what_the_next_one_sees() -> None:
    # Of the middle factor the first one reads one row; where that is zero, so is the column.
    middle = Matrix(((1, 0, 0), (0, 5, 5)), 0)
    found = multiply([filled(2, 2, 2, 1), middle, filled(3, 7, 3, 7)], book := ledger())
    assert found.rows == ((1,) * 7,) * 2
    assert book.mul == 2 * 1 * 1 + 2 * 1 * 7


def test_zeros_behind_the_first_row_do_not_count() -> None:
    low = Matrix(((0, 1), (1, 0), (0, 0)), 0)
    assert cost(low, filled(2, 2, 2, 2)) == (12, 12, 2 + 1 + 2)


def test_shapes_that_do_not_fit_are_refused_before_they_are_looked_at() -> None:
    for pair in (
        (filled(2, 3, 2, 1), filled(2, 2, 2, 2)),
        (filled(2, 2, 2, 1), filled(3, 2, 1, 2)),
    ):
        with pytest.raises(Malformed) as refusal:
            multiply(pair, ledger())
        assert refusal.value.rule == "SPEC-6.6"


def test_looking_is_within_the_budget() -> None:
    book = ledger()
    book.budget = 3
    with pytest.raises(Declined) as refusal:
        multiply([filled(2, 4, 2, 4), filled(4, 1, 4, 1)], book)
    assert refusal.value.rule == "SPEC-8.2"


def test_places_of_what_is_left_are_held() -> None:
    book, plain = ledger(), ledger()
    multiply([filled(5, 4, 5, 2), filled(4, 6, 4, 6)], book)
    multiply([filled(5, 2, 5, 2), filled(2, 6, 2, 6)], plain)
    assert book.held == plain.held + 5 * 2 * PLACE_BITS
