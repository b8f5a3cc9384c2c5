"""The record of an audit: its file, and the two fractions in it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from certify.canonical import canonical
from certify.errors import BadInput
from certify.files import read_bytes

FORMAT = "certify.exp-audit/1"

# Negative floats by their bits: -0.0 is the first, -104 and minus infinity are the others; +0.0 is
# counted with the first.
_FIRST, _LAST, _INFINITY = 0x80000000, 0xC2D00000, 0xFF800000
INPUTS = _LAST - _FIRST + 2
INPUTS_BELOW = _INFINITY - _LAST
_MAXIMUM_RECORD_BYTES = 1 << 20
Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """What one scan measured, and the two bounds that follow from it.

    ``relative_error`` is the largest |y - R|/R where e^x >= 2^-126 and
    ``absolute_error`` the largest |y - R| elsewhere in [-104, 0], in units of
    2^-149, R being the reference; ``..._at`` are the inputs.  ``largest_below``
    is the largest result for an input below -104.  ``eps_exp`` and ``eta_exp``
    are "P/Q", Q a power of two, rounded up.
    """

    function: str
    called: str
    version: str
    device: str
    inputs: int
    inputs_below: int
    relative_error: float
    relative_at: float
    absolute_error: float
    absolute_at: float
    largest_below: float
    eps_exp: str
    eta_exp: str

    def is_exhaustive(self) -> bool:
        """Return whether every input was scanned; only then do the bounds hold."""
        return (self.inputs, self.inputs_below) == (INPUTS, INPUTS_BELOW)


def as_json(records: Sequence[Record]) -> bytes:
    """Return the bytes of a record file: canonical JSON, one object for each function."""
    return canonical({"format": FORMAT, "functions": [asdict(record) for record in records]})


def read_record(path: Path) -> tuple[Pair, Pair]:
    """Return (P, Q) of ``eps_exp`` and of ``eta_exp``, valid for every function of a record file.

    Ensures: the file is canonical, every scan in it was exhaustive, and both
             bounds follow from the errors that it states.
    Errors:  ``BadInput``, one line naming file and field.

    Nothing shows that the errors were really measured: the record is an
    assumption of whoever uses it.
    """
    data = read_bytes(path, _MAXIMUM_RECORD_BYTES)
    try:
        value = json.loads(data)
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadInput(f"{path}: field format is not {FORMAT}")
    listed = value.get("functions")
    if set(value) != {"format", "functions"} or not isinstance(listed, list) or not listed:
        raise BadInput(f"{path}: field functions must be a list of scans, and the only other field")
    if spelled != data:
        raise BadInput(f"{path}: not canonical JSON (sorted keys, no spaces, a newline at the end)")
    records = [_decode(entry, f"{path}: functions[{i}]") for i, entry in enumerate(listed)]
    eps = max(Fraction(*parse_fraction(record.eps_exp)) for record in records)
    eta = max(Fraction(*parse_fraction(record.eta_exp)) for record in records)
    return (eps.numerator, eps.denominator), (eta.numerator, eta.denominator)


def parse_fraction(text: str) -> Pair:
    """Return (P, Q) of "P/Q": decimal digits without leading zeros, P >= 0, Q > 0, at most 400
    characters.

    Errors: ``BadInput``.
    """
    parts = text.split("/") if len(text) <= 400 else []
    if len(parts) != 2 or not all(
        part.isascii() and part.isdigit() and str(int(part)) == part for part in parts
    ):
        raise BadInput(f"{text[:60]!r} is not a fraction P/Q")
    p, q = (int(part) for part in parts)
    if q == 0:
        raise BadInput(f"{text[:60]!r} is not a fraction P/Q: Q is zero")
    return p, q


def _decode(entry: object, origin: str) -> Record:
    """Return one scan of a record file; refuse one that is damaged or not exhaustive."""
    if not isinstance(entry, dict):
        raise BadInput(f"{origin} must be an object")
    kinds = {"str": str, "int": int, "float": float}
    for field in fields(Record):
        found = entry.get(field.name)
        if type(found) is not kinds[str(field.type)]:
            raise BadInput(f"{origin}: field {field.name} is missing or no {field.type}")
    for name in sorted(set(entry) - {field.name for field in fields(Record)}):
        raise BadInput(f"{origin}: field {name[:60]!r} is not known")
    record = Record(**entry)
    if not record.is_exhaustive():
        raise BadInput(
            f"{origin}: field inputs says {record.inputs} and {record.inputs_below}: a sample"
            " bounds nothing"
        )
    for name in ("relative_error", "absolute_error", "largest_below"):
        if not 0 <= getattr(record, name) < math.inf:
            raise BadInput(f"{origin}: field {name} must be a number that is not negative")
    bounds = bounds_of(record.relative_error, record.absolute_error, record.largest_below)
    for name, bound in zip(("eps_exp", "eta_exp"), bounds, strict=True):
        if getattr(record, name) != spelled(bound):
            raise BadInput(f"{origin}: field {name} does not follow from the measured errors")
    return record


REFERENCE_ERROR = Fraction(1, 1 << 50)
SMALLEST_NORMAL = 2.0**-126


def bounds_of(relative: float, absolute: float, below: float) -> tuple[Fraction, Fraction]:
    """Return ``eps_exp`` and ``eta_exp`` from the measured errors (module docstring), rounded up.

    Requires: ``absolute`` is in units of 2^-149, ``below`` is not.
    """
    growth, unit = 1 + 2 * REFERENCE_ERROR, Fraction(1, 1 << 149)
    eps = Fraction(relative) * growth + REFERENCE_ERROR
    eta = max(
        unit, Fraction(below), Fraction(absolute) * unit * growth + REFERENCE_ERROR / (1 << 126)
    )
    return _rounded_up(eps, 60), _rounded_up(eta, 180)


def _rounded_up(value: Fraction, bits: int) -> Fraction:
    """Return the least multiple of 2^-bits that is not below the value."""
    return Fraction(math.ceil(value * (1 << bits)), 1 << bits)


def spelled(value: Fraction) -> str:
    """Return "P/Q" in lowest terms."""
    return f"{value.numerator}/{value.denominator}"
