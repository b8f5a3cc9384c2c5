"""What is to be proved, and how: a model, a question about it, a strategy and its options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from certify.errors import BadInput, UnusedOption
from certify.model.file import Model
from certify.question.float32 import Float32
from certify.question.question import Question
from certify.question.scope import Scope

USUAL_EFFORT = 1.0
EFFORT, BUDGET, SEMANTICS = "effort", "budget", "semantics"
PATHS = ("qk", "ov", "direct")

Build = TypeVar("Build")


@dataclass(frozen=True, slots=True)
class Options:
    """How a strategy is to work; what is None or absent was not asked for.

    ``effort``: more of it, a tighter bound and a longer check; 1 is usual.  ``budget``: the most
    operations that the checker may need.  ``enclosures``: the name of an enclosure for each path
    (qk, ov, direct) that is not multiplied out.  ``float32``: claim what every execution in float32
    does, with such an exp; None for real arithmetic.

    Errors: ``BadInput`` for an effort that is not positive or a budget below one.
    """

    effort: float | None = None
    budget: int | None = None
    enclosures: Mapping[str, str] = field(default_factory=dict)
    float32: Float32 | None = None

    def __post_init__(self) -> None:
        if self.effort is not None and not 0.0 < self.effort < math.inf:
            raise BadInput(f"the effort must be positive, not {self.effort}")
        if self.budget is not None and self.budget < 1:
            raise BadInput(f"the budget must be at least one operation, not {self.budget}")

    @property
    def chosen_effort(self) -> float:
        """Return the effort, the usual one if none was asked for."""
        return USUAL_EFFORT if self.effort is None else self.effort

    def given(self) -> tuple[str, ...]:
        """Return the names of the options that were asked for."""
        known = {EFFORT: self.effort, BUDGET: self.budget, SEMANTICS: self.float32}
        return (*(name for name, value in known.items() if value is not None), *self.enclosures)


@dataclass(frozen=True, slots=True)
class Strategy(Generic[Build]):
    """A named way to build a proof, with a line for the reader and the cost for the checker.

    ``build`` is what its family calls; ``takes`` are the names of the options that it uses:
    ``effort``, ``budget``, ``semantics`` and the paths ``qk``, ``ov`` and ``direct``.
    ``worth``: how many operations certifying a whole domain is worth at effort 1, for a strategy
    that chooses how paths are enclosed where none is named.
    """

    name: str
    idea: str
    cost: str
    build: Build
    takes: frozenset[str] = frozenset()
    worth: float | None = None

    def require_used(self, options: Options) -> None:
        """Refuse an option that the strategy has no use for.

        Errors: ``UnusedOption``, naming each.
        """
        unused = [f"--{name}" for name in options.given() if name not in self.takes]
        if unused:
            raise UnusedOption(f"strategy {self.name} has no use for {', '.join(unused)}")


@dataclass(frozen=True, slots=True)
class Job:
    """A model, what is asked of it for which inputs, the strategy with its options, and where the
    certificate goes; None keeps it in memory.  ``jobs``: how many processes the checker may use.
    """

    model: Model
    question: Question
    scope: Scope
    strategy: Strategy[Any]
    options: Options = field(default_factory=Options)
    out: Path | None = None
    jobs: int = 1
