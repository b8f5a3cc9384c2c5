"""A family of proofs: what the command line, benchmarks, ladders and summaries ask about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from certify.certificate.finish import Drafting
from certify.certificate.job import Job, Strategy
from certify.certificate.show import Showing
from certify.errors import Unsupported
from certify.ladder.form import Form
from certify.model.config import Config
from certify.progress import Progress
from certify.question.question import Question
from certify.question.scope import Scope
from certify.report.portrait import PLAIN, Portrait


@dataclass(frozen=True, slots=True)
class Choice:
    """A path that strategies of the family may enclose in several ways: the option's name, what
    the path is called, the names to list, and which names there are.
    """

    name: str
    title: str
    listed: tuple[str, ...]
    is_known: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of proof, for some tasks, and everything that is particular to it.

    ``kind``: the key that the proof has in a certificate.  ``tasks``: those with strategies of this
    family, None for any question.  ``strategies``: by name, in the order in which they are listed;
    ``usual`` is the one taken where none is named, for models as ``usual_for`` says.
    ``require`` refuses an architecture or a domain (``Unsupported``); its third argument names the
    model, for the message.  ``draft`` proposes documents for a job
    (``certify.certificate.finish``).
    ``showing``: how a proof is summarised.  ``ladder``: its rungs, if it has a ladder.
    ``conditional``: whether its proofs are about scopes with a condition.
    ``portrait``: what it shows on the page for people (``certify.report``).
    ``choices``: how paths may be enclosed.  ``title``, ``cost``: heads of its table of strategies.
    """

    kind: str
    tasks: tuple[str, ...] | None
    strategies: Mapping[str, Strategy[Any]]
    usual: str
    usual_for: str
    require: Callable[[Config, Question, str], None]
    draft: Callable[[Job, Progress], Drafting]
    showing: Showing
    ladder: Form | None = None
    conditional: bool = False
    portrait: Portrait = PLAIN
    choices: tuple[Choice, ...] = ()
    title: str = ""
    cost: str = "cost for the checker"

    def require_scope(self, scope: Scope) -> None:
        """Refuse a scope that proofs of this family are not about.

        Errors: ``Unsupported``, one line.
        """
        if scope.conditional and not self.conditional:
            raise Unsupported(
                f"proofs of {self.kind} are not about the scope {scope} (--scope);"
                " strategy exhaustive is"
            )

    def answers(self, task: str) -> bool:
        """Return whether the family has strategies for a task."""
        return self.tasks is None or task in self.tasks
