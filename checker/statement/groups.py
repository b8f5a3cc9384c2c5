"""Groups of permutations by name.  (SPEC-5.2)

A permutation of 0 .. n-1 is the tuple of its images.
"""

from collections.abc import Sequence
from itertools import combinations, permutations

from checker.ground.errors import require_support

MAX_ORDER = 1024
"""No position has more tokens.  (SPEC-3.5)"""

Permutation = tuple[int, ...]

SIZES = {
    "cyclic": range(1, MAX_ORDER + 1),
    "dihedral": range(3, MAX_ORDER // 2 + 1),
    "symmetric": range(1, 7),
    "alternating": range(1, 7),
}
"""By the first part of a name, what the second may be.  (SPEC-5.2)"""


def _is_even(images: Permutation) -> bool:
    """Return whether a permutation has an even number of inversions."""
    inversions = sum(later < earlier for earlier, later in combinations(images, 2))
    return inversions % 2 == 0


def _turned(images: Sequence[int]) -> list[Permutation]:
    """Return, for s from 0, the permutation that takes i to ``images[i] + s`` modulo n."""
    n = len(images)
    return [tuple((image + s) % n for image in images) for s in range(n)]


def named_group(name: str) -> list[Permutation]:
    """Return the elements of ``cyclic:n``, ``dihedral:n``, ``symmetric:n`` or ``alternating:n``, in
    the order in which SPEC-5.2 numbers them.

    Raises: Declined (SPEC-5.2) for any other name, or a larger n.
    """
    kind, _, number = name.partition(":")
    named = [n for n in SIZES.get(kind, ()) if str(n) == number]
    require_support(bool(named), "SPEC-5.2", f"the group {name[:40]} is not known")
    n = named[0]
    rotations = _turned(range(n))
    if kind == "cyclic":
        return rotations
    if kind == "dihedral":
        return rotations + _turned(range(0, -n, -1))
    every = permutations(range(n))
    return [images for images in every if kind == "symmetric" or _is_even(images)]
