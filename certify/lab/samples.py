"""Fixed random inputs of Max-of-K, and how often path matrices answer them rightly.

The sample is drawn once for each shape and seed, so that two models are compared on the same
inputs: what differs is the models.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.evaluation.separable import margins
from certify.evaluation.tally import BATCH, clopper_pearson
from certify.lab.kinds import Facts
from certify.model.paths import Paths

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]

SIZE = 1 << 17
"""Inputs of a sample: 131 072."""
SMALL_SIZE = 1 << 12
"""Inputs of a sample in ``--smoke``."""
SEED = 2406


@functools.lru_cache(maxsize=4)
def sample_of(d_vocab: int, n_ctx: int, size: int = SIZE, seed: int = SEED) -> Tokens:
    """Return uniform inputs, [size, n_ctx], the same for the same arguments."""
    generator = np.random.default_rng([seed, d_vocab, n_ctx])
    tokens: Tokens = generator.integers(0, d_vocab, size=(size, n_ctx), dtype=np.int64)
    tokens.setflags(write=False)
    return tokens


@dataclass(frozen=True, slots=True)
class Measured:
    """How many of some inputs are answered rightly; a tie is wrong."""

    right: int
    inputs: int

    @property
    def accuracy(self) -> float:
        """Return the share."""
        return self.right / self.inputs

    def facts(self) -> Facts:
        """Return it with its 99 % Clopper-Pearson interval, as JSON."""
        low, high = clopper_pearson(self.right, self.inputs)
        return {
            "right": self.right,
            "inputs": self.inputs,
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
        }


def margins_of(paths: Paths, tokens: Tokens) -> Floats:
    """Return the margin of every input in float64, [inputs].

    Cost: d_vocab * d_vocab_out multiplications for each input: half a second for 131 072 inputs
          of 64 tokens.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.concatenate(
            [margins(paths, tokens[at : at + BATCH]) for at in range(0, len(tokens), BATCH)]
        )


def measured(paths: Paths, tokens: Tokens) -> Measured:
    """Return how many inputs path matrices answer with the maximum."""
    return Measured(int(np.count_nonzero(margins_of(paths, tokens) > 0)), len(tokens))
