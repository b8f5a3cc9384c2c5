"""The safetensors container: bytes to exact dyadic matrices.  (SPEC 4.1, 4.2)

A finite binary floating-point number is ``(-1)^sign * mantissa * 2^exponent`` with integer mantissa
and
exponent; a tensor is decoded to integers over one common power of two.  NaN and infinity are
refused here,
so they cannot exist anywhere else.  Never pickle.
"""

import struct
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_

from checker.ground.decode import fields, integer, integers, listing, parse_json, typed
from checker.ground.errors import require_form, require_support
from checker.ground.exact import Matrix, require_room

MAX_HEADER = 1 << 20
# name: bytes per element, struct code, exponent bits, fraction bits
_FORMATS = {
    "F64": (8, "Q", 11, 52),
    "F32": (4, "I", 8, 23),
    "F16": (2, "H", 5, 10),
    "BF16": (2, "H", 8, 7),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies in the file, before its numbers are decoded."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _entry(name: str, value: object) -> Entry:
    found = fields(value, f"header of {name}", "data_offsets dtype shape")
    dtype = typed(found["dtype"], str, f"dtype of {name}")
    require_support(
        dtype in _FORMATS,
        "SPEC-4.1",
        f"tensor {name} has the unsupported dtype {dtype}",
    )
    shape = integers(found["shape"], f"shape of {name}", 0, 1 << 24)
    offsets = listing(found["data_offsets"], f"data_offsets of {name}")
    begin, end = (
        integer(offset, f"data_offsets of {name}", 0, 1 << 29)
        for offset in [*offsets, None, None][:2]
    )
    size = prod(shape[:3]) * _FORMATS[dtype][0]
    matches = len(offsets) == 2 and len(shape) <= 3 and end - begin == size
    require_form(matches, "SPEC-4.1", f"the size of {name} does not match its shape")
    return Entry(dtype, shape, begin, end)


def parse_container(data: bytes) -> tuple[dict[str, str], dict[str, Entry], memoryview]:
    """Return the two metadata strings, the table of tensors and the payload of a safetensors file.
    (SPEC 4.1)

    Ensures: the tensors fill the payload without overlap, hole or trailing byte.
    Raises:  Malformed (SPEC-4.1), Declined (SPEC-4.1) for an unsupported dtype.
    """
    require_form(
        len(data) >= 8, "SPEC-4.1", "the model is shorter than a safetensors header"
    )
    length = int.from_bytes(data[:8], "little")
    require_support(
        length <= MAX_HEADER, "SPEC-3.5", "the header of the model is longer than 1 MiB"
    )
    header, payload = data[8 : 8 + length], memoryview(data)[8 + length :]
    require_form(
        len(header) == length and header[:1] == b"{",
        "SPEC-4.1",
        "the model's header is truncated or no object",
    )
    table = parse_json(header.rstrip(b" "), "the header of the model")
    found = dict(fields(table, "the header of the model", "__metadata__", None))
    strings = fields(found.pop("__metadata__"), "__metadata__", "config format")
    metadata = {
        key: typed(value, str, f"__metadata__ {key}") for key, value in strings.items()
    }
    entries = {name: _entry(name, value) for name, value in found.items()}
    position = 0
    for name, entry in sorted(
        entries.items(), key=lambda item: (item[1].begin, item[1].end)
    ):
        require_form(
            entry.begin == position,
            "SPEC-4.1",
            f"tensor {name} overlaps another or leaves a hole",
        )
        position = entry.end
    require_form(
        position == len(payload),
        "SPEC-4.1",
        "the payload is truncated or has trailing bytes",
    )
    return metadata, entries, payload


def read_matrix(name: str, entry: Entry, payload: memoryview) -> Matrix:
    """Return the tensor ``name``, decoded exactly, as a matrix of rows along its last axis.  (SPEC
    4.2)

    Raises: Malformed (SPEC-4.2) for NaN or infinity.
    """
    size, code, exponent_bits, fraction_bits = _FORMATS[entry.dtype]
    words = struct.unpack_from(
        f"<{(entry.end - entry.begin) // size}{code}", payload, entry.begin
    )
    all_ones, hidden = (1 << exponent_bits) - 1, 1 << fraction_bits
    numbers = []
    for word in words:
        exponent = word >> fraction_bits & all_ones
        require_form(
            exponent != all_ones,
            "SPEC-4.2",
            f"tensor {name} holds a NaN or an infinity",
        )
        mantissa = word & hidden - 1 | (hidden if exponent else 0)
        sign = -1 if word >> fraction_bits + exponent_bits else 1
        numbers.append(
            (sign * mantissa, max(exponent, 1) - (all_ones >> 1) - fraction_bits)
        )
    scale = max([0] + [-exponent for mantissa, exponent in numbers if mantissa])
    require_room(
        len(numbers),
        scale
        + max(
            [0]
            + [
                exponent + fraction_bits + 1
                for mantissa, exponent in numbers
                if mantissa
            ]
        ),
    )
    values = [
        mantissa << exponent + scale if mantissa else 0
        for mantissa, exponent in numbers
    ]
    del words, numbers
    merged = reduce(or_, values, 1 << scale)
    spare = min(scale, (merged & -merged).bit_length() - 1)
    values, width = [value >> spare for value in values], entry.shape[-1]
    return Matrix(
        tuple(tuple(values[i : i + width]) for i in range(0, len(values), width)),
        scale - spare,
    )
