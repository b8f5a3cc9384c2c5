"""Fixed random inputs of Max-of-K, and how often path matrices answer them rightly.

The sample is drawn once for each shape and seed, so that two models are compared on the same
inputs: what differs is the models.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.evaluation.separable import margins
from certify.evaluation.tally import BATCH, clopper_pearson
from certify.lab.kinds import Facts
from certify.model.forward import margins as network_margins
from certify.model.paths import Paths

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]

SIZE = 1 << 17
"""Inputs of a sample: 131 072."""
SMALL_SIZE = 1 << 12
"""Inputs of a sample in ``--smoke``."""
SEED = 2406
SMALL_BATCH = 2048
"""Inputs at a time, few enough for a cache."""
NEAR = 1e-4
"""Margins within this share of the largest logit are decided in float64."""
LARGEST_FLOAT32 = 1e30


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
            [np.zeros(0)]
            + [margins(paths, tokens[at : at + BATCH]) for at in range(0, len(tokens), BATCH)]
        )


def measured(paths: Paths, tokens: Tokens) -> Measured:
    """Return how many inputs path matrices answer with the maximum, in float64.

    Cost: half of ``margins_of``: float32 decides where the margin is not near zero.
    """
    largest = max(float(np.abs(table).max()) for table in (paths.EU, paths.EVOU, paths.PVOU))
    if not largest <= LARGEST_FLOAT32:
        return Measured(int(np.count_nonzero(margins_of(paths, tokens) > 0)), len(tokens))
    values = np.vstack([paths.EVOU, paths.PVOU]).astype(np.float32)
    direct = paths.EU.astype(np.float32)
    right, open_ = 0, []
    for at in range(0, len(tokens), SMALL_BATCH):
        batch = tokens[at : at + SMALL_BATCH]
        logits: Any = _attention(paths, batch) @ values + direct[batch[:, -1]]
        found = network_margins(logits, batch.max(axis=1))
        right += int(np.count_nonzero(found > NEAR * largest))
        open_.append(batch[~(np.abs(found) > NEAR * largest)])
    right += int(np.count_nonzero(margins_of(paths, np.concatenate(open_)) > 0))
    return Measured(right, len(tokens))


def _attention(paths: Paths, tokens: Tokens) -> NDArray[np.float32]:
    """Return attention by token and by position, [inputs, d_vocab + n_ctx]."""
    inputs, n_ctx = tokens.shape
    d_vocab = len(paths.EVOU)
    query = tokens[:, -1]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scores = (paths.EQKE[query[:, None], tokens] + paths.EQKP[query]) / np.sqrt(paths.d_head)
        pattern = np.exp(scores - scores.max(axis=1, keepdims=True))
        pattern /= pattern.sum(axis=1, keepdims=True)
    found = np.zeros((inputs, d_vocab + n_ctx), dtype=np.float32)
    for position in range(n_ctx):
        found[np.arange(inputs), tokens[:, position]] += pattern[:, position]
    found[:, d_vocab:] = pattern
    return found
