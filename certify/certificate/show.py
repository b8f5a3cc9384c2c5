"""A human summary of a certificate: what it claims, cell by cell.  Nothing here is verified.

The numbers are the certificate's own claims; ``certify verify`` says whether they hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

from certify.certificate.document import FORMAT, MAXIMUM_FILE_BYTES
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes


@dataclass(frozen=True, slots=True)
class Group:
    """One leaf cell as claimed: possible failures as a share of the domain, or a margin of all its
    inputs.
    """

    maximum: int
    queries: tuple[tuple[int, int], ...]
    method: str
    failures: tuple[int, int] | None
    margin: Fraction | None

    def spelled(self) -> str:
        """Return the query tokens as text: ``0-4, 7``."""
        return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in self.queries)


@dataclass(frozen=True, slots=True)
class Run:
    """A leaf of a proof of leaves: inputs that follow one another in lexicographic order, and what
    is claimed of each.
    """

    first: int
    inputs: int
    method: str
    margin: Fraction | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A certificate as read: its statement, the strategy's name and its leaf cells, or its leaves."""

    statement: dict[str, Any]
    strategy: str
    operations: int
    groups: tuple[Group, ...]
    runs: tuple[Run, ...] = ()

    def task(self) -> str:
        """Return the task's name."""
        return self.statement["task"] if isinstance(self.statement["task"], str) else "table"

    def wrong(self) -> Iterator[tuple[int, ...]]:
        """Yield the inputs that are claimed to be wrong, those without weight included, in
        lexicographic order.
        """
        vocab, n = (
            int(self.statement["architecture"]["d_vocab"]),
            int(self.statement["architecture"]["n_ctx"]),
        )
        for run in self.runs:
            for index in range(run.first, run.first + run.inputs) if run.method == "wrong" else ():
                yield tuple(index // vocab ** (n - 1 - place) % vocab for place in range(n))


def summarise(path: Path) -> Summary:
    """Return the summary of a certificate file.

    Errors: ``BadInput`` if it cannot be read or is not a certificate; ``Unsupported`` for another
            format version.
    Cost:   linear in the file.
    """
    try:
        whole = json.loads(read_bytes(path, MAXIMUM_FILE_BYTES))
        found = whole["format"]
        if found != FORMAT:
            raise Unsupported(f"{path}: field format is {str(found)[:40]!r}, not {FORMAT!r}")
        proof = whole["proof"]
        facts = dict(whole["statement"]), str(proof["strategy"]), int(proof["operations"])
        if "sums" in proof:
            return Summary(*facts, ())
        if "leaves" in proof:
            return Summary(*facts, (), tuple(_runs(proof["leaves"])))
        return Summary(*facts, tuple(_groups(proof["cells"], _weights(whole["statement"]))))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        reason = f"field {error}" if isinstance(error, KeyError) else "it is not a certificate"
        raise BadInput(f"{path}: not a certificate: {reason} is missing or malformed") from error


def _weights(statement: dict[str, Any]) -> list[list[int]]:
    """Return how much each token counts at each position."""
    scope, architecture = statement["scope"], statement["architecture"]
    if scope == "uniform":
        return [[1] * int(architecture["d_vocab"])] * int(architecture["n_ctx"])
    return [[int(weight) for weight in row] for row in scope["product"]]


def _size(weights: list[list[int]], maximum: int, queries: tuple[tuple[int, int], ...]) -> int:
    """Return how much the inputs of a cell count: all of them may fail in a cell that was skipped."""
    up_to, below = (prod(sum(row[: maximum + more]) for row in weights[:-1]) for more in (1, 0))
    sequences = up_to - (0 if queries == ((maximum, maximum),) else below)
    return sequences * sum(sum(weights[-1][first : last + 1]) for first, last in queries)


def _runs(leaves: list[dict[str, Any]]) -> Iterator[Run]:
    first = 0
    for leaf in leaves:
        margin = (
            Fraction(int(leaf["margin"][0])) * Fraction(2) ** int(leaf["margin"][1])
            if "margin" in leaf
            else None
        )
        yield Run(first, int(leaf["inputs"]), str(leaf["method"]), margin)
        first += int(leaf["inputs"])


def _groups(cells: list[dict[str, Any]], weights: list[list[int]]) -> Iterator[Group]:
    maximum = 0
    for cell in cells:
        maximum = int(cell.get("maximum", maximum))
        if "children" in cell:
            continue
        failures = (
            (int(cell["failures"][0]), int(cell["failures"][1])) if "failures" in cell else None
        )
        margin = (
            Fraction(int(cell["margin"][0])) * Fraction(2) ** int(cell["margin"][1])
            if "margin" in cell
            else None
        )
        queries = tuple((int(first), int(last)) for first, last in cell["queries"])
        if cell["method"] == "skip":
            failures = (0, _size(weights, maximum, queries))
        yield Group(maximum, queries, str(cell["method"]), failures, margin)


def lost(summary: Summary, other: Summary) -> list[tuple[Group, int, int]]:
    """Return the smallest groups common to both certificates in which more may fail in the first,
    with both numbers.

    Errors: ``BadInput`` unless both are about the same model, task and scope.
    Cost:   linear in both.
    """
    for key in ("model", "task", "scope"):
        if summary.statement[key] != other.statement[key]:
            raise BadInput(f"the two certificates are not about the same {key}")
    found: list[tuple[Group, int, int]] = []
    for maximum in sorted({group.maximum for group in summary.groups}):
        sides = [
            [group for group in side.groups if group.maximum == maximum]
            for side in (summary, other)
        ]
        for part in _common([_tokens(group) for side in sides for group in side]):
            here, there = (
                sum((g.failures or (0, 0))[1] for g in side if _tokens(g) <= part) for side in sides
            )
            if here > there:
                found.append((Group(maximum, _ranges(sorted(part)), "", None, None), here, there))
    return found


def _tokens(group: Group) -> set[int]:
    return {token for first, last in group.queries for token in range(first, last + 1)}


def _common(sets: list[set[int]]) -> list[set[int]]:
    """Return the finest partition of which each of the sets is within one part."""
    parts: list[set[int]] = []
    for tokens in sets:
        parts = [part for part in parts if not part & tokens] + [
            tokens.union(*(part for part in parts if part & tokens))
        ]
    return sorted(parts, key=min)


def _ranges(tokens: list[int]) -> tuple[tuple[int, int], ...]:
    firsts = [t for t in tokens if t - 1 not in tokens]
    lasts = [t for t in tokens if t + 1 not in tokens]
    return tuple(zip(firsts, lasts, strict=True))
