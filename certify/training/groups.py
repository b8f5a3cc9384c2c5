"""Named finite groups as lists of permutations, in the order in which tokens number them.

================  ================  ========================================================
spelled           order             elements
================  ================  ========================================================
``cyclic:k``      k                 the rotations i -> i + j of k points, j = 0, 1, ..
``dihedral:n``    2n, with n >= 3   those of n points, then the reflections i -> j - i
``symmetric:n``   n!                all permutations, one-line notation in lexicographic order
``alternating:n`` n!/2, 1 if n = 1  the even ones of them, in that order
================  ================  ========================================================

A permutation x is the tuple (x(0), x(1), ..).  The product applies the second
factor first, (x y)(k) = x(y(k)).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput

Permutation = tuple[int, ...]

NAMES = ("cyclic", "dihedral", "symmetric", "alternating")
LARGEST_ORDER = 720
"""The most elements of a group, those of symmetric:6: all pairs are multiplied and learned from."""

_COUNT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Group:
    """A named group of permutations of the points 0 .. ``points`` - 1."""

    name: str
    points: int

    def __str__(self) -> str:
        """Return the spelling that ``read_group`` reads."""
        return f"{self.name}:{self.points}"

    @property
    def order(self) -> int:
        """Return the number of elements."""
        match self.name:
            case "cyclic":
                return self.points
            case "dihedral":
                return 2 * self.points
            case "symmetric":
                return math.factorial(self.points)
            case _:
                return max(1, math.factorial(self.points) // 2)


def read_group(text: str) -> Group:
    """Return the group that ``NAME:n`` spells.

    Ensures: it has 2 to ``LARGEST_ORDER`` elements.
    Errors:  ``BadInput`` if the name is none of ``NAMES``, n is no positive integer of at most six
             digits, the group has too few or too many elements, or n is below 3 for dihedral.
    """
    name, _, digits = text.partition(":")
    if name not in NAMES or _COUNT.fullmatch(digits) is None:
        names = ", ".join(NAMES)
        raise BadInput(
            f"group {text[:60]!r} is not NAME:n with a name of {names} and a whole number n from 1"
        )
    group = Group(name, int(digits))
    if name == "dihedral" and group.points < 3:
        raise BadInput(f"group {group}: n must be at least 3")
    # No group on more points than that is small, and their factorials are not computed.
    if group.points > LARGEST_ORDER or group.order > LARGEST_ORDER:
        raise BadInput(f"group {group} has more than {LARGEST_ORDER} elements, the limit")
    if group.order < 2:
        raise BadInput(f"group {group} has one element, and nothing to learn")
    return group


def named_group(group: Group) -> list[Permutation]:
    """Return the elements, the identity first, in the order of the module's table.

    Requires: ``group`` is one that ``read_group`` returns.
    Cost:     n! permutations are looked at for the alternating group.
    """
    places = range(group.points)
    rotations = [tuple((place + j) % group.points for place in places) for j in places]
    match group.name:
        case "cyclic":
            return rotations
        case "dihedral":
            return rotations + [
                tuple((j - place) % group.points for place in places) for j in places
            ]
        case "symmetric":
            return list(itertools.permutations(places))
        case _:
            return [x for x in itertools.permutations(places) if _is_even(x)]


def multiplication_table(elements: Sequence[Permutation]) -> NDArray[np.int64]:
    """Return the number of x y for each x and y, [order, order].

    Requires: ``elements`` are distinct permutations of the same points.
    Errors:   ``BadInput`` if a product is none of them.
    Cost:     the square of the order, times the points.
    """
    numbers = {element: number for number, element in enumerate(elements)}
    table = np.empty((len(elements), len(elements)), dtype=np.int64)
    for row, x in enumerate(elements):
        for column, y in enumerate(elements):
            product = tuple(x[place] for place in y)
            if product not in numbers:
                raise BadInput(f"the product of elements {row} and {column} is no element")
            table[row, column] = numbers[product]
    return table


def _is_even(x: Permutation) -> bool:
    """Return whether the number of inversions is even."""
    inversions = sum(before > after for before, after in itertools.combinations(x, 2))
    return inversions % 2 == 0
