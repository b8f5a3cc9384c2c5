"""Tables of answers: a file that the user gives, or the answers of a model.

A table file is canonical JSON: the answers in lexicographic order of the inputs, the first token
first, and the tokens that are allowed at each position, as ranges::

    {"answers":[0,1,1,0],"format":"certify.table/2","tokens":[[[0,1]],[[0,1]]]}

Where several positions are read, each input has a list of answers.  A certificate about a table
holds it whole, and its verdict names the hash of the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.model.file import Model
from certify.model.forward import batch_size, logits
from certify.question.domain import LARGEST, Domain

FORMAT = "certify.table/2"
MAXIMUM_ANSWERS = 1 << 20
MAXIMUM_FILE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: its value, the allowed tokens, and the answers, or lists of answers."""

    value: dict[str, Any]
    tokens: tuple[tuple[int, ...], ...]
    answers: list[Any]


def decode_table(data: bytes, origin: str) -> Table:
    """Return the table that the bytes of a file hold.

    Ensures: the fields are there and fit together; the bytes are canonical.
    Errors:  ``BadInput`` naming the field, ``Unsupported`` for another format.
    """
    try:
        value = json.loads(data.decode("ascii"))
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: not JSON: {error}") from error
    if isinstance(value, dict) and value.get("format", FORMAT) != FORMAT:
        raise Unsupported(f"{origin}: field format must be {FORMAT}; 'certify table' makes one")
    if not isinstance(value, dict) or set(value) != {"answers", "format", "tokens"}:
        raise BadInput(f"{origin}: the fields must be answers, format and tokens, nothing else")
    if spelled != data:
        raise BadInput(
            f"{origin}: not canonical JSON (sorted keys, no spaces, one newline at the end)"
        )
    listed = value["tokens"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= 64:
        raise BadInput(f"{origin}: field tokens must be a list of ranges for each position")
    tokens = tuple(
        _members(ranges, f"{origin}: field tokens[{place}]") for place, ranges in enumerate(listed)
    )
    answers = value["answers"]
    inputs = 1
    for allowed in tokens:
        inputs *= len(allowed)
    if not isinstance(answers, list) or len(answers) != inputs:
        raise BadInput(f"{origin}: field answers must be a list of {inputs} answers")
    _require_answers(answers, f"{origin}: field answers")
    return Table(value, tokens, answers)


def _members(ranges: object, field: str) -> tuple[int, ...]:
    pairs = ranges if isinstance(ranges, list) else []
    found: list[int] = []
    for pair in pairs:
        known = isinstance(pair, list) and len(pair) == 2 and all(type(x) is int for x in pair)
        if not known or not 0 <= pair[0] <= pair[1] < 1024:
            raise BadInput(f"{field} must be a list of pairs [first, last] below 1024")
        if found and pair[0] <= found[-1] + 1:
            raise BadInput(f"{field}: ranges must ascend, with a gap between them")
        found.extend(range(pair[0], pair[1] + 1))
    if not found:
        raise BadInput(f"{field} must be a list of pairs [first, last], at least one")
    return tuple(found)


def _require_answers(answers: list[Any], field: str) -> None:
    """Refuse answers that are not all integers, or all lists of as many integers."""
    rows = [row if isinstance(row, list) else [row] for row in answers]
    alike = len({(isinstance(row, list), len(found)) for row, found in zip(answers, rows)}) == 1  # noqa: B905
    numbers = all(type(answer) is int and abs(answer) <= LARGEST for row in rows for answer in row)
    if not alike or not numbers:
        raise BadInput(f"{field} must hold integers, or lists of as many integers")


def table_of(model: Model, domain: Domain) -> bytes:
    """Return the table file of a model's own answers in float64: for every input what the first of
    the largest logits stands for, at every position that is read.

    Errors: ``Unsupported`` for more than 2^20 inputs, or an answer by an output that stands for
            none.
    """
    inputs = domain.inputs
    if inputs > MAXIMUM_ANSWERS:
        raise Unsupported(
            f"a table holds at most {MAXIMUM_ANSWERS} answers, here are {inputs} inputs"
        )
    stands_for = dict(zip(domain.outputs, domain.answers, strict=True))
    size = batch_size(model)
    answers: list[Any] = []
    for start in range(0, inputs, size):
        places = domain.places_between(start, min(start + size, inputs))
        tokens = domain.tokens_at(places)
        found = logits(model, tokens, domain.read or None).argmax(axis=-1)
        rows = found[:, None] if found.ndim == 1 else found
        silent = np.argwhere(~np.isin(rows, domain.outputs))
        if len(silent):
            row, read = silent[0]
            raise Unsupported(
                f"the model answers the input {tokens[row].tolist()} by output {rows[row, read]},"
                " which stands for no answer (--outputs)"
            )
        meant = [[stands_for[output] for output in row] for row in rows.tolist()]
        answers += meant if rows.shape[1] > 1 else [row[0] for row in meant]
    return canonical({"answers": answers, "format": FORMAT, "tokens": domain.ranges})
