"""What is asked of a model: one of the tasks, or a table of answers that the user gives.

A table file is canonical JSON, the answers in lexicographic order of the inputs, the first token
first::

    {"answers":[0,1,1,0],"format":"certify.table/1","n":2,"vocab":2}

A certificate about a table holds it whole, and its verdict names the hash of the file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.forward import batch_size, logits
from certify.model import Config, Model
from certify.tasks import TASKS, Task, Tokens

FORMAT = "certify.table/1"
MAXIMUM_ANSWERS = 1 << 20
MAXIMUM_FILE_BYTES = 1 << 24

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """A task, and how a certificate's statement spells it."""

    task: Task
    spelled: Any
    label: str

    def require_fits(self, config: Config) -> None:
        """Refuse a model that the question is not about.

        Errors: ``Unsupported``, one line naming the task and the field.
        """
        missing = self.task.lacks(config)
        if (
            not missing
            and config.read == "all"
            and (self.task.name == "table" or config.attention_dir != "causal")
        ):
            missing = 'causal attention and another task than table where the config field readout is "all"'
        if missing:
            raise Unsupported(f"task {self.task.name} needs {missing}")

    def margins(self, model: Model, tokens: Tokens) -> Floats:
        """Return the margin of each input in float64: the least over the positions that are read.

        Requires: ``require_fits`` accepts the model; it has two outputs or more; ``tokens`` [batch,
                  n_ctx].
        """
        scores, config = logits(model, tokens), model.config
        if scores.ndim == 2:
            return _margins(scores, self.task.answer(tokens, config))
        ends = range(1, config.n_ctx + 1)
        each = [
            _margins(scores[:, end - 1], self.task.answer(tokens[:, :end], config)) for end in ends
        ]
        found: Floats = np.min(each, axis=0)
        return found


def _margins(scores: Floats, answers: Tokens) -> Floats:
    rows = np.arange(len(answers))
    others = scores.copy()
    others[rows, answers] = -np.inf
    found: Floats = scores[rows, answers] - others.max(axis=1)
    return found


def read_question(text: str) -> Question:
    """Return the question that ``--task`` names: a task, or ``table:FILE``.

    Errors: ``BadInput`` or ``Unsupported`` for a file that is no table; ``KeyError`` for an unknown
            name.
    """
    if not text.startswith("table:"):
        return Question(TASKS[text], text, text)
    path = Path(text.removeprefix("table:"))
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    value = decode_table(data, str(path))
    answers = np.array(value["answers"], dtype=np.int64)
    n, vocab, largest = value["n"], value["vocab"], int(answers.max())

    def answer(tokens: Tokens, config: Config) -> Tokens:
        found: Tokens = answers[np.ravel_multi_index(tuple(tokens.T), (vocab,) * n)]
        return found

    def lacks(config: Config) -> str:
        if (config.n_ctx, config.d_vocab) != (n, vocab):
            return f"n_ctx = {n} and d_vocab = {vocab}, the model has {config.n_ctx} and {config.d_vocab}"
        return (
            ""
            if config.d_vocab_out > largest
            else f"d_vocab_out > {largest}, the model has {config.d_vocab_out}"
        )

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    task = Task("table", answer, lambda config: {"n": n, "vocab": vocab}, lacks)
    return Question(task, {"table": value}, f"table:{digest}")


def decode_table(data: bytes, origin: str) -> dict[str, Any]:
    """Return the value of a table file.

    Ensures: the fields are there and fit together; the bytes are canonical.
    Errors:  ``BadInput`` naming the field, ``Unsupported`` for another format.
    """
    try:
        value = json.loads(data.decode("ascii"))
        canonical = _canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: not JSON: {error}") from error
    if not isinstance(value, dict) or set(value) != {"answers", "format", "n", "vocab"}:
        raise BadInput(f"{origin}: the fields must be answers, format, n and vocab, nothing else")
    if value["format"] != FORMAT:
        raise Unsupported(f"{origin}: field format must be {FORMAT}")
    if canonical != data:
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
            f"a table holds at most {MAXIMUM_ANSWERS} answers, here are {config.d_vocab}^{config.n_ctx} inputs"
        )
    size = batch_size(model)
    answers: list[int] = []
    for start in range(0, inputs, size):
        answers += (
            logits(model, tokens_between(config, start, min(start + size, inputs)))
            .argmax(axis=1)
            .tolist()
        )
    return _canonical(
        {"answers": answers, "format": FORMAT, "n": config.n_ctx, "vocab": config.d_vocab}
    )


def tokens_between(config: Config, start: int, stop: int) -> Tokens:
    """Return the inputs with these numbers in lexicographic order, [stop - start, n_ctx]."""
    return np.stack(
        np.unravel_index(np.arange(start, stop), (config.d_vocab,) * config.n_ctx), axis=1
    )


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
