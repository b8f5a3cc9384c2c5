"""What an explanation leaves out of a circuit, as a product of factors: its size, every bound that
the rules of enclosures give for it, and random stand-ins.

The *statistic* of a product M = M_1 ... M_L is its largest row range::

    max_q (max_j M[q, j] - min_j M[q, j])

which for the residual of the QK circuit is the most by which it can move the score of one token
past that of another, before scores are divided by sqrt(d_head).  With rng(A) the range of each row,
|A| entry by entry, abar the mean row of A, and front and back the two parts of a product that is
split at one place, the bounds are the published ones (arXiv 2406.11779, and its released code)::

    max_diff             (|front| rng(back))_q, split before the last factor
    mean+max_diff        rng(abar back) + (|front - abar| rng(back))_q, split there too
    ..._subproduct       the least over all splits, for each row
    ..._recursive        |M_1| (|M_2| (... rng(M_L))): no product of matrices is formed
    svd, frobenius       sqrt(2) times the largest singular value, or the norm, of M
    ... of factors       sqrt(2) times the product of these of the factors
    schwarz              2 |a_q| max_j |b_j| with M = A B, A = U sqrt(S), B = sqrt(S) V^T of the
                         centred rows: the rule of the enclosures rank-R (SPEC-6)

Everything here is an estimate in float64 but ``exact_statistic``, which is in integers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Generator = np.random.Generator

MANTISSA = 53
"""Bits of a float64."""
SHOWN_BITS = 64
"""Binary places of an exact statistic as it is shown, rounded outward."""
ROOT_TWO = math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Residual:
    """Factors of which the product is what an explanation leaves out of one circuit.

    ``fixed``: how many of them, from the left, are no part of the residual: they stand before it in
    the product and are never replaced.
    """

    factors: tuple[Floats, ...]
    fixed: int = 0

    def product(self) -> Floats:
        """Return the product."""
        return chain(self.factors)

    def halves(self) -> tuple[Floats, Floats]:
        """Return two factors of the product, multiplied out on both sides of the middle."""
        at = (len(self.factors) + 1) // 2
        return chain(self.factors[:at]), chain(self.factors[at:])

    def replaced(self, sort: str, generator: Generator) -> Residual:
        """Return the residual with each of its factors replaced.

        Requires: a sort of ``REPLACEMENTS``.
        Ensures:  factors have the shapes that they had, fixed ones stay.
        """
        replace = REPLACEMENTS[sort]
        drawn = tuple(replace(factor, generator) for factor in self.factors[self.fixed :])
        return dataclasses.replace(self, factors=(*self.factors[: self.fixed], *drawn))


def chain(factors: Sequence[Floats]) -> Floats:
    """Return a product of matrices."""
    if len(factors) == 1:
        return factors[0]
    found: Floats = np.linalg.multi_dot(factors)
    return found


# --- replacements -----------------------------------------------------------------


def shuffled(factor: Floats, generator: Generator) -> Floats:
    """Return the entries of a matrix in a random order.  Source: ResampleEQKEErr of the released
    code.
    """
    found: Floats = generator.permutation(factor.ravel()).reshape(factor.shape)
    return found


def normal(factor: Floats, generator: Generator) -> Floats:
    """Return independent normal entries, of the mean and the standard deviation of those of a
    matrix.  Source: ResampleNormalEQKEErr of the released code.
    """
    found: Floats = generator.normal(factor.mean(), factor.std(), factor.shape)
    return found


def rotated(factor: Floats, generator: Generator) -> Floats:
    """Return a matrix turned on both sides by uniformly random rotations: its singular values
    stay, its directions are those of no token and no coordinate.
    """
    rows, columns = factor.shape
    return rotation(rows, generator) @ factor @ rotation(columns, generator)


def rotation(size: int, generator: Generator) -> Floats:
    """Return a uniformly random orthogonal matrix."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    found: Floats = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return found


def zero(factor: Floats, _generator: Generator) -> Floats:
    """Return a matrix of zeros."""
    return np.zeros_like(factor)


Replacement = Callable[[Floats, Generator], Floats]
REPLACEMENTS: Mapping[str, Replacement] = MappingProxyType(
    {"shuffle": shuffled, "normal": normal, "rotation": rotated, "zero": zero}
)
RANDOM = ("shuffle", "normal", "rotation")
"""The replacements that have many draws."""
REAL, ZERO = "real", "zero"
SORTS = (REAL, *RANDOM, ZERO)
"""Of residuals: that of the model, and those that replace it."""


# --- the statistic ----------------------------------------------------------------


def ranges(matrix: Floats) -> Floats:
    """Return the range of each row."""
    found: Floats = np.ptp(matrix, axis=1)
    return found


def statistic(factors: Sequence[Floats]) -> float:
    """Return the largest row range of a product."""
    return float(ranges(chain(factors)).max())


def exact_statistic(factors: Sequence[Floats]) -> Fraction:
    """Return the largest row range of the product of matrices of float64, exactly.

    Cost: products of matrices of Python integers, of some 100 bits for each factor: a tenth of a
          second for the QK circuit of 64 tokens.
    """
    product: NDArray[np.object_] | None = None
    exponent = 0
    for factor in factors:
        integers, shift = _integers(factor)
        product = integers if product is None else product @ integers
        exponent += shift
    if product is None:
        raise ValueError("a product of no factors")
    largest = max(int(max(row)) - int(min(row)) for row in product)
    return Fraction(largest) * Fraction(2) ** exponent


def _integers(factor: Floats) -> tuple[NDArray[np.object_], int]:
    """Return integers and an exponent of two that together are a matrix, exactly."""
    mantissas, exponents = np.frexp(factor)
    whole = (mantissas * 2.0**MANTISSA).astype(np.int64)
    exponents = exponents - MANTISSA
    least = int(exponents[whole != 0].min()) if np.any(whole) else 0
    shifts = np.where(whole != 0, exponents - least, 0)
    integers = np.array(
        [
            [int(number) << int(shift) for number, shift in zip(row, by, strict=True)]
            for row, by in zip(whole, shifts, strict=True)
        ],
        dtype=object,
    ).reshape(factor.shape)
    return integers, least


def outward(value: Fraction) -> dict[str, str]:
    """Return ends of an interval around a number, with ``SHOWN_BITS`` binary places, as texts."""
    scaled = value * 2**SHOWN_BITS
    low, high = math.floor(scaled), math.ceil(scaled)
    return {name: str(Fraction(end, 2**SHOWN_BITS)) for name, end in (("low", low), ("high", high))}


# --- bounds -----------------------------------------------------------------------


def split_bound(factors: Sequence[Floats], at: int, *, mean: bool) -> Floats:
    """Return bounds on the row ranges of a product that is split before its factor ``at``."""
    front, back = chain(factors[:at]), chain(factors[at:])
    if not mean:
        return np.asarray(np.abs(front) @ ranges(back))
    middle = front.mean(axis=0, keepdims=True)
    return np.asarray(np.abs(front - middle) @ ranges(back) + ranges(middle @ back)[0])


def recursive_bound(factors: Sequence[Floats], means: int) -> Floats:
    """Return bounds on the row ranges of a product of which no two matrices are multiplied.

    ``means``: at how many levels, from the left, the mean row is treated by itself.
    """
    if len(factors) == 1:
        return ranges(factors[0])
    first, rest = factors[0], factors[1:]
    inner = recursive_bound(rest, max(means - 1, 0))
    if means == 0:
        return np.asarray(np.abs(first) @ inner)
    middle = first.mean(axis=0, keepdims=True)
    return np.asarray(np.abs(first - middle) @ inner + ranges(chain([middle, *rest]))[0])


def schwarz_bound(product: Floats) -> float:
    """Return the bound of weighted Cauchy-Schwarz on every row range of a matrix."""
    centred = product - product.mean(axis=1, keepdims=True)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    rows, columns = np.linalg.norm(u * np.sqrt(s), axis=1), np.linalg.norm(v.T * np.sqrt(s), axis=1)
    return float(2.0 * rows.max() * columns.max())


def bounds_of(factors: Sequence[Floats]) -> dict[str, float]:
    """Return every bound on the statistic of a product, by name.

    Requires: at least two factors; names that would be the same bound for two are left out.
    Ensures:  each is at least the statistic, up to rounding.
    Cost:     singular values of the product and the factors.
    """
    several, last = len(factors) > 2, len(factors) - 1
    product = chain(factors)
    found = {
        "max_diff": float(split_bound(factors, last, mean=False).max()),
        "mean+max_diff": float(split_bound(factors, last, mean=True).max()),
    }
    if several:
        for name, mean in (("", False), ("mean+", True)):
            parts = [split_bound(factors, at, mean=mean) for at in range(1, len(factors))]
            found[f"{name}max_diff_subproduct"] = float(np.min(parts, axis=0).max())
        for name, means in (("", 0), ("mean+", 1), ("mean_recursive+", last)):
            bound = recursive_bound(factors, means)
            found[f"{name}max_diff_subproduct_recursive"] = float(bound.max())
    values = [np.linalg.svd(factor, compute_uv=False) for factor in factors]
    found["schwarz"] = schwarz_bound(product)
    found["svd"] = ROOT_TWO * float(np.linalg.norm(product, 2))
    found["frobenius"] = ROOT_TWO * float(np.linalg.norm(product))
    found["svd of factors"] = ROOT_TWO * math.prod(float(s[0]) for s in values)
    found["frobenius of factors"] = ROOT_TWO * math.prod(float(np.linalg.norm(s)) for s in values)
    return found


# --- what many draws say ----------------------------------------------------------


def moments(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation (of a sample) and number of values; None where undefined."""
    n = len(values)
    mean = math.fsum(values) / n if n else None
    sd = None
    if mean is not None and n > 1:
        sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return {"mean": mean, "sd": sd, "n": n}


def deviations(value: float, of: Mapping[str, Any]) -> float | None:
    """Return by how many standard deviations a value exceeds a mean; None where they are zero."""
    if of["mean"] is None or not of["sd"]:
        return None
    return float((value - of["mean"]) / of["sd"])
