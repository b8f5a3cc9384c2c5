"""From a strategy's cells to a document whose claims the checker derived.

Estimates are tried first; where the checker refutes one, a second forest trusts none of them.  With
a budget, the effort is varied until the budget is well used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from certify.cells.enclosures import Hint, estimates, hints_for, unexplained_dimension
from certify.cells.forest import Cell, weakest
from certify.cells.numbering import numbering_of
from certify.cells.problem import Problem
from certify.cells.scaled import EXACT, scale
from certify.cells.slack import slack
from certify.certificate.client import REJECTED, Answer
from certify.certificate.document import Document, document_of, dyadic, with_bounds
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.errors import CertifyError, Unsupported
from certify.model.paths import decompose
from certify.progress import Progress

PRECISION = 96
MOST_ATTEMPTS, STRIDE, LARGEST_EFFORT = 6, 10.0, 1000.0
"""How often a strategy may try to use a budget well, and by what its effort changes until the
budget is bracketed.
"""

Build = Callable[[Problem], list[Cell]]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A draft and what the checker derived from it; no facts where it shows nothing."""

    drafted: Document
    facts: dict[str, Any] | None

    @property
    def lower(self) -> int:
        """Return how much it proves right, -1 where it shows nothing."""
        return -1 if self.facts is None else int(self.facts["correct_lower"])

    def fits(self, budget: int) -> bool:
        """Return whether it keeps to the budget; what shows nothing does."""
        return self.facts is None or int(self.facts["operations"]["total"]) <= budget


Attempting = Generator[Draft, Answer, _Attempt]


def draft(job: Job, progress: Progress) -> Drafting:
    """Draft the cells of a job's strategy, and claim what the checker derives.

    Requires: a model with one layer of attention with one head; the scope fits it.
    Errors:   ``Unsupported`` for the model or the budget; ``ProvesNothing``; ``CheckerRejected`` if
              not even a forest without estimates is accepted, which is a defect of the prover.
    Cost:     that of the strategy, and a run of the checker; several times that with a budget.
    """
    model, options = job.model, job.options
    domain = job.question.domain
    named = numbering_of(domain, model.config.d_vocab_out, job.scope.gap)
    if options.enclosures and domain.unusual:
        given = ", ".join(f"--{path}" for path in options.enclosures)
        raise Unsupported(f"{given}: paths are enclosed for the usual domain only")
    hints = hints_for(model, options.enclosures)
    off = slack(model, options.float32) if options.float32 else EXACT
    scaled = scale(named.renamed(decompose(model)), estimates(model, hints), off)
    weights = named.weights(domain, job.scope)

    def attempt(effort: float) -> Attempting:
        for cautious in (True,) if not scaled.trusted else (False, True):
            problem = Problem(named, weights, scaled, effort, cautious, progress)
            cells = job.strategy.build(problem)
            progress(named.places, named.places, "")
            drafted = document(job, named.named(cells), hints)
            answer = yield Draft(drafted)
            if answer.shows_nothing():
                return _Attempt(drafted, None)
            if answer.code != REJECTED:
                break
        return _Attempt(drafted, answer.facts())

    if options.budget is None:
        made = [(yield from attempt(options.chosen_effort))]
    else:
        made = yield from _within(options.budget, attempt, options.chosen_effort)
    best = max(made, key=lambda found: found.lower, default=None)
    if best is None or best.facts is None:
        raise _no_proof(job)
    dimension = unexplained_dimension(model.config, job.strategy.name, options.enclosures)
    yield Claim(with_claims(best.drafted, best.facts), dimension)


def _no_proof(job: Job) -> CertifyError:
    """Return the failure of a job without a proof that shows anything."""
    if job.options.budget is None:
        return nothing(job)
    within = f"within {job.options.budget} operations"
    return Unsupported(f"no proof by {job.strategy.name} {within} was found")


def document(job: Job, cells: Sequence[Cell], hints: Mapping[str, Hint]) -> Document:
    """Return a certificate with these cells, and hints for enclosed paths, that claims nothing."""
    total = job.scope.total(job.question.domain)
    paths = {"paths": dict(hints)} if hints else {}
    return document_of(job, PRECISION, cells=weakest(cells, total), **paths)


def _within(
    budget: int, attempt: Callable[[float], Attempting], effort: float
) -> Generator[Draft, Answer, list[_Attempt]]:
    """Return the attempts that keep to the budget: more effort while there is room, less while
    there is not, then between.
    """
    fitting: list[_Attempt] = []
    low, high = 0.0, math.inf
    for _ in range(MOST_ATTEMPTS):
        made = yield from attempt(effort)
        if made.fits(budget):
            fitting.append(made)
            low = effort
        else:
            high = effort
        if high == math.inf:
            effort = effort * STRIDE
        elif low == 0.0:
            effort = effort / STRIDE
        else:
            effort = math.sqrt(low * high)
        if effort > LARGEST_EFFORT:
            break
    return fitting


def with_claims(drafted: Document, facts: dict[str, Any], key: str = "cells") -> Document:
    """Return the draft with the bounds and the operations that the checker derived; its cells are
    under ``key``.
    """
    return with_bounds(drafted, facts, **{key: claimed(drafted["proof"][key], facts)})


def claimed(given: Sequence[Cell], facts: dict[str, Any]) -> list[Cell]:
    """Return the cells with the claims that the checker derived."""
    outcomes = iter(facts["cells"])
    scale_exponent = int(facts["margin_lower_exact"][1])
    cells = []
    for found in given:
        if "children" in found:
            cells.append(found)
            continue
        lower, upper, _, margin = next(outcomes)
        if found["method"] == "extreme":
            cells.append({**found, "margin": dyadic(max(margin or 0, 0), scale_exponent)})
        elif found["method"] == "skip":
            cells.append(found)
        else:
            cells.append({**found, "failures": [lower, upper]})
    return cells
