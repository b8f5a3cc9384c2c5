"""Every family of proofs, and which of them a question about a model goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from certify.cells.family import FAMILY as CELLS
from certify.certificate.job import Strategy
from certify.chain.family import FAMILY as CHAIN
from certify.errors import Unsupported
from certify.family import Family
from certify.ladder.form import Form
from certify.leaves.family import FAMILY as LEAVES
from certify.model.config import Config
from certify.question.question import Question
from certify.sums.family import FAMILY as SUMS
from certify.wide.family import FAMILY as WIDE

FAMILIES: tuple[Family, ...] = (CELLS, WIDE, CHAIN, SUMS, LEAVES)
"""In the order in which they are asked; the last one takes every question.  A family is added by a
row here.
"""


def strategies() -> tuple[Strategy[Any], ...]:
    """Return every strategy of every family, in the order in which they are listed; of those that
    share a name the first.
    """
    named: dict[str, Strategy[Any]] = {}
    for family in FAMILIES:
        named = named | {name: one for name, one in family.strategies.items() if name not in named}
    return tuple(named.values())


def chosen(
    question: Question, config: Config, strategy: str | None = None
) -> tuple[Family, Strategy[Any]]:
    """Return the family and the strategy for a question about a model, the usual one if none is
    named.

    Errors: ``Unsupported`` if the task has no such strategy.
    """
    able = [family for family in FAMILIES if family.answers(question.name)]
    if strategy is None:
        family = next((one for one in able if _accepts(one, config, question)), able[-1])
        return family, family.strategies[family.usual]
    having = [family for family in able if strategy in family.strategies]
    if having:
        # Families may share a name: the model decides.
        family = next((one for one in having if _accepts(one, config, question)), having[0])
        return family, family.strategies[strategy]
    listed = ", ".join(name for family in able for name in family.strategies)
    raise Unsupported(f"task {question.label} has no strategy {strategy}, it has {listed}")


def _accepts(family: Family, config: Config, question: Question) -> bool:
    try:
        family.require(config, question, "")
    except Unsupported:
        return False
    return True


def of_proof(proof: Mapping[str, Any]) -> Family:
    """Return the family of a proof, by its key; the first one where none of the keys is there."""
    return next((family for family in FAMILIES if family.kind in proof), FAMILIES[0])


def with_ladder(task: str) -> tuple[Family, Form]:
    """Return the first family whose ladder a task has, by its name, and how that is written.

    Errors: ``Unsupported`` if it has none.
    """
    for family in FAMILIES:
        if family.ladder is not None and task in (family.tasks or ()):
            return family, family.ladder
    raise Unsupported(f"task {task} has no ladder, {', '.join(tasks_with_ladders())} have one")


def ladder_for(question: Question, config: Config) -> tuple[Family, Form]:
    """Return the family whose ladder a question about a model has: the first that accepts the
    model, else the first of the task, which says what it does not accept.

    Errors: ``Unsupported`` if the task has none.
    """
    for family in FAMILIES:
        form = family.ladder if question.name in (family.tasks or ()) else None
        if form is not None and _accepts(family, config, question):
            return family, form
    return with_ladder(question.name)


def tasks_with_ladders() -> tuple[str, ...]:
    """Return the tasks that a ladder can be climbed for."""
    named = [task for family in FAMILIES if family.ladder for task in family.tasks or ()]
    return tuple(dict.fromkeys(named))
