"""The frequencies of an embedding over the residues modulo p, in float64: an estimate.

A table f [p, d] is a constant and, for k = 1 .. (p-1)/2, its projection on cos(2 pi k t / p) and
sin(2 pi k t / p).  Which frequencies are key says ``certify.lab.circles``: the main ones of many
neurons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from certify.sums.fourier import cyclic_basis

Floats = NDArray[np.float64]


def at(table: Floats, frequency: int) -> Floats:
    """Return the part of a table [p, d] at a frequency.

    Requires: p odd, frequency in 1 .. (p-1)/2.
    """
    basis = cyclic_basis(len(table))
    columns = basis.columns[:, basis.of == basis.names.index(str(frequency))]
    found: Floats = columns @ (columns.T @ table)
    return found


def residual(table: Floats, keys: Sequence[int]) -> Floats:
    """Return what is at no key frequency and not constant."""
    found: Floats = table - table.mean(axis=0)
    for key in keys:
        found = found - at(table, key)
    return found
