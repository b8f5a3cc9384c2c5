"""The whole page, from what the checker said: what goes where, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.columns import Columns
from certify.errors import CertifyError
from certify.model.file import Model, load_model
from certify.progress import Progress
from certify.question.plain import counted
from certify.report.examples import Examples, examples_of
from certify.report.figure import Drawn
from certify.report.length import length_figure
from certify.report.numbers import (
    about,
    at_least,
    at_most,
    grouped,
    percent_down,
    percent_up,
)
from certify.report.portrait import Block, Portrait, Subject
from certify.report.run import Checked, Proof, Run, as_utc
from certify.report.statement import Statement, Topic, headline, is_float32, statement_of, topics

PortraitOf = Callable[[Mapping[str, Any]], Portrait]
"""What finds the portrait of a proof by its keys."""
FAILURES = (CertifyError, ArithmeticError, ValueError, IndexError, MemoryError)
"""What may happen to a picture of numbers that no picture was made for.  The page is written
nevertheless.
"""
EXPLAINED = {
    "VERIFIED": "The checker went through this proof and confirmed every bound in it.",
    "REJECTED": "The checker found that this file does not prove what it claims, or is damaged, or"
    " is about another model. Believe nothing that it says.",
    "DECLINED": "The checker did not decide: the file is outside what it handles, cannot be read,"
    " or needs more time or memory than it was given. Nothing is proved by it here.",
    "NONE": "The checker ended without a verdict. Nothing is proved by this file here.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A certificate on the page."""

    checked: Checked
    explained: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows of one topic; ``missing`` says why there are no pictures."""

    key: str
    statement: Statement
    letters: str
    head: str
    examples: Examples
    weak: Sequence[Block]
    length: Drawn
    inside: Sequence[Block]
    beside: Columns | None
    beside_told: str
    method: str
    missing: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that is on the page, in words, tables and figures."""

    title: str
    headline: str
    all_verified: bool
    any_verified: bool
    described: str
    entries: tuple[Entry, ...]
    views: tuple[View, ...]
    chapters: tuple[tuple[str, str], ...]
    run: Run
    when: str
    link: str | None


def compose(run: Run, portrait_of: PortraitOf, link: str | None, progress: Progress) -> Page:
    """Return the page for what the checker said.

    Requires: ``link`` is the address of a page that runs the checker, relative to this one.
    Cost:     some thousand forward passes for each topic, and another run of the checker where a
              family draws what it derives of single inputs.
    """
    entries = tuple(map(_entry, run.checked))
    proofs = [entry.checked.proof for entry in entries if entry.checked.proof is not None]
    model, why = _model(run)
    found = topics(proofs)
    views = []
    for number, topic in enumerate(found):
        progress(number, len(found), "drawing")
        portrait = portrait_of(topic.leading.summary.proof)
        views.append(_view(f"t{number}", topic, portrait, model, why))
    progress(len(found), len(found), "")
    verified = len(proofs)
    return Page(
        title=f"What was proved about the program in {run.model.name}",
        headline=headline(len(entries), verified),
        all_verified=verified == len(entries),
        any_verified=verified > 0,
        described=_described(run, model),
        entries=entries,
        views=tuple(views),
        chapters=tuple(_chapters(entries, portrait_of)),
        run=run,
        when=as_utc(run.when),
        link=link,
    )


def _entry(one: Checked) -> Entry:
    facts: list[tuple[str, str]] = []
    if one.proof is not None:
        verdict, summary = one.proof.verdict, one.proof.summary
        lower, upper, total = verdict.correct_lower, verdict.correct_upper, verdict.total
        facts = [
            ("right, at least", f"{at_least(lower)} ({percent_down(lower, total)})"),
            ("right, at most", f"{at_most(upper)} ({percent_up(upper, total)})"),
            ("arithmetic", "float32, any order" if is_float32(one.proof) else "without rounding"),
            ("strategy", summary.strategy),
            ("operations of the checker", grouped(verdict.operations)),
            ("seconds it took", f"{one.answer.seconds:.1f}"),
        ]
    facts.append(("bytes", grouped(one.file.size)))
    return Entry(one, EXPLAINED[one.word], tuple(facts))


def _model(run: Run) -> tuple[Model | None, str]:
    """Return the model for pictures, or why there are none."""
    try:
        return load_model(run.model.path), ""
    except CertifyError as error:
        return None, str(error).replace(str(run.model.path), run.model.name)


def _described(run: Run, model: Model | None) -> str:
    if model is None:
        return "The model file could not be read for pictures."
    config = model.config
    numbers = sum(int(tensor.size) for tensor in model.tensors.values())
    layers = counted(config.n_layers, "layer")
    heads = counted(config.n_heads, "attention head")
    return (
        f"The program is a small neural network (a transformer with {layers} and {heads}):"
        f" {grouped(numbers)} numbers in one file. Everything here is about this exact file, whose"
        f" fingerprint is sha256:{run.model.sha256[:12]}…"
    )


def _view(
    key: str,
    topic: Topic,
    portrait: Portrait,
    model: Model | None,
    why: str,
) -> View:
    statement = statement_of(topic)
    blocks: Sequence[Block] = ()
    inside: Sequence[Block] = ()
    examples, reference = Examples((), ()), None
    if model is not None:
        subject = _subject(key, topic, model)
        try:
            with np.errstate(all="ignore"):
                examples = examples_of(subject, portrait, topic.plain)
                blocks = portrait.weak(subject)
                inside = portrait.inside(subject)
                reference = portrait.reference(subject)
        except FAILURES as error:
            examples, blocks, inside = Examples((), ()), (), ()
            why = str(error) or type(error).__name__
    beside, told = _beside(topic)
    return View(
        key=key,
        statement=statement,
        letters=", ".join(proof.letter for proof in topic.proofs),
        head=topic.plain.head,
        examples=examples,
        weak=blocks,
        length=length_figure(key, topic.proofs, reference),
        inside=inside,
        beside=beside,
        beside_told=told,
        method=portrait.method,
        missing=why,
    )


def _subject(key: str, topic: Topic, model: Model) -> Subject:
    proof = topic.leading
    counting = _counting(proof)
    return Subject(
        key,
        model,
        topic.question,
        proof.summary,
        proof.verdict,
        counting,
        proof.summary.counted,
        proof.outcomes,
    )


def _counting(proof: Proof) -> tuple[NDArray[np.int64], ...]:
    """Return per position the places whose weight is not 0."""
    rows = proof.summary.counted.rows(proof.summary.domain)
    return tuple(np.flatnonzero(row) for row in rows)


def _beside(topic: Topic) -> tuple[Columns | None, str]:
    """Return real arithmetic beside float32, and what that comes to."""
    real, rounded = topic.best, topic.best_float32
    if real is None or rounded is None:
        only = "without rounding" if rounded is None else "in float32"
        return None, f"Every certificate of this page is about arithmetic {only}."
    leads = [proof.verdict.fields["margin_lower"] for proof in (real, rounded)]
    heads = ("", "arithmetic", "right, at least", "right, at most", "smallest lead")
    table = Columns("", heads if any(map(float, leads)) else heads[:-1])
    for proof, name in ((real, "without rounding"), (rounded, "float32, any order")):
        verdict = proof.verdict
        bounds = (at_least(verdict.correct_lower), at_most(verdict.correct_upper))
        row = (proof.letter, name, *bounds, verdict.fields["margin_lower"])
        table.rows.append(row[: len(table.heads)])
    lost = real.verdict.correct_lower - rounded.verdict.correct_lower
    told = (
        "Rounding costs nothing: as many answers are proved right as without it."
        if lost <= 0
        else f"With rounding, {about(lost)} fewer answers are proved right"
        f" ({percent_up(lost, real.verdict.total)} of all): whether they are right can depend on"
        " the order in which a computer adds up. What is open with rounding lies between at least"
        " and at most."
    )
    return table, told


def _chapters(entries: Sequence[Entry], portrait_of: PortraitOf) -> list[tuple[str, str]]:
    """Return what has to be read of the checker, for each certificate that was verified."""
    found = []
    for entry in entries:
        proof = entry.checked.proof
        if proof is not None:
            told = portrait_of(proof.summary.proof).chapters(proof.summary)
            found.append((f"{proof.letter} ({entry.checked.file.name})", told))
    return found
