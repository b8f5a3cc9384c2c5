"""Options that several commands have, read when the command line is parsed."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from certify import families
from certify.audit.record import read_record
from certify.certificate.client import cores
from certify.family import Choice
from certify.question.domain import PARTS
from certify.question.float32 import EPS_EXP, ETA_EXP, Float32
from certify.question.float32 import NAME as FLOAT32
from certify.question.rules import SPELLED, is_task
from certify.question.scope import KINDS, SPELLINGS, Scope, read_scope

Command = Callable[..., Any]

EXISTING = click.Path(path_type=Path)
NEW_FILE = click.Path(path_type=Path)


class ScopeOption(click.ParamType[Scope]):
    """A scope, read when the command line is parsed."""

    name = "scope"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Scope:
        """Return the scope; an unknown kind of scope is a usage error, a bad file is not."""
        if isinstance(value, Scope):
            return value
        kind, _, about = value.partition(":")
        if value != "uniform" and not (kind in KINDS and about):
            self.fail(f"{value!r} is none of {SPELLINGS}.", param, ctx)
        return read_scope(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return SPELLINGS


class Listed(click.ParamType[str]):
    """One of some names that are looked up when they are needed."""

    name = "name"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def _choice(self) -> click.Choice[str]:
        return click.Choice(list(dict.fromkeys(self.names())))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; an unknown one is a usage error."""
        return str(self._choice().convert(value, param, ctx))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """Return what the help shows for the value."""
        return self._choice().get_metavar(param, ctx)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str | None:
        """Return what there is to choose from, where an option is missing."""
        return self._choice().get_missing_message(param, ctx)


def task_option(command: Command) -> Command:
    """Add the required ``--task`` to a command."""
    return click.option(
        "--task",
        type=TaskOption(),
        required=True,
        help=f"What the model is meant to compute: {', '.join(SPELLED)}.",
    )(command)


Texts = dict[str, str | None]
"""What was typed for each part of a domain."""
DOMAIN_HELP = {
    "domain": "The tokens allowed at each position: ranges by commas, positions by slashes, * for"
    " all tokens, @t for a context token, as in 0-112/0-112/@113; or a JSON file that says all.",
    "values": "What the tokens of each operand stand for, by slashes: own, a number to count from,"
    " or a list by commas.",
    "outputs": "The outputs that stand for an answer, as ranges; any other is a wrong answer.",
    "answers": "What they stand for: own, a number to count from, or a list.",
    "read": "The positions that have to be right: last, all, or 0,1.",
}
"""Which inputs a command is about, by the options that say it."""


def domain_options(command: Command) -> Command:
    """Add the options that say which inputs are meant; what is left out is the usual thing.

    Ensures: the command is given them as one argument ``asked``, a text or None for each part.
    """

    @functools.wraps(command)
    def collected(*given: Any, **named: Any) -> Any:
        asked = {part: named.pop(part) for part in PARTS}
        return command(*given, asked=asked, **named)

    found: Command = collected
    for part in reversed(PARTS):
        found = click.option(f"--{part}", metavar="TEXT", help=DOMAIN_HELP[part])(found)
    return found


def jobs_option(command: Command) -> Command:
    """Add ``--jobs`` to a command that runs the checker."""
    return click.option(
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        default=cores,
        show_default="all cores",
        help="How many processes the checker may use; the verdict is the same for any number.",
    )(command)


def scope_option(command: Command) -> Command:
    """Add ``--scope`` to a command."""
    decorate = click.option(
        "--scope",
        type=ScopeOption(),
        default="uniform",
        show_default=True,
        help="Which inputs count: all of them once; weighted by a JSON file of token weights; those"
        " in which every value is the largest or at least G below it; those in which exactly C"
        " have the largest value.",
    )
    return decorate(command)


class ExpError(click.ParamType[Fraction]):
    """A bound on an error of exp, ``P/Q``."""

    name = "fraction"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """Return the fraction; anything else is a usage error."""
        if isinstance(value, Fraction):
            return value
        if not re.fullmatch(r"[0-9]{1,400}/0*[1-9][0-9]{0,400}", value):
            self.fail(f"{value!r} is not a fraction P/Q.", param, ctx)
        return Fraction(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "P/Q"


def semantics_options(command: Command) -> Command:
    """Add ``--semantics`` and what a float32 claim assumes of exp to a command."""
    for option in (
        click.option(
            "--exp-from",
            type=EXISTING,
            metavar="FILE",
            help="Both numbers from a record of 'certify audit-exp'.",
        ),
        click.option(
            "--eta-exp",
            type=ExpError(),
            help="Largest absolute error of exp where results are subnormal; 2^-126.",
        ),
        click.option(
            "--eps-exp",
            type=ExpError(),
            help="Largest relative error of exp; 1/4194304 unless told.",
        ),
        click.option(
            "--semantics",
            type=click.Choice(("real", FLOAT32)),
            default="real",
            show_default=True,
            help="What runs: exact arithmetic, or every float32 execution with sums in any order.",
        ),
    ):
        command = option(command)
    return command


def float32_of(
    semantics: str, eps: Fraction | None, eta: Fraction | None, record: Path | None
) -> Float32 | None:
    """Return what a float32 claim assumes of exp, or None in real arithmetic."""
    if semantics == "real":
        if (eps, eta, record) != (None, None, None):
            raise click.UsageError(
                f"--eps-exp, --eta-exp and --exp-from go with --semantics {FLOAT32}."
            )
        return None
    if record is not None and (eps, eta) != (None, None):
        raise click.UsageError("--exp-from already says both --eps-exp and --eta-exp.")
    if record is not None:
        return Float32(*(Fraction(*pair) for pair in read_record(record)))
    return Float32(
        *(
            usual if found is None else found
            for found, usual in zip((eps, eta), (EPS_EXP, ETA_EXP), strict=True)
        )
    )


class TaskOption(click.ParamType[str]):
    """A task, by its name and what follows; files are read when the model is known."""

    name = "task"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the task; an unknown name is a usage error."""
        if not is_task(value):
            self.fail(f"{value!r} is none of {', '.join(SPELLED)}.", param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "TASK"


class EnclosureName(click.ParamType[str]):
    """The name of an enclosure of one path."""

    name = "enclosure"

    def __init__(self, choice: Choice) -> None:
        self.choice = choice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; an unknown one is a usage error."""
        if not self.choice.is_known(value):
            self.fail(f"{value!r} is none of {', '.join(self.choice.listed)}.", param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "NAME"


def enclosure_options(command: Command) -> Command:
    """Add an option for each path that strategies may enclose."""
    choices = [choice for family in families.FAMILIES for choice in family.choices]
    for choice in sorted(choices, key=lambda choice: choice.name):
        command = click.option(
            f"--{choice.name}",
            type=EnclosureName(choice),
            show_default=choice.listed[0],
            help=f"For {taking(choice.name)}: how the {choice.title} is enclosed"
            " ('certify strategies' lists the names).",
        )(command)
    return command


def taking(option: str) -> str:
    """Return the strategies that take an option, as text."""
    names = [f"'{one.name}'" for one in families.strategies() if option in one.takes]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def usual_strategies() -> str:
    """Return which strategy is taken where none is named, as text."""
    *particular, last = families.FAMILIES
    texts = [f"'{family.usual}' for {family.usual_for}" for family in particular]
    return f"{', '.join(texts)}, else '{last.usual}'"
