"""What an experiment is: its models, its units of work, what they measure, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certify.errors import BadInput
from certify.lab.bench import Bench
from certify.lab.kinds import Facts, Kind
from certify.lab.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that an experiment is about: its name in the results, its kind, its hash, and the
    options of its training, None if it was read from a file.
    """

    name: str
    kind: Kind
    model: str
    options: Mapping[str, Any] | None = None

    def about(self) -> Facts:
        """Return what a unit about it depends on."""
        return {"subject": self.name, "kind": self.kind.name, "model": self.model}

    def facts(self) -> Facts:
        """Return it as JSON values."""
        trained = None if self.options is None else dict(self.options)
        return {"sha256": self.model, "kind": self.kind.name, "trained": trained}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for.

    ``models`` are files; where there are none, models of ``kind`` are trained, one for each seed.
    ``draws``: how many random replacements of each kind.  ``smoke``: the smallest run that does
    everything.  ``more``: the experiment's own options, by name.
    """

    kind: Kind
    models: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = (0,)
    draws: int = 1
    smoke: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> Facts:
        """Return what the results depend on as JSON values; files are known by their hash."""
        return {
            "kind": self.kind.name,
            "seeds": None if self.models else list(self.seeds),
            "draws": self.draws,
            "smoke": self.smoke,
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of an experiment that runs by itself: a name, and JSON that says all about it.

    ``about`` is all that its result depends on besides the versions, hashes of models included.
    """

    name: str
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Extra:
    """An option of one experiment: ``usual`` and ``smoke`` are its values where it is not given;
    ``read`` makes a JSON value of a text and raises ``ValueError`` for one that is none.
    """

    name: str
    help: str
    usual: Any
    smoke: Any
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment.

    ``kinds``:   names of the kinds of models that it is about, the usual one first.
    ``seeds``:   those that are trained unless told otherwise; ``draws`` as in ``Asked``, None where
                 nothing is drawn.
    ``units``:   what is to be done for the subjects, in the order of the results.
    ``measure``: does one unit, in a process of its own; the result is JSON without times.
    ``summary``: what all units say together.
    ``rows``:    the lines of ``results.csv``; all have the same columns.
    ``draw``:    the pictures.
    ``trains``:  whether subjects are made before the units; an experiment that trains variants in
                 its units has no subjects.
    """

    name: str
    about: str
    kinds: tuple[str, ...]
    seeds: tuple[int, ...]
    draws: int | None
    units: Callable[[Asked, Sequence[Subject]], Sequence[Unit]]
    measure: Callable[[Unit, Bench], Facts]
    summary: Callable[[Asked, Sequence[Facts]], Facts]
    rows: Callable[[Facts], Iterable[Facts]]
    draw: Callable[[Facts, Pictures], None]
    extras: tuple[Extra, ...] = ()
    trains: bool = True
    smoke_draws: int = 2


def read_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that are written ``0-19`` or ``0,3,5-7``, each once, in that order.

    Errors: ``BadInput`` for another text, or more than 10 000 seeds.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [first, last if dash else first]
        if not all(end.isascii() and end.isdigit() and len(end) < 16 for end in ends):
            raise BadInput(f"seeds {text!r} are not written like 0-19 or 0,3,5")
        start, stop = int(ends[0]), int(ends[1])
        if stop - start >= MOST_SEEDS:
            raise BadInput(f"seeds {text!r}: more than {MOST_SEEDS}")
        found.extend(range(start, stop + 1))
    if not found:
        raise BadInput(f"seeds {text!r}: there is none")
    return tuple(dict.fromkeys(found))


MOST_SEEDS = 10_000


def read_numbers(text: str) -> list[int]:
    """Return the whole numbers from 1 on that are written by commas.

    Errors: ``ValueError``.
    """
    found = [int(part) for part in text.split(",") if part]
    if not found or min(found) < 1:
        raise ValueError("whole numbers from 1, by commas")
    return found


def read_names(text: str) -> list[str]:
    """Return the names that are written by commas, without the space around them."""
    return [part.strip() for part in text.split(",") if part.strip()]
