"""The functions that the command line calls, for a notebook or a program.

::

    import certify

    model = certify.load_model("model.safetensors")
    certificate = certify.prove(model, task="max-of-k", out="certificate.json")
    verdict = certify.verify(model, certificate, at_least="99/100")
    print(verdict.correct_lower, "of", verdict.total)

Nothing here is trusted but what ``verify`` returns, which the separate checker says.  Failures are
``CertifyError``, one line each.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from certify import families
from certify.certificate.client import Answer, Verdict, ask, cores
from certify.certificate.finish import Certificate, finish
from certify.certificate.job import Job, Options
from certify.errors import BadInput
from certify.evaluation.evaluate import evaluate as evaluate_model
from certify.evaluation.tally import Evaluation
from certify.files import write_bytes
from certify.model.config import Config
from certify.model.file import Model, file_of, load_model
from certify.progress import Progress, silent
from certify.question.domain import PARTS, names_file, read_domain, require_numbers, shown
from certify.question.float32 import Float32
from certify.question.question import Question, read_question
from certify.question.rules import label_of, needs_model
from certify.question.scope import Scope, read_scope
from certify.report.compose import compose
from certify.report.page import rendered, require_libraries
from certify.report.run import Run, checked

CHECKER_PAGE = Path("check", "index.html")
"""Where the checker for a browser lies beside a report."""
HASH = "sha256:"
"""How the text of a long part begins on a verdict line."""

ModelLike: TypeAlias = Model | Path | str
"""A model that was read from a file, or the path of one."""


def prove(
    model: ModelLike,
    *,
    task: str | Question,
    strategy: str | None = None,
    domain: str | None = None,
    values: str | None = None,
    outputs: str | None = None,
    answers: str | None = None,
    read: str | None = None,
    scope: str | Scope = "uniform",
    effort: float | None = None,
    budget: int | None = None,
    enclosures: Mapping[str, str] | None = None,
    float32: Float32 | None = None,
    out: Path | str | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Certificate:
    """Return a certificate of the model's accuracy that the checker has verified.

    Requires: ``model`` was read from a file or names one: a certificate binds the bytes.
              ``task`` is a task as ``--task`` spells it, or a question that was read for the model;
              ``domain`` and the four after it say which inputs, as the options of the same names
              do (``certify.question.domain``), None being the usual ones; ``scope`` is ``uniform``
              or ``product:FILE``.  ``strategy`` is one that the task has, the usual one if left
              out; ``effort``, ``budget``, ``enclosures`` (a name for ``qk``, ``ov`` or ``direct``)
              and ``float32`` only where that strategy takes them.  ``jobs``: how many processes
              the checker may use, all cores if left out.
              ``progress`` is called with what is done, of how much, and a note.
    Ensures:  the certificate was verified by the checker.  It is written to ``out`` if that is
              given; where anything fails, ``out`` is as it was before.
    Raises:   ``BadInput`` for files and numbers that are not what they should be;
              ``Unsupported`` for a model, task or strategy that do not go together;
              ``UnusedOption`` for an option that the strategy has no use for;
              ``ProvesNothing`` if the strategy shows nothing of this model;
              ``CheckerRejected`` for a defect of the prover.
    Cost:     that of the strategy and of two runs of the checker or so: seconds for 64^4 inputs,
              minutes for 2^20 inputs that are evaluated one by one.
    """
    found = _model(model)
    question = _question(found, task, domain, values, outputs, answers, read)
    family, chosen = families.chosen(question, found.config, strategy)
    options = Options(effort, budget, enclosures or {}, float32)
    chosen.require_used(options)
    weights = scope if isinstance(scope, Scope) else read_scope(scope)
    family.require(found.config, question, str(file_of(found)))
    family.require_scope(weights)
    weights.require_fits(question.domain)
    file = None if out is None else Path(out)
    job = Job(found, question, weights, chosen, options, file, cores() if jobs is None else jobs)
    return finish(job, family.draft(job, progress))


def verify(
    model: ModelLike,
    certificate: Certificate | Path | str,
    *,
    task: str | None = None,
    domain: str | None = None,
    values: str | None = None,
    outputs: str | None = None,
    answers: str | None = None,
    read: str | None = None,
    scope: str | None = None,
    at_least: Fraction | str | None = None,
    semantics: str | None = None,
    eps_exp: Fraction | str | None = None,
    eta_exp: Fraction | str | None = None,
    time_limit: int | None = None,
    jobs: int | None = None,
) -> Verdict:
    """Return what the independent checker verifies of a certificate, and nothing else.

    Requires: ``model`` as for ``prove``; ``certificate`` is one, or the path of its file.  The rest
              is what the claim must be about: ``task``, ``domain`` and the four after it, and
              ``scope`` as for ``prove``, an accuracy of ``at_least`` P/Q, ``semantics`` (``real``
              or ``float32:any-order``) and errors of exp that are assumed to be no smaller than
              ``eps_exp`` and ``eta_exp``.  ``time_limit`` in seconds; ``jobs`` as for ``prove``.
    Ensures:  the checker, a process of its own, re-derived every bound from the two files; the
              fields are those of its last line.
    Raises:   ``CheckerRejected`` if it does not verify, or not what is asked for; ``Unsupported``
              if it declines; ``BadInput`` for a value that is not what is asked for;
              ``CertifyError`` if the checker cannot be run.
    Cost:     that of checking: the operations that the certificate declares, some 10^7 a second.
    """
    required = {
        "task": task,
        "domain": domain,
        "values": values,
        "outputs": outputs,
        "answers": answers,
        "read": read,
        "scope": scope,
        "at-least": at_least,
        "semantics": semantics,
        "eps-exp": eps_exp,
        "eta-exp": eta_exp,
        "time-limit": time_limit,
        "jobs": cores() if jobs is None else jobs,
    }
    return ask_checker(model, certificate, required).verdict()


def ask_checker(
    model: ModelLike,
    certificate: Certificate | Path | str,
    required: Mapping[str, object],
    *,
    inherit_output: bool | None = None,
) -> Answer:
    """Return what the checker says of a certificate, whatever that is.

    Requires: ``required`` maps names of the checker's options to values; None asks for nothing.
              ``inherit_output``: whether its progress and complaints go to standard error; if that
              is a terminal, unless told.
    Raises:   ``CertifyError`` if there is no checker.
    """
    asked = {name: value for name, value in required.items() if value is not None}
    if asked.keys() & set(PARTS) or needs_model(str(asked.get("task", ""))):
        asked |= as_verdicts_spell(_model(model).config, asked)
    # One word for both: a value may begin with a minus sign.
    options = [f"--{name}={_spelled(value)}" for name, value in asked.items()]
    file = file_of(model) if isinstance(model, Model) else model
    if not isinstance(certificate, Certificate):
        return ask(file, certificate, *options, inherit_output=inherit_output)
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        path = Path(folder) / "certificate.json"
        write_bytes(path, certificate.data)
        return ask(file, path, *options, inherit_output=inherit_output)


def as_verdicts_spell(config: Config, asked: Mapping[str, object]) -> dict[str, str]:
    """Return the task and the parts of a domain that are asked for, as a verdict spells them.

    Requires: ``asked`` may have the keys ``task``, ``domain``, ``values``, ``outputs``, ``answers``
              and ``read``, with texts as on the command line; a file as ``domain`` asks for all
              parts, and ``sha256:`` with a hash is the text of a verdict that has that hash.
    Raises:   ``BadInput`` for a text that is none.
    """
    given = {part: str(asked[part]) for part in PARTS if part in asked}
    hashed = {part: given.pop(part) for part in tuple(given) if given[part].startswith(HASH)}
    # What tokens and outputs stand for is spelled in one way only.
    taken = {part: given.pop(part) for part in ("values", "answers") if part in given}
    for part, text in taken.items():
        require_numbers(text, f"--{part}")
    file = names_file(given.get("domain"))
    domain = read_domain(config, **given, **(taken if file else {}))
    said = {part: shown(domain.texts[part]) for part in (PARTS if file else given)}
    said |= {part: shown(text) for part, text in taken.items()} | hashed
    if "task" in asked:
        said["task"] = label_of(str(asked["task"]), config, domain)
    return said


def _spelled(value: object) -> object:
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else value


def evaluate(
    model: ModelLike,
    *,
    task: str | Question,
    domain: str | None = None,
    values: str | None = None,
    outputs: str | None = None,
    answers: str | None = None,
    read: str | None = None,
    scope: str | Scope = "uniform",
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return an estimate, in float64, of how often the model answers as the task asks.

    Requires: ``task``, ``domain`` and the four after it, and ``scope`` as for ``prove``.
              ``samples`` draws so many random inputs; left out, every input is evaluated where that
              takes at most 2^25 inputs and 2^41 multiplications, and 10^6 random ones elsewhere.
    Ensures:  the same arguments give the same result.  It is an estimate and no bound, not even
              where every input was evaluated.
    Raises:   ``Unsupported`` if the task is not about such a domain; ``BadInput`` for a domain or a
              scope that does not fit, or fewer samples than one.
    Cost:     the forward pass of every input: two seconds for 64^4 inputs of Max-of-K.
    """
    found = _model(model)
    question = _question(found, task, domain, values, outputs, answers, read)
    weights = scope if isinstance(scope, Scope) else read_scope(scope)
    return evaluate_model(found, question, weights, samples, seed, progress)


def report(
    model: Path | str,
    certificates: Sequence[Path | str],
    out: Path | str,
    *,
    checker_page: Path | str | None = None,
    time_limit: int | None = None,
    progress: Progress = silent,
) -> Run:
    """Write a page for people about certificates of a model, and return what the checker said of
    each while the page was made.

    Requires: matplotlib and jinja2 (the extra ``certify[report]``); one certificate at least.
              ``checker_page`` is a page that runs the checker in a browser, linked by its relative
              path; ``check/index.html`` beside ``out`` if left out and there.  ``time_limit`` in
              seconds, for each run of the checker.
    Ensures:  ``out`` is written in one step whatever the verdicts; those that did not verify are on
              the page, and the exit code of the worst is ``exit_code`` of the result.
    Raises:   ``Unsupported`` without the libraries; ``BadInput`` if ``out`` cannot be written, or
              ``checker_page`` is not there; ``CertifyError`` if there is no checker.
    Cost:     a run of the checker for each certificate, one more where single inputs are drawn, and
              some seconds.
    """
    require_libraries()
    target, paths = Path(out), [Path(path) for path in certificates]
    if not paths:
        raise BadInput("a report needs at least one certificate")
    link = _link(target, None if checker_page is None else Path(checker_page))
    with checked(Path(model), paths, time_limit, progress) as run:
        page = compose(run, lambda proof: families.of_proof(proof).portrait, link, progress)
        write_bytes(target, rendered(page))
    return run


def _link(target: Path, page: Path | None) -> str | None:
    """Return the address of a page that runs the checker, relative to the report."""
    found = target.parent / CHECKER_PAGE if page is None else page
    if not found.is_file():
        if page is not None:
            raise BadInput(f"{page}: no such file (--checker-page)")
        return None
    relative = os.path.relpath(found.resolve(), target.parent.resolve())
    return quote(f"./{Path(relative).as_posix()}")


def _question(model: Model, task: str | Question, *parts: str | None) -> Question:
    """Return what is asked: a question as it is, a task about the inputs that the parts say."""
    if isinstance(task, Question):
        return task
    return read_question(task, model.config, read_domain(model.config, *parts))


def _model(model: ModelLike) -> Model:
    return model if isinstance(model, Model) else load_model(model)
