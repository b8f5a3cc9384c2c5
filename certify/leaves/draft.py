"""Strategy ``exhaustive``: every input of a finite domain is evaluated by the checker.  (SPEC-14)

Floats find which inputs are right, how large the margins are, and which precision is needed; the
checker does the rest, once.  A small draft comes first: the inputs on which floats cannot be
trusted and the weakest of the others, each a leaf of its own.  It shows what these inputs are, and
whether the precision costs margin.

That precision is needed only where a margin is about the least of all: elsewhere fewer bits show
enough, and the checker takes more by itself where they do not.  So a second draft, of the same
inputs and a sample of the others, finds out how much margin fewer bits cost, and the fewest are
taken that leave next to nothing to evaluate twice.

The claims of the certificate are then known but for the margins of the other inputs, of which
floats minus a little are claimed, and the number of operations follows from the formula of
SPEC-14.8.  So the whole domain is evaluated by the checker only once.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.certificate.client import REJECTED, VERIFIED, Answer
from certify.certificate.document import Document, document_of, dyadic
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.errors import Unsupported
from certify.leaves.work import Indices, operations_of
from certify.model.forward import batch_size
from certify.progress import Progress
from certify.question.domain import Domain
from certify.question.scope import Scope

MAXIMUM_INPUTS = 1 << 20
PRECISIONS = (*range(64, 129, 8), 192, 256, 512, 1024, 2048, 4096)
"""Tried in this order: the first that costs no more than a unit of margin is the cheapest."""

SAMPLE, LEAST_INPUTS, MOST_PRECISION = 32, 1024, 128
"""So many inputs show what fewer bits cost; that is tried for no fewer inputs and no more bits."""
LEAST_PRECISION, STEP, MOST_TWICE = 32, 16, 1 / 32
"""The least precision of leaves (SPEC-3.5), how many bits are added where too few were taken, and
the share of the operations that may be spent on evaluating inputs twice.
"""

TRUSTED, MOST_OPEN, WEAKEST = 1e-6, 1024, 8
MARGIN_BITS = 20
"""Margins are multiples of 2^-20; floats are trusted where a margin is above 1e-6 of the largest,
and of one.
"""
SURE = 1 - 2.0**-30
"""So much of a margin in floats is taken to be there."""

TOO_MUCH_WORK = "SPEC-8.2"
"""The clause by which a checker declines that needs more operations than were declared."""


@dataclass(frozen=True, slots=True)
class _Pilot:
    """A precision, which inputs are known at it one by one, the operations that are spent on more
    of it, and the margins that it shows of all inputs, in units of 2^-20.
    """

    precision: int
    some: Indices
    surplus: int
    margins: NDArray[np.int64]


@dataclass(slots=True)
class _Domain:
    """Every input: its estimate, whether it counts, and what is claimed of it (``margins`` in units
    of 2^-20).
    """

    estimates: NDArray[np.float64]
    counts: NDArray[np.bool_]
    methods: NDArray[np.str_]
    margins: NDArray[np.int64]

    def sizes(self) -> tuple[NDArray[np.float64], float]:
        """Return the sizes of the margins in floats, infinite where an input does not count, and
        the largest that are not to be trusted.
        """
        sizes = np.where(np.isfinite(self.estimates), np.abs(self.estimates), 0.0)
        sizes[~self.counts] = np.inf
        return sizes, TRUSTED * float(np.max(sizes, initial=1.0, where=self.counts))


def draft(job: Job, progress: Progress) -> Drafting:
    """Draft the inputs that floats cannot decide, then claim all of them; more precision where the
    checker finds that it did not do.

    Requires: the question and the scope fit the model, which has two outputs or more.
    Errors:   ``Unsupported`` for more than 2^20 inputs; ``ProvesNothing``.
    Cost:     the forward pass of every input in floats, and once in the checker.
    """
    inputs = job.question.domain.inputs
    if inputs > MAXIMUM_INPUTS:
        sizes = job.question.domain.sizes
        spelled = f"{sizes[0]}^{len(sizes)}" if len(set(sizes)) == 1 else str(inputs)
        raise Unsupported(
            f"strategy {job.strategy.name} stops at {MAXIMUM_INPUTS} inputs, here are {spelled}"
        )
    domain = _estimated(job, progress)
    precisions = list(PRECISIONS)
    fewest = LEAST_PRECISION
    while precisions:
        pilot = yield from _pilot(job, domain, precisions)
        pilot = yield from _coarsened(job, domain, pilot, fewest)
        document = document_of(job, pilot.precision, leaves=_runs(domain, pilot.margins))
        _claim(document, job, domain, pilot)
        progress(inputs, inputs, "")
        answer = yield Claim(document, 0)
        # Somewhere else the precision did not do: what floats said is tried again with more of it.
        if pilot.precision == precisions[0]:
            if answer.code != REJECTED and TOO_MUCH_WORK not in answer.last_line:
                return
            precisions.pop(0)
        fewest = pilot.precision + STEP


def _estimated(job: Job, progress: Progress) -> _Domain:
    """Return the domain with the margins that floats give, and the methods they suggest."""
    model, asked = job.model, job.question.domain
    inputs, size = asked.inputs, batch_size(model)
    parts = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for begin in range(0, inputs, size):
            end = min(begin + size, inputs)
            parts.append(job.question.margins(model, asked.places_between(begin, end)))
            # The last tenth of the bar is the checker's.
            progress(9 * end // 10, inputs, "")
    estimates = np.concatenate(parts)
    counts = np.ones(1, dtype=bool)
    for row in job.scope.rows(asked):
        counts = np.logical_and.outer(counts, np.array([weight > 0 for weight in row])).ravel()
    if job.scope.conditional:
        counts &= job.scope.holds(asked.places_between(0, inputs), asked)
    methods = np.where(estimates > 0, "right", "wrong")
    known = np.where(np.isfinite(estimates), estimates, 0.0)
    units = np.clip(known, 0, 2.0**40) * 2.0**MARGIN_BITS * SURE
    return _Domain(estimates, counts, methods, np.floor(units).astype(np.int64) - 4)


def _pilot(job: Job, domain: _Domain, precisions: list[int]) -> Generator[Draft, Answer, _Pilot]:
    """Settle the inputs on which floats cannot be trusted.

    ``precisions`` loses those that cost margin.
    """
    sizes, least = domain.sizes()
    order = np.argsort(sizes, kind="stable")
    doubtful = int(np.count_nonzero(sizes <= least))
    if doubtful > MOST_OPEN:
        domain.methods[order[MOST_OPEN:doubtful]] = "skip"
    some = np.concatenate([order[: min(doubtful, MOST_OPEN)], order[doubtful : doubtful + WEAKEST]])
    some = np.sort(some[domain.counts[some]])
    trusted = sizes[some] > least
    leaves = _one_by_one(some, len(sizes))
    while True:
        answer = yield Draft(document_of(job, precisions[0], leaves=leaves))
        if answer.shows_nothing():
            # Whatever floats trust is among these inputs: more precision settles it, or nothing.
            if not trusted.any() or len(precisions) == 1:
                raise nothing(job)
            precisions.pop(0)
            continue
        facts = answer.facts()
        outcomes = [
            cell
            for cell, leaf in zip(facts["cells"], leaves, strict=False)
            if leaf["method"] == "either"
        ]
        margins = np.array(
            [-1 if cell[3] is None else cell[3] for cell in outcomes], dtype=np.float64
        )
        expected = domain.estimates[some] * 2.0**MARGIN_BITS
        # A unit less than floats give is well lost: fewer bits save more.
        lossy = trusted & (expected > 0) & ~(margins >= np.floor(expected * SURE) - 1)
        undecided = [cell[0] != cell[2] and cell[1] != "0" for cell in outcomes]
        unclear = lossy.any() or (np.array(undecided, dtype=bool) & trusted).any()
        if not unclear or len(precisions) == 1:
            break
        precisions.pop(0)
    for index, cell, is_open in zip(some.tolist(), outcomes, undecided, strict=True):
        domain.methods[index] = "skip" if is_open else "right" if cell[1] == "0" else "wrong"
        domain.margins[index] = cell[3] or 0
    return _Pilot(precisions[0], some, _surplus(facts, job, some, precisions[0]), domain.margins)


def _surplus(facts: dict[str, Any], job: Job, some: Indices, precision: int) -> int:
    """Return the operations that a draft of some inputs spent on more precision."""
    spent: int = facts["operations"]["total"]
    return spent - operations_of(job.model, job.question.domain, some, precision)


def _coarsened(
    job: Job, domain: _Domain, pilot: _Pilot, fewest: int
) -> Generator[Draft, Answer, _Pilot]:
    """Return a pilot of the fewest bits, from ``fewest`` on, at which next to no input is evaluated
    twice.

    Its margins are lowered to what these bits show, but none below the least of all.
    """
    sizes, least = domain.sizes()
    counted = np.flatnonzero(domain.counts)
    if len(counted) < LEAST_INPUTS or pilot.precision > MOST_PRECISION:
        return pilot
    spread = counted[:: len(counted) // SAMPLE]
    some = np.union1d(pilot.some, spread[domain.methods[spread] != "skip"])
    asked, leaves = job.question.domain, _one_by_one(some, len(sizes))
    trusted = domain.counts & (sizes > least)
    right = trusted & (domain.methods == "right")
    lowest = int(np.min(domain.margins, initial=1 << 62, where=right))
    first = max(8 * -(-pilot.precision // 16), fewest)
    for precision in range(first, pilot.precision, 8):
        answer = yield Draft(document_of(job, precision, leaves=leaves))
        if answer.code != VERIFIED:  # activations that are too large for so few bits
            continue
        facts = answer.facts()
        shown = np.array(
            [
                -1 if cell[3] is None else cell[3]
                for cell, leaf in zip(facts["cells"], leaves, strict=False)
                if leaf["method"] == "either"
            ]
        )
        # What was lost of margins; twice as much may be lost elsewhere.
        lost = 2 * np.max(domain.margins[some] - shown, initial=0, where=right[some]) + 2
        wanted = np.where(domain.methods == "right", lowest + lost, lost)
        units = np.where(trusted, sizes, np.inf) * 2.0**MARGIN_BITS
        twice = int(np.count_nonzero(units < wanted))
        again = twice * operations_of(job.model, asked, counted[:1], 2 * precision)
        if again <= MOST_TWICE * operations_of(job.model, asked, counted, precision):
            margins = np.where(right, np.maximum(domain.margins - lost, lowest), domain.margins)
            surplus = _surplus(facts, job, some, precision) + again
            return _Pilot(precision, some, surplus, margins)
    return pilot


def _one_by_one(some: Indices, inputs: int) -> list[dict[str, Any]]:
    """Return a leaf for each of these inputs, and leaves that skip what lies between."""
    leaves = []
    end = 0
    for index in some.tolist():
        leaves += [_leaf(index - end, "skip")] if index > end else []
        leaves.append(_leaf(1, "either"))
        end = index + 1
    return leaves + ([_leaf(inputs - end, "skip")] if end < inputs else [])


def _leaf(inputs: int, method: str, margin: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"inputs": str(inputs), "method": method}
    return found if margin is None else {**found, "margin": dyadic(margin, -MARGIN_BITS)}


def _runs(domain: _Domain, margins: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return one leaf for each run of inputs with the same method; inputs that do not count go with
    those before them.
    """
    counted = np.flatnonzero(domain.counts)
    methods = domain.methods[counted]
    first = np.flatnonzero(np.concatenate([[True], methods[1:] != methods[:-1]]))
    starts = [0, *counted[first[1:]].tolist(), len(domain.counts)]
    least = np.minimum.reduceat(margins[counted], first).tolist()
    return [
        _leaf(end - begin, method, max(margin, 0) if method == "right" else None)
        for begin, end, method, margin in zip(
            starts, starts[1:], methods[first].tolist(), least, strict=False
        )
    ]


def _claim(document: Document, job: Job, domain: _Domain, pilot: _Pilot) -> None:
    """Fill in the bounds that the leaves prove, and the operations that this takes."""
    asked, scope = job.question.domain, job.scope
    right, wrong = (
        _weight_of(np.flatnonzero((domain.methods == method) & domain.counts), asked, scope)
        for method in ("right", "wrong")
    )
    document["statement"] |= {
        "correct_lower": str(right),
        "correct_upper": str(scope.total(asked) - wrong),
    }
    evaluated = np.flatnonzero((domain.methods != "skip") & domain.counts)
    read = sum(
        int(leaf["inputs"]) for leaf in document["proof"]["leaves"] if leaf["method"] != "skip"
    )
    without_weight = 2 * len(asked.tokens) * (read - len(evaluated))
    if scope.conditional:  # every input is looked at
        without_weight += 3 * len(asked.tokens) * read
    operations = operations_of(job.model, asked, evaluated, pilot.precision) + without_weight
    document["proof"]["operations"] = str(operations + pilot.surplus)


def _weight_of(chosen: Indices, asked: Domain, scope: Scope) -> int:
    """Return how much these inputs count."""
    if scope.weights is None:
        return len(chosen)
    rows = np.stack(np.unravel_index(chosen, asked.sizes), axis=1).tolist()
    return sum(
        math.prod(weights[place] for weights, place in zip(scope.weights, row, strict=True))
        for row in rows
    )
