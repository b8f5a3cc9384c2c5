"""From a strategy's wide cells to a document whose claims the checker derived."""

from __future__ import annotations

from certify.cells.draft import PRECISION, with_claims
from certify.cells.forest import weakest
from certify.cells.numbering import numbering_of
from certify.certificate.client import REJECTED
from certify.certificate.document import document_of
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.errors import Unsupported
from certify.progress import Progress
from certify.wide.estimates import LOOSER
from certify.wide.slack import slack
from certify.wide.strategies import Problem
from certify.wide.tables import tables_of


def draft(job: Job, progress: Progress) -> Drafting:
    """Draft the wide cells of a job's strategy, and claim what the checker derives.

    Requires: a model that ``certify.wide.family.require`` accepts.
    Errors:   ``Unsupported`` where float64 says nothing of the model; ``ProvesNothing``;
              ``CheckerRejected`` if the checker refuses what it derived, a defect of the prover.
    Cost:     that of the strategy, and a run of the checker.
    """
    domain = job.question.domain
    named = numbering_of(domain, job.model.config.d_vocab_out)
    tables = tables_of(job.model, named)
    if not tables.trusted:
        raise Unsupported("weights are too large to choose boxes in float64; use exhaustive")
    weights = named.weights(domain, job.scope)
    off = slack(job.model, job.options.float32, tables.S[1])
    total = job.scope.total(domain)
    for looser in LOOSER:
        problem = Problem(named, weights, tables, job.options.chosen_effort, looser, progress, off)
        cells = named.named(job.strategy.build(problem))
        progress(named.places, named.places, "")
        drafted = document_of(job, PRECISION, wide=weakest(cells, total))
        answer = yield Draft(drafted)
        if answer.shows_nothing():
            raise nothing(job)
        if answer.code != REJECTED:
            break
    else:
        raise Unsupported(
            "float64 finds no boxes and bounds of neurons that hold for this model; use exhaustive"
        )
    yield Claim(with_claims(drafted, answer.facts(), "wide"), 0)
