"""Tasks: what a model is meant to answer, and which models a task is about.

A task names a right answer for every input: an index of the output, the same
for every scope.  Each is a function of an array of tokens ``[batch, n_ctx]``.

``max-of-k``             the largest token
``modular-addition``     ``(a + b) mod d_vocab`` for the input ``(a, b)``
``balanced-brackets``    1 if the string of ``(`` = 0 and ``)`` = 1 is balanced, else 0
``argmax``               the index of the first of the largest tokens
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.model.config import Config

Tokens = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """A task: its name, its answers, and how a statement spells its sizes.

    ``answer`` maps tokens [batch, n_ctx] to answers [batch]; ``fields`` are the
    sizes that a statement names; ``lacks`` returns what a model lacks for the
    task, as one phrase, or an empty string.
    """

    name: str
    answer: Callable[[Tokens, Config], Tokens]
    fields: Callable[[Config], dict[str, int]]
    lacks: Callable[[Config], str]

    def require_fits(self, config: Config) -> None:
        """Refuse a model that the task is not about.

        Errors: ``Unsupported``, one line naming the task and the field.
        """
        missing = self.lacks(config)
        if not missing and config.read == "all":
            missing = 'a single answer, the config field readout is "all"'
        if missing:
            raise Unsupported(f"task {self.name} needs {missing}")


def balanced(tokens: Tokens) -> Tokens:
    """Return 1 for each row that is a balanced string of ``(`` = 0 and ``)`` = 1, else 0."""
    depth = np.cumsum(1 - 2 * tokens, axis=1)
    found: Tokens = ((depth.min(axis=1) >= 0) & (depth[:, -1] == 0)).astype(np.int64)
    return found


def _largest(tokens: Tokens, config: Config) -> Tokens:
    answers: Tokens = tokens.max(axis=1)
    return answers


def _sum(tokens: Tokens, config: Config) -> Tokens:
    answers: Tokens = tokens.sum(axis=1) % config.d_vocab
    return answers


def _balanced(tokens: Tokens, config: Config) -> Tokens:
    return balanced(tokens)


def _first_largest(tokens: Tokens, config: Config) -> Tokens:
    answers: Tokens = tokens.argmax(axis=1)
    return answers


def _outputs(config: Config, at_least: int, sizes: str) -> str:
    """Return what is missing where a model has fewer outputs than answers."""
    if config.d_vocab_out >= at_least:
        return ""
    return f"d_vocab_out >= {sizes}, the model has {config.d_vocab_out} < {at_least}"


def _lacks_sum(config: Config) -> str:
    if config.n_ctx != 2:
        return f"n_ctx = 2, the model has {config.n_ctx}"
    return _outputs(config, config.d_vocab, "d_vocab")


def _lacks_brackets(config: Config) -> str:
    if config.d_vocab != 2:
        return f"d_vocab = 2, the model has {config.d_vocab}"
    return _outputs(config, 2, "2")


MAX_OF_K = Task(
    "max-of-k",
    _largest,
    lambda config: {"k": config.n_ctx, "vocab": config.d_vocab},
    lambda config: _outputs(config, config.d_vocab, "d_vocab"),
)
MODULAR_ADDITION = Task(
    "modular-addition", _sum, lambda config: {"modulus": config.d_vocab}, _lacks_sum
)
BALANCED_BRACKETS = Task(
    "balanced-brackets", _balanced, lambda config: {"n": config.n_ctx}, _lacks_brackets
)
ARGMAX = Task(
    "argmax",
    _first_largest,
    lambda config: {"n": config.n_ctx, "vocab": config.d_vocab},
    lambda config: _outputs(config, config.n_ctx, "n_ctx"),
)
TASKS = MappingProxyType(
    {task.name: task for task in (MAX_OF_K, MODULAR_ADDITION, BALANCED_BRACKETS, ARGMAX)}
)
"""Every task by its name."""


def task_named(name: str) -> Task:
    """Return the task of this name.

    Errors: ``Unsupported`` if there is none.
    """
    if name not in TASKS:
        raise Unsupported(f"there is no task {name!r}, there are {', '.join(TASKS)}")
    return TASKS[name]
