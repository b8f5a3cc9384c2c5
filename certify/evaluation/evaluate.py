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
    Tokens,
    all_inputs,
    is_enumerable,
    sampled,
    smallest_of,
    uncertain_of,
)
from certify.model.config import Config, is_one_layer
from certify.model.file import Model
from certify.model.forward import batch_size, margins
from certify.model.forward import logits as network_logits
from certify.model.tensors import optional_shapes, required_shapes
from certify.progress import Progress, silent
from certify.question.scope import UNIFORM, Scope
from certify.question.tasks import MAX_OF_K, Task, task_named

MAXIMUM_PRODUCTS = 1 << 41


def evaluate(
    model: Model,
    task: str,
    scope: Scope = UNIFORM,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return an estimate of how often the model answers as the task asks.

    Requires: ``samples``, if given, is at least 1 and forces a sample of that size; by default
              every input is evaluated where that takes at most 2^25 inputs and 2^41
              multiplications, and 10^6 samples are drawn elsewhere.  ``progress`` is called as
              inputs are finished.
    Ensures:  the same arguments give the same result.
    Errors:   ``Unsupported`` if there is no such task or it is not about such a model,
              ``BadInput`` if the scope does not fit it.
    Cost:     the forward pass of every input; half a minute for 65 536 inputs of
              a two-layer model of width 32.
    """
    config, chosen = model.config, task_named(task)
    chosen.require_fits(config)
    if chosen is MAX_OF_K and is_one_layer(config):
        return evaluate_max_of_k(model, scope, samples, seed, progress)
    if samples is not None and samples < 1:
        raise BadInput(f"evaluate: samples must be at least 1, not {samples}")
    scope.require_fits(config)

    def margins_of(tokens: Tokens) -> Floats:
        return network_margins(model, chosen, tokens)

    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        if samples is None and is_enumerable(config) and _products(config) <= MAXIMUM_PRODUCTS:
            return _every_input(margins_of, batch_size(model), scope, config, progress)
        size = min(BATCH, batch_size(model))
        return sampled(margins_of, size, scope, config, samples or DEFAULT_SAMPLES, seed, progress)


def network_margins(model: Model, task: Task, tokens: Tokens) -> Floats:
    """Return the margin of each input: logit of the right answer less the best other logit.

    Requires: ``task.require_fits`` accepts the model; ``tokens`` [batch, n_ctx].
    Ensures:  infinity where there is no other output.
    """
    return margins(network_logits(model, tokens), task.answer(tokens, model.config))


def _products(config: Config) -> int:
    """Return about how many multiplications all inputs take: every weight, at every position, for
    every input.
    """
    shapes = required_shapes(config, config.d_model) | optional_shapes(config, config.d_model)
    weights = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not name.startswith(("embed", "pos_embed"))
    )
    inputs: int = config.d_vocab**config.n_ctx
    return inputs * config.n_ctx * weights


def _every_input(
    margins_of: Margins,
    size: int,
    scope: Scope,
    config: Config,
    progress: Progress,
) -> Evaluation:
    """Return the accuracy over every input that the scope does not exclude, ``size`` inputs at a
    time.
    """
    weights = scope.weights or ((1,) * config.d_vocab,) * config.n_ctx
    allowed = [
        np.array([t for t, weight in enumerate(row) if weight > 0], dtype=np.int64)
        for row in weights
    ]
    lengths = tuple(len(tokens) for tokens in allowed)
    inputs = math.prod(lengths)
    tallies: list[Tally] = []
    for start in range(0, inputs, size):
        places = np.unravel_index(np.arange(start, min(start + size, inputs)), lengths)
        tokens = np.stack([allowed[i][place] for i, place in enumerate(places)], axis=1)
        batch = margins_of(tokens)
        right = batch > 0
        exact = int(np.count_nonzero(right))
        if scope.weights is not None:
            exact = sum(
                math.prod(weights[i][t] for i, t in enumerate(row))
                for row in tokens[right].tolist()
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
        progress(start + len(batch), inputs, "")
    return all_inputs(tallies, scope.total(config))
