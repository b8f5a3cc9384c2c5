"""What a sweep is to do: a TOML file, read and validated before anything runs.

::

    task = "max-of-k"                       # what is asked, as --task spells it
    semantics = ["real", "float32:any-order"]

    [options]
    time-limit = 600                        # seconds for each job
    checked-by = "parent"                   # or "worker": do not check again what comes back

    [[models]]
    files = ["models/*.safetensors"]        # paths and patterns, from the folder of this file

    [[train]]
    task = "max-of-k"                       # as in 'certify train'
    prove = "max-of-k"                      # what is asked of it; else the task at the top, or
    options = { k = 4, vocab = 64 }         # the one that it is trained on
    seeds = { from = 0, count = 10 }        # or a list

    [[strategies]]
    name = ["exact", "count"]

    [[strategies]]
    name = "cascade"
    effort = [0.3, 1, 3]                    # each one is a proof of its own

    [[strategies]]
    ladder = "quick"                        # the rungs of 'certify ladder --quick'
    leave-out = ["exact"]                   # but for these, by name
    only = ["* k=4 *", "models/max-of-4*"]  # patterns of the names of models; else of all

``domain``, ``values``, ``outputs``, ``answers``, ``read`` and ``scope`` stand beside ``task`` and
are spelled as on the command line; ``[[models]]`` and ``[[train]]`` may have their own.  A file
that one of these texts names must be listed in ``files`` at the top: it is then sent along.  A
relative path is one from the folder of the TOML file.
"""

from __future__ import annotations

import fnmatch
import glob
import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

from certify import families
from certify.errors import BadInput, CertifyError
from certify.files import read_bytes
from certify.ladder.rung import Level
from certify.question.domain import PARTS
from certify.question.float32 import EPS_EXP, ETA_EXP, Float32
from certify.question.float32 import NAME as FLOAT32
from certify.question.rules import SPELLED, is_task
from certify.question.scope import MAXIMUM_FILE_BYTES as LARGEST_ATTACHMENT
from certify.sweep.reader import TableReader, plain
from certify.training.asked import objects_of, trainable

MAXIMUM_FILE_BYTES = 1 << 20
REAL = "real"
TIME_LIMIT = 600.0
PARENT, WORKER = "parent", "worker"
LEVELS: tuple[str, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a model: task, parts of the domain and scope, as the command line has
    them.
    """

    task: str
    parts: Mapping[str, str]
    scope: str

    def spelled(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {"task": self.task, "scope": self.scope, **self.parts}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that is there: its name in the results, its file, and what is asked of it."""

    name: str
    path: Path
    asked: Asked


@dataclass(frozen=True, slots=True)
class Training:
    """A model to be trained: its name in the results, the task and all options that were given."""

    name: str
    task: str
    options: Mapping[str, Any]
    asked: Asked


@dataclass(frozen=True, slots=True)
class Proof:
    """A strategy with the options that it is given; ``label`` and ``group`` are for the reader."""

    strategy: str
    options: Mapping[str, Any]
    label: str
    group: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of strategies, for the models whose name fits a pattern of ``only``: proofs, or the
    level of the ladder of a model's task, without some rungs.  ``origin`` names it in the file.
    """

    origin: str

    proofs: tuple[Proof, ...] = ()
    level: Level | None = None
    left_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ("*",)

    def of(self, model: ModelFile | Training) -> tuple[Proof, ...]:
        """Return the proofs for a model; none if its name fits no pattern of ``only``.

        Errors: ``Unsupported`` if its task has no ladder where one is asked for, ``BadInput`` if
                that has no rung that is left out.
        """
        if not any(fnmatch.fnmatchcase(model.name, pattern) for pattern in self.only):
            return ()
        if self.level is None:
            return self.proofs
        _, form = families.with_ladder(model.asked.task.partition(":")[0])
        run, _ = form.rungs(self.level)
        for name in self.left_out:
            if name not in [rung.name for rung in run]:
                raise BadInput(f"{self.origin}.leave-out has {name!r}, which is no rung")
        return tuple(
            Proof(rung.strategy, _numbered(dict(rung.options)), rung.name, rung.group)
            for rung in run
            if rung.name not in self.left_out
        )


@dataclass(frozen=True, slots=True)
class Semantics:
    """Which arithmetic is meant; the errors of exp, as fractions, only where they matter."""

    name: str
    eps_exp: str | None = None
    eta_exp: str | None = None

    def spelled(self) -> dict[str, str]:
        """Return it as JSON values, by the names of the checker's options."""
        return plain({"semantics": self.name, "eps-exp": self.eps_exp, "eta-exp": self.eta_exp})


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a sweep is to do.

    ``files``: what texts refer to, by the name that they use.  ``checked_by``: who has the last
    word about a certificate, ``parent`` or ``worker``.
    """

    models: tuple[ModelFile, ...]
    trainings: tuple[Training, ...]
    entries: tuple[Entry, ...]
    semantics: tuple[Semantics, ...]
    files: Mapping[str, bytes]
    time_limit: float
    checked_by: str

    def proofs(self, model: ModelFile | Training) -> Iterator[tuple[Proof, Semantics]]:
        """Yield what is to be proved of a model: strategies x semantics."""
        proofs = itertools.chain.from_iterable(entry.of(model) for entry in self.entries)
        yield from itertools.product(proofs, self.semantics)

    def size(self) -> int:
        """Return the number of jobs: trainings and proofs."""
        everything: list[ModelFile | Training] = [*self.models, *self.trainings]
        return len(self.trainings) + sum(len(list(self.proofs(one))) for one in everything)


def read_plan(path: Path) -> Plan:
    """Return what a TOML file asks for.

    Ensures: every name is known and every file there; nothing was run.
    Errors:  ``BadInput`` naming the file and the key; ``Unsupported`` for a ladder that a task
             does not have.
    """
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise BadInput(f"{path}: not TOML: {error}") from error
    whole = TableReader(str(path), "", table)
    usual = _asked(whole, None)
    options = whole.inner("options")
    models = tuple(
        found for one in whole.each("models") for found in _models(one, path.parent, usual)
    )
    trainings = tuple(found for one in whole.each("train") for found in _trainings(one, usual))
    effort, time_limit = options.number("effort"), options.number("time-limit")
    checked_by = options.choice("checked-by", PARENT, (PARENT, WORKER))
    semantics = _semantics(whole, options)
    options.finish()
    entries = tuple(_entry(one, effort) for one in whole.each("strategies"))
    files = {name: _attachment(whole, path.parent, name) for name in whole.texts("files", ())}
    whole.finish()
    if not models and not trainings:
        raise BadInput(f"{path}: no model: there is neither [[models]] nor [[train]]")
    if not entries:
        raise BadInput(f"{path}: nothing to prove: there is no [[strategies]]")
    limit = TIME_LIMIT if time_limit is None else time_limit
    plan = Plan(models, trainings, entries, semantics, files, limit, checked_by)
    plan.size()  # a ladder that a task does not have is refused here
    return plan


def _asked(reader: TableReader, usual: Asked | None, task_key: str = "task") -> Asked:
    """Return what is asked, whatever is not said being as usual; a task may still be missing."""
    task = reader.text(task_key) or (usual.task if usual else "")
    if task and not is_task(task):
        raise reader.refused(task_key, f"is {task!r}, which is none of {', '.join(SPELLED)}")
    parts = plain({part: reader.text(part) for part in PARTS})
    scope = reader.text("scope") or (usual.scope if usual else "uniform")
    return Asked(task, {**(usual.parts if usual else {}), **parts}, scope)


def _models(reader: TableReader, folder: Path, usual: Asked) -> Iterator[ModelFile]:
    """Yield the files of one table of models, each pattern's in order of name."""
    asked = _asked(reader, usual)
    for pattern in reader.texts("files"):
        found = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
        if not found:
            raise reader.refused("files", f"finds nothing: {pattern}")
        for name in found:
            yield ModelFile(Path(name).as_posix(), folder / name, asked)
    reader.finish()
    if not asked.task:
        raise reader.refused("task", "is missing, here and at the top")


def _trainings(reader: TableReader, usual: Asked) -> Iterator[Training]:
    """Yield one training for each seed."""
    task = reader.text("task")
    if task is None:
        raise reader.refused("task", "is missing")
    row = trainable(task, reader.name("task"))
    options = reader.take("options") or {}
    if not isinstance(options, dict):
        raise reader.refused("options", "must be a table")
    asked = _asked(reader, usual, "prove")
    if not asked.task:
        if not is_task(task):
            raise reader.refused("prove", f"is missing: {task} alone is no question")
        asked = Asked(task, asked.parts, asked.scope)
    for seed in _seeds(reader):
        given = {**options, **({} if seed is None else {"seed": seed})}
        objects_of(row, given, reader.name("options"))
        told = " ".join(f"{key}={value}" for key, value in sorted(given.items()))
        yield Training(f"{task} {told}".strip(), task, given, asked)
    reader.finish()


def _seeds(reader: TableReader) -> list[int | None]:
    """Return the seeds of a training; None for the one of its options, or the usual one."""
    found = reader.take("seeds")
    if found is None:
        return [None]
    if isinstance(found, dict):
        span = TableReader(reader.file, f"{reader.where}.seeds", found)
        first, count = span.whole("from", 0, least=0), span.whole("count")
        span.finish()
        if first is None or count is None:
            raise span.refused("count", "is missing")
        return list(range(first, first + count))
    whole = isinstance(found, list) and all(type(seed) is int and seed >= 0 for seed in found)
    if not whole or not found or len(set(found)) < len(found):
        raise reader.refused("seeds", "must be different whole numbers, or { from = 0, count = N }")
    return list(found)


def _semantics(whole: TableReader, options: TableReader) -> tuple[Semantics, ...]:
    """Return the semantics that are asked for, each once."""
    names = whole.texts("semantics", (REAL,))
    errors = [_fraction(options, key, usual) for key, usual in _EXP_ERRORS.items()]
    try:
        Float32(*errors)
    except CertifyError as error:
        raise options.refused("eps-exp or eta-exp", f"is out of range: {error}") from error
    known = {
        REAL: Semantics(REAL),
        FLOAT32: Semantics(FLOAT32, *(f"{x.numerator}/{x.denominator}" for x in errors)),
    }
    for name in names:
        if name not in known:
            raise whole.refused("semantics", f"has {name!r}, not one of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))


_EXP_ERRORS = {"eps-exp": EPS_EXP, "eta-exp": ETA_EXP}


def _fraction(reader: TableReader, key: str, usual: Fraction) -> Fraction:
    text = reader.text(key)
    if text is None:
        return usual
    numerator, slash, denominator = text.partition("/")
    if not slash or not (numerator + denominator).isascii() or not denominator.strip("0"):
        raise reader.refused(key, "must be a fraction P/Q")
    if not numerator.isdigit() or not denominator.isdigit() or len(text) > 800:
        raise reader.refused(key, "must be a fraction P/Q")
    return Fraction(int(numerator), int(denominator))


def _entry(reader: TableReader, effort: float | None) -> Entry:
    """Return the proofs of one table of strategies; ``effort`` is for those that say none."""
    origin = f"{reader.file}: {reader.where}"
    ladder, only = reader.text("ladder"), reader.texts("only", ("*",))
    if ladder is not None:
        left_out = reader.texts("leave-out", ())
        reader.finish()
        if ladder not in LEVELS:
            raise reader.refused("ladder", f"is {ladder!r}, not one of {', '.join(LEVELS)}")
        level: Level = ladder  # type: ignore[assignment]  # it is one of them
        return Entry(origin, (), level, left_out, only)
    known = {one.name: one for one in families.strategies()}
    names = reader.texts("name")
    for name in names:
        if name not in known:
            raise reader.refused("name", f"has {name!r}, not one of {', '.join(known)}")
    efforts = reader.numbers("effort")
    group, label = reader.text("group", ""), reader.text("label")
    choices = [choice for family in families.FAMILIES for choice in family.choices]
    paths = plain({choice.name: reader.text(choice.name) for choice in choices})
    for choice in choices:
        if choice.name in paths and not choice.is_known(paths[choice.name]):
            raise reader.refused(choice.name, f"is none of {', '.join(choice.listed)}")
    rest = plain({"budget": reader.whole("budget"), **paths})
    reader.finish()
    proofs = []
    for name in names:
        spare = () if effort is None or "effort" not in known[name].takes else (effort,)
        for one in efforts or spare or (None,):
            options = _numbered(plain({"effort": one, **rest}))
            told = " ".join([name, *(f"{key}={value}" for key, value in options.items())])
            proofs.append(Proof(name, options, label or told, group or name))
    return Entry(origin, tuple(proofs), only=only)


def _numbered(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of which an effort is a float, however it was spelled: 1, 1.0 or "1"."""
    return {key: float(value) if key == "effort" else value for key, value in options.items()}


def _attachment(reader: TableReader, folder: Path, name: str) -> bytes:
    """Return a file that texts refer to; its name must be a plain one."""
    if Path(name).name != name or name in RESERVED:
        raise reader.refused("files", f"has {name!r}, which must be a name without a folder")
    return read_bytes(folder / name, LARGEST_ATTACHMENT)


MODEL, CERTIFICATE, WORK, OUTCOME = (
    "model.safetensors",
    "certificate.json",
    "work.json",
    "outcome.json",
)
RESERVED = (MODEL, CERTIFICATE, WORK, OUTCOME)
"""Names of files in the folder of a job."""
