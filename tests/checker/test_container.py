"""Every finite bit pattern stands for exactly its number.  (SPEC-4.2)"""

from __future__ import annotations

import random
from fractions import Fraction

import models
import pytest

from checker.ground.errors import Declined, Malformed
from checker.ground.ledger import NUMBER_BITS, Room
from checker.statement.container import Entry, _entry, parse_container, read_matrix

ROOM = 1 << 32
# dtype: bytes, exponent bits, fraction bits
FORMATS = {"F64": (8, 11, 52), "F32": (4, 8, 23), "F16": (2, 5, 10), "BF16": (2, 8, 7)}


def patterns(dtype: str) -> list[int]:
    """Return zeros, subnormals and normals at their edges, both signs, and random ones."""
    _, exponent_bits, fraction_bits = FORMATS[dtype]
    hidden, top = 1 << fraction_bits, (1 << exponent_bits) - 1
    rng = random.Random(0)
    edges = [
        0,
        1,
        2,
        3,
        hidden // 2,
        hidden - 1,
        hidden,
        hidden + 1,
        2 * hidden,
        (top // 2) * hidden,
        top * hidden - 1,
    ]
    found = (
        edges
        + [rng.randrange(top * hidden) for _ in range(200)]
        + [rng.randrange(hidden) for _ in range(50)]
    )
    return found + [pattern | 1 << exponent_bits + fraction_bits for pattern in found]


@pytest.mark.parametrize("dtype", FORMATS)
def test_numbers_are_decoded_exactly(dtype: str) -> None:
    size = FORMATS[dtype][0]
    for pattern in patterns(dtype):
        words = [pattern, *((3,) if pattern % 3 else ())]
        payload = memoryview(b"".join(word.to_bytes(size, "little") for word in words))
        matrix = read_matrix("t", Entry(dtype, (len(words),), 0, len(payload)), payload, Room(ROOM))
        assert matrix.scale >= 0
        assert len(matrix.rows) == 1
        found = [Fraction(value, 1 << matrix.scale) for value in matrix.rows[0]]
        assert found == [models.fraction_of_bits(word, dtype) for word in words]


@pytest.mark.parametrize("dtype", FORMATS)
def test_rows_follow_the_last_axis(dtype: str) -> None:
    size = FORMATS[dtype][0]
    words = patterns(dtype)[:6]
    payload = memoryview(b"\xff" * size + b"".join(word.to_bytes(size, "little") for word in words))
    matrix = read_matrix("t", Entry(dtype, (1, 2, 3), size, len(payload)), payload, Room(ROOM))
    found = [[Fraction(value, 1 << matrix.scale) for value in row] for row in matrix.rows]
    expected = [models.fraction_of_bits(word, dtype) for word in words]
    assert found == [expected[:3], expected[3:]]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("sign", [0, 1])
def test_nan_and_infinity_are_refused(dtype: str, sign: int) -> None:
    size, exponent_bits, fraction_bits = FORMATS[dtype]
    infinity = (1 << exponent_bits) - 1 << fraction_bits
    for pattern in (infinity, infinity + 1, infinity + (1 << fraction_bits) - 1):
        word = pattern | sign << exponent_bits + fraction_bits
        payload = memoryview(word.to_bytes(size, "little"))
        with pytest.raises(Malformed) as refusal:
            read_matrix("t", Entry(dtype, (1,), 0, size), payload, Room(ROOM))
        assert refusal.value.rule == "SPEC-4.2"


def test_the_scale_is_the_least_and_the_room_is_that_of_the_numbers() -> None:
    cases: list[tuple[list[Fraction | int], int, int]] = [
        ([1, 2], 0, 2),
        ([Fraction(1, 8), 32], 3, 9),
        ([0, -6], 0, 3),
        ([Fraction(-3, 4), 0], 2, 2),
        ([0, 0], 0, 0),
        ([2, -4], 0, 3),
        ([Fraction(1, 32), Fraction(-1, 32)], 5, 5),
    ]
    for values, scale, bits in cases:
        words = [models.bits_of_fraction(Fraction(value), "F32") for value in values]
        payload = memoryview(b"".join(word.to_bytes(4, "little") for word in words))
        room = Room(ROOM)
        matrix = read_matrix("t", Entry("F32", (2, 1), 0, 8), payload, room)
        assert matrix.scale == scale
        assert [Fraction(row[0], 1 << scale) for row in matrix.rows] == values
        assert room.held == 2 * (NUMBER_BITS + bits)
        with pytest.raises(Declined) as refusal:
            read_matrix("t", Entry("F32", (2, 1), 0, 8), payload, Room(room.held - 1))
        assert refusal.value.rule == "SPEC-3.5"


@pytest.mark.parametrize("offsets", [[], [0], [0, 8, 8]])
def test_offsets_are_a_pair(offsets: list[int]) -> None:
    with pytest.raises(Malformed) as refusal:
        _entry("t", {"data_offsets": offsets, "dtype": "F32", "shape": [2]})
    assert refusal.value.rule == ("SPEC-4.1" if len(offsets) > 2 else "SPEC-3.3")


@pytest.mark.parametrize(("shape", "end"), [([-1], 0), ([-1, -2], 8), ([2, -1, -1], 8)])
def test_no_axis_is_negative(shape: list[int], end: int) -> None:
    # Two of them would have the size of a tensor.
    with pytest.raises(Malformed) as refusal:
        _entry("t", {"data_offsets": [0, end], "dtype": "F32", "shape": shape})
    assert refusal.value.rule == "SPEC-3.3"


def test_there_are_at_most_three_axes() -> None:
    for shape in ([2], [1, 2], [1, 1, 2]):
        found = _entry("t", {"data_offsets": [0, 8], "dtype": "F32", "shape": shape})
        assert found == Entry("F32", tuple(shape), 0, 8)
    with pytest.raises(Malformed) as refusal:
        _entry("t", {"data_offsets": [0, 8], "dtype": "F32", "shape": [1, 1, 1, 2]})
    assert refusal.value.rule == "SPEC-4.1"


@pytest.mark.parametrize("offsets", [[-1, 7], [0, -8], [0, (1 << 29) + 1]])
def test_offsets_have_bounds(offsets: list[int]) -> None:
    with pytest.raises(Malformed) as refusal:
        _entry("t", {"data_offsets": offsets, "dtype": "F32", "shape": [2]})
    assert refusal.value.rule == "SPEC-3.3"


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        (b"\xff" * 7, "SPEC-4.1"),  # no length yet
        (b"\xff" * 8, "SPEC-3.5"),  # of a header longer than any
        (bytes(8), "SPEC-4.1"),
        (b"", "SPEC-4.1"),
    ],
)
def test_the_length_of_the_header_takes_eight_bytes(data: bytes, clause: str) -> None:
    with pytest.raises((Malformed, Declined)) as refusal:
        parse_container(data)
    assert refusal.value.rule == clause
