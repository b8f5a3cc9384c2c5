"""What batches of inputs add up to: counts for every input, an interval for a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.model.config import Config
from certify.progress import Progress
from certify.question.domain import Domain, Places
from certify.question.scope import Scope

UNCERTAIN_MARGIN = 1e-9
CONFIDENCE = 0.99
MAXIMUM_INPUTS = 1 << 25
MAXIMUM_LOGITS = 1 << 32
DEFAULT_SAMPLES = 1_000_000
BATCH = 8192

Floats: TypeAlias = NDArray[np.float64]
Margins: TypeAlias = Callable[[Places], Floats]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An estimate of the accuracy of a model on a task.

    ``total`` is the weight of the domain and ``correct`` that of the inputs
    answered correctly (both exact integers, counts under the uniform scope;
    ``correct`` is absent for a sample).  ``inputs`` were evaluated, ``wrong``
    of them wrongly, ``uncertain`` of them with ``|margin| < 1e-9``.
    ``low`` and ``high`` are the 99 % confidence interval of a sample and equal
    to ``accuracy`` otherwise.  A tie is wrong.
    """

    exhaustive: bool
    total: int
    correct: int | None
    inputs: int
    wrong: int
    uncertain: int
    accuracy: float
    low: float
    high: float
    smallest_margin: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch of inputs adds to the result."""

    inputs: int
    wrong: int
    uncertain: int
    correct: int
    smallest_margin: float


def is_enumerable(domain: Domain, config: Config) -> bool:
    """Return whether evaluating every input is cheap enough to be the default."""
    inputs = domain.inputs
    return inputs <= MAXIMUM_INPUTS and inputs * config.d_vocab_out <= MAXIMUM_LOGITS


def clopper_pearson(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the Clopper-Pearson confidence interval of a binomial probability.

    Requires: 0 <= successes <= trials, trials >= 1.
    Ensures:  an interval that covers the true probability at least
              ``confidence`` of the time (up to rounding).
    """
    tail = (1.0 - confidence) / 2.0
    failures = trials - successes
    if successes < failures:
        below, above = clopper_pearson(failures, trials, confidence)
        return 1.0 - above, 1.0 - below
    # Both ends by the failures, of which there are fewer: a sum of that many terms.
    low = 0.0 if successes == 0 else 1.0 - _tail_root(failures, trials, tail)
    high = 1.0 if failures == 0 else 1.0 - _tail_root(failures - 1, trials, 1.0 - tail)
    return low, high


def _tail_root(count: int, trials: int, tail: float) -> float:
    """Return the p in [0, 1] with P(Binomial(trials, p) <= count) = tail, for count < trials."""
    below = np.arange(count, dtype=np.float64)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((trials - below) / (below + 1.0)))])
    successes = np.arange(count + 1, dtype=np.float64)
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        terms = (
            log_choose + successes * math.log(middle) + (trials - successes) * math.log1p(-middle)
        )
        top = float(terms.max())
        if top + math.log(float(np.exp(terms - top).sum())) > math.log(tail):
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def sampled(
    margins_of: Margins,
    size: int,
    scope: Scope,
    domain: Domain,
    samples: int,
    seed: int,
    progress: Progress,
) -> Evaluation:
    """Return an estimate from inputs drawn independently from the scope's distribution, ``size`` at
    a time.
    """
    generator = np.random.default_rng(seed)
    wrong = uncertain = 0
    smallest = math.inf
    for start in range(0, samples, size):
        places = _draw(generator, scope, domain, min(size, samples - start))
        batch = margins_of(places)
        wrong += int(np.count_nonzero(~(batch > 0)))
        uncertain += uncertain_of(batch)
        smallest = min(smallest, smallest_of(batch))
        progress(start + len(places), samples, "")
    low, high = clopper_pearson(samples - wrong, samples)
    return Evaluation(
        exhaustive=False,
        total=scope.total(domain),
        correct=None,
        inputs=samples,
        wrong=wrong,
        uncertain=uncertain,
        accuracy=(samples - wrong) / samples,
        low=low,
        high=high,
        smallest_margin=smallest,
    )


def _draw(generator: np.random.Generator, scope: Scope, domain: Domain, count: int) -> Places:
    """Return ``count`` random inputs by places, [count, n_ctx].

    Cost: with a condition, inputs are drawn until enough fulfil it.
    """
    if scope.conditional:
        drawn = np.empty((0, len(domain.sizes)), dtype=np.int64)
        while len(drawn) < count:
            more = generator.integers(0, domain.sizes, size=(count, len(domain.sizes)))
            drawn = np.concatenate([drawn, more[scope.holds(more, domain)]])
        return drawn[:count]
    if scope.weights is None:
        return generator.integers(0, domain.sizes, size=(count, len(domain.sizes)))
    columns: list[Places] = []
    for weights in scope.weights:
        total = sum(weights)
        shares = np.array([weight / total for weight in weights])
        columns.append(generator.choice(len(weights), size=count, p=shares / shares.sum()))
    return np.stack(columns, axis=1)


def all_inputs(tallies: Sequence[Tally], total: int) -> Evaluation:
    """Return the result that tallies of all inputs add up to."""
    correct = sum(tally.correct for tally in tallies)
    accuracy = correct / total
    return Evaluation(
        exhaustive=True,
        total=total,
        correct=correct,
        inputs=sum(tally.inputs for tally in tallies),
        wrong=sum(tally.wrong for tally in tallies),
        uncertain=sum(tally.uncertain for tally in tallies),
        accuracy=accuracy,
        low=accuracy,
        high=accuracy,
        smallest_margin=min(tally.smallest_margin for tally in tallies),
    )


def uncertain_of(batch: Floats) -> int:
    """Return how many margins are too small to trust; a NaN is."""
    return int(np.count_nonzero(~(np.abs(batch) >= UNCERTAIN_MARGIN)))


def smallest_of(batch: Floats) -> float:
    """Return the smallest margin that is not NaN, or infinity."""
    return float(np.min(batch, initial=math.inf, where=~np.isnan(batch)))
