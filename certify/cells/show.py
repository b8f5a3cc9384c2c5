"""What a proof of cells claims, group by group, and which groups prove less than in another
proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from certify.cells.numbering import numbering_of
from certify.certificate.show import Showing, Summary, margin_of, reading, shown
from certify.columns import Columns
from certify.errors import BadInput

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One leaf cell as claimed: possible failures as a share of the domain, or a margin of all its
    inputs.
    """

    maximum: int
    queries: Ranges
    method: str
    failures: tuple[int, int] | None
    margin: Fraction | None

    def spelled(self) -> str:
        """Return the query tokens as text: ``0-4, 7``."""
        return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in self.queries)

    @property
    def most(self) -> int:
        """Return how much of the group may fail."""
        return self.failures[1] if self.failures else 0

    @property
    def tokens(self) -> set[int]:
        """Return the query tokens."""
        return {token for first, last in self.queries for token in range(first, last + 1)}


def groups(summary: Summary) -> Iterator[Group]:
    """Yield the leaf cells of a proof."""
    size_of = sizes_of(summary)
    maximum = 0
    proof = summary.proof
    for cell in proof["wide" if "wide" in proof else "cells"]:
        maximum = int(cell.get("maximum", maximum))
        if "children" in cell:
            continue
        failures = None
        if "failures" in cell:
            failures = int(cell["failures"][0]), int(cell["failures"][1])
        queries = tuple((int(first), int(last)) for first, last in cell["queries"])
        if cell["method"] == "skip":
            failures = (0, size_of(maximum, queries))
        yield Group(maximum, queries, str(cell["method"]), failures, margin_of(cell))


def sizes_of(summary: Summary) -> Callable[[int, Ranges], int]:
    """Return a function of a maximum and queries: how much the inputs of such a cell count."""
    scope = summary.counted
    outputs = int(summary.statement["architecture"]["d_vocab_out"])
    named = numbering_of(summary.domain, outputs, scope.gap)
    *rows, last = named.weights(summary.domain, scope)

    def size_of(maximum: int, queries: Ranges) -> int:
        near = int(named.near[maximum])
        alone = queries == ((maximum, maximum),)
        ways = ((sum(row[:near]), row[maximum]) for row in rows)
        every = [q for first, final in queries for q in range(first, final + 1)]
        asked = sum(last[q] for q in every if alone or q < near)
        return scope.counted(ways, held=int(alone)) * asked

    return size_of


def tables(summary: Summary, weakest: int) -> list[Columns]:
    """Return what each method claims, and the groups of which most may fail."""
    found = list(groups(summary))
    methods = Columns("groups", ("method", "groups", "possible failures", "smallest margin"))
    for method in dict.fromkeys(group.method for group in found):
        chosen = [group for group in found if group.method == method]
        failures = "0" if method == "extreme" else str(sum(group.most for group in chosen))
        margin = shown([group.margin for group in chosen])
        methods.rows.append((method, str(len(chosen)), failures, margin))
    failing = sorted((group for group in found if group.most), key=lambda group: -group.most)
    if not weakest or not failing:
        return [methods]
    heads = ("maximum", "queries", "method", "failures at least", "at most", "share")
    table = Columns("weakest groups", heads)
    for group in failing[:weakest]:
        least, most = group.failures or (0, 0)
        share = f"{most / summary.total:.3e}"
        row = (group.maximum, group.spelled(), group.method, least, most, share)
        table.rows.append(tuple(map(str, row)))
    return [methods, table]


def lost(summary: Summary, other: Summary) -> Columns:
    """Return the smallest groups common to both certificates in which more may fail in the first.

    Errors: ``BadInput`` unless both are about the same model, task and scope.
    Cost:   linear in both.
    """
    for key in ("model", "task", "scope"):
        if summary.statement[key] != other.statement[key]:
            raise BadInput(f"the two certificates are not about the same {key}")
    with reading(other.path):
        theirs = list(groups(other))
    found = _losses(list(groups(summary)), theirs)
    heads = ("maximum", "queries", "possible failures", "there")
    semantics = other.statement["semantics"]
    note = f"{len(found)} groups prove less than in {other.path} (semantics {semantics})"
    table = Columns("groups that lose", heads, note=note)
    for group, here, there in sorted(found, key=lambda row: row[2] - row[1]):
        table.rows.append((str(group.maximum), group.spelled(), str(here), str(there)))
    return table


def _losses(ours: list[Group], theirs: list[Group]) -> list[tuple[Group, int, int]]:
    """Return the smallest common groups in which more may fail here than there, with both
    numbers.
    """
    found: list[tuple[Group, int, int]] = []
    for maximum in sorted({group.maximum for group in ours}):
        sides = [[group for group in side if group.maximum == maximum] for side in (ours, theirs)]
        for part in _common([group.tokens for side in sides for group in side]):
            here, there = (
                sum(group.most for group in side if group.tokens <= part) for side in sides
            )
            if here > there:
                found.append((Group(maximum, _ranges(sorted(part)), "", None, None), here, there))
    return found


def _common(sets: list[set[int]]) -> list[set[int]]:
    """Return the finest partition of which each of the sets is within one part."""
    parts: list[set[int]] = []
    for tokens in sets:
        parts = [part for part in parts if not part & tokens] + [
            tokens.union(*(part for part in parts if part & tokens))
        ]
    return sorted(parts, key=min)


def _ranges(tokens: list[int]) -> Ranges:
    firsts = [t for t in tokens if t - 1 not in tokens]
    lasts = [t for t in tokens if t + 1 not in tokens]
    return tuple(zip(firsts, lasts, strict=True))


SHOWING = Showing(tables, lost=lost)
