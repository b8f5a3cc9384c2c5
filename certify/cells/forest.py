"""The cells of a proof as the certificate spells them, before any claim is filled in.  (SPEC-7)

A proof is a flat list of cells in preorder.  A *root* names its maximum and its margin ``mu``; the
children of a split follow it.  Nothing here is a bound: these are the hints from which the checker
derives its own.  A cell may hold what is ``expected`` of it (``certify.cells.expected``), which is
no key of the certificate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

Cell: TypeAlias = dict[str, Any]
Layout: TypeAlias = list[list[int]]
Share: TypeAlias = list[Any]

ZERO = ["0", "0"]


def ranges(tokens: Iterable[int]) -> list[list[int]]:
    """Return ascending tokens as a list of [first, last] with no two touching."""
    found: list[list[int]] = []
    for token in sorted(tokens):
        if found and found[-1][1] + 1 == token:
            found[-1][1] = token
        else:
            found.append([token, token])
    return found


def singles(maximum: int) -> Layout:
    """Return the layout in which every token below the maximum is a block of its own."""
    return [[1, maximum]] if maximum else []


def near_and_far(maximum: int, near: int, first: int, growth: int) -> Layout:
    """Return a layout with ``near`` single tokens just below the maximum and ever longer blocks
    further down.

    Attention to a token decays with its distance below the maximum, so far tokens can share a
    bound.
    Ensures: blocks in ascending order of tokens; the lengths add up to ``maximum``.
    """
    lengths = []
    left, length = max(maximum - near, 0), first
    while left > 0:
        lengths.append(min(length, left))
        left -= lengths[-1]
        length *= growth
    layout = [[length, 1] for length in reversed(lengths)]
    return layout + singles(min(near, maximum))


def starts(layout: Layout) -> list[int]:
    """Return the first token of every block of a layout in ascending order, and last the maximum
    itself.
    """
    found, position = [], 0
    for length, count in layout:
        for _ in range(count):
            found.append(position)
            position += length
    return [*found, position]


def runs(first: Iterable[int]) -> Layout:
    """Return the layout whose blocks start at these tokens, the last being the maximum."""
    found: Layout = []
    for start, end in pairwise(int(token) for token in first):
        if found and found[-1][0] == end - start:
            found[-1][1] += 1
        else:
            found.append([end - start, 1])
    return found


def cell(method: str, queries: Iterable[int], layout: Layout | None = None, **hints: Any) -> Cell:
    """Return a cell with its method and hints."""
    found: Cell = {"method": method, "queries": ranges(queries), **hints}
    if layout is not None:
        found["layout"] = layout
    return found


def tree(maximum: int, root: Cell, children: Sequence[Cell] = ()) -> list[Cell]:
    """Return a root cell with its maximum, followed by its children if it is a split."""
    return [{**root, "maximum": maximum, "mu": ZERO}, *children]


def weakest(cells: Sequence[Cell], total: int) -> list[Cell]:
    """Return the cells with claims that no checker can find too strong."""
    claims: dict[str, Cell] = {"extreme": {"margin": ZERO}}
    for method in ("enumerate", "count", "copies", "brute-force"):
        claims[method] = {"failures": ["0", str(total)]}
    return [{**spelled(found), **claims.get(found["method"], {})} for found in cells]


def spelled(found: Cell) -> Cell:
    """Return a cell without what the prover expects of it."""
    return {key: value for key, value in found.items() if key != "expected"}
