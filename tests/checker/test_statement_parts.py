"""Parts of statements, each by itself: ranges of tokens, what is read, names of groups, runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checker.ground.errors import Malformed
from checker.leaves import leaves, network
from checker.statement import tasks
from checker.statement.domain import _parse_read, parse_ranges
from checker.statement.groups import SIZES
from checker.statement.outcome import runs


@pytest.mark.parametrize(
    ("written", "members", "text"),
    [
        ([[0, 4]], (0, 1, 2, 3, 4), "*"),
        ([[0, 1], [3, 3]], (0, 1, 3), "0-1,3"),
        ([[4, 4]], (4,), "4"),
        ([[1, 2], [4, 4]], (1, 2, 4), "1-2,4"),
    ],
)
def test_ranges_that_ascend(written: Any, members: tuple[int, ...], text: str) -> None:
    assert parse_ranges(written, "tokens", 5) == (members, text)


@pytest.mark.parametrize(
    "written",
    [
        [[0, 2], [3, 4]],  # they touch
        [[1, 3], [2, 4]],  # they overlap
        [[3, 3], [0, 1]],
        [[2, 2], [2, 2]],
        [[4, 3]],
        [[0, 0], [4, 3]],
        [[3, 5]],
        [[5, 5]],
        [],
    ],
)
def test_ranges_that_are_refused(written: Any) -> None:
    with pytest.raises(Malformed) as found:
        parse_ranges(written, "tokens", 5)
    assert found.value.rule == "SPEC-5.7"


def test_no_value_is_larger_than_the_page_allows() -> None:
    most = 2**31 - 1
    assert parse_ranges([[most, most]], "tokens", 2**40) == ((most,), str(most))
    with pytest.raises(Malformed) as found:
        parse_ranges([[most + 1, most + 1]], "tokens", 2**40)
    assert found.value.rule != "SPEC-5.7"


@pytest.mark.parametrize(
    ("read", "kept"), [([0], True), ([0, 2], True), ([-1], False), ([-1, 0], False), ([3], False)]
)
def test_positions_that_are_read_are_those_of_the_model(read: list[int], kept: bool) -> None:
    model: Any = SimpleNamespace(sizes={"n_ctx": 3}, pooled=False)
    if kept:
        assert _parse_read(read, model)[0] == tuple(read)
        return
    with pytest.raises(Malformed):
        _parse_read(read, model)


def test_groups_have_the_sizes_of_the_page() -> None:
    assert {
        "cyclic": range(1, 1025),
        "dihedral": range(3, 513),
        "symmetric": range(1, 7),
        "alternating": range(1, 7),
    } == SIZES


def test_limits_are_those_of_the_page() -> None:
    # SPEC-3.5: answers of a table; precision; SPEC-14: weights of a network.
    assert tasks.MAX_ANSWERS == 2**20
    assert leaves.MAX_PRECISION == 4096
    assert network.MAX_HELD_BITS == 2**30


def test_runs_are_about_as_long_and_there_is_one_at_least() -> None:
    assert runs(0, 5) == [range(0)]
    assert runs(3, 5) == [range(1), range(1, 2), range(2, 3)]
    assert runs(7, 3) == [range(2), range(2, 4), range(4, 7)]
    assert runs(7, 1) == [range(7)]
