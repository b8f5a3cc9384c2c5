"""What is known of the accuracy of a model that names the maximum, without a proof."""

from __future__ import annotations

from dataclasses import dataclass

from certify.evaluation.of_four import failures_of_four
from certify.evaluation.separable import evaluate_max_of_k
from certify.evaluation.tally import (
    DEFAULT_SAMPLES,
    Floats,
    is_enumerable,
    sampled,
)
from certify.model.config import is_one_layer
from certify.model.file import Model
from certify.model.forward import batch_size, logits, margins
from certify.progress import Progress, silent
from certify.question.domain import Places, read_domain
from certify.question.scope import UNIFORM

MOST_COUNTED = 512
"""The largest vocabulary whose inputs of length 4 are counted."""
MOST_WRONG_COUNTED = 0.001
"""Counting takes long where a larger share of the inputs is wrong."""
FIRST_SAMPLES = 1 << 14
MOST_SAMPLED_LOGITS = 1 << 29


@dataclass(frozen=True, slots=True)
class Known:
    """An interval of the accuracy, a float64 estimate: one number where every input was decided,
    ``wrong`` of ``inputs`` of them; else that of a sample, at 99 %.
    """

    low: float
    high: float
    inputs: int
    wrong: int
    every: bool

    def how(self) -> str:
        """Return how it was found."""
        return "counted in float64" if self.every else f"{self.inputs} samples, 99 %"

    def told(self) -> str:
        """Return the accuracy for a reader."""
        if self.every:
            return f"{self.low:.10f}: {self.wrong} of {self.inputs} inputs wrong ({self.how()})"
        return f"{self.low:.7f} to {self.high:.7f} ({self.how()})"


def known_accuracy(
    model: Model, samples: int | None = None, seed: int = 0, progress: Progress = silent
) -> Known:
    """Return what is known of how often the model names the maximum of its tokens.

    Every input is decided where that is quick: all of them where there are few, and by
    ``failures_of_four`` at length 4 where a first sample is mostly right.

    Requires: an output for every token; ``samples``, if given, are drawn where not every input is
              decided; 10^6 by default, fewer where there are more than 537 outputs.
    Ensures:  the same arguments give the same result.
    Cost:     some seconds; a minute and a half at length 4 and vocabulary 512.  No table of
              d_vocab^2 entries is formed where a sample is drawn.
    """
    config = model.config
    domain = read_domain(config)
    plain = is_one_layer(config)
    if plain and is_enumerable(domain, config):
        all_inputs = evaluate_max_of_k(model, domain, progress=progress)
        wrong = all_inputs.wrong
        return Known(all_inputs.accuracy, all_inputs.accuracy, all_inputs.inputs, wrong, every=True)
    if plain and config.n_ctx == 4 and config.d_vocab <= MOST_COUNTED:
        first = _sample(model, FIRST_SAMPLES, seed, silent)
        if first.wrong <= MOST_WRONG_COUNTED * first.inputs:
            wrong = failures_of_four(model, lambda done: progress(done, config.d_vocab, ""))
            right = (domain.inputs - wrong) / domain.inputs
            return Known(right, right, domain.inputs, wrong, every=True)
    fitting = min(DEFAULT_SAMPLES, MOST_SAMPLED_LOGITS // config.d_vocab_out)
    return _sample(model, samples or fitting, seed, progress)


def _sample(model: Model, samples: int, seed: int, progress: Progress) -> Known:
    """Return the estimate from so many random inputs, each passed through the network."""

    def margins_of(places: Places) -> Floats:
        return margins(logits(model, places), places.max(axis=1))

    domain = read_domain(model.config)
    found = sampled(margins_of, batch_size(model), UNIFORM, domain, samples, seed, progress)
    return Known(found.low, found.high, samples, found.wrong, every=False)
