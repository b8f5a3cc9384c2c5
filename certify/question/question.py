"""What is asked of a model: one of the tasks, or a table of answers that the user gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.files import read_bytes
from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import logits, margins
from certify.question.table import (
    MAXIMUM_FILE_BYTES,
    decode_table,
)
from certify.question.tasks import Task, Tokens, task_named

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
            missing = (
                "causal attention and another task than table where the config field readout"
                ' is "all"'
            )
        if missing:
            raise Unsupported(f"task {self.task.name} needs {missing}")

    def margins(self, model: Model, tokens: Tokens) -> Floats:
        """Return the margin of each input in float64: the least over the positions that are read.

        Requires: ``require_fits`` accepts the model; it has two outputs or more; ``tokens`` [batch,
                  n_ctx].
        """
        scores, config = logits(model, tokens), model.config
        if scores.ndim == 2:
            return margins(scores, self.task.answer(tokens, config))
        ends = range(1, config.n_ctx + 1)
        each = [
            margins(scores[:, end - 1], self.task.answer(tokens[:, :end], config)) for end in ends
        ]
        found: Floats = np.min(each, axis=0)
        return found


def read_question(text: str) -> Question:
    """Return the question that ``--task`` names: a task, or ``table:FILE``.

    Errors: ``BadInput`` or ``Unsupported`` for a file that is no table, ``Unsupported`` for an
            unknown name.
    """
    if not text.startswith("table:"):
        return Question(task_named(text), text, text)
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
            return (
                f"n_ctx = {n} and d_vocab = {vocab}, the model has {config.n_ctx} and"
                f" {config.d_vocab}"
            )
        return (
            ""
            if config.d_vocab_out > largest
            else f"d_vocab_out > {largest}, the model has {config.d_vocab_out}"
        )

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    task = Task("table", answer, lambda config: {"n": n, "vocab": vocab}, lacks)
    return Question(task, {"table": value}, f"table:{digest}")
