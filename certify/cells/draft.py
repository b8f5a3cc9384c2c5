"""From a strategy's cells to a document whose claims the checker derived.

Where float64 knows what the checker will derive of every cell, that is claimed at once; if it is
verified, nothing else is run.  Estimates are tried first; where the checker refutes one, a second
forest trusts none of them.  With a budget, the effort is varied until the budget is well used.  A
strategy that chooses how paths are enclosed has a proof made for each way that looks promising, and
the best one is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from certify.cells.enclosures import Hint, chains, length, unexplained_dimension
from certify.cells.expected import facts, logit_bits
from certify.cells.forest import Cell, weakest
from certify.cells.numbering import numbering_of
from certify.cells.problem import Problem
from certify.cells.ways import Way, promising, way_of
from certify.certificate.client import REJECTED, Answer, is_nothing
from certify.certificate.document import Document, document_of, dyadic, with_bounds
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.errors import CertifyError, CheckerRejected, Unsupported
from certify.model.paths import decompose
from certify.progress import Progress

PRECISION = 96
MOST_UNSAID = Fraction(1, 10**8)
"""The share of the domain by which what is claimed at once may be weaker than what is derived."""

OF_AN_ENTRY = 100
"""Operations that an entry of a table is taken to cost besides products; they are fewer."""

MOST_ATTEMPTS, STRIDE, LARGEST_EFFORT = 6, 10.0, 1000.0
"""How often a strategy may try to use a budget well, and by what its effort changes until the
budget is bracketed.
"""

Build = Callable[[Problem], list[Cell]]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A draft, its enclosures by name, and what the checker derived from it; no facts where it
    shows nothing.
    """

    drafted: Document
    chosen: Mapping[str, str]
    facts: dict[str, Any] | None

    @property
    def lower(self) -> int:
        """Return how much it proves right, -1 where it shows nothing."""
        return -1 if self.facts is None else int(self.facts["correct_lower"])

    @property
    def operations(self) -> int:
        """Return how many operations the checker needs, none where it shows nothing."""
        return 0 if self.facts is None else int(self.facts["operations"]["total"])

    def price(self, worth: float, total: int) -> float:
        """Return its operations, and what the share that it leaves open is worth."""
        return self.operations + worth * (total - max(self.lower, 0)) / total

    def fits(self, budget: int) -> bool:
        """Return whether it keeps to the budget; what shows nothing does."""
        return self.operations <= budget


Attempting = Generator[Draft | Claim, Answer, _Attempt]


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
    paths = named.renamed(decompose(model))
    weights = named.weights(domain, job.scope)

    def attempt(way: Way, effort: float, most: float = math.inf) -> Attempting:
        for cautious in (True,) if not way.scaled.trusted else (False, True):
            problem = Problem(named, weights, way.scaled, effort, cautious, progress, most)
            cells = named.named(job.strategy.build(problem))
            progress(named.places, named.places, "")
            drafted = document(job, cells, way.hints)
            early = expected_claims(job, cells, drafted) if alone else None
            if early is not None:
                yield Claim(early, dimension_of(way.chosen), MOST_UNSAID)
            answer = yield Draft(drafted)
            if answer.shows_nothing():
                return _Attempt(drafted, way.chosen, None)
            if answer.code != REJECTED:
                break
        return _Attempt(drafted, way.chosen, answer.facts())

    asked = way_of(job, paths, options.enclosures)
    ways = [asked]
    if job.strategy.worth is not None and not (options.enclosures or domain.unusual):
        shares = np.array([[entry / sum(row) for entry in row] for row in weights])
        ways += promising(job, paths, asked, shares) if asked.scaled.trusted else []
    alone = len(ways) == 1 and options.budget is None
    dimension_of = partial(unexplained_dimension, model.config, job.strategy.name)
    made: list[_Attempt] = []
    for way in ways:
        try:
            if options.budget is None:
                most = min((_price(job, one) for one in made), default=math.inf)
                made.append((yield from attempt(way, options.chosen_effort, most)))
            else:
                tried = _within(options.budget, partial(attempt, way), options.chosen_effort)
                made += yield from tried
        except (CheckerRejected, Unsupported):
            if way is asked:
                raise
    best = _best(job, made)
    if best is None or best.facts is None:
        raise _no_proof(job)
    yield Claim(with_claims(best.drafted, best.facts), dimension_of(best.chosen))


def _best(job: Job, made: Sequence[_Attempt]) -> _Attempt | None:
    """Return the proof to keep: within a budget the one that proves most, else that of the least
    price; the first of equal ones.
    """
    if job.options.budget is not None or job.strategy.worth is None:
        return max(made, key=lambda found: found.lower, default=None)
    return min(made, key=partial(_price, job))


def _price(job: Job, found: _Attempt) -> float:
    """Return what a proof costs, and what it leaves open where that has a worth."""
    worth = (job.strategy.worth or 0.0) * job.options.chosen_effort
    return found.price(worth, job.scope.total(job.question.domain))


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


def expected_claims(job: Job, cells: Sequence[Cell], drafted: Document) -> Document | None:
    """Return the draft with the claims that are expected of its cells, a little weaker than what
    the checker will derive; None where they are not known, or show nothing.
    """
    if job.scope.conditional:  # shares are of the inputs that fulfil no condition too
        return None
    total, config = job.scope.total(job.question.domain), job.model.config
    products = sum(map(length, chains(job.model).values()))
    tables = OF_AN_ENTRY * config.d_vocab * (config.d_vocab_out + config.n_ctx)
    found = facts(cells, total, 2.0 * products + tables, logit_bits(job.model))
    if found is None or is_nothing({**found, "total": str(total)}):
        return None
    return with_claims(drafted, found)


def _within(
    budget: int, attempt: Callable[[float], Attempting], effort: float
) -> Generator[Draft | Claim, Answer, list[_Attempt]]:
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
