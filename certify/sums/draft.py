"""From hints about a model of two operands to a document whose claims the checker derived."""

from __future__ import annotations

from certify.certificate.document import document_of, with_bounds
from certify.certificate.finish import Claim, Draft, Drafting, nothing
from certify.certificate.job import Job
from certify.model.config import Config
from certify.progress import Progress
from certify.question.float32 import require_no_float64
from certify.sums.strategies import Sums

PRECISIONS = (64, 256)
"""Bits of shares; more of them only if some input is left open by the first."""


def draft(job: Job, progress: Progress) -> Drafting:
    """Draft the hints of a job's strategy, and claim what the checker derives.

    Requires: an architecture that sums are proved for; the scope fits it.
    Errors:   ``Unsupported`` for the model; ``ProvesNothing``; ``CheckerRejected`` if the hints are
              not accepted, which is a defect of the prover.
    Cost:     that of the strategy, and a run of the checker, or two if some input is open for lack
              of precision.
    """
    model, options = job.model, job.options
    if options.float32:
        require_no_float64(model)
    sums: Sums = job.strategy.build(model, job.question, options.chosen_effort)
    inputs = job.question.domain.inputs
    progress(inputs, inputs, "")
    for precision in PRECISIONS:
        drafted = document_of(job, precision, sums=sums)
        answer = yield Draft(drafted)
        more_may_help = model.config.mix != 0 and sums.get("settle") != 0
        if answer.shows_nothing() and (not more_may_help or precision == PRECISIONS[-1]):
            raise nothing(job)
        if answer.shows_nothing():
            continue
        facts = answer.facts()
        if facts["correct_lower"] == facts["correct_upper"] or not more_may_help:
            break
    yield Claim(with_bounds(drafted, facts), unexplained_dimension(model.config, inputs, sums))


def unexplained_dimension(config: Config, inputs: int, sums: Sums) -> int:
    """Return how many numbers a proof looks at one by one: all logits of all inputs, or what stands
    for them.

    That is the inputs times the outputs for ``exact``, as for brute force of any task; the inputs
    times the rank for two matrices, and their entries; with switches, their tables besides.
    """
    if sums["rule"] == "exact":
        return int(inputs * config.d_vocab_out)
    rank = len(sums["right"]["rows"])
    tables = sum(map(len, sums["tables"]["rows"])) if "tables" in sums else 0
    return int(rank * (inputs + (config.d_mlp or 0) + config.d_vocab_out) + tables)
