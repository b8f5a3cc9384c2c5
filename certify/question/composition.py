"""Groups in a model's own order: from the answers of a model to permutations.

People number the elements of a group as they like.  A table of answers to pairs says which element
is the product of which two; if that is a group, its elements are permutations again, and where it
is one that has a name, they are those of the named group: an isomorphism is looked for by sending
generators to elements of the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from certify.errors import Unsupported
from certify.question.domain import Domain
from certify.question.groups import Group, Permutation, multiplication_table, named_group
from certify.question.table import decode_table

Product = NDArray[np.int64]
"""The number of x y for each x and y, [order, order]."""
MOST_IMAGES = 200_000
"""So many choices of images of generators are tried."""
LARGEST_NAMED = 720


@dataclass(frozen=True, slots=True)
class Found:
    """The elements in the model's order, and the name of their group if it has one."""

    name: str | None
    elements: list[Permutation]

    def told(self) -> str:
        """Return what was found, for a reader."""
        kind = "a group" if self.name is None else f"the group {self.name}"
        return f"{len(self.elements)} elements of {kind}, in the model's order"

    def task(self, file: Path) -> str:
        """Return the task that asks for these products, given the file of the elements."""
        return f"group:{file}" if self.name is None else f"group:{self.name}@{file}"


def group_of(table: bytes, domain: Domain) -> Found:
    """Return the group that a model's answers to all pairs are.

    Requires: ``table`` is the table file of the model over the domain.
    Errors:   ``Unsupported`` if the domain is not two operands with the same numbers, or the
              answers are no group: the first thing that is not as in a group is named.
    Cost:     the cube of the order in numpy operations; seconds for 720 elements.
    """
    product = _product(table, domain)
    _require_group(product)
    for group in _named(len(product)):
        elements = _renamed(product, named_group(group))
        if elements is not None:
            return Found(str(group), elements)
    # Cayley: x is the permutation that takes k to x k.
    return Found(None, [tuple(row) for row in product.tolist()])


def _product(table: bytes, domain: Domain) -> Product:
    """Return the answers as a table of products."""
    operands = domain.operands
    if len(operands) != 2 or len(domain.ends()) != 1:
        raise Unsupported("--as-group needs two operands, and one position that is read")
    order = len(domain.tokens[operands[0]])
    numbers = tuple(range(order))
    if any(domain.values[place] != numbers for place in operands):
        raise Unsupported(
            "--as-group needs operands that stand for 0, 1, .. alike (see --domain and --values)"
        )
    found = np.array(decode_table(table, "the table").answers, dtype=np.int64)
    strange = found[(found < 0) | (found >= order)]
    if len(strange):
        raise Unsupported(f"the answers are no group of {order}: one of them is {strange[0]}")
    return found.reshape(order, order)


def _require_group(product: Product) -> None:
    """Refuse a table that is not that of a group."""
    order = len(product)
    numbers = np.arange(order)
    latin = (np.sort(product, axis=1) == numbers).all() and (
        np.sort(product, axis=0) == numbers[:, None]
    ).all()
    if not latin:
        raise Unsupported("the answers are no group: a product occurs twice in a row or a column")
    for x in range(order):
        # (x y) z against x (y z), for all y and z at once.
        unequal = np.argwhere(product[product[x]] != product[x][product])
        if len(unequal):
            y, z = unequal[0].tolist()
            raise Unsupported(f"the answers are no group: ({x} {y}) {z} is not {x} ({y} {z})")


def _named(order: int) -> Iterator[Group]:
    """Yield the groups with a name that have so many elements."""
    if order > LARGEST_NAMED or order < 2:
        return
    for kind, points in (
        ("cyclic", (order,)),
        ("dihedral", (order // 2,)),
        *((kind, tuple(range(2, 7))) for kind in ("symmetric", "alternating")),
    ):
        for n in points:
            group = Group(kind, n)
            if group.order == order and (kind != "dihedral" or n >= 3):
                yield group


def _orders(product: Product) -> list[int]:
    """Return the order of each element."""
    identity = int(np.flatnonzero(product.diagonal() == np.arange(len(product)))[0])
    found = []
    for x in range(len(product)):
        power, order = x, 1
        while power != identity:
            power, order = int(product[power, x]), order + 1
        found.append(order)
    return found


def _generators(product: Product) -> list[int]:
    """Return few elements that generate the group, those of large order first."""
    orders = _orders(product)
    chosen: list[int] = []
    reached = {int(np.argmin(orders))}
    for x in sorted(range(len(product)), key=lambda x: -orders[x]):
        if x not in reached:
            chosen.append(x)
            reached = set(_words(product, chosen))
        if len(reached) == len(product):
            break
    return chosen


def _words(product: Product, generators: Sequence[int]) -> dict[int, tuple[int, int] | None]:
    """Return the elements that generators reach, each as (an element before, a generator)."""
    identity = int(np.flatnonzero(product.diagonal() == np.arange(len(product)))[0])
    found: dict[int, tuple[int, int] | None] = {identity: None}
    todo = [identity]
    for x in todo:
        for place, generator in enumerate(generators):
            y = int(product[x, generator])
            if y not in found:
                found[y] = (x, place)
                todo.append(y)
    return found


def _renamed(product: Product, named: list[Permutation]) -> list[Permutation] | None:
    """Return the elements of a named group in the order of a table of products, or None if it is
    another group.
    """
    known = multiplication_table(named)
    own_orders, orders = _orders(product), _orders(known)
    if sorted(own_orders) != sorted(orders):
        return None
    generators = _generators(known)
    words = _words(known, generators)
    candidates = [
        [x for x in range(len(product)) if own_orders[x] == orders[generator]]
        for generator in generators
    ]
    identity = own_orders.index(1)
    for images in itertools.islice(itertools.product(*candidates), MOST_IMAGES):
        image: dict[int, int] = {}
        for element, word in words.items():
            before, by = (identity, identity) if word is None else (image[word[0]], images[word[1]])
            image[element] = int(product[before, by])
        numbers = np.array([image[element] for element in range(len(named))])
        if len(set(numbers.tolist())) < len(named):
            continue
        if np.array_equal(numbers[known], product[numbers][:, numbers]):
            back = np.argsort(numbers)
            return [named[element] for element in back.tolist()]
    return None
