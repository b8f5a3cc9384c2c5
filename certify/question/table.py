"""Tables of answers: a file that the user gives, or the answers of a model.

A table file is canonical JSON, the answers in lexicographic order of the inputs, the first token
first::

    {"answers":[0,1,1,0],"format":"certify.table/1","n":2,"vocab":2}

A certificate about a table holds it whole, and its verdict names the hash of the file.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import batch_size, logits
from certify.question.tasks import Tokens

FORMAT = "certify.table/1"
MAXIMUM_ANSWERS = 1 << 20
MAXIMUM_FILE_BYTES = 1 << 24


def decode_table(data: bytes, origin: str) -> dict[str, Any]:
    """Return the value of a table file.

    Ensures: the fields are there and fit together; the bytes are canonical.
    Errors:  ``BadInput`` naming the field, ``Unsupported`` for another format.
    """
    try:
        value = json.loads(data.decode("ascii"))
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: not JSON: {error}") from error
    if not isinstance(value, dict) or set(value) != {"answers", "format", "n", "vocab"}:
        raise BadInput(f"{origin}: the fields must be answers, format, n and vocab, nothing else")
    if value["format"] != FORMAT:
        raise Unsupported(f"{origin}: field format must be {FORMAT}")
    if spelled != data:
        raise BadInput(
            f"{origin}: not canonical JSON (sorted keys, no spaces, one newline at the end)"
        )
    for name, most in (("n", 64), ("vocab", 1024)):
        if type(value[name]) is not int or not 1 <= value[name] <= most:
            raise BadInput(f"{origin}: field {name} must be a positive integer, at most {most}")
    answers, inputs = value["answers"], value["vocab"] ** value["n"]
    if not isinstance(answers, list) or len(answers) != inputs:
        raise BadInput(
            f"{origin}: field answers must be a list of {value['vocab']}^{value['n']} answers"
        )
    if not all(type(answer) is int and 0 <= answer < 1024 for answer in answers):
        raise BadInput(f"{origin}: field answers must hold integers from 0 to 1023")
    return value


def table_of(model: Model) -> bytes:
    """Return the table file of a model's own answers in float64: for every input the first of the
    largest logits.

    Errors: ``Unsupported`` for the readout ``all`` or more than 2^20 inputs.
    """
    config = model.config
    if config.read == "all":
        raise Unsupported(
            'a table has one answer for each input; the config field readout is "all"'
        )
    inputs = config.d_vocab**config.n_ctx
    if inputs > MAXIMUM_ANSWERS:
        raise Unsupported(
            f"a table holds at most {MAXIMUM_ANSWERS} answers, here are"
            f" {config.d_vocab}^{config.n_ctx} inputs"
        )
    size = batch_size(model)
    answers: list[int] = []
    for start in range(0, inputs, size):
        answers += (
            logits(model, tokens_between(config, start, min(start + size, inputs)))
            .argmax(axis=1)
            .tolist()
        )
    return canonical(
        {"answers": answers, "format": FORMAT, "n": config.n_ctx, "vocab": config.d_vocab}
    )


def tokens_between(config: Config, start: int, stop: int) -> Tokens:
    """Return the inputs with these numbers in lexicographic order, [stop - start, n_ctx]."""
    return np.stack(
        np.unravel_index(np.arange(start, stop), (config.d_vocab,) * config.n_ctx), axis=1
    )
