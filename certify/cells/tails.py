"""How much the inputs count whose deficits sum to at most so many bins, in float64.  (SPEC-7.9)

A position's deficits are a polynomial, the weight of each as its coefficient; inputs are the
product over positions, and what is asked for is the sum of its first coefficients.  The product is
evaluated on a circle in the complex plane, all positions and shares at once, and read off by one
inverse transform per share.  The circle is smaller than the unit circle: that damps the
coefficients which the transform, being cyclic, adds to those asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.cells.scaled import Array

Deficits: TypeAlias = NDArray[np.intp]
UNIT = 2.0**-52
LENGTH = 3
"""Points on the circle for each bin.  More points, less damping, smaller errors."""

MOST_VALUES = 1 << 16
"""Complex values that are held at once."""


@dataclass(frozen=True, slots=True)
class _Circle:
    """Where polynomials are evaluated.

    ``damping`` [bins + 1]: the powers of the radius.  ``powers`` [bins + 2, points / 2 + 1]: those
    of the points themselves, and nothing for a deficit beyond the bins.
    """

    points: int
    damping: Array
    powers: NDArray[np.complex128]


@lru_cache(maxsize=16)
def _circle(bins: int) -> _Circle:
    """Return the circle on which errors are smallest.

    A coefficient of degree d + points is added to that of degree d, radius^points as large, and
    rounding errors are divided by radius^bins.  The radius makes the two errors equal.
    """
    points = LENGTH * bins
    damping = UNIT ** (np.arange(bins + 1) / (points + bins))
    powers = np.vstack([np.fft.rfft(np.diag(damping), points), np.zeros(points // 2 + 1)])
    return _Circle(points, damping, powers)


def within(deficits: Deficits, weights: Array, bins: int, forced: int) -> Array:
    """Return per share the weight of the inputs whose deficits sum to at most ``bins``.

    ``deficits`` [n, shares, blocks], at most ``bins + 1``; ``weights`` [n, blocks].  One of the
    first ``forced`` positions must hold the last block, unless there is none of them.
    Ensures: wrong by at most about 1e-12 of the weight of all inputs.
    Cost:    a Fourier transform per position and share.
    """
    positions, shares, _ = deficits.shape
    of_a_share = (positions + 1) * (bins * LENGTH // 2 + 1)
    together = max(1, MOST_VALUES // of_a_share)
    parts = [
        _within(deficits[:, first : first + together], weights, bins, forced)
        for first in range(0, shares, together)
    ]
    return np.concatenate([np.zeros(0), *parts])


def _within(deficits: Deficits, weights: Array, bins: int, forced: int) -> Array:
    circle = _circle(bins)
    shape = (*deficits.shape[:2], bins + 2)
    rows = np.arange(0, np.prod(shape), bins + 2).reshape(*shape[:2], 1)
    masses = np.broadcast_to(weights[:, None], deficits.shape)
    histogram = np.bincount((rows + deficits).ravel(), masses.ravel(), int(np.prod(shape)))
    damped = histogram.reshape(shape)[:, :, : bins + 1] * circle.damping
    values = np.fft.rfft(damped, circle.points, axis=2)
    product = values.prod(axis=0)
    if forced:
        lasts = weights[:forced, -1][:, None, None] * circle.powers[deficits[:forced, :, -1]]
        without = (values[:forced] - lasts).prod(axis=0) * values[forced:].prod(axis=0)
        product = product - without
    coefficients = np.fft.irfft(product, circle.points, axis=1)[:, : bins + 1]
    return np.maximum(coefficients @ (1 / circle.damping), 0.0)


def operations(deficits: Deficits, bins: int, forced: int) -> Array:
    """Return per share what the checker is charged for what ``within`` returns.

    Cost: sorts the deficits of each position and share.
    """
    if not forced:
        return _products(deficits, bins)
    without = deficits.copy()
    without[:forced, :, -1] = bins + 1
    both = _products(np.concatenate([deficits, without], axis=1), bins)
    found: Array = both.reshape(2, -1).sum(axis=0)
    return found


def _products(deficits: Deficits, bins: int) -> Array:
    """Return the operations of one product over all positions, per share."""
    ordered = np.sort(deficits, axis=2)
    live = ordered <= bins
    largest = np.where(live, ordered, 0).max(axis=2)
    degree = np.minimum(largest.cumsum(axis=0), bins)
    distinct = live.copy()
    distinct[:, :, 1:] &= ordered[:, :, 1:] != ordered[:, :, :-1]
    found: Array = 2.0 * ((degree + 1) * distinct.sum(axis=2)).sum(axis=0)
    return found
