"""How much the inputs count whose deficits sum to at most so many bins, in float64.  (SPEC-7.9)

A position's deficits are a polynomial, the weight of each as its coefficient; inputs are the
product over positions, and what is asked for is the sum of its first coefficients.  The product is
evaluated on a circle in the complex plane, all positions and shares at once, and read off by one
inverse transform per share.  The circle is smaller than the unit circle: that damps the
coefficients which the transform, being cyclic, adds to those asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.cells.scaled import Array

Deficits: TypeAlias = NDArray[np.intp]
UNIT = 2.0**-52
LENGTH = 2
"""Points on the circle for each bin, at least.  More points, less damping, smaller errors."""

MOST_VALUES = 1 << 16
"""Complex values that are held at once."""

FEW_BINS = 512
"""Up to so many, the powers of the points are kept."""


@dataclass(frozen=True)
class _Circle:
    """Where polynomials are evaluated.

    ``damping`` [bins + 2]: the powers of the radius, and nothing for a deficit beyond the bins.
    """

    points: int
    damping: Array

    @property
    def bins(self) -> int:
        """Return how many bins there are."""
        return len(self.damping) - 2

    @cached_property
    def roots(self) -> NDArray[np.complex128]:
        """Return the points of the unit circle [points]."""
        found: NDArray[np.complex128] = np.exp(-2j * np.pi / self.points * np.arange(self.points))
        return found

    @cached_property
    def kept(self) -> NDArray[np.complex128]:
        """Return the powers of the points [bins + 2, points / 2 + 1]."""
        return self._powers(np.arange(self.bins + 2))

    def powers(self, deficits: Deficits) -> NDArray[np.complex128]:
        """Return these powers of the points [..., points / 2 + 1]."""
        return self.kept[deficits] if self.bins <= FEW_BINS else self._powers(deficits)

    def _powers(self, deficits: Deficits) -> NDArray[np.complex128]:
        turned = deficits[..., None] * np.arange(self.points // 2 + 1) % self.points
        found: NDArray[np.complex128] = self.damping[deficits][..., None] * self.roots[turned]
        return found


@lru_cache(maxsize=32)
def _circle(bins: int) -> _Circle:
    """Return the circle on which errors are smallest.

    A coefficient of degree d + points is added to that of degree d, radius^points as large, and
    rounding errors are divided by radius^bins.  The radius makes the two errors equal.
    """
    points = _smooth(LENGTH * (bins + 1))
    damping = UNIT ** (np.arange(bins + 1) / (points + bins))
    return _Circle(points, np.append(damping, 0.0))


def _smooth(least: int) -> int:
    """Return the smallest 2^a 3^b that is no less: transforms of such lengths are quick."""
    odd: list[int] = [3**power for power in range(least.bit_length())]
    return min(part << max(-(-least // part) - 1, 0).bit_length() for part in odd)


def within(deficits: Deficits, weights: Array, bins: int, forced: int) -> Array:
    """Return per share the weight of the inputs whose deficits sum to at most ``bins``.

    ``deficits`` [n, shares, blocks], at most ``bins + 1``; ``weights`` [n, blocks].  One of the
    first ``forced`` positions must hold the last block, unless there is none of them.
    Ensures: wrong by at most about 4e-11 of the weight of all inputs.
    Cost:    a Fourier transform per position and share.
    """
    positions, shares, _ = deficits.shape
    of_a_share = (positions + 1) * (_circle(bins).points // 2 + 1)
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
    damped = histogram.reshape(shape)[:, :, : bins + 1] * circle.damping[:-1]
    values = np.fft.rfft(damped, circle.points, axis=2)
    product = values.prod(axis=0)
    if forced:
        others = circle.powers(deficits[:forced, :, -1])
        others *= -weights[:forced, -1][:, None, None]
        others += values[:forced]
        product -= others.prod(axis=0) * values[forced:].prod(axis=0)
    coefficients = np.fft.irfft(product, circle.points, axis=1)[:, : bins + 1]
    return np.maximum(coefficients @ (1 / circle.damping[:-1]), 0.0)


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
