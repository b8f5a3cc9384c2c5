"""Which paths are worth enclosing, where nobody said so.

A path that is enclosed is not multiplied out, so that its proof is shorter, and its tables are
wider, so that more answers are left by every cell.  Training decides which of both counts: a model
whose direct path hardly depends on the query loses nothing.  What is looked at here is only what
one screen for each maximum would leave; the proofs of what looks promising are compared by the
checker's count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from certify.cells.enclosures import Hint, chains, estimates, hints_for, length
from certify.cells.estimates import Cells
from certify.cells.problem import COST_OF_ANSWER, starts_of
from certify.cells.scaled import EXACT, Array, Scaled, scale
from certify.cells.slack import slack
from certify.certificate.job import Job
from certify.model.paths import Paths

QUADRATIC = {"qk": "max_diff_subproduct_recursive", "direct": "mean_query+max_diff"}
"""Enclosures that form no product with a column for each token or answer."""

CANDIDATES: tuple[Mapping[str, str], ...] = (
    {"direct": QUADRATIC["direct"]},
    {"qk": QUADRATIC["qk"]},
    QUADRATIC,
)

LAYOUT = (4, 0.5)
"""The layout of the screens that are looked at."""


@dataclass(frozen=True, slots=True)
class Way:
    """How paths are enclosed, by name and as hints, and the tables that this gives."""

    chosen: Mapping[str, str]
    hints: Mapping[str, Hint]
    scaled: Scaled


def way_of(job: Job, paths: Paths, chosen: Mapping[str, str]) -> Way:
    """Return the tables of a model with its paths enclosed in a named way.

    Requires: ``paths`` are those of the job's model, by places.
    Errors:   ``BadInput`` for a name that there is not.
    """
    hints = hints_for(job.model, chosen)
    off = slack(job.model, job.options.float32) if job.options.float32 else EXACT
    return Way(chosen, hints, scale(paths, estimates(job.model, hints), off))


def promising(job: Job, paths: Paths, exact: Way, probabilities: Array) -> Iterator[Way]:
    """Yield the ways to enclose paths that may make a shorter proof than multiplying them out.

    A way is promising if what its screens leave costs less, as far as can be told from the answers
    that are left, than the products that it does without.
    """
    factors = chains(job.model)
    usual = _left(exact.scaled, probabilities)
    for chosen in CANDIDATES:
        way = way_of(job, paths, chosen)
        saved = sum(length(factors[path]) for path in chosen)
        if way.scaled.trusted and _left(way.scaled, probabilities) - usual < saved:
            yield way


def _left(scaled: Scaled, probabilities: Array) -> float:
    """Return about what the answers cost that screens of all maxima leave."""
    cells = Cells(scaled, probabilities)
    found = 0.0
    for maximum in range(len(scaled.E_low)):
        ((left, _),) = cells.screens(maximum, [starts_of(maximum, *LAYOUT)])
        found += len(left.answers) * (2 * maximum + COST_OF_ANSWER)
    return found
