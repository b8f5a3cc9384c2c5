"""SPEC-6.1 and SPEC-3.5: what sums of exact matrices are, and the room that is counted for them.
SPEC-6.5: what is rounded up, and to which multiples.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import pytest

from checker.ground.exact import Matrix, bits, longest, minus, plus
from checker.ground.ledger import NUMBER_BITS, Ledger
from checker.ground.norms import root_up


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def numbers(a: Matrix) -> list[list[Fraction]]:
    """Return the entries as they are, whatever the scale."""
    return [[value / Fraction(2) ** a.scale for value in row] for row in a.rows]


def of(rng: random.Random, height: int, width: int, size: int, scale: int) -> Matrix:
    """Return random entries of at most so many bits, the first of exactly so many."""
    entries = [rng.randint(-(1 << size) + 1, (1 << size) - 1) for _ in range(height * width)]
    entries[0] = rng.choice((-1, 1)) * ((1 << size) - 1)
    return Matrix(tuple(tuple(entries[i::height]) for i in range(height)), scale)


@pytest.mark.parametrize("size", [1, 7, 90])
@pytest.mark.parametrize("other", [1, 7, 90])
@pytest.mark.parametrize("height", [1, 3])
@pytest.mark.parametrize("combine", [plus, minus])
def test_a_sum_takes_the_bits_of_the_longer_part_and_one(
    combine: Callable[[Matrix, Matrix, Ledger], Matrix], height: int, other: int, size: int
) -> None:
    """At one scale nothing else is formed; two numbers of p bits add up to one of p + 1."""
    rng = random.Random(f"{size} {other} {height}")
    a, b = of(rng, 3, 2, size, 5), of(rng, height, 2, other, 5)
    book = ledger()
    found = combine(a, b, book)
    most = max(size, other) + 1
    assert bits(found) <= most
    assert book.held == 6 * (NUMBER_BITS + most)
    assert (book.add, book.total) == (6, 6)
    sign = 1 if combine is plus else -1
    theirs = numbers(b) * (3 // height)
    due = [
        [x + sign * y for x, y in zip(*both, strict=True)]
        for both in zip(numbers(a), theirs, strict=True)
    ]
    assert numbers(found) == due


@pytest.mark.parametrize(("scale", "other"), [(3, 10), (10, 3), (-4, 2)])
def test_a_sum_is_formed_over_the_finer_scale(scale: int, other: int) -> None:
    """The coarser part grows by the difference of the scales, is counted, and then the sum."""
    rng = random.Random(f"{scale} {other}")
    a, b = of(rng, 2, 3, 8, scale), of(rng, 2, 3, 8, other)
    book = ledger()
    found = plus(a, b, book)
    assert found.scale == max(scale, other)
    longer = 8 + abs(scale - other)
    assert book.held == 6 * (NUMBER_BITS + longer) + 6 * (NUMBER_BITS + longer + 1)
    assert numbers(found) == [
        [x + y for x, y in zip(*both, strict=True)]
        for both in zip(numbers(a), numbers(b), strict=True)
    ]


def test_where_there_is_no_number_the_longest_has_no_bits() -> None:
    assert longest([]) == longest([(), ()]) == longest([(0, 0)]) == 0
    assert longest([(), (0, -4), (3,)]) == 3


@pytest.mark.parametrize("value", [0, 1, 2, 3, 10**9, 1 << 200])
@pytest.mark.parametrize("scale", [-9, 0, 96, 97, 300])
def test_a_root_is_the_least_multiple_of_2_to_the_minus_48_that_is_not_below(
    value: int, scale: int
) -> None:
    true = value / Fraction(2) ** scale
    found = root_up(value, scale, 1)
    square = true * 2**96
    assert found**2 >= square
    assert found == 0 or (found - 1) ** 2 < square
