"""Estimates of counts by generating functions equal exact counts with integer polynomials."""

import itertools
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from certify.cells import tails

Integers = NDArray[np.intp]
SHAPES = [
    (positions, shares, blocks, bins)
    for positions, shares, blocks in (
        (0, 2, 3),
        (1, 1, 1),
        (2, 3, 4),
        (5, 2, 3),
        (20, 8, 12),
        (4, 0, 3),
    )
    for bins in (1, 7, 32, 48)
]
CLOSE = 1e-11
"""Of the weight of all inputs."""


def drawn(shape: tuple[int, int, int, int], chance: random.Random) -> tuple[Integers, Integers]:
    """Return random deficits and weights, some of them zero and some positions equal."""
    positions, shares, blocks, bins = shape
    largest = chance.choice((1, max(1, bins // (positions + 1)), bins + 1))
    deficits = np.array(
        [chance.randint(0, largest) for _ in range(positions * shares * blocks)], dtype=np.intp
    ).reshape(positions, shares, blocks)
    weights = np.array(
        [chance.choice((0, 1, 5)) for _ in range(positions * blocks)], dtype=np.intp
    ).reshape(positions, blocks)
    alike = slice(chance.randint(0, positions), positions)
    deficits[alike], weights[alike] = deficits[-1:], weights[-1:]
    return deficits, weights


def polynomial(deficits: Integers, weights: Integers, bins: int, left_out: int) -> tuple[int, int]:
    """Return the sum of the coefficients of degree up to ``bins`` of the product over positions,
    the first ``left_out`` of them without their last block, and the operations.

    ``deficits`` and ``weights`` [n, blocks].
    """
    product, degree, work = {0: 1}, 0, 0
    for place, (row, masses) in enumerate(zip(deficits.tolist(), weights.tolist(), strict=True)):
        held = len(row) - (place < left_out)
        live = {deficit for deficit in row[:held] if deficit <= bins}
        degree += max(live, default=0)
        work += 2 * (min(degree, bins) + 1) * len(live)
        found: dict[int, int] = {}
        for (power, coefficient), block in itertools.product(product.items(), range(held)):
            if power + row[block] <= bins:
                at = power + row[block]
                found[at] = found.get(at, 0) + coefficient * masses[block]
        product = found
    return sum(product.values()), work


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_and_operations_are_those_of_integer_polynomials(
    shape: tuple[int, int, int, int],
) -> None:
    positions, shares, _, bins = shape
    for seed in range(6):
        deficits, weights = drawn(shape, random.Random(seed))
        total = max(int(np.prod(weights.sum(axis=1, dtype=object))), 1)
        forced = (0, max(positions - 1, 0), positions)[seed % 3]
        counts = tails.within(deficits, weights.astype(float), bins, forced)
        work = tails.operations(deficits, bins, forced)
        assert counts.shape == work.shape == (shares,)
        for share in range(shares):
            every, cost = polynomial(deficits[:, share], weights, bins, 0)
            without, more = polynomial(deficits[:, share], weights, bins, forced)
            exact = every - without if forced else every
            assert abs(counts[share] - exact) <= CLOSE * total
            assert work[share] == (cost + more if forced else cost)


def test_many_shares_are_counted_as_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    deficits, weights = drawn((5, 9, 4, 32), random.Random(0))
    together = tails.within(deficits, weights.astype(float), 32, 4)
    monkeypatch.setattr(tails, "MOST_VALUES", 1)
    apart = tails.within(deficits, weights.astype(float), 32, 4)
    assert apart == pytest.approx(together, rel=CLOSE)
