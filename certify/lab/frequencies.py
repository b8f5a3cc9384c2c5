"""The frequencies of an embedding over the residues modulo p, in float64: an estimate.

A table f [p, d] is a constant and, for k = 1 .. (p-1)/2, its projection on cos(2 pi k t / p) and
sin(2 pi k t / p).  A frequency is a *key* frequency if its share of the power, constant left out,
is at least twice what each would have if all had the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KEY = 2.0
"""How many times the average share of power a key frequency has at the least."""


def waves(p: int, frequency: int) -> Floats:
    """Return an orthonormal basis of one frequency, [p, 2].

    Requires: p odd, frequency in 1 .. (p-1)/2.
    """
    angles = 2.0 * np.pi * frequency * np.arange(p) / p
    found: Floats = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.sqrt(2.0 / p)
    return found


def at(table: Floats, frequency: int) -> Floats:
    """Return the part of a table [p, d] at a frequency."""
    basis = waves(len(table), frequency)
    found: Floats = basis @ (basis.T @ table)
    return found


def powers(table: Floats) -> Floats:
    """Return the share of each frequency 1 .. (p-1)/2 in the power of a table, its mean taken off."""
    found = np.array(
        [np.square(at(table, k)).sum() for k in range(1, (len(table) - 1) // 2 + 1)]
    )
    total = float(found.sum())
    return found / total if total > 0 else found


def key_frequencies(table: Floats) -> list[int]:
    """Return the key frequencies of a table, ascending."""
    shares = powers(table)
    return [k + 1 for k, share in enumerate(shares) if share * len(shares) >= KEY]


def residual(table: Floats, keys: list[int]) -> Floats:
    """Return what is at no key frequency and not constant."""
    found = table - table.mean(axis=0)
    for key in keys:
        found = found - at(table, key)
    return found
