"""Planes over what the neurons of a ReLU MLP read.  (SPEC-16.11)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certify.cells.estimates import Tokens
from certify.cells.scaled import Array
from certify.wide.tables import Tables

UNITS_OF_A_BOUND = 4096.0
SLOPES = 256.0
"""Slopes are multiples of the reciprocal, rounded down."""


@dataclass(frozen=True, slots=True)
class Planes:
    """``slopes`` [neurons, J] and ``constants`` [J]: no less than what neurons add for each
    answer.
    """

    slopes: Array
    constants: Array

    @classmethod
    def over(cls, bounds: Array, effects: Array, answers: Tokens, maximum: int) -> Planes:
        """Return the checker's planes for bounds in units of 2^-12."""
        least, most = bounds[:, 0] / UNITS_OF_A_BOUND, bounds[:, 1] / UNITS_OF_A_BOUND
        with np.errstate(divide="ignore", invalid="ignore"):
            between = np.floor(SLOPES * most / (most - least)) / SLOPES
        chord = np.where(most <= 0, 0.0, np.where(least >= 0, 1.0, between))
        rest = np.maximum(np.maximum(least, 0) - chord * least, np.maximum(most, 0) - chord * most)
        ramp = (least + most > 0).astype(float)
        effect = effects[:, answers] - effects[:, maximum][:, None]
        slopes = effect * np.where(effect > 0, chord[:, None], ramp[:, None])
        return cls(slopes, (np.maximum(effect, 0) * rest[:, None]).sum(axis=0))

    def direct(self, tables: Tables, queries: Tokens, answers: Tokens, maximum: int) -> Array:
        """Return the largest direct path [J] over the queries."""
        apart = tables.U[np.ix_(queries, answers)] - tables.U[queries, maximum][:, None]
        found: Array = (apart + tables.read[queries] @ self.slopes).max(axis=0) + self.constants
        return found
