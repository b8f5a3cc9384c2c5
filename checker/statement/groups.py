"""Groups of permutations by name.  (SPEC-5.2)

A permutation of 0 .. n-1 is the tuple of its images.
"""

from collections.abc import Sequence
from itertools import combinations, permutations

from checker.ground.errors import require_support

MAX_ORDER = 1024
"""No position has more tokens.  (SPEC-3.5)"""

Permutation = tuple[int, ...]


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

    Raises: Declined (SPEC-5.2), before they are formed if they are more than ``MAX_ORDER``.
    """
    kind, _, number = name.partition(":")
    plain = number.isascii() and number.isdecimal() and len(number) < 5
    n = int(number) if plain and not number.startswith("0") else 0
    sizes = {
        "cyclic": (1, MAX_ORDER),
        "dihedral": (3, MAX_ORDER // 2),
        "symmetric": (1, 6),
        "alternating": (1, 6),
    }
    least, most = sizes.get(kind, (1, 0))
    known = least <= n <= most
    require_support(known, "SPEC-5.2", f"the group {name} is not known")
    rotations = _turned(range(n))
    if kind == "cyclic":
        return rotations
    if kind == "dihedral":
        return rotations + _turned(range(0, -n, -1))
    every = permutations(range(n))
    return [images for images in every if kind == "symmetric" or _is_even(images)]
