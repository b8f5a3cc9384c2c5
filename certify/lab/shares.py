"""What share of a variance a factor explains: one-way, with its finite-sample correction.

For N values in groups, of which k are not empty, with SS the sums of squares::

    eta^2     = SS_between / SS_total
    epsilon^2 = 1 - (1 - eta^2) (N - 1) / (N - k)

eta^2 is above zero even where the groups differ by chance alone, by (k - 1) / (N - 1) on average.
epsilon^2 (Kelley 1935) takes that off: SS_within / (N - k) and SS_total / (N - 1) are unbiased for
the variances within and in all.  It may be below zero.  Where the values are a whole population,
nothing is sampled, and eta^2 is the share itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

BLOCKS = 16
"""Parts of a sample that are looked at one by one for the standard error."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a variance: ``share`` is epsilon^2 of a sample, eta^2 of a population, None
    where nothing varies; ``error`` its standard error, 0 for a population.
    """

    share: float | None
    eta_squared: float | None
    error: float | None


def eta_squared(values: Floats, labels: Labels) -> float | None:
    """Return SS_between / SS_total, None where nothing varies.

    Requires: labels are whole numbers from 0.
    """
    centred = values - values.mean()
    total = float(centred @ centred)
    if total <= len(values) * (1e-12 * float(np.abs(values).max())) ** 2:
        return None
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=centred)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum())
    return min(1.0, between / total)


def epsilon_squared(values: Floats, labels: Labels) -> float | None:
    """Return eta^2 with its correction, None where nothing varies or all groups are single."""
    found = eta_squared(values, labels)
    groups = int(np.count_nonzero(np.bincount(labels)))
    if found is None or groups >= len(values):
        return None
    return 1.0 - (1.0 - found) * (len(values) - 1) / (len(values) - groups)


def share_of(values: Floats, labels: Labels, *, whole: bool) -> Share:
    """Return the share of the variance of values that their labels explain.

    Requires: ``whole`` says that the values are a whole population, not a sample.
    Ensures:  the standard error of a sample is that of the mean over 16 blocks of it; every 16th
              value is in one.
    """
    eta = eta_squared(values, labels)
    if whole:
        return Share(eta, eta, 0.0)
    blocks = [
        epsilon_squared(values[place::BLOCKS], labels[place::BLOCKS])
        for place in range(min(BLOCKS, len(values) // 2))
    ]
    known = [one for one in blocks if one is not None]
    error = float(np.std(known, ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else None
    return Share(epsilon_squared(values, labels), eta, error)
