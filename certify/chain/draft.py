"""From the directions of a model to a document whose claims the checker derived.

All maxima begin with the coarsest cells.  Those that the checker leaves open go one level finer,
until none is open or there is no finer level; then each takes the level that is the best bargain.
"""

from __future__ import annotations

from typing import Any

from certify.cells.draft import claimed
from certify.cells.forest import weakest
from certify.cells.numbering import Numbering, numbering_of
from certify.cells.rungs import along_directions
from certify.certificate.client import REJECTED, Answer
from certify.certificate.document import Document, document_of, with_bounds
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.chain.directions import ATTENTION, answers_of, directions_of, wanted
from certify.chain.plan import LEVELS, SKIPPED, WORTH, Sizes, best, build
from certify.chain.triangles import triangulation
from certify.errors import Unsupported
from certify.model.file import Model
from certify.progress import Progress
from certify.question.float32 import require_no_float64

PRECISION = 64
RIVALS = {1: 2.0, 2: 6.0}
"""How many answers a maximum is tested against, on average, by directions."""

Hints = dict[str, Any]


def hints_of(model: Model) -> Hints:
    """Return the directions of a model, and for two of them the triangles of its answers.

    Errors: ``Unsupported`` if two directions put all answers on one line.
    """
    query, key, value, output = (model.tensor(f"{ATTENTION}W_{letter}")[0] for letter in "QKVO")
    count = wanted(model)
    moving = directions_of(value, output, count)
    hints: Hints = {
        "qk": directions_of(query, key.T, 1).spelled(),
        "ov": moving.spelled(),
    }
    if count > 1:
        answers = answers_of(model, moving)
        plane = triangulation(answers.places, answers.heights)
        if plane is None:
            raise Unsupported("strategy chain: two directions put all answers on one line")
        hints["plane"] = plane
    return hints


def without_corner(hints: Hints, named: Numbering) -> list[int]:
    """Return the maxima of which nothing can be proved: context, and right answers that are no
    corner of a triangle.
    """
    found = list(range(named.context))
    if "plane" in hints:
        corners = {j for triangle in hints["plane"]["triangles"] for j in triangle}
        operands = range(named.context, named.places)
        found += [m for m in operands if named.outputs[m] not in corners]
    return found


def document(job: Job, hints: Hints, levels: list[int]) -> Document:
    """Return a certificate that claims nothing, given the level of every maximum."""
    total = job.scope.total(job.question.domain)
    cells = weakest(build(levels), total)
    return document_of(job, PRECISION, chain={**hints, "cells": cells})


def open_by_maximum(drafted: Document, answer: Answer) -> dict[int, int] | None:
    """Return by maximum what the checker leaves open; None if that is everything.

    Errors: ``Unsupported`` if it refuses the triangles; else as ``Answer.facts``.
    """
    if answer.shows_nothing():
        return None
    if answer.code == REJECTED and "SPEC-15.5" in answer.report:
        raise Unsupported("strategy chain: answers lie too nearly in one plane for float64")
    outcomes = iter(answer.facts()["cells"])
    found: dict[int, int] = {}
    maximum = 0
    for one in drafted["proof"]["chain"]["cells"]:
        maximum = one.get("maximum", maximum)
        if "children" not in one:
            found[maximum] = found.get(maximum, 0) + int(next(outcomes)[1])
    return found


def draft(job: Job, progress: Progress) -> Drafting:
    """Draft a chain for a job, and claim what the checker derives.

    Requires: a model with one layer of attention with one head; the scope fits it.
    Errors:   ``Unsupported`` for the model or its directions; ``ProvesNothing``.
    Cost:     a run of the checker for each level that some maximum needs, and one or two more.
    """
    model = job.model
    if job.options.float32:
        require_no_float64(model)
    named = numbering_of(job.question.domain, model.config.d_vocab_out)
    hints = hints_of(model)
    hopeless = without_corner(hints, named)
    total = job.scope.total(job.question.domain)
    tried: dict[int, dict[int, float]] = {m: {} for m in range(named.places)}
    levels = [SKIPPED if m in hopeless else 0 for m in range(named.places)]
    for level in range(len(LEVELS)):
        progress(level, len(LEVELS) + 1, f"level {level}")
        drafted = document(job, hints, levels)
        answer = yield Draft(drafted)
        left = open_by_maximum(drafted, answer)
        waiting = [m for m in tried if levels[m] == level]
        for m in waiting:
            tried[m][level] = 1.0 if left is None else left[m] / total
        waiting = [m for m in waiting if tried[m][level] > 0.0]
        if not waiting or level + 1 == len(LEVELS):
            break
        for m in waiting:
            levels[m] = level + 1
    chosen = _chosen(job, named, hints, tried)
    if chosen != levels:
        drafted = document(job, hints, chosen)
        answer = yield Draft(drafted)
    progress(len(LEVELS) + 1, len(LEVELS) + 1, "")
    if answer.shows_nothing():
        raise nothing(job)
    facts = answer.facts()
    chain = drafted["proof"]["chain"]
    chain = {**chain, "cells": claimed(chain["cells"], facts)}
    dimension = along_directions(model.config, len(hints["ov"][1]["rows"]))
    yield Claim(with_bounds(drafted, facts, chain=chain), dimension)


def _chosen(
    job: Job, named: Numbering, hints: Hints, tried: dict[int, dict[int, float]]
) -> list[int]:
    """Return the best level for every maximum."""
    weights = named.weights(job.question.domain, job.scope)
    total = job.scope.total(job.question.domain)
    count = len(hints["ov"][1]["rows"])
    sizes = Sizes(job.model.config.n_ctx, count, RIVALS[count])
    worth = WORTH * job.options.chosen_effort
    found = []
    up_to = 0
    sums = [0] * len(weights)
    for m in range(named.places):
        sums = [known + row[m] for known, row in zip(sums, weights, strict=True)]
        before, up_to = up_to, 1
        for part in sums:
            up_to *= part
        share = (up_to - before) / total
        found.append(best(tried[m], sizes, m, share, worth))
    return found
