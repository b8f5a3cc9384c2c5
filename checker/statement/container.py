"""The safetensors container: bytes to exact dyadic matrices.  (SPEC-4.1, SPEC-4.2)

A finite binary floating-point number is ``(-1)^sign * mantissa * 2^exponent`` with integer mantissa
and exponent; a tensor is decoded to integers over one common power of two.  NaN and infinity are
refused here, so they cannot exist anywhere else.  Never pickle.
"""

from collections.abc import Iterator
from itertools import islice
from math import prod
from struct import iter_unpack

from checker.ground import record
from checker.ground.decode import (
    Pair,
    fields,
    integer,
    integers,
    listing,
    parse_json,
    typed,
)
from checker.ground.errors import require_form, require_support
from checker.ground.exact import Matrix, hold
from checker.ground.ledger import Room

MAX_HEADER = 1 << 20


@record
class Format:
    """How a number is written: its bytes, their code in ``struct``, and the bits of two parts."""

    size: int
    code: str
    exponent_bits: int
    fraction_bits: int


_FORMATS = {
    "F64": Format(8, "<Q", 11, 52),
    "F32": Format(4, "<I", 8, 23),
    "F16": Format(2, "<H", 5, 10),
    "BF16": Format(2, "<H", 8, 7),
}


@record
class Entry:
    """Where one tensor lies in the file, before its numbers are decoded."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


Parts = tuple[dict[str, str], dict[str, Entry], memoryview]
"""The two metadata strings, the table of tensors and the payload of a file."""


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
    require_form(len(offsets) > 1, "SPEC-3.3", f"data_offsets of {name} are no pair")
    begin, end = (
        integer(offset, f"data_offsets of {name}", 0, 1 << 29) for offset in offsets[:2]
    )
    require_form(
        len(shape) <= 3 and len(offsets) == 2,
        "SPEC-4.1",
        f"{name} has more than three axes or two offsets",
    )
    matches = end - begin == prod(shape) * _FORMATS[dtype].size
    require_form(matches, "SPEC-4.1", f"the size of {name} does not match its shape")
    return Entry(dtype, shape, begin, end)


def parse_container(data: bytes) -> Parts:
    """Return the parts of a safetensors file.  (SPEC-4.1)

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
    header = data[8 : 8 + length]
    payload = memoryview(data)[8 + length :]
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
    spans = [(entry.begin, entry.end, name) for name, entry in entries.items()]
    position = 0
    for begin, end, name in sorted(spans):
        require_form(
            begin == position,
            "SPEC-4.1",
            f"tensor {name} overlaps another or leaves a hole",
        )
        position = end
    require_form(
        position == len(payload),
        "SPEC-4.1",
        "the payload is truncated or has trailing bytes",
    )
    return metadata, entries, payload


def _numbers(name: str, form: Format, part: memoryview) -> Iterator[Pair]:
    """Yield every number as (mantissa, exponent): ``mantissa * 2^exponent`` with an odd mantissa,
    or both zero.  (SPEC-4.2)

    Raises: Malformed (SPEC-4.2) for NaN or infinity.
    """
    all_ones = (1 << form.exponent_bits) - 1
    hidden = 1 << form.fraction_bits
    sign_bit = hidden << form.exponent_bits
    zero_exponent = (all_ones >> 1) + form.fraction_bits
    for (word,) in iter_unpack(form.code, part):
        written = word >> form.fraction_bits & all_ones
        mantissa = word & hidden - 1
        require_form(
            written != all_ones,
            "SPEC-4.2",
            f"tensor {name} holds a NaN or an infinity",
        )
        if written:
            mantissa |= hidden
        else:
            written = 1  # a subnormal number: the least exponent, and no hidden bit
        if mantissa == 0:
            yield 0, 0
            continue
        zeros = (mantissa & -mantissa).bit_length() - 1
        mantissa >>= zeros
        exponent = written - zero_exponent + zeros
        yield (-mantissa if word & sign_bit else mantissa), exponent


def read_matrix(name: str, entry: Entry, payload: memoryview, room: Room) -> Matrix:
    """Return the tensor ``name``, decoded exactly, as a matrix of rows along its last axis.
    (SPEC-4.2)

    Ensures: the scale is the least that is not negative and makes every entry an integer.
    Raises:  Malformed (SPEC-4.2) for NaN or infinity; Declined (SPEC-3.5) before it is formed.
    """
    form = _FORMATS[entry.dtype]
    part = payload[entry.begin : entry.end]
    scale = 0
    top = 0
    for mantissa, exponent in _numbers(name, form, part):
        scale = max(scale, -exponent)
        top = max(top, mantissa.bit_length() + exponent)
    count = len(part) // form.size
    width = entry.shape[-1]
    hold(count, scale + top, room)
    values = (
        mantissa << exponent + scale
        for mantissa, exponent in _numbers(name, form, part)
    )
    rows = (tuple(islice(values, width)) for _ in range(count // width))
    return Matrix(tuple(rows), scale)
