"""A ReLU MLP: planes over what its neurons read.  (SPEC-16.11)"""

from collections.abc import Callable
from operator import mul

from checker.ground import record
from checker.ground.exact import Matrix, Row
from checker.ground.interval import shift_up

BOUND_BITS = 12
"""Bounds on what a neuron reads are multiples of 2^-12.  (SPEC-16.11)"""

SLOPE_BITS = 8
"""Slopes of planes are multiples of 2^-8.  (SPEC-16.11)"""

Bounds = tuple[int, int]
"""The least and the most that a neuron reads on a cell."""

Rounding = Callable[[int, int], int]


def up(value: int, bits: int) -> int:
    """Return the ceiling of ``value * 2^-bits``, whatever the sign of bits."""
    return shift_up(value, bits) if bits >= 0 else value << -bits


def down(value: int, bits: int) -> int:
    """Return the floor of ``value * 2^-bits``, whatever the sign of bits."""
    return -up(-value, bits)


def pushed(
    rows: tuple[Row, ...],
    first: int,
    plane: "Plane",
    rounded: Rounding,
) -> list[int]:
    """Return what the plane adds for each row, whose columns from ``first`` on are of neurons.

    Cost: a multiplication and an addition per neuron and row.
    """
    slopes = plane.slopes
    sums = (sum(map(mul, slopes, row[first:])) for row in rows)
    return [rounded(total, plane.scale) for total in sums]


def chord(bounds: Bounds) -> tuple[int, int]:
    """Return s over 2^-SLOPE_BITS, and t over BOUND_BITS more, such that relu(x) is at most
    s x + t between the bounds.
    """
    least, most = bounds
    unit = 1 << SLOPE_BITS
    slope = 0 if most <= 0 else unit
    if least < 0 < most:
        slope = most * unit // (most - least)
    # relu is convex, so it is below a line that is above it at both ends
    tops = [max(end, 0) * unit - slope * end for end in bounds]
    return slope, max(tops)


def ramp(bounds: Bounds) -> int:
    """Return s over 2^-SLOPE_BITS such that relu(x) is at least s x: it is 0 or 1."""
    return 1 << SLOPE_BITS if sum(bounds) > 0 else 0


@record
class Plane:
    """A plane over what the neurons read: ``slopes`` and ``constant``, over ``2^-scale`` and
    BOUND_BITS more.
    """

    slopes: list[int]
    constant: int
    scale: int


@record
class Neurons:
    """The effect of every neuron on every logit, W_out W_U; columns of tables from ``first`` on are
    what the neurons read.
    """

    effects: Matrix
    first: int

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self.effects.rows)

    def above(self, j: int, right: int, bounds: tuple[Bounds, ...]) -> Plane:
        """Return a plane that is not below what the neurons add to logit_j - logit_m."""
        return self._plane(j, right, bounds, lambda effect: effect > 0)

    def below(self, j: int, right: int, bounds: tuple[Bounds, ...]) -> Plane:
        """Return a plane that is not above what the neurons add to logit_j - logit_m."""
        return self._plane(j, right, bounds, lambda effect: effect < 0)

    def added(
        self,
        j: int,
        right: int,
        reads: list[Bounds],
    ) -> tuple[int, int]:
        """Return both ends of what the neurons add to logit_j - logit_m, if they read this, over
        the scale of what they read.

        Cost: two multiplications and two additions per neuron.
        """
        low = 0
        high = 0
        for row, (least, most) in zip(self.effects.rows, reads, strict=True):
            effect = row[j] - row[right]
            ends = effect * max(least, 0), effect * max(most, 0)
            low += min(ends)
            high += max(ends)
        scale = self.effects.scale
        return down(low, scale), up(high, scale)

    def _plane(
        self,
        j: int,
        right: int,
        bounds: tuple[Bounds, ...],
        chorded: Callable[[int], bool],
    ) -> Plane:
        slopes = []
        constant = 0
        for row, own in zip(self.effects.rows, bounds, strict=True):
            effect = row[j] - row[right]
            if chorded(effect):
                slope, rest = chord(own)
                constant += effect * rest
            else:
                slope = ramp(own)
            slopes.append(effect * slope)
        return Plane(slopes, constant, self.effects.scale + SLOPE_BITS)
