"""How far what an explanation leaves out of the QK circuit is from random, by one statistic.

The residual is the published one (arXiv 2406.11779, and its released code): with E_q = W_E +
W_pos[n-1] and Ebar = W_E + mean(W_pos), the first singular directions come off both embeddings,
then those of what is left, and off W_Q and W_K their first. What remains is a product of four
factors, and the statistic is its largest row range.  It is compared with that of factors whose
entries are shuffled.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from certify.lab.kinds import Facts
from certify.model.file import Model

Floats = NDArray[np.float64]
SEED = 1234
NOTHING = 1e-6
"""A residual with a smaller range than this, in scores, is rounding."""


def factors_of(model: Model) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four factors of the residual.

    Requires: one layer and one head without layer norm.
    """
    W_E, W_pos = model.tensor("embed.W_E"), model.tensor("pos_embed.W_pos")
    W_Q, W_K = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QK")
    query, key = W_E + W_pos[-1], W_E + W_pos.mean(axis=0)
    left, _, right = np.linalg.svd(query @ W_Q @ W_K.T @ key.T)
    query, key = without(query, left[:, 0]), without(key, right[0])
    return (
        without(query, first_of(query)),
        without(W_Q, first_of(W_Q)),
        without(W_K, first_of(W_K)).T,
        without(key, first_of(key)).T,
    )


def first_of(matrix: Floats) -> Floats:
    """Return the first left singular vector."""
    found: Floats = np.linalg.svd(matrix)[0][:, 0]
    return found


def without(matrix: Floats, direction: Floats) -> Floats:
    """Return a matrix less its part along a unit vector of its rows' space, from the left."""
    found: Floats = matrix - np.outer(direction, direction @ matrix)
    return found


def statistic(factors: tuple[Floats, ...]) -> float:
    """Return the largest row range of a product."""
    return float(np.ptp(np.linalg.multi_dot(factors), axis=1).max())


def z_score(model: Model, draws: int) -> Facts:
    """Return the statistic, its mean and standard deviation for shuffled factors, and by how many
    of these it is larger; None where the residual is zero.
    """
    factors = factors_of(model)
    real = statistic(factors)
    generator = np.random.default_rng([SEED, draws])
    drawn = [
        statistic(tuple(generator.permutation(one.ravel()).reshape(one.shape) for one in factors))
        for _ in range(draws)
    ]
    mean = math.fsum(drawn) / draws
    sd = math.sqrt(math.fsum((one - mean) ** 2 for one in drawn) / (draws - 1))
    z = (real - mean) / sd if real > NOTHING and sd > 0 else None
    return {"real": real, "shuffle": {"mean": mean, "sd": sd, "n": draws, "z": z}}
