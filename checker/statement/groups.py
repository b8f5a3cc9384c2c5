"""Groups of permutations by name.  (SPEC-5.2)

A permutation of 0 .. n-1 is the tuple of its images.
"""

from itertools import permutations

from checker.ground.errors import require_support

MAX_ORDER = 1024
"""No position has more tokens.  (SPEC-3.5)"""

Permutation = tuple[int, ...]


def _is_even(images: Permutation) -> bool:
    """Return whether a permutation has an even number of inversions."""
    inversions = [
        later < earlier
        for place, earlier in enumerate(images)
        for later in images[place + 1 :]
    ]
    return sum(inversions) % 2 == 0


def _rotations(n: int) -> list[Permutation]:
    """Return r^0 .. r^(n-1), where r^s takes i to i + s modulo n."""
    return [tuple((i + s) % n for i in range(n)) for s in range(n)]


def _reflections(n: int) -> list[Permutation]:
    """Return the permutations that take i to k - i modulo n, for k from 0."""
    return [tuple((k - i) % n for i in range(n)) for k in range(n)]


def named_group(name: str) -> list[Permutation]:
    """Return the elements of ``cyclic:n``, ``dihedral:n``, ``symmetric:n`` or ``alternating:n``, in
    the order in which SPEC-5.2 numbers them.

    Raises: Declined (SPEC-5.2), before they are formed if they are more than ``MAX_ORDER``.
    """
    kind, _, number = name.partition(":")
    plain = number.isascii() and number.isdecimal() and len(number) < 5
    n = int(number) if plain and not number.startswith("0") else 0
    sizes = {"cyclic": (1, 1024), "dihedral": (3, 512), "symmetric": (1, 6)}
    least, most = sizes.get(kind, (1, 6))
    known = kind in ("alternating", *sizes)
    require_support(
        known and least <= n <= most, "SPEC-5.2", f"the group {name} is not known"
    )
    if kind == "cyclic":
        return _rotations(n)
    if kind == "dihedral":
        return _rotations(n) + _reflections(n)
    every = permutations(range(n))
    return [images for images in every if kind == "symmetric" or _is_even(images)]
