"""Estimate the accuracy of a model in float64: over every input, or over a random sample.

Nothing here is a bound: floating point can misjudge an input whose margin is
tiny, and a sample can be unlucky.  The exhaustive mode says how many inputs
have a margin too small to trust; the sampled mode gives a confidence interval.

Max-of-K on one layer of attention has a faster exhaustive mode than the other
tasks and models: it uses the separable form of softmax.  Multiplying the logits
of an input by the softmax denominator, which is positive, leaves ::

    sum_i w_i(x_i) (EU[q] + EVOU[x_i] + PVOU[i]),   w_i(t) = exp(score of token t at position i)

one term for each position, so that the inputs of one query are sums of table
rows and share nearly all of their work.
"""

from __future__ import annotations

import math

import numpy as np

from certify.errors import BadInput
from certify.evaluation.separable import (
    evaluate_max_of_k,
)
from certify.evaluation.tally import (
    BATCH,
    DEFAULT_SAMPLES,
    Evaluation,
    Floats,
    Margins,
    Tally,
    all_inputs,
    is_enumerable,
    sampled,
    smallest_of,
    uncertain_of,
)
from certify.model.config import Config, is_one_layer
from certify.model.file import Model
from certify.model.forward import batch_size
from certify.model.tensors import optional_shapes, required_shapes
from certify.progress import Progress, silent
from certify.question.domain import Domain, Places
from certify.question.question import Question
from certify.question.rules import MAX_OF_K
from certify.question.scope import UNIFORM, Scope

MAXIMUM_PRODUCTS = 1 << 41


def evaluate(
    model: Model,
    question: Question,
    scope: Scope = UNIFORM,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return an estimate of how often the model answers as the question asks.

    Requires: ``question`` was read for this model; ``samples``, if given, is at least 1 and forces
              a sample of that size; by default every input is evaluated where that takes at most
              2^25 inputs and 2^41 multiplications, and 10^6 samples are drawn elsewhere.
              ``progress`` is called as inputs are finished.
    Ensures:  the same arguments give the same result.
    Errors:   ``BadInput`` if the scope does not fit the domain, or for fewer samples than one.
    Cost:     the forward pass of every input; half a minute for 65 536 inputs of
              a two-layer model of width 32.
    """
    config, domain = model.config, question.domain
    scope.require_fits(domain)
    if question.name == MAX_OF_K and is_one_layer(config) and not domain.unusual:
        return evaluate_max_of_k(model, domain, scope, samples, seed, progress)
    if samples is not None and samples < 1:
        raise BadInput(f"evaluate: samples must be at least 1, not {samples}")

    def margins_of(places: Places) -> Floats:
        return question.margins(model, places)

    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        few = is_enumerable(domain, config) and _products(config, domain) <= MAXIMUM_PRODUCTS
        if samples is None and few:
            return _every_input(margins_of, batch_size(model), scope, domain, progress)
        size = min(BATCH, batch_size(model))
        return sampled(margins_of, size, scope, domain, samples or DEFAULT_SAMPLES, seed, progress)


def near_chance(result: Evaluation, question: Question) -> bool:
    """Return whether an accuracy is one that guessing might reach: below twice one over the number
    of answers, below one half where there are two.
    """
    answers = len(question.domain.answers)
    return result.accuracy < (0.5 if answers <= 2 else 2 / answers)


def _products(config: Config, domain: Domain) -> int:
    """Return about how many multiplications all inputs take: every weight, at every position, for
    every input.
    """
    shapes = required_shapes(config, config.d_model) | optional_shapes(config, config.d_model)
    weights = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not name.startswith(("embed", "pos_embed"))
    )
    return domain.inputs * config.n_ctx * weights


def _every_input(
    margins_of: Margins,
    size: int,
    scope: Scope,
    domain: Domain,
    progress: Progress,
) -> Evaluation:
    """Return the accuracy over every input that the scope does not exclude, ``size`` inputs at a
    time.
    """
    weights = scope.rows(domain)
    allowed = [
        np.array([place for place, weight in enumerate(row) if weight > 0], dtype=np.int64)
        for row in weights
    ]
    lengths = tuple(map(len, allowed))
    inputs = math.prod(lengths)
    tallies: list[Tally] = []
    for start in range(0, inputs, size):
        chosen = np.unravel_index(np.arange(start, min(start + size, inputs)), lengths)
        places = np.stack([allowed[i][place] for i, place in enumerate(chosen)], axis=1)
        places = places[scope.holds(places, domain)]
        batch = margins_of(places)
        right = batch > 0
        exact = int(np.count_nonzero(right))
        if scope.weights is not None:
            exact = sum(
                math.prod(weights[i][place] for i, place in enumerate(row))
                for row in places[right].tolist()
            )
        tallies.append(
            Tally(
                len(batch),
                int(np.count_nonzero(~right)),
                uncertain_of(batch),
                exact,
                smallest_of(batch),
            )
        )
        progress(min(start + size, inputs), inputs, "")
    return all_inputs(tallies, scope.total(domain))
